"""The ranges of a network that was trained with fake quantisation, as an export keeps them beside its graph.

    ranges = trained_ranges.read(source)                     # None where the checkpoint had none
    layer = ranges.find(kernel)                              # by the filter itself, (height, width, in, out)
    layer.step, layer.first, layer.last, layer.filter_steps

Names of layers do not survive the way from PyTorch over ONNX to TensorFlow, but the weights do, to the bit. So a layer
is found by its filter: each output channel by a hash of its numbers, for a filter may stand in the graph in parts.
"""

import dataclasses
import functools
import hashlib
import math
import os
from pathlib import Path

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.saved_model.handle import SavedModelHandle

_DIGITS = 16  # of a hash
_MOST_STEPS = 255  # between the least and the largest of 8 bits
_MOST_CHANNELS = 1 << 20


@dataclasses.dataclass(frozen=True)
class TrainedLayer:
    """What a convolution was trained to read and to multiply with.

    Attributes:
      name: Its path in the checkpoint's network.
      step: Of the numbers that it reads, which become multiples of it.
      first: The least multiple that is kept; 0 or less, at most 255 below the last.
      last: The largest that is kept.
      filter_steps: Of the weights of each output channel, which become multiples of it from -128 to 127.
      channels: The hash of each output channel's weights.
    """

    name: str
    step: float
    first: int
    last: int
    filter_steps: tuple[float, ...]
    channels: tuple[str, ...]

    def __post_init__(self):
        """Refuses what no training leaves, for the file may be a stranger's.

        Raises:
          ValueError: If a step is not positive, the multiples are not of 8 bits or leave 0 out, or the channels are not
            as many as their steps.
        """
        steps = (self.step, *self.filter_steps)
        if not all(0 < step < math.inf for step in steps):
            strange = next(step for step in steps if not 0 < step < math.inf)
            raise ValueError(f"{quoted(self.name)} has the step {strange!r}; expected a finite number above 0")
        if not (self.first <= 0 <= self.last and 0 < self.last - self.first <= _MOST_STEPS):
            raise ValueError(
                f"{quoted(self.name)} keeps multiples from {self.first} to {self.last}; expected 0 among them and at "
                f"most {_MOST_STEPS} steps"
            )
        if not 0 < len(self.channels) == len(self.filter_steps) < _MOST_CHANNELS:
            raise ValueError(
                f"{quoted(self.name)} has {counted(len(self.filter_steps), 'step')} for "
                f"{counted(len(self.channels), 'output channel')}; expected one for each"
            )


@dataclasses.dataclass(frozen=True)
class TrainedRanges:
    """The ranges of all convolutions that have one.

    Attributes:
      layers: The convolutions.
    """

    layers: tuple[TrainedLayer, ...]

    def find(self, kernel: np.ndarray) -> tuple[TrainedLayer, np.ndarray] | None:
        """Finds the layer that a filter of the graph is of.

        Args:
          kernel: (height, width, in, out) float32; all output channels of a layer, or some of them.

        Returns:
          The layer and (out,) float32, the steps of these channels; None if there is no layer that has all of them, or
          several have, whose ranges differ.
        """
        channels = digests(kernel)
        found = []
        for index in self._homes.get(channels[0], ()):
            layer = self.layers[index]
            places = {channel: place for place, channel in enumerate(layer.channels)}
            if all(channel in places for channel in channels):
                found.append((layer, [layer.filter_steps[places[channel]] for channel in channels]))
        ranges = {(layer.step, layer.first, layer.last, *steps) for layer, steps in found}
        if len(ranges) != 1:
            return None
        layer, steps = found[0]
        return layer, np.array(steps, np.float32)

    @functools.cached_property
    def _homes(self) -> dict[str, list[int]]:
        """Hash of an output channel to the layers that have one."""
        homes = {}
        for index, layer in enumerate(self.layers):
            for channel in set(layer.channels):
                homes.setdefault(channel, []).append(index)
        return homes


def digests(kernel: np.ndarray) -> list[str]:
    """A hash of each output channel's weights.

    Inputs whose weights are all 0 are left out, so that a depthwise filter has the same hashes when it is written as an
    ordinary one.

    Args:
      kernel: (height, width, in, out) float32.

    Returns:
      Hexadecimal digits for each.
    """
    found = []
    for channel in np.moveaxis(np.asarray(kernel, np.float32), -1, 0):
        used = np.ascontiguousarray(channel[..., channel.any(axis=(0, 1))] + np.float32(0))  # -0 is 0
        found.append(hashlib.sha256(repr(used.shape).encode() + used.tobytes()).hexdigest()[:_DIGITS])
    return found


def is_there(handle: SavedModelHandle) -> bool:
    """Whether a SavedModel holds trained ranges."""
    return os.path.lexists(handle.directory / contract.RANGES_FILE)


def write(ranges: TrainedRanges, saved_model_dir: Path) -> None:
    """Writes the ranges into a directory."""
    documents.write(ranges, saved_model_dir / contract.RANGES_FILE)


def read(handle: SavedModelHandle) -> TrainedRanges | None:
    """Reads the ranges of an export.

    Args:
      handle: A SavedModel.

    Returns:
      The ranges; None if there are none.

    Raises:
      SavedModelError: If the file is damaged.
    """
    if not is_there(handle):
        return None
    remedy = "export the checkpoint again"
    path = handle.directory / contract.RANGES_FILE
    return documents.read(path, path.name, TrainedRanges, SavedModelError, origin="an export", remedy=remedy)
