"""What a worker gives back, packed in its process and put together in the parent's.

    file.write(packed({"facts": facts, "scores": scores}))     # in the worker
    unpacked(file)                                             # in the parent

The worker has handled a stranger's file, and may have been taken over by it. So the parent takes only what stands in a
short list: plain values, NumPy's arrays and numbers, paths, and this package's dataclasses, named tuples and errors. No
class and no function of the sender's choice is ever called, nor is a class within its reach.
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
from tftrt_yolo.ground.text import quoted

_PACKAGE = __name__.partition(".")[0]
# What pickle writes of plain values, and of calls of functions; nothing that sets attributes or numbers its memory.
# NEWOBJ finds no class, and so says which was to be found.
_OPCODES = re.compile(
    "PROTO|FRAME|STOP|MARK|POP(_MARK)?|MEMOIZE|(LONG_)?BINGET|NONE|NEWTRUE|NEWFALSE|BININT[12]?|LONG[14]|BINFLOAT|"
    "(SHORT_)?BIN(BYTES|UNICODE)|BIN(BYTES|UNICODE)8|(EMPTY_)?TUPLE|TUPLE[123]|EMPTY_(LIST|DICT|SET)|APPENDS?|SETITEMS?|"
    "ADDITEMS|FROZENSET|STACK_GLOBAL|REDUCE|NEWOBJ"
)
_PIECE_BYTES = 16 << 20
_NUMBERS = "biufcSU"  # kinds of arrays: numbers, truth values and texts, no objects


class NotTakenError(Exception):
    """A result holds what is not taken from a worker; the message says what."""


def packed(result: object) -> bytes:
    """Packs a result.

    Args:
      result: Plain values, which are those of JSON, bytes, tuples and sets; NumPy's arrays and numbers; paths; and this
        package's dataclasses, named tuples and errors.

    Returns:
      What `unpacked` takes.

    Raises:
      TypeError: If something in it cannot be packed.
    """
    buffer = io.BytesIO()
    try:
        _Packer(buffer, protocol=4).dump(result)
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
        raise NotTakenError(f"a result that cannot be put together here ({type(error).__name__}: {error})") from error


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
    """Reads a pickle up to its end, and refuses what `packed` does not write: some of it takes memory at will."""
    copy = _Copy(file)
    for opcode, _, _ in pickletools.genops(copy):
        if not _OPCODES.fullmatch(opcode.name):
            raise NotTakenError(f"a result with a {opcode.name} in it")
    return b"".join(copy.parts)


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

    dtype = np.dtype(kind) if isinstance(kind, str) and kind.strip("<>|=")[:1] in _NUMBERS else None
    if dtype is None or not dtype.itemsize or math.prod(shape) * dtype.itemsize != len(data):
        raise NotTakenError(f"an array of {quoted(kind)} and the shape {shape!r} in {len(data)} bytes")
    array = np.frombuffer(bytearray(data), dtype).reshape(shape) if data else np.zeros(shape, dtype)
    return array if is_array else array[()]


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
