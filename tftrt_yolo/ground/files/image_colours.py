"""From Pillow's modes to RGB of 8 bits, with the very values of OpenCV, whose reader Ultralytics trains with.

    image_colours.CHECKS["TIFF"](data)      # UnreadableError: "has values of 32-bit floating point, ..."
    image_colours.prepare(image)            # before its pixels are read
    image = image_colours.to_rgb(image)     # mode RGB

Where the two differ: OpenCV converts inks and 5-bit values by formulas of its own, and libtiff, by which it reads most
TIFF files, has some for YCbCr, CIELab and transparent pixels. Alpha is dropped.
"""

import numpy as np
import PIL.Image

from tftrt_yolo.ground.files import image_structure
from tftrt_yolo.ground.files.reading import UnreadableError

_BLOCK_PIXELS = 1 << 20  # are converted at a time, so that intermediate values take no memory
_SCALE = "Scale them to 0 to 255 and save 8 bits, or pass an array of uint8"
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_POINT, _EXTRA_SAMPLES, _LUMA = 258, 262, 318, 338, 529  # tags of TIFF
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # of TIFF's tag 339
_ASSOCIATED, _UNASSOCIATED = 1, 2  # of TIFF's tag 338
_WHITE_IS_ZERO = 0  # of TIFF's tag 262
_BMP_BITS = "tftrt_yolo_bmp_bits"  # of an image's info: 15 or 16 for two bytes a pixel


def check_tiff(data: bytes) -> None:
    """Refuses a TIFF whose values have no right meaning as 8 bits, or that Pillow reads wrongly.

    Args:
      data: The whole file.

    Raises:
      UnreadableError: With what it holds and what to do: the rest of a sentence that begins with the file's name.
    """
    facts = image_structure.tiff_facts(data)
    bits, kind = facts.bits, facts.sample_format
    if facts.is_log:
        raise UnreadableError(f"is a TIFF in LogLuv, whose values have no known range. {_SCALE}.")
    if data.startswith(b"MM\0\x2b"):
        raise UnreadableError("is a BigTIFF in Motorola's order of bytes, which Pillow does not read. Save it as TIFF.")
    if facts.is_sensor:
        raise UnreadableError(
            "is a camera's raw file (DNG): a value for each sensor, and no pixels. Develop it to JPEG, PNG or TIFF "
            "first."
        )
    if kind not in (_UNSIGNED, _SIGNED, 4):
        what = "floating point" if kind == _FLOAT else "complex numbers"
        raise UnreadableError(f"has values of {bits}-bit {what}, whose range nobody knows. {_SCALE}.")
    if bits > 16 or (kind == _SIGNED and bits > 8):
        sign = "signed" if kind == _SIGNED else "unsigned"
        raise UnreadableError(f"has {sign} values of {bits} bits, whose range nobody knows. {_SCALE}.")
    if facts.num_channels > 4:
        raise UnreadableError(
            f"has {facts.num_channels} channels; 1 to 4 are read, of which the first three are red, green and blue. "
            "Save three of them."
        )
    if facts.is_preview:
        raise UnreadableError(
            "is a camera's raw file (DNG) and holds only a preview where its picture would be. Develop it to JPEG, PNG "
            "or TIFF first."
        )
    if facts.is_planar and bits > 8 and facts.num_channels > 1 and not facts.is_compressed:
        raise UnreadableError(
            f"has a plane of {bits}-bit values for each channel. Save them pixel by pixel, or as 8 bits."
        )


def check_jpeg(data: bytes) -> image_structure.JpegFacts | None:
    """Refuses a JPEG of a kind that no reader here decodes, though it is whole.

    Args:
      data: The whole file.

    Returns:
      What it says of itself, for whoever decodes it; None if it has no frame.

    Raises:
      UnreadableError: As `check_tiff`.
    """
    facts = image_structure.jpeg_facts(data)
    if facts is None:
        return None
    if facts.bits != 8:
        raise UnreadableError(f"is a JPEG with {facts.bits} bits a sample; 8 are read. Save it with 8 bits, or as PNG.")
    if facts.kind in image_structure.HIERARCHICAL:
        raise UnreadableError("is a hierarchical JPEG; baseline and progressive ones are read. Save it anew.")
    if facts.height == 0:
        raise UnreadableError("is a JPEG that tells its height only behind its pixels (DNL). Save it anew.")
    return facts


def check_jpeg_2000(data: bytes) -> None:
    """Refuses a JPEG 2000 of which Pillow takes white for black: it rounds to 8 bits, and the highest values wrap.

    Args:
      data: The whole file.

    Raises:
      UnreadableError: As `check_tiff`.

    Source: j2k_unpack's shift and offset in Pillow's Jpeg2KDecode.c.
    """
    num_channels, bits = image_structure.jpeg_2000_facts(data)
    if num_channels > 1 and bits > 8:
        raise UnreadableError(
            f"is a JPEG 2000 with {num_channels} channels of {bits} bits, of which Pillow reads white as black. Save "
            "it with 8 bits, or as PNG or TIFF."
        )


def prepare(image: PIL.Image.Image) -> None:
    """Prepares an image that was opened and not read yet, so that `to_rgb` can tell what is stored.

    Args:
      image: A TIFF's pixels will be read as they are stored where Pillow would divide them by their alpha, and are not
        turned by its XMP; a PPM of 16 bits will be cut to the upper 8; of a BMP, the bits of a pixel are noted.
    """
    if image.format == "TIFF":
        image.info.pop("xmp", None)  # Pillow takes an orientation from it where there is no tag; OpenCV does not
    if image.format == "PPM" and image.mode == "RGB" and image.tile[0][0] == "ppm" and image.tile[0][3][1] == 65_535:
        image.tile = [_of_codec(tile, "raw", ("RGB;16B", 0, 1)) for tile in image.tile]
    if image.format == "TIFF" and image.mode == "RGBA":
        image.tile = [_without_division(tile) for tile in image.tile]
    if image.format == "BMP" and image.tile:
        arguments = image.tile[0][3]
        raw_mode = arguments if isinstance(arguments, str) else arguments[0]
        image.info[_BMP_BITS] = {"BGR;15": 15, "BGR;16": 16}.get(raw_mode, 8)


def _without_division(tile: tuple) -> tuple:
    """What is to be decoded, with the raw mode that leaves the values alone."""
    arguments = tile[3]
    if isinstance(arguments, str):
        arguments = arguments.replace("RGBa", "RGBA")
    else:
        arguments = (arguments[0].replace("RGBa", "RGBA"), *arguments[1:])
    return _of_codec(tile, tile[0], arguments)


def _of_codec(tile: tuple, codec: str, arguments: object) -> tuple:
    """What is to be decoded, with another of Pillow's decoders; earlier versions have plain tuples."""
    changed = (codec, *tile[1:3], arguments)
    return type(tile)(*changed) if hasattr(tile, "_replace") else changed


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Converts an image to mode RGB.

    Args:
      image: With its pixels read. What its format is decides on the formula; an image that was made in memory, and has
        none, is converted by Pillow's own.

    Returns:
      The image itself if it is RGB already.

    Raises:
      UnreadableError: If its values have no known range: modes I and F.
    """
    mode, name = image.mode, image.format
    if name == "BMP" and mode == "RGB" and image.info.get(_BMP_BITS, 8) != 8:
        return _few_bits(image, image.info[_BMP_BITS])
    if mode == "RGB":
        return image
    if name == "TIFF" and mode in _OF_LIBTIFF:
        return _OF_LIBTIFF[mode](image)
    if mode == "CMYK" and name in ("JPEG", "MPO"):
        return _by_blocks(image, _jpeg_inks)
    if mode.startswith("I;16") or (mode == "I" and name in ("PNG", "PPM")):
        return _high_bits(image)
    if mode in ("I", "F"):
        kind = "32-bit whole numbers" if mode == "I" else "floating-point numbers"
        raise UnreadableError(f"has Pillow's mode {mode}, {kind}, whose range nobody knows. {_SCALE}.")
    image.info.pop("transparency", None)  # alpha is dropped, and Pillow would warn of palettes with it
    opaque = {"RGBa": "RGBA", "La": "LA"}.get(mode)
    return (image.convert(opaque) if opaque else image).convert("RGB")


def _by_blocks(image: PIL.Image.Image, convert) -> PIL.Image.Image:
    """Applies a function (rows, width, channels) uint8 to (rows, width, 3) uint8, a few rows at a time."""
    pixels = np.asarray(image)
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    rows = max(1, _BLOCK_PIXELS // pixels.shape[1])
    for first in range(0, len(pixels), rows):
        rgb[first : first + rows] = convert(pixels[first : first + rows])
    return PIL.Image.fromarray(rgb)


def _few_bits(image: PIL.Image.Image, bits: int) -> PIL.Image.Image:
    """Pixels of 5 bits a channel (6 for green, if bits is 16), whose lower bits OpenCV leaves at zero.

    Source: icvCvt_BGR5552BGR_8u_C2C3R and icvCvt_BGR5652BGR_8u_C2C3R of OpenCV's imgcodecs/src/utils.cpp.
    """
    return _by_blocks(image, lambda pixels: pixels & np.array([248, 248 if bits == 15 else 252, 248], np.uint8))


def _high_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The upper 8 of a grey image's 9 to 16 bits, as OpenCV and Ultralytics take them."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    values = np.asarray(image)
    grey = np.clip(values >> (bits - 8), 0, 255).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return PIL.Image.fromarray(grey).convert("RGB")


def _jpeg_inks(inks: np.ndarray) -> np.ndarray:
    """Source: icvCvt_CMYK2BGR_8u_C4C3R of OpenCV's imgcodecs/src/utils.cpp; Pillow has inverted what is in the file."""
    light = 255 - inks[..., 3:].astype(np.int32)
    return light - (inks[..., :3] * light >> 8)


def _tiff_inks(image: PIL.Image.Image) -> PIL.Image.Image:
    """Source: putRGBcontig8bitCMYKtile of libtiff's tif_getimage.c."""
    return _by_blocks(
        image, lambda inks: (255 - inks[..., 3:].astype(np.int32)) * (255 - inks[..., :3].astype(np.int32)) // 255
    )


def _tiff_alpha(image: PIL.Image.Image) -> PIL.Image.Image:
    """Lays transparent pixels on black, as libtiff does. Pixels of 16 bits do not come that way.

    Source: BuildMapUaToAa of libtiff's tif_getimage.c.
    """
    bits, extra = image.tag_v2.get(_BITS_PER_SAMPLE, (8,))[0], image.tag_v2.get(_EXTRA_SAMPLES, (0,))
    if bits == 8 and extra[0] == _UNASSOCIATED:
        return _by_blocks(image, lambda pixels: (pixels[..., :3].astype(np.int32) * pixels[..., 3:] + 127) // 255)
    return _by_blocks(image, lambda pixels: pixels[..., :3])


def _tiff_ycbcr(image: PIL.Image.Image) -> PIL.Image.Image:
    """Source: TIFFYCbCrToRGBInit and TIFFYCbCrtoRGB of libtiff's tif_color.c; whole numbers of 16 fractional bits."""
    red, green, blue = (float(value) for value in image.tag_v2.get(_LUMA, (0.299, 0.587, 0.114)))
    of_red, of_blue = 2 - 2 * red, 2 - 2 * blue
    weights = [int(value * 65_536 + 0.5) for value in (of_red, red * of_red / green, of_blue, blue * of_blue / green)]

    def convert(pixels: np.ndarray) -> np.ndarray:
        luma, difference_blue, difference_red = np.moveaxis(pixels.astype(np.int32) - [0, 128, 128], -1, 0)
        rgb = [
            luma + (weights[0] * difference_red + 32_768 >> 16),
            luma + (-weights[3] * difference_blue + 32_768 - weights[1] * difference_red >> 16),
            luma + (weights[2] * difference_blue + 32_768 >> 16),
        ]
        return np.clip(np.stack(rgb, -1), 0, 255)

    return _by_blocks(image, convert)


def _tiff_lab(image: PIL.Image.Image) -> PIL.Image.Image:
    """CIELab on libtiff's display, which is sRGB without an adaptation of the white point.

    Source: TIFFCIELab16ToXYZ, TIFFXYZToRGB and TIFFCIELabToRGBInit of libtiff's tif_color.c.
    """
    x, y = image.tag_v2.get(_WHITE_POINT, (96.425 / 278.893, 100 / 278.893))
    white = np.float32([float(x) / float(y) * 100, 100, (1 - float(x) - float(y)) / float(y) * 100])
    display = np.float32([[3.2410, -1.5374, -0.4986], [-0.9692, 1.8760, 0.0416], [0.0556, -0.2040, 1.0570]])
    steps = 1_500
    values = (255 * ((np.arange(steps + 1) / steps) ** (1 / 2.4)).astype(np.float32) + 0.5).astype(np.uint8)

    def convert(pixels: np.ndarray) -> np.ndarray:
        lightness = pixels[..., 0].astype(np.float32) * 257 * np.float32(100) / np.float32(65_535)
        green_red, blue_yellow = (pixels[..., axis].astype(np.int8).astype(np.float32) for axis in (1, 2))
        is_dark = lightness < np.float32(8.856)
        middle = (lightness + 16) / np.float32(116)
        luminance = np.where(is_dark, lightness * 100 / np.float32(903.292), 100 * middle**3)
        middle = np.where(is_dark, np.float32(7.787) * (luminance / 100) + np.float32(16 / 116), middle)
        xyz = [_of_cube_root(green_red / 500 + middle, white[0]), luminance]
        xyz.append(_of_cube_root(middle - blue_yellow / 200, white[2]))
        light = np.clip(np.stack(xyz, -1) @ display.T, 1, 100)
        return values[np.minimum(((light - 1) / np.float32(99 / steps)).astype(np.int32), steps)]

    return _by_blocks(image, convert)


def _of_cube_root(root: np.ndarray, white: np.float32) -> np.ndarray:
    """CIE's X or Z."""
    dark = white * (root - np.float32(0.13793)) / np.float32(7.787)
    return np.where(root < np.float32(0.2069), dark, white * root**3)


CHECKS = {"JPEG": check_jpeg, "JPEG2000": check_jpeg_2000, "TIFF": check_tiff}
_OF_LIBTIFF = {"CMYK": _tiff_inks, "YCbCr": _tiff_ycbcr, "LAB": _tiff_lab, "RGBA": _tiff_alpha}
