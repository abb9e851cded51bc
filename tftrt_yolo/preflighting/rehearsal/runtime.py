"""The half in Python of the stand-in's runtime: opens engines, computes them, and watches calibration.

The stand-in's C++ imports this module in whatever process TF-TRT runs, and calls `call` in TF-TRT's threads:

    runtime.call("open", address_of_arguments, 4, address_of_words, 1024)       # a handle, or -1 and words of why

Addresses that are passed are TF-TRT's; what is read and written there is as long as the engine's own shapes say.

Source of the calls: stand_in/runtime.cpp and stand_in/engine.cpp.
"""

import ctypes
import dataclasses
import itertools
import os
import sys

import numpy as np

from tftrt_yolo.preflighting.executor.execute import KINDS, execute
from tftrt_yolo.preflighting.recorded_network import DTYPES, RecordedNetwork, Tensor
from tftrt_yolo.preflighting.rehearsal import calibration_table, device_memory, engine_bytes
from tftrt_yolo.preflighting.rehearsal.description import Description, Dims, fill, tensors_of

LOG = "TFTRT_YOLO_REHEARSAL_LOG"  # set, every call of the runtime is printed
_FAILED = -1
_DEFAULT_STREAM = 0


@dataclasses.dataclass(eq=False)
class _Engine:
    """An engine that is open; `largest` grows while it is calibrated, `output_shapes` with the shapes that it meets."""

    network: RecordedNetwork
    largest: dict[str, float] = dataclasses.field(default_factory=dict)
    output_shapes: dict[tuple, list[tuple[int, ...]]] = dataclasses.field(default_factory=dict)


_engines: dict[int, _Engine] = {}
_numbers = itertools.count()


def call(function: str, arguments: int, count: int, words: int, room: int) -> int:
    """Does what the C++ half asks for.

    Args:
      function: Name of one of `_FUNCTIONS`.
      arguments: Address of its arguments, whole numbers of 64 bits.
      count: How many.
      words: Address of a text, which is filled if it fails.
      room: Bytes of that text.

    Returns:
      The function's result, at least 0; -1 if it failed.
    """
    try:
        given = (ctypes.c_int64 * count).from_address(arguments)
        return _FUNCTIONS[function](*(value & (1 << 64) - 1 for value in given)) or 0
    except Exception as error:  # noqa: BLE001 - whatever it is, TF-TRT is told that the call failed
        message = f"{function}: {error} ({type(error).__name__})".encode(errors="replace")[: room - 1]
        ctypes.memmove(words, message + b"\0", len(message) + 1)
        return _FAILED


def _open(address: int, size: int, described: int, described_size: int) -> int:
    """Opens an engine of its bytes and describes it; gives its handle."""
    if described_size != ctypes.sizeof(Description):
        raise ValueError(
            f"the library describes an engine in {described_size} bytes; expected {ctypes.sizeof(Description)}. It is "
            "another version's; compile it again"
        )
    network = engine_bytes.read(memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B"))
    if unknown := sorted({layer.kind for layer in network.layers} - set(KINDS)):
        raise ValueError(f"it has layers of kind {', '.join(unknown)}; expected {', '.join(KINDS)}")
    fill(Description.from_address(described), network)
    handle = next(_numbers)
    _engines[handle] = _Engine(network)
    _say("opened engine %d, %s: %d layers, %d bytes", handle, network.engine, len(network.layers), size)
    return handle


def _close(handle: int) -> None:
    """Forgets an engine; its bytes go next."""
    _engines.pop(handle, None)


def _shape_outputs(handle: int, dims: int) -> None:
    """Writes the shapes of the outputs, which those of the inputs decide."""
    engine = _engines[handle]
    shapes, num_inputs = _shapes(engine.network, dims), len(engine.network.inputs)
    places = (Dims * len(shapes)).from_address(dims)
    for number, shape in enumerate(_output_shapes(engine, tuple(shapes[:num_inputs])), num_inputs):
        places[number] = Dims.of(shape)


def _enqueue(handle: int, bindings: int, dims: int, stream: int) -> None:
    """Computes a batch: from the inputs' addresses to the outputs'."""
    network = _engines[handle].network
    tensors, shapes = tensors_of(network), _shapes(network, dims)
    addresses = (ctypes.c_void_p * len(tensors)).from_address(bindings)
    memory = device_memory.memory()
    results = execute(network, _feeds(network, addresses, shapes, stream))
    for tensor, address, shape in list(zip(tensors, addresses, shapes, strict=True))[len(network.inputs) :]:
        result = np.ascontiguousarray(results[tensor.name], DTYPES[tensor.type])
        if result.shape != shape:
            raise ValueError(f"{tensor.name} is {result.shape}; TF-TRT was told {shape}")
        memory.write(_checked(address, tensor), result, stream)
    _say("computed engine %d: %s", handle, ", ".join(f"{t.name} {s}" for t, s in zip(tensors, shapes, strict=True)))


def _observe(handle: int, bindings: int, dims: int) -> None:
    """Runs a batch of the calibrator, and keeps the largest magnitude of each input and output."""
    engine = _engines[handle]
    network = engine.network
    addresses = (ctypes.c_void_p * len(network.inputs)).from_address(bindings)
    feeds = _feeds(network, addresses, _shapes(network, dims), _DEFAULT_STREAM)
    for name, values in {**feeds, **execute(network, feeds)}.items():
        largest = float(np.abs(values, dtype=np.float64).max(initial=0.0))
        engine.largest[name] = max(engine.largest.get(name, 0.0), largest)


def _write_table(handle: int, address: int, room: int) -> int:
    """Writes the calibration table; gives its length."""
    table = calibration_table.text(_engines[handle].largest).encode()
    if len(table) > room:
        raise ValueError(f"the calibration table has {len(table)} bytes; expected at most {room}")
    ctypes.memmove(address, table, len(table))
    return len(table)


def _shapes(network: RecordedNetwork, dims: int) -> list[tuple[int, ...]]:
    """The shapes of all bindings as TF-TRT's context holds them."""
    count = len(network.inputs) + len(network.outputs)
    return [found.shape for found in (Dims * count).from_address(dims)]


def _output_shapes(engine: _Engine, shapes: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The shapes of the outputs, from a run over zeros: which of their sizes grow with the batch, only that tells."""
    network = engine.network
    if shapes not in engine.output_shapes:
        inputs = [network.tensors[index] for index in network.inputs]
        zeros = {t.name: np.zeros(shape, DTYPES[t.type]) for t, shape in zip(inputs, shapes, strict=True)}
        results = execute(network, zeros)
        engine.output_shapes[shapes] = [results[network.tensors[index].name].shape for index in network.outputs]
    return engine.output_shapes[shapes]


def _feeds(network: RecordedNetwork, addresses, shapes, stream: int) -> dict[str, np.ndarray]:
    """The values of the inputs, copied to the host."""
    memory, feeds = device_memory.memory(), {}
    for index, address, shape in zip(network.inputs, addresses, shapes, strict=False):  # the outputs follow
        tensor = network.tensors[index]
        if min(shape, default=0) < 0:
            raise ValueError(f"{tensor.name} is {shape}; expected a shape without -1")
        feeds[tensor.name] = np.empty(shape, DTYPES[tensor.type])
        memory.read(_checked(address, tensor), feeds[tensor.name], stream)
    return feeds


def _checked(address: int | None, tensor: Tensor) -> int:
    """An address that is one."""
    if not address:
        raise ValueError(f"{tensor.name} has no address; expected one of each input and output")
    return address


def _say(format_text: str, *values) -> None:
    """Prints what was done, if that was asked for."""
    if os.environ.get(LOG):
        sys.stderr.write(f"stand-in for TensorRT: {format_text % values}\n")


_FUNCTIONS = {
    "open": _open,
    "close": _close,
    "shape_outputs": _shape_outputs,
    "enqueue": _enqueue,
    "observe": _observe,
    "write_table": _write_table,
}
