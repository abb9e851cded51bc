"""What a worker gives back, packed in its process and put together in the parent's.

    file.write(packed({"facts": facts, "scores": scores}))     # in the worker
    unpacked(file)                                             # in the parent

The worker has handled a stranger's file, and may have been taken over by it. So the parent takes only what stands in a
short list: plain values, NumPy's arrays and numbers, paths, and this package's dataclasses, named tuples and errors. No
class and no function of the sender's choice is ever called, nor is a class within its reach. What it takes of memory is
in proportion to what was sent: nothing is said once and meant often, and nothing is made of lengths that are a lie.
"""

import dataclasses
import io
import math
import pickle
import pickletools
import re
import sys
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import BinaryIO

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.text import first_line, quoted, with_article

_PACKAGE = __name__.partition(".")[0]
# What pickle writes of plain values, and of calls of functions, where it remembers nothing. What is remembered can be
# named again and again: lists of the same list, forty deep, take a few hundred bytes and more memory than there is.
# NEWOBJ finds no class, and so says which was to be found.
_OPCODES = re.compile(
    "PROTO|FRAME|STOP|MARK|NONE|NEWTRUE|NEWFALSE|BININT[12]?|LONG[14]|BINFLOAT|(SHORT_)?BIN(BYTES|UNICODE)|"
    "BIN(BYTES|UNICODE)8|(EMPTY_)?TUPLE|TUPLE[123]|EMPTY_(LIST|DICT|SET)|APPENDS?|SETITEMS?|ADDITEMS|FROZENSET|"
    "STACK_GLOBAL|REDUCE|NEWOBJ"
)
_GROWING = (pickletools.pylist, pickletools.pydict, pickletools.pyset)
_MOST_LEVELS = 100  # of nesting; ours have a dozen. A hundred thousand end the process where a key is hashed
_PIECE_BYTES = 16 << 20
_NUMBERS = re.compile("[<>|=]?[biufcSU][1-9][0-9]*")  # types of arrays: numbers, truth values and texts, no objects
_MOST_AXES = 64  # of NumPy 2's arrays


class NotTakenError(Exception):
    """A result holds what is not taken from a worker; the message says what."""


def packed(result: object) -> bytes:
    """Packs a result.

    Args:
      result: Plain values, which are those of JSON, bytes, tuples and sets; NumPy's arrays and numbers; paths; and this
        package's dataclasses, named tuples and errors. What is in it twice arrives as two.

    Returns:
      What `unpacked` takes.

    Raises:
      TypeError: If something in it cannot be packed, or holds itself.
    """
    buffer = io.BytesIO()
    try:
        packer = _Packer(buffer, protocol=4)
        packer.fast = True  # it remembers nothing: what is in the result twice is written twice
        packer.dump(result)
    except Exception as error:  # whatever it is, pickle says it in a dozen ways
        raise TypeError(f"work() gave a {type(result).__name__} that cannot be pickled: {error}") from error
    return buffer.getvalue()


def unpacked(file: BinaryIO) -> object:
    """Reads the next result.

    Args:
      file: What a worker writes.

    Returns:
      The result.

    Raises:
      EOFError: If the worker's end is closed before a result is complete.
      NotTakenError: If it is no result, or holds what is not taken.
    """
    try:
        return _Unpacker(io.BytesIO(_read(file))).load()
    except (EOFError, NotTakenError):
        raise
    except Exception as error:  # of bytes at random, pickle raises whatever it likes
        why = f"{type(error).__name__}: {first_line(error)}"
        raise NotTakenError(f"a result that cannot be put together here ({why})") from error


class _Copy:
    """Keeps what is read from a file."""

    def __init__(self, file: BinaryIO):
        self._file, self.parts = file, []

    def read(self, size: int) -> bytes:
        parts, left = [], size
        while left > 0 and (part := self._file.read(min(left, _PIECE_BYTES))):  # a length that is a lie takes no memory
            parts.append(part)
            left -= len(part)
        return self._keep(b"".join(parts), size)

    def readline(self) -> bytes:
        raise NotTakenError("a result in an old form of pickles")

    def _keep(self, part: bytes, size: int) -> bytes:
        if len(part) < size:
            raise EOFError("the result is cut short")
        self.parts.append(part)
        return part


def _read(file: BinaryIO) -> bytes:
    """Reads a pickle up to its end, and refuses what `packed` does not write: some of it takes memory at will.

    Frames are left out, for they say what stands in the pickle already. Python's unpickler believes them: where one
    ends inside of a text it loses its place, and takes for opcodes what was read as a text here.
    """
    copy, stack, kept = _Copy(file), _Stack(), 0
    for opcode, _, _ in pickletools.genops(copy):
        if not _OPCODES.fullmatch(opcode.name):
            raise NotTakenError(f"a result with a {opcode.name} in it")
        stack.step(opcode)
        if opcode.name == "FRAME":
            del copy.parts[kept:]
        kept = len(copy.parts)
    return b"".join(copy.parts)


class _Stack:
    """The stack of a pickle that is not loaded yet: the kind of each thing, and how many levels it has."""

    def __init__(self):
        self._things = []

    def step(self, opcode: pickletools.OpcodeInfo) -> None:
        """Takes and puts what an opcode takes and puts; refuses what does not fit, and what is too deep."""
        own = inner = 0
        for kind in reversed(opcode.stack_before):
            levels = self._take(kind)
            if kind in _GROWING:  # it has no more levels for having grown a hundred times
                own = levels
            else:
                inner = max(inner, levels)
        levels = max(own, inner + 1)
        if levels > _MOST_LEVELS:
            raise NotTakenError(f"a result of more than {_MOST_LEVELS} levels")
        self._things += [(kind, levels) for kind in opcode.stack_after]

    def _take(self, kind: pickletools.StackObject) -> int:
        """Takes a thing of a kind, or all down to a mark; gives the levels of the deepest."""
        levels = 0
        if kind is pickletools.stackslice:
            while self._things[-1][0] is not pickletools.markobject:
                levels = max(levels, self._things.pop()[1])
            return levels
        found, levels = self._things.pop()
        if found is not kind and (kind is not pickletools.anyobject or found is pickletools.markobject):
            raise NotTakenError(f"a result with something else where {with_article(kind.name)} belongs")
        return levels


class _Packer(pickle.Pickler):
    """Packs objects as calls of the functions below."""

    def reducer_override(self, thing: object):
        """The call that makes an object anew; NotImplemented for what pickle packs well."""
        kind = type(thing)
        if kind.__module__ == "numpy" and hasattr(thing, "tobytes"):
            return _array, (thing.dtype.str, thing.shape, thing.tobytes(), kind.__name__ == "ndarray")
        if isinstance(thing, PurePath):
            return _path, (str(thing),)
        if not kind.__module__.startswith(f"{_PACKAGE}."):
            return NotImplemented
        if isinstance(thing, TftrtYoloError):
            return _error, (kind.__module__, kind.__qualname__, thing.args, dict(vars(thing)))
        if dataclasses.is_dataclass(thing):
            fields = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
            return _record, (kind.__module__, kind.__qualname__, fields)
        if _is_named_tuple(kind):
            return _entry, (kind.__module__, kind.__qualname__, tuple(thing))
        return NotImplemented


class _Unpacker(pickle.Unpickler):
    """Makes what the functions below make, and nothing else."""

    def find_class(self, module: str, name: str) -> Callable:
        """One of the functions, by its `__call__`: a pickle can set attributes, and this takes none."""
        if module == __name__ and name in _MAKERS:
            return _MAKERS[name].__call__
        raise NotTakenError(f"a result with a {quoted(f'{module}.{name}')} in it")


def _array(kind: str, shape: tuple[int, ...], data: bytes, is_array: bool) -> object:
    """An array, or a number of NumPy's."""
    import numpy as np

    is_known = isinstance(kind, str) and _NUMBERS.fullmatch(kind) and _is_shape(shape) and isinstance(data, bytes)
    if not is_known or math.prod(shape) * np.dtype(kind).itemsize != len(data):
        raise NotTakenError(f"an array of {quoted(kind)} and the shape {quoted(repr(shape))} in {len(data)} bytes")
    array = np.ndarray(shape, kind, bytearray(data))
    return array if is_array else array[()]


def _is_shape(shape: object) -> bool:
    """Whether it is a shape, whose sides can be multiplied: a product of bytes and a number is that many bytes."""
    is_short = isinstance(shape, tuple) and len(shape) <= _MOST_AXES
    return is_short and all(type(side) is int and 0 <= side <= sys.maxsize for side in shape)


def _path(text: str) -> Path:
    return Path(text)


def _error(module: str, name: str, arguments: tuple, state: dict) -> TftrtYoloError:
    """An error of this package's."""
    error = _class_of(module, name, lambda kind: issubclass(kind, TftrtYoloError))(*arguments)
    vars(error).update({key: value for key, value in state.items() if not hasattr(type(error), key)})
    return error


def _record(module: str, name: str, state: dict) -> object:
    """A dataclass of this package's, as it was: its checks are not run again."""
    kind = _class_of(module, name, dataclasses.is_dataclass)
    fields = {field.name for field in dataclasses.fields(kind)}
    if set(state) != fields:
        raise NotTakenError(f"a {name} whose fields are {quoted(', '.join(map(str, state)))}")
    record = object.__new__(kind)
    vars(record).update(state)
    return record


def _entry(module: str, name: str, values: tuple) -> tuple:
    """A named tuple of this package's."""
    return _class_of(module, name, _is_named_tuple)._make(values)


def _class_of(module: str, name: str, fits: Callable[[type], bool]) -> type:
    """A class of this package's that is loaded here already."""
    home = sys.modules.get(module) if module.startswith(f"{_PACKAGE}.") else None
    kind = vars(home).get(name) if home else None
    if not isinstance(kind, type) or not fits(kind):
        raise NotTakenError(f"a result with a {quoted(f'{module}.{name}')} in it")
    return kind


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


_MAKERS = {function.__name__: function for function in (_array, _path, _error, _record, _entry)}
