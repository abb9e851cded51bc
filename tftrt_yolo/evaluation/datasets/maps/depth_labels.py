"""Labels of depth: how far each pixel is, in a file beside each image.

    example_of = reader(document, "nyu-depth.yaml")
    example = example_of(Path("images/val/0001.jpg"))             # depth/val/0001.png, or .npy
    example.truth.in_pixels((480, 640)).depth                     # (h, w) float32, metres; 0 where nobody knows

A PNG of 16 bits holds metres times `depth_scale` of the data.yaml; a NPY floats, in metres. It may be coarser or finer
than its image, and must be of its shape.

Source: ultralytics.data.dataset.DepthDataset; load_depth and verify_image_depth in ultralytics.data.utils.
"""

import contextlib
import dataclasses
import functools
import io
import math
import struct
import tokenize
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import PngImagePlugin

from tftrt_yolo.evaluation.datasets import places
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example
from tftrt_yolo.evaluation.datasets.truth import MapTruth
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import image_structure, reading
from tftrt_yolo.ground.files.jpegs import MOST_PIXELS
from tftrt_yolo.ground.text import counted, first_line, quoted, shown

LEAST_DEPTH = 0.001  # metres; ultralytics.utils.metrics.DepthMetrics.min_depth
FEWEST_PIXELS = 10  # with a depth: of fewer a median says nothing
_SCALE, _MOST_DEPTH = 1_000.0, 100.0  # where a data.yaml says nothing
_LARGEST = 1e9  # of either
_ASPECT = 0.02  # by which the logarithms of two aspect ratios may differ
_MOST_BYTES = 1 << 30
_FOLDER, _ENDINGS = "depth", (".png", ".npy")  # in place of the last images of a path
_EXPECTED = "Expected a PNG of 16 bits, grey, or a two-dimensional NPY of floats."
# How Pillow and NumPy say that a file is damaged.
_DAMAGES = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, Warning, struct.error, tokenize.TokenError, zlib.error),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthTruth(MapTruth):
    """How far the pixels of an image are: `read` gives (h, w) float32, metres; 0 where nobody knows.

    Attributes:
      read: Reads it.
      shape_hw: Its height and width, which may be of any scale.
      path: The file.
      most_depth: Metres; from there on nothing counts.
      depth: What `read` gives, once `in_pixels` did; None before.
    """

    read: Callable[[], np.ndarray]
    shape_hw: tuple[int, int]
    path: Path
    most_depth: float
    depth: np.ndarray | None = None
    says_shape: ClassVar[bool] = True

    def in_pixels(self, size_hw: tuple[int, int]) -> "DepthTruth":
        """Reads the depths, so that they are there.

        Args:
          size_hw: Height and width of the image in pixels.

        Returns:
          The truth with them.

        Raises:
          BadLabelError: If they are of an image of another shape, or the file is no longer what it was.
        """
        depth = self.read()
        found = dataclasses.replace(self, depth=depth, shape_hw=depth.shape)
        found.check_size(size_hw)
        return found

    def check_size(self, size_hw: tuple[int, int]) -> None:
        """Refuses an image of another shape, by height and width in pixels: a BadLabelError."""
        of_label, of_image = self.shape_hw[1] / self.shape_hw[0], size_hw[1] / size_hw[0]
        if abs(math.log(of_label / of_image)) > _ASPECT:
            raise BadLabelError(
                f"{shown(self.path)} is of {list(self.shape_hw)}, height and width, and its image of {list(size_hw)}, "
                "another shape. Give the depth of this image."
            )


def reader(document: dict, place: str) -> Callable[[Path], Example]:
    """Prepares to read the depths of a data set.

    Args:
      document: Its data.yaml.
      place: The file, for messages.

    Returns:
      What takes an image's path to an Example, and raises a BadLabelError for depths that are not there or are none.

    Raises:
      DatasetError: If `depth_scale` or `max_depth` is no number that it could be.
    """
    scale = _number(document, "depth_scale", _SCALE, place)
    return functools.partial(_example, scale, _number(document, "max_depth", _MOST_DEPTH, place))


def _example(scale: float, most_depth: float, image: Path) -> Example:
    """An image with its depths, which are read once to see that they are there."""
    paths = [places.label_path(image, _FOLDER, ending) for ending in _ENDINGS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise BadLabelError(
            f"{shown(image)} has no depth: neither {shown(paths[0])} nor a .npy of that name is there. {_EXPECTED}"
        )
    read = functools.partial(_read, path, scale)
    depth = read()
    num_valid = int(np.count_nonzero((depth > LEAST_DEPTH) & (depth < most_depth)))
    if num_valid < FEWEST_PIXELS:
        found = f"{counted(num_valid, 'pixel')} with a depth" if num_valid else "no pixel with a depth"
        raise BadLabelError(
            f"{shown(path)} has {found} between {LEAST_DEPTH:g} and {most_depth:g} metres. Expected {FEWEST_PIXELS} or "
            "more; depth_scale and max_depth in the data.yaml say what its numbers are."
        )
    truth = DepthTruth(read=read, shape_hw=depth.shape, num_objects=num_valid, path=path, most_depth=most_depth)
    return Example(image, truth)


def _number(document: dict, key: str, otherwise: float, place: str) -> float:
    """A number above 0 of a data.yaml."""
    value = document.get(key)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _LARGEST:
        raise DatasetError(
            f"{place} has {key}: {quoted(value)}. Expected a number above 0, such as {otherwise:g}, which is taken "
            "without it."
        )
    return float(value)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns what reading a label raises into a BadLabelError."""
    try:
        yield
    except reading.UnreadableError as error:
        raise BadLabelError(f"{shown(path)} {error}. {_EXPECTED}") from error
    except _DAMAGES as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise BadLabelError(f"{shown(path)} cannot be read: {reason}. {_EXPECTED}") from error


def _read(path: Path, scale: float) -> np.ndarray:
    """The depths of a file, (h, w) float32, metres; 0 where there is no number above 0."""
    with _named(path):
        data = reading.read_bytes(path, _MOST_BYTES)
        if path.suffix == ".png":
            image_structure.check(data, "PNG")
        file = io.BytesIO(data)
        if isinstance(header := _header(path, file), PngImagePlugin.PngImageFile):
            with header as image:
                depth = np.asarray(image).astype(np.float32) / np.float32(scale)
        else:
            shape, is_turned, dtype = header
            values = np.frombuffer(file.read(), dtype)
            with np.errstate(over="ignore", invalid="ignore"):
                depth = values.reshape(shape, order="F" if is_turned else "C").astype(np.float32)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))


def _header(path: Path, file) -> PngImagePlugin.PngImageFile | tuple[tuple[int, int], bool, np.dtype]:
    """A picture that is not decoded yet, or shape, order and type of a NPY whose numbers come next in the file."""
    if path.suffix == ".png":
        image = PngImagePlugin.PngImageFile(file)
        if image.mode not in ("I", "I;16"):
            raise reading.UnreadableError(f"is a PNG of mode {quoted(image.mode)}, which holds no depths")
        _check_shape((image.height, image.width))
        return image
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise reading.UnreadableError(f"is a NPY of version {version[0]}.{version[1]}, which holds no plain floats")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_turned, dtype = read(file)
    if len(shape) != 2 or dtype.kind != "f":
        raise reading.UnreadableError(f"is a NPY of shape {shape} and type {dtype}, which holds no depths")
    _check_shape(shape)
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    if size != shape[0] * shape[1] * dtype.itemsize:
        raise reading.UnreadableError(f"has {size:,} bytes of numbers for {shape[0]:,} x {shape[1]:,} of {dtype}")
    return shape, is_turned, dtype


def _check_shape(shape: tuple[int, int]) -> None:
    """Refuses a map without a pixel, and one of more than an image may have."""
    if not 0 < shape[0] * shape[1] <= MOST_PIXELS:
        raise reading.UnreadableError(f"is of {shape[0]:,} x {shape[1]:,} pixels; 1 to {MOST_PIXELS:,} are read")
