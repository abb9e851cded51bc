"""What calibration measured, kept in a file, so that the same images need not run through the same model again.

    path = path_of(source, images, cache_dir)
    measured = read(path)                   # None if there is none
    write(path, measured)                   # whole or not at all

The file's name is a hash of all that the measurement depends on: the model's graph and weights, its frame and task, the
images' contents in their order, and the version of this format. What is kept is the channels' maxima and the
histograms. The method that reads a range from a histogram ("max", "percentile", "mse") is applied afterwards: another
method costs nothing, and no file can be stale for it.
"""

import dataclasses
import struct
import tokenize
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tftrt_yolo.converter.int8.histogram import BINS, Histogram
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.saved_model.handle import SavedModelHandle

FORMAT_VERSION = 3  # to be raised when what is measured, or how images are framed, changes
_MOST_BYTES = 256 << 20  # unpacked; yolov8x has 3 MB. A file of a stranger may claim anything
_ARRAYS = {
    "key": ("U", 0),
    "sources": ("U", 1),
    "channels": ("i", 1),
    "maxima": ("f", 1),
    "counts": ("i", 2),
    "widths": ("f", 1),
    "lows": ("f", 1),
    "highs": ("f", 1),
    "readable": ("b", 1),
}  # name to kind of dtype and rank
# How zipfile, zlib and NumPy say that a file is cut short, damaged, no .npz or unreadable. RuntimeError: encrypted;
# AttributeError: an entry that is no array; ArithmeticError: a shape beyond all numbers; TokenError: a
# header without an end.
_DAMAGES = (
    *(
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
    ),
    *(ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class CacheError(Exception):
    """A cache file that cannot be used; the message names it."""


@dataclasses.dataclass(frozen=True)
class Observations:
    """What two passes over the images found.

    Attributes:
      maxima: What each convolution reads, by the tensor's name, to the largest magnitude of each channel, (C,) float32.
      histograms: The same names to the histogram of the magnitudes, after the channels were equalised.
      readable: (N,) bool: which of the images could be read.
    """

    maxima: dict[str, np.ndarray]
    histograms: dict[str, Histogram]
    readable: np.ndarray


def path_of(source: SavedModelHandle, images: tuple[str, ...], cache_dir: str | Path) -> Path:
    """The file that holds what these images measured on this model, whether it is there or not.

    Args:
      source: An export.
      images: Paths of the images, in their order; their contents count, and not their names.
      cache_dir: The folder.

    Returns:
      A path in the folder.
    """
    metadata = source.metadata
    facts = [f"calibration {FORMAT_VERSION}", metadata.task, str(metadata.image_size_hw)]
    key = directories.fingerprint(source.directory, "\n".join([*facts, *map(_content, images)]))
    return Path(cache_dir) / f"calibration_{key}.npz"


def read(path: Path) -> Observations | None:
    """Reads a file back.

    Args:
      path: From `path_of`.

    Returns:
      What it holds; None if there is none.

    Raises:
      CacheError: If it is cut short, damaged, of another key, or cannot be read.
    """
    try:
        if not path.is_file():
            return None
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        size_bytes = sum(entry.file_size for entry in entries)
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise ValueError("it is compressed in another way")
        if size_bytes > _MOST_BYTES:
            raise ValueError(f"it unpacks to {size_bytes:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return _parse({name: arrays[name] for name in _ARRAYS}, path.stem)
    except _DAMAGES as error:
        raise CacheError(f"{path} cannot be used ({type(error).__name__}: {first_line(error)})") from error


def write(path: Path, measured: Observations) -> None:
    """Writes a file, or replaces it; a reader sees the old one or the new one, both whole.

    Args:
      path: From `path_of`; its folder is made.
      measured: What to keep.

    Raises:
      CacheError: If it cannot be written.
    """
    sources = sorted(measured.maxima)
    histograms = [measured.histograms[source] for source in sources]
    arrays = {
        "key": np.array(path.stem),
        "sources": np.array(sources),
        "channels": np.array([len(measured.maxima[source]) for source in sources]),
        "maxima": np.concatenate([measured.maxima[source] for source in sources]),
        "counts": np.stack([histogram.counts for histogram in histograms]),
        "widths": np.array([histogram.width for histogram in histograms]),
        "lows": np.array([histogram.low for histogram in histograms]),
        "highs": np.array([histogram.high for histogram in histograms]),
        "readable": measured.readable,
    }
    partial = path.with_name(f".{uuid.uuid4().hex}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as file:
                np.savez_compressed(file, **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise CacheError(f"{path} cannot be written ({error})") from error


def _content(image: str) -> str:
    """Hash of an image's content; a file that cannot be read counts as such."""
    try:
        return directories.file_sha256(Path(image))
    except OSError:
        return "unreadable"


def _parse(arrays: dict[str, np.ndarray], key: str) -> Observations:
    """Checks what a file holds.

    Raises:
      ValueError: If it is not what `write` wrote under this key.
    """
    for name, (kind, rank) in _ARRAYS.items():
        if arrays[name].dtype.kind != kind or arrays[name].ndim != rank:
            raise ValueError(f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}")
    if str(arrays["key"]) != key:
        raise ValueError("it was written under another name")
    sources, channels, counts = arrays["sources"].tolist(), arrays["channels"], arrays["counts"]
    lengths = {len(arrays[name]) for name in ("sources", "channels", "widths", "lows", "highs")}
    if lengths != {len(set(sources))}:
        raise ValueError("its arrays have different lengths")
    if counts.shape != (len(sources), BINS) or counts.min(initial=0) < 0 or not counts.any(axis=1).all():
        raise ValueError("its histograms are none")
    if channels.min(initial=1) < 1 or channels.sum() != len(arrays["maxima"]):
        raise ValueError("its maxima are not those of its channels")
    for name, sign in (("maxima", 1), ("widths", 1), ("lows", -1), ("highs", 1)):
        if not np.isfinite(arrays[name]).all() or (sign * arrays[name]).min(initial=0) < 0:
            raise ValueError(f"{name} are out of range")
    spans = arrays["highs"] - arrays["lows"]
    if not arrays["widths"].all() or not spans.all() or not arrays["readable"].any():
        raise ValueError("it says nothing about a range")
    parts = np.split(arrays["maxima"].astype(np.float32), np.cumsum(channels)[:-1])
    if not all(part.any() for part in parts):
        raise ValueError("it holds a layer that reads zeros")
    columns = [arrays[name].tolist() for name in ("widths", "lows", "highs")]
    histograms = [Histogram(*row) for row in zip(counts.astype(np.int64), *columns, strict=True)]
    return Observations(
        dict(zip(sources, parts, strict=True)), dict(zip(sources, histograms, strict=True)), arrays["readable"]
    )
