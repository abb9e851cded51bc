"""A machine that runs a pickle's opcodes and builds records: it imports nothing, calls nothing and looks nothing up.

    records(archive.pickle)              # {"model": Record(DetectionModel), "epoch": -1, ...}

Python's own unpickler calls what the file names, and restores attributes that shadow methods, which whoever uses the
object calls later. Here a class is a name and an object a dictionary of attributes.

Source: pickletools, which also reads the opcodes; torch.serialization for the persistent ids of storages.
"""

import pickletools
import struct

from tftrt_yolo.exporter.checkpoint import known_names
from tftrt_yolo.exporter.checkpoint.records import Call, Record, Reference, Storage, TensorRecord, describe
from tftrt_yolo.ground.text import first_line, quoted

_MOST_OPCODES = 3_000_000  # yolov8x has 0.1 million
_MOST_KEY = 1 << 31  # larger numbers can be made to collide in a dictionary, which then takes for ever
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_DATA = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE"),
        *("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
_MAPPINGS = ("OrderedDict", "defaultdict", "Counter", "dict")
_SEQUENCES = ("set", "frozenset", "list", "tuple", "deque", "Size")
_NUMBERS = {"f2": "<e", "f4": "<f", "f8": "<d", "b1": "<?", **{f"i{1 << n}": f"<{c}" for n, c in enumerate("bhiq")}}
_NUMBERS |= {f"u{1 << n}": f"<{c}" for n, c in enumerate("BHIQ")}


class PickleError(ValueError):
    """The pickle is damaged or holds what no checkpoint holds; the message is half a sentence."""


def records(data: bytes) -> object:
    """Runs a pickle.

    Args:
      data: As `torch.save` writes it, protocol 2 to 5.

    Returns:
      Plain values, and records in place of all else. They may refer to each other in a circle.

    Raises:
      PickleError: If it is damaged, endless, or holds a name that is not known.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST_OPCODES:
                raise PickleError(f"holds more than {_MOST_OPCODES:,} steps")
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.step(opcode.name, argument)
    except known_names.UnknownNameError as error:
        raise PickleError(str(error)) from error
    except PickleError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, MemoryError,
            struct.error, RecursionError) as error:  # fmt: skip
        raise PickleError(f"holds a damaged pickle ({type(error).__name__}: {first_line(error)})") from error
    raise PickleError("holds a pickle without an end")


class _Machine:
    """The stack, the stacks below its marks, and the memory."""

    def __init__(self):
        self.stack, self._below, self._memory = [], [], {}

    def step(self, opcode: str, argument: object) -> None:
        """Runs one opcode."""
        if opcode in _DATA:
            self.stack.append(argument)
        elif opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode not in ("PROTO", "FRAME"):
            run = getattr(self, f"_{opcode.lower()}", None)
            if run is None:
                raise PickleError(f"holds the pickle opcode {opcode}, which torch.save does not write")
            run(argument)

    def _take_mark(self) -> list:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _mark(self, _):
        self._below.append(self.stack)
        self.stack = []

    def _pop(self, _):
        if self.stack:
            self.stack.pop()
        else:
            self._take_mark()

    def _pop_mark(self, _):
        self._take_mark()

    def _binput(self, index):
        self._memory[index] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, _):
        self._memory[len(self._memory)] = self.stack[-1]

    def _binget(self, index):
        self.stack.append(self._memory[index])

    _long_binget = _binget

    def _empty_dict(self, _):
        self.stack.append({})

    def _empty_list(self, _):
        self.stack.append([])

    def _empty_tuple(self, _):
        self.stack.append(())

    _empty_set = _empty_list  # what can be in a set is asked for nowhere, and a list takes everything

    def _tuple(self, _):
        items = self._take_mark()
        self.stack.append(tuple(items))

    def _tuple1(self, _):
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _):
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _tuple3(self, _):
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    _frozenset = _tuple

    def _append(self, _):
        item = self.stack.pop()
        _extend(self.stack[-1], [item])

    def _appends(self, _):
        items = self._take_mark()
        _extend(self.stack[-1], items)

    _additems = _appends

    def _setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        _set_items(self.stack[-1], [key, value])

    def _setitems(self, _):
        items = self._take_mark()
        _set_items(self.stack[-1], items)

    def _global(self, argument):
        module, _, name = argument.partition(" ")
        self.stack.append(known_names.check(Reference(module, name)))

    def _stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError(f"names a class by {describe(module)} and {describe(name)}")
        self.stack.append(known_names.check(Reference(module, name)))

    def _newobj(self, _):
        arguments, reference = self.stack.pop(), self.stack.pop()
        self.stack.append(_made(reference, arguments))

    def _newobj_ex(self, _):
        keywords, arguments, reference = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(_made(reference, (*arguments, keywords)))

    def _reduce(self, _):
        arguments, reference = self.stack.pop(), self.stack.pop()
        self.stack.append(_called(reference, arguments))

    def _build(self, _):
        state = self.stack.pop()
        made = self.stack[-1]
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if isinstance(made, Record):
            for part in parts:
                if isinstance(part, dict):
                    made.attributes.update(part)
        elif not isinstance(made, (dict, list, Call)):  # the latter keep no attributes that anybody asks for
            raise PickleError(f"gives attributes to {describe(made)}")

    def _binpersid(self, _):
        parts = self.stack.pop()
        is_storage = isinstance(parts, tuple) and len(parts) == 5 and parts[0] == "storage"
        if not is_storage or not isinstance(parts[1], Reference):
            raise PickleError("refers to something outside that is no storage of a tensor")
        _, reference, key, _, num_elements = parts
        if not isinstance(key, str) or type(num_elements) is not int:
            raise PickleError(f"has a storage named {quoted(key)} of {quoted(num_elements)} numbers")
        self.stack.append(Storage(reference.name, key, num_elements))


def _extend(made: object, items: list) -> None:
    """Puts items into a list, or what was one; a record keeps none."""
    if isinstance(made, list):
        made.extend(items)
    elif not isinstance(made, (Record, Call)):
        raise PickleError(f"appends to {describe(made)}")


def _set_items(made: object, items: list) -> None:
    """Puts keys and values, by turns, into a dictionary; a record keeps none."""
    if isinstance(made, (Record, Call)):
        return
    if not isinstance(made, dict) or len(items) % 2:
        raise PickleError(f"sets items of {describe(made)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        is_plain = key is None or isinstance(key, (str, bool, Record, Reference, Storage, TensorRecord))
        if not is_plain and not (isinstance(key, int) and abs(key) < _MOST_KEY):
            raise PickleError(f"has a dictionary with the key {quoted(key)}")
        made[key] = value


def _made(reference: object, arguments: object) -> Record:
    """An object that a class would have made."""
    if not isinstance(reference, Reference) or not isinstance(arguments, tuple):
        raise PickleError(f"makes an object of {describe(reference)}")
    return Record(reference, arguments)


def _called(reference: object, arguments: object) -> object:
    """What a call would have given: known containers, tensors and numbers as such, all else as a Call."""
    if not isinstance(reference, Reference) or not isinstance(arguments, tuple):
        raise PickleError(f"calls {describe(reference)}")
    name = reference.name
    if reference.module in ("collections", *known_names.BUILTINS) and name in _MAPPINGS:
        pairs = arguments[0] if arguments and isinstance(arguments[0], (list, tuple)) else ()
        made = {}
        for pair in pairs:
            _set_items(made, list(pair))
        return made
    if reference.module in ("collections", "torch", *known_names.BUILTINS) and name in _SEQUENCES:
        items = arguments[0] if arguments and isinstance(arguments[0], (list, tuple)) else ()
        return tuple(items) if name in ("tuple", "Size") else list(items)
    if reference.module == "torch._utils":
        return _tensor(reference, arguments)
    if name == "_reconstructor" and arguments and isinstance(arguments[0], Reference):
        return Record(arguments[0])
    if reference == Reference("_codecs", "encode") and arguments and isinstance(arguments[0], str):
        return arguments[0].encode("latin-1")
    if name == "scalar":
        return _number(arguments)
    return Call(reference, arguments)


def _tensor(reference: Reference, arguments: tuple) -> object:
    """A tensor, or of a parameter its tensor."""
    if reference.name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and arguments:
        return arguments[0]
    if reference.name not in ("_rebuild_tensor_v2", "_rebuild_tensor"):
        return Call(reference, arguments)
    storage, offset, shape, strides = arguments[:4]
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides) or len(shape) > 8:
        raise PickleError(f"holds a tensor of {describe(storage)} with {len(shape)} sides")
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise PickleError("holds a tensor whose sides, strides or offset are no whole numbers of at least 0")
    return TensorRecord(storage, offset, tuple(shape), tuple(strides))


def _number(arguments: tuple) -> object:
    """A scalar of NumPy as Python's number; a Call if it is of another kind."""
    kind, data = arguments
    code = kind.arguments[0] if isinstance(kind, Call) and kind.arguments else None
    layout = _NUMBERS.get(code) if isinstance(code, str) else None
    if layout is None or not isinstance(data, bytes) or len(data) != struct.calcsize(layout):
        return Call(Reference("numpy", "scalar"), arguments)
    return struct.unpack(layout, data)[0]
