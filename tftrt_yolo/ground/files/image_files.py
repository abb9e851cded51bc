"""Images from wherever they come: paths, bytes, arrays, folders and globs, all as RGB uint8 arrays.

files = find_images("photos/*.jpg")
image = read_image(files[0])            # (height, width, 3) uint8, RGB, upright
"""

import collections
import contextlib
import functools
import glob
import io
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
from absl import logging

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_arrays, image_colours, image_formats, image_structure, jpegs, reading
from tftrt_yolo.ground.files.image_arrays import ArrayOptions
from tftrt_yolo.ground.files.image_formats import SUFFIXES
from tftrt_yolo.ground.files.jpegs import MOST_PIXELS, Decoded, Scratch
from tftrt_yolo.ground.streams import UntilFailure
from tftrt_yolo.ground.text import clause, first_line, quoted, shown

# How Pillow and its readers of these formats say that a file is damaged: nearly everything that there is.
_DAMAGES = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError, Warning, struct.error, zlib.error),
)
_MOST_BYTES = 512 << 20  # of a file
_FORMAT_BYTES = 512  # of which a file's format is told
_HEADER_BYTES = 128 << 10  # in which a file says its size, whatever else stands before that
_ORIENTATION = 0x0112  # EXIF's tag
# Source: PIL.ImageOps.exif_transpose, which writes the EXIF anew as well and fails where it is damaged.
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)
_EXPECTED_SOURCE = "Expected an image, a folder of images or a glob such as 'photos/*.jpg'."
_MOST_AHEAD_BYTES = 1 << 30  # of images that are decoded and wait for the consumer


def spread(images: Sequence, most: int) -> list:
    """Takes some of many images, evenly spread over them.

    Args:
      images: Anything in order.
      most: So many are taken at most, the first and the last among them if it is more than one.

    Returns:
      Those that are taken, in order; all if they are no more than `most`.
    """
    indices = np.linspace(0, len(images) - 1, min(len(images), most)).round().astype(int)
    return [images[index] for index in np.unique(indices)]


def find_images(source: str | Path, *, warns: bool = True) -> list[Path]:
    """Lists the images that a file, a folder or a glob means.

    Args:
      source: A file of any name, a folder (its files with one of `SUFFIXES`, not those of its subfolders), or a glob
        pattern.
      warns: Whether the log says what of a folder is left out, and why; `image_formats.left_out` says it to whoever
        reports it in another way.

    Returns:
      Paths, sorted.

    Raises:
      ImageError: If there is none.
    """
    try:
        found = _found(Path(source), str(source))
        if warns:
            warn_of_left_out(source)
        return found
    except (OSError, ValueError, re.error) as error:  # no right to look, or what no path can hold
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ImageError(f"{shown(source)} cannot be read: {reason}. {_EXPECTED_SOURCE}") from error


def warn_of_left_out(folder: str | Path, *, is_deep: bool = False) -> None:
    """Says in the log which files of a folder look like pictures and are not taken; see `image_formats.left_out`."""
    for line in image_formats.left_out(folder, is_deep=is_deep):
        logging.warning("left out of %s: %s", shown(folder), line)


def _found(path: Path, source: str) -> list[Path]:
    """As `find_images`."""
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.is_dir())
        if not found:
            others = "; ".join(image_formats.left_out(path))
            raise ImageError(
                f"The folder {shown(source)} holds no image. Expected files that end in {', '.join(sorted(SUFFIXES))}."
                + (f" Left out: {others}." if others else "")
            )
        return found
    return matching(source, _EXPECTED_SOURCE)


def matching(source: str, expected: str) -> list[Path]:
    """Lists the files that a pattern means, where it names neither a file nor a folder itself.

    Args:
      source: A glob pattern.
      expected: What could have been given, for the message.

    Returns:
      Paths, sorted.

    Raises:
      ImageError: If there is none, or it names a device, a pipe or a socket.
    """
    if Path(source).exists():
        raise ImageError(f"{shown(source)} is a device, a pipe or a socket and no file. {expected}")
    found = sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())
    if not found:
        kind = "No file matches the pattern" if glob.has_magic(source) else "There is no file or folder"
        raise ImageError(f"{kind} {shown(source)}. {expected}")
    return found


def read_ahead(
    images: Iterable, *, raises: bool = True, arrays: ArrayOptions = image_arrays.PLAIN
) -> Iterator[tuple[object, np.ndarray | ImageError]]:
    """Reads images in order, files by several threads and some of them ahead of the consumer.

    Args:
      images: What `read_image` takes, one by one.
      raises: Whether an image that cannot be read raises; otherwise its error is yielded in its place.
      arrays: How arrays among them are read.

    Yields:
      What was given, and its array or error.

    Raises:
      ImageError: If raises, and an image cannot be read. It and what the iterable itself raises come after the images
        before it.
    """
    threads = min(8, os.cpu_count() or 1)
    pool, pending = ThreadPoolExecutor(threads, thread_name_prefix="read"), collections.deque()
    most_ahead = 2 * threads  # less where images are so large that these would fill the memory

    def finish():
        nonlocal most_ahead
        image, read = pending.popleft()
        try:
            array = read()
            most_ahead = min(2 * threads, max(1, _MOST_AHEAD_BYTES // array.nbytes))
            return image, array
        except ImageError as error:
            if raises:
                raise
            return image, error

    until = UntilFailure(images)
    try:
        for image in until:
            # An array needs no decoding, and a thread's round trip would cost more than looking at it.
            is_array = hasattr(image, "__array__")
            read = functools.partial(read_image, image, arrays) if is_array else pool.submit(read_image, image).result
            pending.append((image, read))
            while len(pending) > (0 if is_array else most_ahead):
                yield finish()
        while pending:
            yield finish()
        until.raise_failure()
    finally:
        pool.shutdown(cancel_futures=True)


def read_image(
    image,
    arrays: ArrayOptions = image_arrays.PLAIN,
    *,
    name: str | None = None,
    memory: Scratch | None = None,
    decoded: Decoded | None = None,
) -> np.ndarray:
    """Reads one image.

    Args:
      image: A path; bytes of an image file; a Pillow image; or an array or tensor, as `image_arrays.to_rgb` takes it.
        Grey, palette, CMYK and RGBA images and grey and RGBA arrays are converted, with a warning in the log.
      arrays: How an array is read.
      name: What messages call a file whose bytes are given; None for how many they are.
      memory: Where a thread's pictures may lie, each in the place of the last one: copy what is to be kept. None for
        new memory each.
      decoded: Counts the files by what decoded them.

    Returns:
      (height, width, 3) uint8, RGB; an EXIF orientation is applied, as OpenCV and Ultralytics do.

    Raises:
      ImageError: If it cannot be read, is empty, or has a dtype or shape that is not an image's.
    """
    if isinstance(image, (str, Path)):
        with _refusals_of_path(image):
            data = reading.read_bytes(image, _MOST_BYTES)
        return _decode(data, shown(image), memory, decoded)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image), name or f"image of {memoryview(image).nbytes:,} bytes", memory, decoded)
    if isinstance(image, PIL.Image.Image):
        with damages_named("image"):
            image.load()  # a PNG's EXIF may lie behind its pixels
            return _to_rgb(image, "image")
    return image_arrays.to_rgb(image, arrays)


def upright_size(data: bytes) -> tuple[int, int] | None:
    """The size of an image file from its header; no pixel of it is decoded.

    Args:
      data: The file's bytes.

    Returns:
      Width and height in pixels, turned as EXIF says; None if the header cannot be read.
    """
    try:
        file_format = image_formats.of(data)
        facts = image_structure.jpeg_facts(data) if file_format == "JPEG" else None
        orientation = jpegs.orientation_of(facts) if facts else None
        if orientation is not None:
            width, height = facts.width, facts.height
        else:
            with PIL.Image.OPEN[file_format][0](io.BytesIO(data), "") as image:  # as `_decode`
                (width, height), orientation = image.size, _orientation(image, "a picture")
    except (*_DAMAGES, reading.UnreadableError):
        return None
    return (height, width) if orientation in _ON_ITS_SIDE else (width, height)


def beginning(path: str | Path, *, with_size: bool) -> bytes:
    """The first bytes of an image file; no pixel of it is decoded.

    Args:
      path: The file.
      with_size: Whether to read as far as where its size stands.

    Returns:
      So many bytes, or the whole file.

    Raises:
      ImageError: If it cannot be read, is empty, or is no image of a format that is read, as `read_image` says it.
    """
    with _refusals_of_path(path), reading.opened(path, _MOST_BYTES) as file:
        data = file.read(_HEADER_BYTES if with_size else _FORMAT_BYTES)
    _format_of(data, shown(path))
    return data


def sizes_in(data: bytes) -> tuple[tuple[int, int], ...]:
    """The sizes that an image file can be of, from its first bytes.

    Args:
      data: What `beginning` gives.

    Returns:
      Heights and widths in pixels: one of a JPEG, turned as EXIF says; two of other formats, as stored and turned, for
      they may say behind their pixels that they lie on their side; none where the first bytes do not tell.
    """
    try:
        file_format = image_formats.of(data)
        facts = image_structure.jpeg_facts(data) if file_format == "JPEG" else None
        orientation = jpegs.orientation_of(facts) if facts else None
        if orientation is not None:
            return ((facts.height, facts.width)[:: -1 if orientation in _ON_ITS_SIDE else 1],)
        with PIL.Image.OPEN[file_format][0](io.BytesIO(data), "") as image:  # as `_decode`
            width, height = image.size
    except (*_DAMAGES, reading.UnreadableError):
        return ()
    return ((height, width), (width, height))


def _decode(data: bytes, name: str, memory: Scratch | None, decoded: Decoded | None) -> np.ndarray:
    """Decodes an image file; `name` is for messages, and the others are as of `read_image`."""
    file_format = _format_of(data, name)
    with damages_named(name):
        try:
            image_structure.check(data, file_format)
        except ValueError as error:
            raise ImageError(f"{name} is too large to be safe: it {error}. Save it anew first.") from error
        facts = None
        if file_format in image_colours.CHECKS:
            with _refusals_named(name):
                facts = image_colours.CHECKS[file_format](data)
        array = jpegs.decode(data, facts, name, memory=memory, decoded=decoded) if facts else None
        if array is not None:
            return array
        if decoded is not None:
            decoded.count(pillow=1)
        # Not PIL.Image.open: where ultralytics was imported, that installs a package on meeting a damaged file.
        with PIL.Image.OPEN[file_format][0](io.BytesIO(data), "") as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise ImageError(
                    f"{name} is too large to be safe: it has {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} "
                    "are decoded. Scale it down first."
                )
            image_arrays.check_sides(image.size[::-1], name)
            image_colours.prepare(image)
            image.load()
            return _to_rgb(image, name)


def _format_of(data: bytes, name: str) -> str:
    """The format of an image file, by its first bytes."""
    if not data:
        raise ImageError(f"{name} is empty. Expected an image file, such as JPEG or PNG.")
    with _refusals_named(name):
        return image_formats.of(data)


@contextlib.contextmanager
def _refusals_of_path(path: str | Path) -> Iterator[None]:
    """Turns what reading a file raises into an ImageError."""
    try:
        yield
    except OSError as error:
        hint = " A URL is a source by itself: give it alone, or in a list file." if "://" in str(path) else ""
        raise ImageError(
            f"{shown(path)} cannot be read: {error.strerror}. Expected the path of an image file.{hint}"
        ) from error
    except ValueError as error:  # UnreadableError, and names that no file can have
        raise ImageError(
            f"{shown(path)} cannot be read: it {clause(error)}. Expected the path of an image file."
            if isinstance(error, reading.UnreadableError)
            else f"{quoted(str(path))} is no path ({first_line(error)}). Expected the path of an image file."
        ) from error


@contextlib.contextmanager
def _refusals_named(name: str) -> Iterator[None]:
    """Turns what is said of a file that is known and not read into an ImageError."""
    try:
        yield
    except reading.UnreadableError as error:
        raise ImageError(f"{name} {error}") from error


@contextlib.contextmanager
def damages_named(name: str) -> Iterator[None]:
    """Turns what Pillow raises into an ImageError."""
    try:
        yield
    except PIL.Image.DecompressionBombError as error:  # of a size that Pillow finds on its way, such as a frame's
        raise ImageError(f"{name} is too large to be safe: {first_line(error)} Scale it down first.") from error
    except _DAMAGES as error:
        said = f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
        raise ImageError(f"{name} cannot be decoded ({said}). Expected a whole image file; copy it again.") from error


def _to_rgb(image: PIL.Image.Image, name: str) -> np.ndarray:
    """Applies the EXIF orientation and converts to RGB."""
    image_arrays.check_sides(image.size[::-1], name)
    turn = _TURNS.get(_orientation(image, name))
    if image.mode != "RGB":
        logging.warning("%s has Pillow's mode %s; converted to RGB", name, image.mode)
    with _refusals_named(name):
        image = image_colours.to_rgb(image)
    return np.asarray(image if turn is None else image.transpose(turn))


def _orientation(image: PIL.Image.Image, name: str) -> object:
    """EXIF's, which is 1 where there is none; of EXIF that is damaged, the image's pixels are still good.

    Pillow's `getexif` falls back on XMP and on texts of a PNG, which neither OpenCV nor signature `encoded` reads.
    """
    exif = image.info.get("exif", b"")
    exif = exif if isinstance(exif, bytes) else b""
    try:
        image_structure.check_exif(exif)
        tags = image.getexif()  # the user may have deleted it there
        if _ORIENTATION in tags and not hasattr(image, "tag_v2"):  # a TIFF is its own EXIF
            tags = PIL.Image.Exif()
            tags.load(exif)
        return tags.get(_ORIENTATION, 1)
    except _DAMAGES as error:
        logging.warning("%s has damaged EXIF (%s); it is taken as upright", name, first_line(error))
        return 1
