"""What runs a plan: the seam between TensorRT and everything else, and TensorRT behind it.

    runtime = open_runtime(engine_file.read("digits.engine"))
    runtime.tensors, runtime.profiles
    runtime.run(images)["output0"]                     # images (batch, 3, height, width) float32 in [0, 1]

Everything that can be known without TensorRT is checked before it sees the plan. TensorRT's side was written after its
documentation and was never run: TensorRT-RTX needs an RTX card, and `tensorrt` is not to be had here.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

import numpy as np

from tftrt_yolo.engines.engine_file import UNTOLD_GPU, EngineFile
from tftrt_yolo.engines.running import device_memory
from tftrt_yolo.engines.tensors import batch_ranges
from tftrt_yolo.ground.errors import EngineError, PreflightError, TensorRTUnavailableError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder import builders, target
from tftrt_yolo.preflighting.real_builder.builders import Builder
from tftrt_yolo.preflighting.real_builder.words import Words

_NUMBERS = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT8": np.int8, "BOOL": np.bool_}
_OLDEST = (8, 5)  # TensorRT whose tensors have names


class EngineRuntime(Protocol):
    """What runs an engine.

    Attributes:
      name: What it is, for `backend`: "TensorRT-RTX 1.7.1.116".
      device: Where it computes: "GPU", or "CPU" for a rehearsal's.
      tensors: Inputs and outputs.
      profiles: Name of each input whose shape is open to its optimisation profiles.
    """

    name: str
    device: str
    tensors: tuple[IOTensor, ...]
    profiles: dict[str, tuple[Profile, ...]]

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs a batch that a profile covers; one call at a time."""


def open_runtime(file: EngineFile) -> EngineRuntime:
    """Opens an engine in the TensorRT that is installed.

    Args:
      file: The engine.

    Returns:
      What runs it.

    Raises:
      TensorRTUnavailableError: If there is no TensorRT, or another version than the engine's, or no GPU, or another.
      EngineError: If the plan is damaged or cut short, or TensorRT does not open it.
    """
    builder = _builder_for(file)
    plan = file.plan()
    memory = device_memory.open_memory()
    _check_gpu(file, memory.compute_capability)
    try:
        trt = target.imported(builder)
    except PreflightError as error:
        raise TensorRTUnavailableError(str(error)) from error
    return _TensorRTRuntime(plan, trt, builder, memory, file.given)


def _builder_for(file: EngineFile) -> Builder:
    """The installed TensorRT that can open a plan.

    Raises:
      TensorRTUnavailableError: If there is none, or only another, or another version.
    """
    facts, found = file.facts, tuple(builders.installed())
    wanted = f"{facts.builder} {facts.builder_version}" if facts else "TensorRT"
    here = ", ".join(dict.fromkeys(map(str, found))) or "neither tensorrt nor tensorrt_rtx"
    name = facts.builder if facts else "TensorRT"
    fitting = [one for one in found if one.name == name and (not facts or _agree(one.version, facts.builder_version))]
    if not fitting:
        made_by = f"was built by {wanted}" if facts else "was built by TensorRT, as Ultralytics has it done"
        otherwise = "build the engine again with what is here" if found else "run the SavedModel with Predictor"
        raise TensorRTUnavailableError(
            f"{file.given} {made_by}, and installed here is {here}. An engine is opened by the version that built it: "
            f"install {wanted}, or {otherwise}."
        )
    if name == "TensorRT" and _numbers(fitting[0].version)[:2] < _OLDEST:
        raise TensorRTUnavailableError(f"{fitting[0]} is installed; expected 8.5 or newer. Install a newer one.")
    return fitting[0]


def _agree(one: str, other: str) -> bool:
    """Whether two versions are the same as far as both tell: TensorFlow calls 8.6.1.6 "8.6.1"."""
    pairs = list(zip(_numbers(one), _numbers(other), strict=False))
    return len(pairs) >= 3 and all(first == second for first, second in pairs)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, up to what is none."""
    numbers = []
    for part in version.split("."):
        if not (part.isascii() and part.isdecimal()):
            break
        numbers.append(int(part[:9]))
    return tuple(numbers)


def _check_gpu(file: EngineFile, compute_capability: str) -> None:
    """Refuses an engine for another GPU than the one that is here, where its header says for which it is.

    Raises:
      TensorRTUnavailableError: If it is another.
    """
    wanted = file.facts.compute_capability if file.facts else UNTOLD_GPU
    if wanted not in (UNTOLD_GPU, compute_capability):
        raise TensorRTUnavailableError(
            f"{file.given} is for GPUs of compute capability {wanted}, and the GPU here has {compute_capability}. "
            f"Build it again with `tftrt-yolo engine --compute_capability={compute_capability}`."
        )


class _TensorRTRuntime:
    """A plan in TensorRT, on the GPU that is here."""

    device = "GPU"

    def __init__(self, plan: bytes, trt: ModuleType, builder: Builder, memory: device_memory.Memory, given: str):
        self.name, self._trt, self._memory, self._given = str(builder), trt, memory, given
        self._words = Words(trt, self.name)
        self._runtime = self._asked(lambda: trt.Runtime(self._words.logger), "a runtime for it")
        self._engine = self._asked(lambda: self._runtime.deserialize_cuda_engine(plan), "to open it")
        self._context = self._asked(self._engine.create_execution_context, "a context for it")
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self.tensors = tuple(self._tensor(name) for name in names)
        self.profiles = {tensor.name: self._profiles(tensor.name) for tensor in self.tensors if tensor.is_input}

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs a batch.

        Args:
          images: (batch, 3, height, width) float32, in [0, 1].

        Returns:
          Name of each output to its values.

        Raises:
          EngineError: If no profile covers the batch, or TensorRT fails.
        """
        self._words.forget()
        [given] = [tensor for tensor in self.tensors if tensor.is_input]
        address, owner = self._memory.upload(images.astype(_NUMBERS[given.type], copy=False))
        self._choose_profile(images.shape[0])
        self._asked(lambda: self._context.set_input_shape(given.name, images.shape), f"images of {images.shape}")
        self._context.set_tensor_address(given.name, address)
        rooms = {}
        for tensor in self.tensors:
            if not tensor.is_input:
                shape, kind = tuple(self._context.get_tensor_shape(tensor.name)), _NUMBERS[tensor.type]
                place, room = self._memory.room(shape, kind)
                rooms[tensor.name] = (room, shape, kind)
                self._context.set_tensor_address(tensor.name, place)
        self._asked(lambda: self._context.execute_async_v3(self._memory.stream), "to run")
        outputs = {name: self._memory.download(*room) for name, room in rooms.items()}
        del owner  # the images, until the stream is done with them
        return outputs

    def _choose_profile(self, batch_size: int) -> None:
        """Chooses the first profile that covers a batch."""
        ranges = batch_ranges(self.tensors, self.profiles)
        fitting = [index for index, (least, most) in enumerate(ranges) if least <= batch_size <= most]
        if not fitting:
            raise EngineError(out_of_range(self._given, batch_size, ranges))
        if self._engine.num_optimization_profiles > 1:
            chosen = lambda: self._context.set_optimization_profile_async(fitting[0], self._memory.stream)  # noqa: E731
            self._asked(chosen, f"profile {fitting[0]}")

    def _asked(self, call, what: str) -> object:
        """What a call gives.

        Raises:
          EngineError: If it gives nothing or raises; with TensorRT's own words.
        """
        try:
            found = call()
        except Exception as error:  # noqa: BLE001 - native code raises anything
            found, said = None, first_line(error)
        else:
            said = ""
        if found is None or found is False:
            words = "; ".join(self._words.errors) or said or "it says nothing"
            raise EngineError(
                f"{self.name} refuses {what} ({self._given}): {words.rstrip('.')}. Build the engine again here, or use "
                "smaller batches if the GPU's memory is out."
            )
        return found

    def _tensor(self, name: str) -> IOTensor:
        """An input or output."""
        kind, dims = self._engine.get_tensor_dtype(name).name, tuple(self._engine.get_tensor_shape(name))
        is_input = self._engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        return IOTensor(name, kind, dims, is_input)

    def _profiles(self, name: str) -> tuple[Profile, ...]:
        """The profiles of an input."""
        count = self._engine.num_optimization_profiles
        shapes = (self._engine.get_tensor_profile_shape(name, index) for index in range(count))
        return tuple(Profile(*map(tuple, shape)) for shape in shapes)


def out_of_range(given: str, batch_size: int, ranges: tuple[tuple[int, int], ...]) -> str:
    """Says that a batch is outside the profiles."""
    sizes = ", ".join(str(least) if least == most else f"{least} to {most}" for least, most in ranges) or "none"
    return (
        f"{given} was given a batch of {batch_size:,}; expected {sizes}, which its profiles cover. Give batches of "
        "these sizes, or build it again for others: an engine of its own has no native segment to go to."
    )


def covers(ranges: Mapping | tuple, batch_size: int) -> bool:
    """Whether a profile covers a batch."""
    return any(least <= batch_size <= most for least, most in ranges)
