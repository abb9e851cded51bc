"""Images from wherever they come: paths, bytes, arrays, folders and globs, all as RGB uint8 arrays.

files = find_images("photos/*.jpg")
image = read_image(files[0])            # (height, width, 3) uint8, RGB, upright
"""

import collections
import functools
import glob
import io
import os
import struct
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
from absl import logging

from tftrt_yolo.ground.errors import ImageError

# Pillow also reads formats that run other programs (EPS) or that nobody expects; files may come from strangers.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
# How Pillow and its readers of these formats say that a file is damaged.
_DAMAGES = (OSError, SyntaxError, ValueError, IndexError, TypeError, struct.error)
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


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


def find_images(source: str | Path) -> list[Path]:
    """Lists the images that a file, a folder or a glob means.

    Args:
      source: A file of any name, a folder (its image files, not those of its subfolders), or a glob pattern.

    Returns:
      Paths, sorted.

    Raises:
      ImageError: If there is none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise ImageError(
                f"The folder {source} holds no image. Expected files that end in {', '.join(sorted(SUFFIXES))}."
            )
        return found
    found = sorted(Path(name) for name in glob.glob(str(source), recursive=True) if Path(name).is_file())
    if not found:
        kind = "No file matches the pattern" if glob.has_magic(str(source)) else "There is no file or folder"
        raise ImageError(f"{kind} {source}. Expected an image, a folder of images or a glob such as 'photos/*.jpg'.")
    return found


def read_ahead(images: Iterable, *, raises: bool = True) -> Iterator[tuple[object, np.ndarray | ImageError]]:
    """Reads images in order, files by several threads and some of them ahead of the consumer.

    Args:
      images: What `read_image` takes, one by one.
      raises: Whether an image that cannot be read raises; otherwise its error is yielded in its place.

    Yields:
      What was given, and its array or error.

    Raises:
      ImageError: If raises, and an image cannot be read.
    """
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        pending = collections.deque()

        def finish():
            image, read = pending.popleft()
            try:
                return image, read()
            except ImageError as error:
                if raises:
                    raise
                return image, error

        for image in images:
            # An array needs no decoding, and a thread's round trip would cost more than looking at it.
            is_array = isinstance(image, np.ndarray)
            read = functools.partial(read_image, image) if is_array else pool.submit(read_image, image).result
            pending.append((image, read))
            if len(pending) > (0 if is_array else 2 * threads):
                yield finish()
        while pending:
            yield finish()


def read_image(image) -> np.ndarray:
    """Reads one image.

    Args:
      image: A path; bytes of an image file; a Pillow image; or an array, (height, width, 3) uint8 RGB. Grey, palette,
        CMYK and RGBA images and grey and RGBA arrays are converted, with a warning in the log.

    Returns:
      (height, width, 3) uint8, RGB; an EXIF orientation is applied, as OpenCV and Ultralytics do.

    Raises:
      ImageError: If it cannot be read, is empty, or has a dtype or shape that is not an image's.
    """
    if isinstance(image, (str, Path)):
        try:
            data = Path(image).read_bytes()
        except OSError as error:
            raise ImageError(
                f"{image} cannot be read: {error.strerror}. Expected the path of an image file."
            ) from error
        return _decode(data, str(image))
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode(bytes(image), f"image of {len(image):,} bytes")
    if isinstance(image, PIL.Image.Image):
        return _to_rgb(image, "image")
    return _check_array(np.asarray(image))


def _decode(data: bytes, name: str) -> np.ndarray:
    """Decodes an image file; `name` is for messages."""
    if not data:
        raise ImageError(f"{name} is empty. Expected an image file, such as JPEG or PNG.")
    PIL.Image.init()
    formats = [known for known in FORMATS if PIL.Image.OPEN[known][1](data[:16])]
    if not formats:
        raise ImageError(f"{name} is no image: it starts with {data[:12]!r}. Expected one of {', '.join(FORMATS)}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            # Not PIL.Image.open: where ultralytics was imported, that installs a package on meeting a damaged file.
            with PIL.Image.OPEN[formats[0]][0](io.BytesIO(data), "") as image:
                PIL.Image._decompression_bomb_check(image.size)
                image.load()
                return _to_rgb(image, name)
    except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError) as error:
        raise ImageError(f"{name} is too large to be safe: {error} Scale it down first.") from error
    except _DAMAGES as error:
        raise ImageError(f"{name} cannot be decoded: {error}. Expected a whole image file; copy it again.") from error


def _to_rgb(image: PIL.Image.Image, name: str) -> np.ndarray:
    """Applies the EXIF orientation and converts to RGB."""
    image = PIL.ImageOps.exif_transpose(image)
    if image.mode != "RGB":
        logging.warning("%s has Pillow's mode %s; converted to RGB", name, image.mode)
        if image.mode.startswith("I"):  # 16 bits a pixel; Pillow itself would clip them to 255
            image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = image.convert("RGB")
    return np.asarray(image)


def _check_array(array: np.ndarray) -> np.ndarray:
    """Checks an array and brings it to three channels."""
    expected = "Expected uint8 of shape (height, width, 3), RGB, values 0 to 255"
    if array.dtype != np.uint8:
        hint = "multiply by 255 and cast to uint8 first" if array.dtype.kind == "f" else "cast it to uint8 first"
        raise ImageError(f"The image is an array of dtype {array.dtype} and shape {array.shape}. {expected}; {hint}.")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(f"The image is an array of shape {array.shape}. {expected}.")
    if array.shape[-1] != 3:
        kind = "grey" if array.shape[-1] == 1 else "RGBA"
        logging.warning("an array of shape %s is taken as %s; converted to RGB", array.shape, kind)
        array = np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]
    return array
