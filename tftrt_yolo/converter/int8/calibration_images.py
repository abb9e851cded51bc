"""The images that INT8 is calibrated with: found by the caller, framed in the worker's process.

images = find_images("coco8.yaml")
for frames in Images(images, metadata).frames():
    ...                                             # (n, S, S, 3) float32 in [0, 1]
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.converter.int8.histogram import METHODS
from tftrt_yolo.converter.int8.in_float.float_layers import FloatLayers
from tftrt_yolo.evaluation.datasets import dataset
from tftrt_yolo.ground.errors import ConversionError, ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import counted

DEFAULT_METHOD = "max"  # "mse" is as good, "percentile" is not (benchmarks/findings.md)
CALIBRATED, NEAREST = ROUNDINGS = ("calibrated", "nearest")
DEFAULT_ROUNDING = CALIBRATED  # it moves scores less (benchmarks/findings.md)
TENSORRT = "tensorrt"  # TF-TRT's own calibrator, which needs no ranges of ours
TRAINED = "trained"  # the ranges that the network was trained with
ALL_METHODS = (*METHODS, TRAINED, TENSORRT)
FEW_IMAGES = 50  # fewer are warned about
MOST_IMAGES = 500  # of more, so many are taken, evenly spread
_BATCH_SIZE = 4


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What to calibrate with.

    Attributes:
      images: Paths of images; may be empty with "trained".
      method: How an activation's range is chosen: "max", "percentile" or "mse"; "trained" takes it from the checkpoint,
        "tensorrt" leaves it to TF-TRT.
      rounding: How filters are rounded: "calibrated" as suits what the images show, or "nearest".
      cache_dir: Where to look for what was measured before, and to keep it; None for nowhere.
      float_layers: Which convolutions stay in float; None for none of them.
    """

    images: tuple[str, ...]
    method: str
    cache_dir: str | None = None
    float_layers: FloatLayers | None = None
    rounding: str = DEFAULT_ROUNDING


def find_images(data: str | Path) -> tuple[str, ...]:
    """Lists the images to calibrate with.

    Args:
      data: An image, a folder (one that holds folders alone is looked through), a glob, or a data.yaml, of which split
        `train` is taken, or `val` where there is none.

    Returns:
      Absolute paths; at most 500, evenly spread over more.

    Raises:
      ImageError: If there is none.
      DatasetError: If the data.yaml is damaged or names what is not there.
    """
    path = Path(data)
    if path.suffix.lower() in (".yaml", ".yml"):
        found = [image for image in dataset.find_images(path, ("train", "val")) if image.is_file()]
        if not found:
            raise ImageError(f"{data} names no image that is there. Expected a split 'train' or 'val' with images.")
    elif path.is_dir() and not any(file.suffix.lower() in image_files.SUFFIXES for file in path.iterdir()):
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in image_files.SUFFIXES)
        found = found or image_files.find_images(path)  # which says what is missing
        image_files.warn_of_left_out(path, is_deep=True)
    else:
        found = image_files.find_images(data)
    return tuple(str(image.resolve()) for image in image_files.spread(found, MOST_IMAGES))


def count_shared(images: Iterable[str | Path], calibrated: Iterable[str | Path]) -> int:
    """Counts images that are calibration images too: the same file, or another with the same bytes.

    Args:
      images: Paths of images to measure on, which can be read.
      calibrated: Paths of the calibration images.

    Returns:
      How many of the first; a picture that was saved anew is another.
    """
    paths = {Path(path).resolve() for path in calibrated}
    sizes = {path.stat().st_size for path in paths}
    digests = functools.cache(lambda path: hashlib.sha256(path.read_bytes()).digest())
    known = functools.cache(lambda: {digests(path) for path in paths})
    shared = 0
    for path in (Path(image).resolve() for image in images):
        shared += path in paths or (path.stat().st_size in sizes and digests(path) in known())
    return shared


class Images:
    """The calibration images as frames, and what is to be said about them.

    Attributes:
      paths: All of them.
      readable: Paths of those that could be read.
      unreadable: Why the others could not.
    """

    def __init__(self, paths: tuple[str, ...], metadata: contract.Metadata):
        """Reads nothing yet.

        Args:
          paths: Paths of images.
          metadata: Of the SavedModel: its task, and the height and width of its frames.
        """
        self.paths, self._metadata = paths, metadata
        self._start()

    def _start(self) -> None:
        self._plain, self._seen, self.readable, self.unreadable = 0, set(), [], []

    @functools.cached_property
    def _framer(self):
        """Made when the first image is framed: what the cache knows needs none."""
        from tftrt_yolo.saved_model.network import Framer

        return Framer(self._metadata)

    @property
    def num_done(self) -> int:
        """How many were read, or could not be."""
        return len(self.readable) + len(self.unreadable)

    def are_readable(self) -> np.ndarray:
        """Which could be read, (N,) bool."""
        readable = set(self.readable)
        return np.array([path in readable for path in self.paths])

    def recall(self, are_readable: np.ndarray) -> bool:
        """Takes over what an earlier pass over the same images found.

        Args:
          are_readable: (N,) bool, its `are_readable()`.

        Returns:
          Whether it still holds: those that could not be read are tried again, which also says why.
        """
        if len(are_readable) != len(self.paths):
            return False
        self._start()
        failed = [path for path, is_readable in zip(self.paths, are_readable, strict=True) if not is_readable]
        found = [image for _, image in image_files.read_ahead(failed, raises=False)]
        self.unreadable = [str(image) for image in found if isinstance(image, ImageError)]
        self.readable = [path for path, is_readable in zip(self.paths, are_readable, strict=True) if is_readable]
        return len(self.unreadable) == len(failed)

    def frames(self) -> Iterator[np.ndarray]:
        """Batches of frames (n, S, S, 3) float32 in [0, 1], framed as in prediction."""
        from tftrt_yolo.saved_model.network import in_unit_range  # which needs TensorFlow

        self._start()
        batch = []
        for path, image in image_files.read_ahead(self.paths, raises=False):
            if isinstance(image, ImageError):
                self.unreadable.append(str(image))
                continue
            frame, _ = self._framer(image)
            self.readable.append(path)
            self._plain += int(image.min() == image.max())
            self._seen.add(hash(frame.tobytes()))
            batch.append(frame)
            if len(batch) == _BATCH_SIZE:
                yield in_unit_range(np.stack(batch))
                batch = []
        if batch:
            yield in_unit_range(np.stack(batch))

    def full_batches(self) -> Iterator[np.ndarray]:
        """As `frames`, all batches of one size: the last is filled up with frames of the first."""
        first = None
        for frames in self.frames():
            first = frames if first is None else first
            missing = len(first) - len(frames)
            yield np.concatenate([frames, first[:missing]]) if missing else frames

    def check(self, reading: str) -> None:
        """Refuses images that say nothing about ranges; to be called after a pass over them.

        Args:
          reading: What reads them, for the message.

        Raises:
          ImageError: If none could be read.
          ConversionError: If they are of one colour, or all alike.
        """
        count = len(self.readable)
        if not count:
            listed = "".join(f"\n  {reason}" for reason in self.unreadable[:5])
            raise ImageError(f"None of {counted(len(self.paths), 'calibration image')} can be read:{listed}")
        if self._plain == count:
            fault = f"each of the {counted(count, 'calibration image')} is of one colour"
        elif count > 1 and len(self._seen) == 1:
            fault = f"the {counted(count, 'calibration image')} are all alike"
        else:
            return
        raise ConversionError(
            f"The range of the input of {reading}, and of all behind it, cannot be known: {fault}. Give "
            "images like those that the model is to see, 100 or more."
        )
