"""Image files in every form that users have: modes, depths, containers and orientations.

for form in forms():
    form.name, form.suffix, form.data, form.refusal

What is right is what Ultralytics' reader gives, pixel by pixel, unless the form says otherwise.
"""

import dataclasses
import io
import struct

import cv2
import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageOps
import PIL.PngImagePlugin

from tests.conftest import IMAGES
from tests.ground.files import form_files


@dataclasses.dataclass(frozen=True)
class Form:
    """An image file.

    Attributes:
      name: What it is.
      suffix: Its usual ending, by which Ultralytics chooses a reader.
      data: The file.
      refusal: A pattern of the message with which it is refused; None if it is read.
      pixels: What is right, (height, width, 3) uint8 RGB; None if Ultralytics' reader says it.
      tolerance: Largest difference of a sample that is accepted, and why is said where it is not 0.
    """

    name: str
    suffix: str
    data: bytes
    refusal: str | None = None
    pixels: np.ndarray | None = None
    tolerance: int = 0


def forms() -> list[Form]:
    """All forms that this Pillow can write, each of another name."""
    found = [*_jpeg(), *_png(), *_bmp(), *_gif(), *_tiff(), *_webp(), *_others(), *_orientations()]
    assert len({form.name for form in found}) == len(found)
    return found


def picture() -> PIL.Image.Image:
    """A photo of odd sides with strong colours: 61 x 45."""
    photo = PIL.Image.open(IMAGES[0]).convert("RGB").resize((61, 45))
    array = np.asarray(photo).copy()
    x, y = np.meshgrid(np.arange(61), np.arange(45))
    array[:22, :, 0] = (x * 4)[:22]  # ramps of every channel, with edges
    array[10:30, 20:, 1] = (255 - y * 5)[10:30, 20:]
    array[30:, :30] = (250, 5, 9)
    array[35:, 30:] = (3, 240, 255)
    return PIL.Image.fromarray(array)


def saved(image: PIL.Image.Image, file_format: str, **options) -> bytes:
    """A file as Pillow writes it."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


_RGB = picture()
_ARRAY = np.asarray(_RGB)
_GREY = np.asarray(_RGB.convert("L"))
_DEEP = _GREY.astype(np.uint16) * 256 + np.arange(61, dtype=np.uint16) * 4  # all 16 bits are used
_DEEP_RGB = _ARRAY.astype(np.uint16) * 256 + np.arange(61, dtype=np.uint16)[:, None] * 4
_ALPHA = np.broadcast_to(np.arange(61, dtype=np.uint8) * 4, _GREY.shape)
_RGBA = np.dstack([_ARRAY, _ALPHA])
_PALETTE = _RGB.quantize(16)
_COLOURS = np.array(_PALETTE.getpalette()[:48], np.uint8).reshape(16, 3)
_INDICES = np.asarray(_PALETTE)


def _jpeg():
    for sampling, name in ((0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")):
        for is_progressive in (False, True):
            kind = "progressive" if is_progressive else "baseline"
            options = {"quality": 90, "subsampling": sampling, "progressive": is_progressive}
            yield Form(f"jpeg {kind} {name}", ".jpg", saved(_RGB, "JPEG", **options))
    yield Form("jpeg quality 20", ".jpg", saved(_RGB, "JPEG", quality=20))
    yield Form("jpeg grey", ".jpg", saved(_RGB.convert("L"), "JPEG"))
    yield Form("jpeg grey progressive", ".jpg", saved(_RGB.convert("L"), "JPEG", progressive=True))
    yield Form("jpeg restart markers", ".jpg", saved(_RGB, "JPEG", restart_marker_blocks=3))
    yield Form("jpeg with a colour profile", ".jpg", saved(_RGB, "JPEG", icc_profile=_profile()))
    inks = _inks()
    inverted = saved(inks, "JPEG", quality=95)
    yield Form("jpeg cmyk, inverted as Adobe does", ".jpg", inverted)
    yield Form("jpeg cmyk without Adobe's segment", ".jpg", _without(inverted, 0xEE))
    yield Form("jpeg rgb without ycc", ".jpg", _rgb_jpeg())
    yield Form("mpo of two pictures", ".mpo", saved(_RGB, "MPO", save_all=True, append_images=[_RGB.rotate(180)]))
    turned = b"Exif\0\0" + form_files.exif(6)
    frames = [_RGB.rotate(180)]
    yield Form("mpo turned", ".mpo", saved(_RGB, "MPO", save_all=True, append_images=frames, exif=turned))
    yield from _jpeg_of_other_kinds()
    yield Form("jpeg of one pixel", ".jpg", saved(_RGB.resize((1, 1)), "JPEG"))


def _jpeg_of_other_kinds():
    """Whole files of kinds that no decoder here reads: to copy them again would not help."""
    data = saved(_RGB, "JPEG")
    frame = data.index(b"\xff\xc0")
    twelve, hierarchical, later = (bytearray(data) for _ in range(3))
    twelve[frame + 4] = 12
    hierarchical[frame + 1] = 0xC5
    later[frame + 5 : frame + 7] = b"\0\0"
    later[-2:] = b"\xff\xdc\0\4" + struct.pack(">H", 45) + b"\xff\xd9"
    yield Form("jpeg 12 bit", ".jpg", bytes(twelve), "is a JPEG with 12 bits a sample; 8 are read[.] Save it")
    yield Form("jpeg hierarchical", ".jpg", bytes(hierarchical), "is a hierarchical JPEG; .* Save it anew")
    yield Form("jpeg with its height behind", ".jpg", bytes(later), r"tells its height only behind its pixels \(DNL\)")


def _profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(_colours("sRGB")).tobytes()


def _inks():
    """CMYK with black ink, which a conversion from RGB does not use."""
    inks = np.asarray(_RGB.convert("CMYK")).copy()
    inks[..., 3] = np.arange(61) * 3
    return PIL.Image.frombytes("CMYK", _RGB.size, inks.tobytes())


def _without(data, marker):
    """A JPEG without one of its segments."""
    place = data.index(bytes([0xFF, marker]))
    [length] = struct.unpack_from(">H", data, place + 2)
    return data[:place] + data[place + 2 + length :]


def _rgb_jpeg():
    """Three channels that Adobe's segment calls RGB."""
    data = _without(saved(_RGB, "JPEG", subsampling=0, quality=90), 0xE0)
    return data[:2] + form_files.segment(b"Adobe\0\x64\0\0\0\0\0", 0xEE) + data[2:]


def _png():
    png = form_files.png
    palette = (b"PLTE", _COLOURS.tobytes())
    for is_interlaced in (False, True):
        kind = " interlaced" if is_interlaced else ""
        for bits in (1, 2, 4):
            yield Form(
                f"png grey {bits} bit{kind}",
                ".png",
                png(_GREY >> (8 - bits), bits=bits, colour=0, is_interlaced=is_interlaced),
            )
        yield Form(f"png grey 8 bit{kind}", ".png", png(_GREY, colour=0, is_interlaced=is_interlaced))
        yield Form(f"png grey 16 bit{kind}", ".png", png(_DEEP, bits=16, colour=0, is_interlaced=is_interlaced))
        yield Form(f"png rgb{kind}", ".png", png(_ARRAY, is_interlaced=is_interlaced))
        yield Form(f"png rgb 16 bit{kind}", ".png", png(_DEEP_RGB, bits=16, is_interlaced=is_interlaced))
        yield Form(f"png rgba{kind}", ".png", png(_RGBA, colour=6, is_interlaced=is_interlaced))
        yield Form(
            f"png palette 4 bit{kind}",
            ".png",
            png(_INDICES, bits=4, colour=3, is_interlaced=is_interlaced, chunks=(palette,)),
        )
    yield Form("png grey and alpha", ".png", png(np.dstack([_GREY, _ALPHA]), colour=4))
    yield Form(
        "png grey and alpha 16 bit", ".png", png(np.dstack([_DEEP, _ALPHA.astype(np.uint16) * 257]), bits=16, colour=4)
    )
    deep_rgba = np.dstack([_DEEP_RGB, _ALPHA.astype(np.uint16) * 257])
    yield Form("png rgba 16 bit", ".png", png(deep_rgba, bits=16, colour=6))
    for bits in (1, 2):
        chunks = ((b"PLTE", _COLOURS[: 1 << bits].tobytes()),)
        indices = _INDICES % (1 << bits)
        yield Form(f"png palette {bits} bit", ".png", png(indices, bits=bits, colour=3, chunks=chunks))
    yield Form("png palette 8 bit", ".png", saved(_RGB.quantize(200), "PNG"))
    chunks = (palette, (b"tRNS", bytes(range(0, 160, 10))))
    yield Form("png palette with transparency", ".png", png(_INDICES, colour=3, chunks=chunks))
    chunks = ((b"tRNS", struct.pack(">H", int(_GREY[0, 0]))),)
    yield Form("png grey with a transparent value", ".png", png(_GREY, colour=0, chunks=chunks))
    chunks = ((b"tRNS", struct.pack(">3H", *map(int, _ARRAY[0, 0]))),)
    yield Form("png rgb with a transparent value", ".png", png(_ARRAY, chunks=chunks))
    chunks = ((b"tRNS", struct.pack(">H", int(_DEEP[0, 0]))),)
    yield Form("png grey 16 bit with a transparent value", ".png", png(_DEEP, bits=16, colour=0, chunks=chunks))
    chunks = ((b"tRNS", struct.pack(">H", 3)),)
    yield Form("png grey 4 bit with a transparent value", ".png", png(_GREY >> 4, bits=4, colour=0, chunks=chunks))
    yield Form("png with a gamma", ".png", png(_ARRAY, chunks=((b"gAMA", struct.pack(">I", 100_000)),)))
    frames = [_RGB, _RGB.rotate(180), _RGB.rotate(90)]
    yield Form("apng", ".png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100))


def _bmp():
    bmp = form_files.bmp
    for is_top_down in (False, True):
        kind = " top down" if is_top_down else ""
        for bits in (1, 4):
            indices, palette = _INDICES % (1 << bits), _COLOURS[: 1 << bits]
            yield Form(
                f"bmp {bits} bit{kind}", ".bmp", bmp(indices, bits=bits, palette=palette, is_top_down=is_top_down)
            )
        wide = np.tile(_COLOURS, (16, 1))
        yield Form(f"bmp 8 bit{kind}", ".bmp", bmp(_INDICES, bits=8, palette=wide, is_top_down=is_top_down))
        yield Form(f"bmp 24 bit{kind}", ".bmp", bmp(_ARRAY[..., ::-1], bits=24, is_top_down=is_top_down))
        yield Form(f"bmp 32 bit{kind}", ".bmp", bmp(_RGBA[..., [2, 1, 0, 3]], bits=32, is_top_down=is_top_down))
    red, green, blue = (_ARRAY[..., channel].astype(np.uint16) for channel in range(3))
    yield Form("bmp 16 bit 555", ".bmp", bmp((red >> 3) << 10 | (green >> 3) << 5 | blue >> 3, bits=16))
    sixteen = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
    masks = (0xF800, 0x07E0, 0x001F)
    yield Form("bmp 16 bit 565", ".bmp", bmp(sixteen, bits=16, masks=masks, compression=3))
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield Form("bmp 32 bit with masks", ".bmp", bmp(_RGBA[..., [2, 1, 0, 3]], bits=32, masks=masks, compression=3))
    wide = np.tile(_COLOURS, (16, 1))
    data = form_files.run_lengths(_INDICES, 8)
    yield Form("bmp run lengths 8 bit", ".bmp", bmp(_INDICES, bits=8, palette=wide, compression=1, data=data))
    data = form_files.run_lengths(_INDICES, 4)
    yield Form("bmp run lengths 4 bit", ".bmp", bmp(_INDICES, bits=4, palette=_COLOURS, compression=2, data=data))
    yield Form("bmp os/2", ".bmp", bmp(_INDICES, bits=8, palette=wide, is_os2=True))
    yield Form("bmp grey palette", ".bmp", saved(_RGB.convert("L"), "BMP"))


def _gif():
    first = np.asarray(_PALETTE.convert("RGB"))
    yield Form("gif", ".gif", saved(_PALETTE, "GIF"), pixels=first)
    yield Form("gif interlaced", ".gif", saved(_PALETTE, "GIF", interlace=1), pixels=first)
    yield Form("gif with transparency", ".gif", saved(_PALETTE, "GIF", transparency=3), pixels=first)
    yield Form("gif grey", ".gif", saved(_RGB.convert("L"), "GIF"), pixels=_three(_GREY))
    frames = [_PALETTE.rotate(180), _PALETTE.rotate(90)]
    animated = saved(_PALETTE, "GIF", save_all=True, append_images=frames, duration=100)
    yield Form("gif animated", ".gif", animated, pixels=first)
    yield Form("gif of a first frame that is smaller", ".gif", *_small_frame())


def _small_frame():
    """The frame's place is moved by 5 and 3, on a screen that is larger; the rest of it has no colour and is black."""
    data = bytearray(saved(_PALETTE, "GIF"))
    place = data.index(b",", 13 + 3 * (2 << (data[10] & 7)))
    data[6:10] = struct.pack("<HH", 70, 50)
    data[place + 1 : place + 5] = struct.pack("<HH", 5, 3)
    pixels = np.empty((50, 70, 3), np.uint8)
    pixels[:] = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))[0, 0]
    pixels[3:48, 5:66] = np.asarray(_PALETTE.convert("RGB"))
    return bytes(data), None, pixels


def _tiff():
    tiff = form_files.tiff
    yield Form("tiff grey", ".tif", tiff(_GREY))
    yield Form("tiff grey, white is zero", ".tif", tiff(255 - _GREY, photometric=0))
    yield Form("tiff 1 bit", ".tif", tiff(_GREY >> 7, bits=1))
    yield Form("tiff 1 bit, white is zero", ".tif", tiff(1 - (_GREY >> 7), bits=1, photometric=0))
    yield Form("tiff 1 bit group 4", ".tif", saved(_RGB.convert("1"), "TIFF", compression="group4"))
    # OpenCV reads none of these three.
    yield Form("tiff 2 bit", ".tif", tiff(_GREY >> 6, bits=2), pixels=_three(_GREY // 64 * 85))
    yield Form("tiff 4 bit", ".tif", tiff(_GREY >> 4, bits=4), pixels=_three(_GREY // 16 * 17))
    yield Form("tiff 12 bit", ".tif", tiff(_DEEP >> 4, bits=12), pixels=_three(_DEEP >> 8))
    yield Form("tiff grey 16 bit, white is zero", ".tif", tiff(65_535 - _DEEP, photometric=0))
    yield Form("tiff big", ".tif", tiff(_ARRAY, is_big=True))
    big_endian = tiff(_DEEP, is_big=True, order=">")
    yield Form("tiff big, big endian", ".tif", big_endian, "is a BigTIFF in Motorola's order of bytes")
    for order in "<>":
        kind = " big endian" if order == ">" else ""
        yield Form(f"tiff rgb{kind}", ".tif", tiff(_ARRAY, order=order))
        yield Form(f"tiff grey 16 bit{kind}", ".tif", tiff(_DEEP, order=order))
        yield Form(f"tiff rgb 16 bit{kind}", ".tif", tiff(_DEEP_RGB, order=order))
    yield Form("tiff strips of 7 rows", ".tif", tiff(_ARRAY, rows_per_strip=7))
    yield Form("tiff tiles", ".tif", tiff(_ARRAY, tile=32))
    # OpenCV takes some small tiles for damaged.
    yield Form("tiff small tiles", ".tif", tiff(_ARRAY, tile=16), pixels=_ARRAY)
    yield Form("tiff small tiles grey 16 bit", ".tif", tiff(_DEEP, tile=16), pixels=_three(_DEEP >> 8))
    yield Form("tiff planar", ".tif", tiff(_ARRAY, is_planar=True))
    yield Form("tiff planar strips", ".tif", tiff(_ARRAY, is_planar=True, rows_per_strip=8))
    yield Form("tiff planar tiles", ".tif", tiff(_ARRAY, is_planar=True, tile=32))
    yield Form("tiff planar rgba", ".tif", tiff(_RGBA, is_planar=True))
    yield Form("tiff planar deflate tiles", ".tif", tiff(_ARRAY, is_planar=True, is_deflated=True, tile=32))
    # Ultralytics takes the planes of 16 bits for pixels, and so does Pillow if they are not compressed.
    deep_planes = tiff(_DEEP_RGB, is_planar=True)
    yield Form("tiff 16 bit planar", ".tif", deep_planes, "has a plane of 16-bit values for each channel")
    deep_planes = tiff(_DEEP_RGB, is_planar=True, is_deflated=True)
    yield Form("tiff 16 bit planar deflate", ".tif", deep_planes, pixels=(_DEEP_RGB >> 8).astype(np.uint8))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Form(f"tiff rgb {compression}", ".tif", saved(_RGB, "TIFF", compression=compression))
    yield Form("tiff deflate 16 bit", ".tif", tiff(_DEEP, is_deflated=True))
    yield Form("tiff jpeg", ".tif", saved(_RGB, "TIFF", compression="jpeg", quality=90))
    yield Form("tiff jpeg grey", ".tif", saved(_RGB.convert("L"), "TIFF", compression="jpeg", quality=90))
    yield Form("tiff rgba", ".tif", tiff(_RGBA))
    yield Form("tiff rgba associated alpha", ".tif", tiff(_RGBA, tags=((338, 3, [1]),)))
    yield Form("tiff rgb and an extra channel", ".tif", tiff(_RGBA, tags=((338, 3, [0]),)))
    yield Form("tiff grey and alpha", ".tif", tiff(np.dstack([_GREY, _ALPHA])))
    deep_alpha = _ALPHA.astype(np.uint16) * 257
    yield Form("tiff rgba 16 bit", ".tif", tiff(np.dstack([_DEEP_RGB, deep_alpha])))
    deep_rgba = np.dstack([_DEEP_RGB, deep_alpha])
    yield Form("tiff rgba 16 bit associated alpha", ".tif", tiff(deep_rgba, tags=((338, 3, [1]),)))
    yield Form("tiff rgba deflate associated alpha", ".tif", tiff(_RGBA, is_deflated=True, tags=((338, 3, [1]),)))
    five = tiff(np.dstack([_RGBA, _GREY]))
    yield Form("tiff of five bands", ".tif", five, "has 5 channels; 1 to 4 are read")
    yield Form("tiff palette", ".tif", saved(_RGB.quantize(200), "TIFF"))
    colours = (_COLOURS.T.astype(np.uint16) * 257).ravel().tolist()
    yield Form("tiff palette 4 bit", ".tif", tiff(_INDICES, bits=4, photometric=3, tags=((320, 3, colours),)))
    yield Form("tiff palette and alpha", ".tif", saved(_PALETTE.convert("PA"), "TIFF"))
    yield Form("tiff cmyk", ".tif", saved(_inks(), "TIFF"))
    yield Form("tiff ycbcr", ".tif", saved(_RGB.convert("YCbCr"), "TIFF"))
    yield Form("tiff lab", ".tif", saved(_lab(), "TIFF"))
    yield Form("tiff lab out of sight", ".tif", saved(PIL.Image.frombytes("LAB", (61, 45), _ARRAY.tobytes()), "TIFF"))
    pages = saved(_RGB, "TIFF", save_all=True, append_images=[_RGB.rotate(180), _RGB.rotate(90)])
    yield Form("tiff of three pages", ".tif", pages)
    grey_pages = saved(_RGB.convert("L"), "TIFF", save_all=True, append_images=[_RGB.rotate(180).convert("L")])
    yield Form("tiff of grey pages", ".tif", grey_pages)
    yield from _without_range()
    preview = ((254, 4, [1]), (50_706, 1, [1, 4, 0, 0]))
    yield Form(
        "dng with a preview", ".dng", tiff(_ARRAY, tags=preview), "is a camera's raw file .DNG. and holds only a"
    )
    whole = ((254, 4, [0]), (50_706, 1, [1, 4, 0, 0]))
    yield Form("dng that is a picture", ".dng", tiff(_ARRAY, tags=whole))
    raw = tiff(_DEEP, photometric=1, tags=((262, 3, [32_803]), (50_706, 1, [1, 4, 0, 0])))
    yield Form("dng of a sensor", ".dng", raw, "is a camera's raw file .DNG.: a value for each sensor, and no pixels")


def _without_range():
    """Values whose meaning as 8 bits nobody knows. Ultralytics reads some of them, as black or as numbers that wrap."""
    tiff = form_files.tiff
    for array, name in ((_ARRAY, "rgb"), (_GREY, "grey")):
        for depth in (16, 32, 64):
            data = tiff(array.astype(f"f{depth // 8}") / 255)
            refusal = f"has values of {depth}-bit floating point, whose range nobody knows. Scale them to 0 to 255"
            yield Form(f"tiff {name} float {depth} bit", ".tif", data, refusal)
        for depth in (32, 64):
            for kind, sign in (("u", "unsigned"), ("i", "signed")):
                data = tiff(array.astype(f"{kind}{depth // 8}"))
                refusal = f"has {sign} values of {depth} bits, whose range nobody knows. Scale them to 0 to 255"
                yield Form(f"tiff {name} {sign} {depth} bit", ".tif", data, refusal)
        data = tiff((array.astype(np.int32) * 256 - 32_768).astype(np.int16))
        yield Form(f"tiff {name} signed 16 bit", ".tif", data, "has signed values of 16 bits, whose range nobody knows")
    light = tiff(_ARRAY.astype(np.int16), tags=((262, 3, [32_845]),))
    yield Form("tiff of light's logarithms", ".tif", light, "is a TIFF in LogLuv, whose values have no known range")
    data = tiff((_GREY / 255).astype(np.float32), order=">", is_deflated=True)
    yield Form("tiff grey float deflate big endian", ".tif", data, "has values of 32-bit floating point")
    yield Form("tiff complex", ".tif", tiff(_GREY.astype(np.complex64)), "has values of 64-bit complex numbers")
    yield Form("tiff grey signed 8 bit", ".tif", tiff((_GREY.astype(np.int16) - 128).astype(np.int8)))


def _three(grey):
    """A grey image's three channels."""
    return np.dstack([grey.astype(np.uint8)] * 3)


def _lab():
    """The picture in CIELab."""
    from PIL import ImageCms

    return ImageCms.profileToProfile(_RGB, _colours("sRGB"), _colours("LAB"), outputMode="LAB")


def _colours(name):
    from PIL import ImageCms

    return ImageCms.createProfile(name)


def _webp():
    rgba = PIL.Image.fromarray(_RGBA)
    yield Form("webp lossy", ".webp", saved(_RGB, "WEBP", quality=80))
    yield Form("webp lossless", ".webp", saved(_RGB, "WEBP", lossless=True))
    yield Form("webp lossy with alpha", ".webp", saved(rgba, "WEBP", quality=80))
    yield Form("webp lossless with alpha", ".webp", saved(rgba, "WEBP", lossless=True))
    frames = [_RGB.rotate(180), _RGB.rotate(90)]
    yield Form("webp animated", ".webp", saved(_RGB, "WEBP", save_all=True, append_images=frames, lossless=True))


def _others():
    if PIL.features.check("avif"):
        yield Form("avif", ".avif", saved(_RGB, "AVIF", quality=90))
        yield Form("avif 4:4:4", ".avif", saved(_RGB, "AVIF", quality=90, subsampling="4:4:4"))
        yield Form("avif grey", ".avif", saved(_RGB.convert("L"), "AVIF", quality=90))
        yield Form("avif with alpha", ".avif", saved(PIL.Image.fromarray(_RGBA), "AVIF"))
        frames = [_RGB.rotate(180), _RGB.rotate(90)]
        yield Form("avif animated", ".avif", saved(_RGB, "AVIF", save_all=True, append_images=frames))
        for number in range(1, 9):
            data = saved(_RGB, "AVIF", exif=b"Exif\0\0" + form_files.exif(number))
            yield Form(f"avif turned {number}", ".avif", data)
    if PIL.features.check("jpg_2000"):
        yield Form("jpeg 2000", ".jp2", saved(_RGB, "JPEG2000"))
        yield Form("jpeg 2000 grey", ".jp2", saved(_RGB.convert("L"), "JPEG2000"))
        yield Form("jpeg 2000 with alpha", ".jp2", saved(PIL.Image.fromarray(_RGBA), "JPEG2000"))
        yield Form("jpeg 2000 16 bit", ".jp2", saved(PIL.Image.fromarray(_DEEP), "JPEG2000"))
        deep = cv2.imencode(".jp2", _DEEP_RGB)[1].tobytes()
        yield Form(
            "jpeg 2000 rgb 16 bit", ".jp2", deep, "with 3 channels of 16 bits, of which Pillow reads white as black"
        )
        lossy = {"irreversible": True, "quality_layers": [20]}
        yield Form("jpeg 2000 lossy", ".jp2", saved(_RGB, "JPEG2000", **lossy))
        yield Form("jpeg 2000 tiles", ".jp2", saved(_RGB, "JPEG2000", tile_size=(32, 32)))
        yield Form("jpeg 2000 codestream", ".j2k", saved(_RGB, "JPEG2000", no_jp2=True))
    yield Form("ppm", ".ppm", saved(_RGB, "PPM"))
    yield Form("pgm", ".pgm", saved(_RGB.convert("L"), "PPM"))
    yield Form("pbm", ".pbm", saved(_RGB.convert("1"), "PPM"))
    yield Form("pgm 16 bit", ".pgm", b"P5 61 45 65535\n" + _DEEP.astype(">u2").tobytes())
    digits = b" ".join(b"%d" % value for value in _ARRAY.ravel())
    yield Form("ppm 16 bit", ".ppm", b"P6 61 45 65535\n" + _DEEP_RGB.astype(">u2").tobytes())
    yield Form("ppm in digits", ".ppm", b"P3\n# by hand\n61 45\n255\n" + digits + b"\n")
    # OpenCV takes these values for 8 and 16 bits, dark and black.
    values = (_GREY.astype(np.uint16) * 100 + 127) // 255
    data = b"P5 61 45 100\n" + values.astype(np.uint8).tobytes()
    yield Form("pgm of 0 to 100", ".pgm", data, pixels=_three(np.round(values / 100 * 255)))
    values = _GREY.astype(np.uint16) * 4
    data = b"P5 61 45 1020\n" + values.astype(">u2").tobytes()
    yield Form("pgm of 0 to 1020", ".pgm", data, pixels=_three(_GREY))
    yield from _strangers()


def _strangers():
    """What begins like files that are no images here: they are refused by name."""
    pfm = b"PF\n61 45\n-1.0\n" + (_ARRAY[::-1].astype("<f4") / 255).tobytes()
    yield Form("pfm", ".pfm", pfm, "is PFM, whose values have no known range")
    yield Form("pfm grey", ".pfm", b"Pf" + pfm[2:], "is PFM, whose values have no known range")
    yield Form("tga", ".tga", saved(_RGB, "TGA"), r"is probably Targa \(TGA\)")  # it has no mark
    for kind, name in (("PCX", "PCX"), ("QOI", "QOI"), ("SGI", "SGI's format"), ("ICNS", r"an icon \(ICNS\)")):
        image = _RGB if kind != "ICNS" else _RGB.resize((64, 64))
        yield Form(kind.lower(), f".{kind.lower()}", saved(image, kind), f"is {name}[.] .*Save it as JPEG or PNG first")
    yield Form("xbm", ".xbm", saved(_RGB.convert("1"), "XBM"), "is XBM")
    yield Form("xpm", ".xpm", b"/* XPM */\nstatic char *x[] = {", "is XPM")
    yield Form("flif", ".flif", b"FLIF11" + bytes(99), "is FLIF")
    header = b"P7\nWIDTH 61\nHEIGHT 45\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    yield Form("pam", ".pam", header + _ARRAY.tobytes(), "is PAM[.] .*Save it as JPEG or PNG first")
    cursor = bytearray(saved(_RGB, "ICO"))
    cursor[2] = 2
    yield Form("cur", ".cur", bytes(cursor), r"is a cursor \(CUR\)")
    yield Form("svg with a document type", ".svg", b'\xef\xbb\xbf<?xml?>\n<!DOCTYPE svg PUBLIC "-">\n<svg>', "is SVG")
    box = bytes(100)
    yield Form("heic", ".heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + box, "is HEIC[.] .*save it as JPEG first")
    yield Form("heif", ".heif", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + box, "is HEIC[.] .*save it as JPEG first")
    yield Form(
        "mp4",
        ".mp4",
        b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + box,
        r"is a video \(MP4 or MOV\).*give the video itself as their source",
    )
    yield Form("avi", ".avi", b"RIFF\0\1\0\0AVI LIST" + box, r"is a video \(AVI\)")
    yield Form("webm", ".webm", b"\x1a\x45\xdf\xa3" + box, "is a video")
    yield Form("jpeg xl", ".jxl", b"\0\0\0\x0cJXL \r\n\x87\n" + box, "is JPEG XL[.] .*Save it as JPEG or PNG first")
    psd = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 45, 61, 8, 3)
    yield Form("psd", ".psd", psd + box, "is Photoshop's PSD[.] .*Save it as JPEG or PNG")
    yield Form("exr", ".exr", b"\x76\x2f\x31\x01\2\0\0\0" + box, "is OpenEXR, whose values have no known range")
    yield Form("hdr", ".hdr", b"#?RADIANCE\n" + box, "is Radiance HDR, whose values have no known range")
    yield Form("ico", ".ico", saved(_RGB, "ICO"), r"is an icon \(ICO\)")
    yield Form("svg", ".svg", b'<?xml version="1.0"?>\n<svg width="9">', "is SVG")
    yield Form("pdf", ".pdf", b"%PDF-1.7\n", "is PDF[.] .*Save its pages")
    yield Form("eps", ".eps", saved(_RGB, "EPS"), "is PostScript")
    yield Form("web page", ".jpg", b"<!DOCTYPE html>\n<html>", "is a web page .*Download the picture itself")
    yield Form(
        "pointer", ".jpg", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"
    )
    yield Form("archive", ".png", b"PK\x03\x04" + box, "is an archive[.] .*Unpack it first")
    yield Form("numpy", ".npy", b"\x93NUMPY\1\0", "is an array of NumPy[.] .*pass the array")


def _orientations():
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet.decode())
    profile = PIL.PngImagePlugin.PngInfo()
    exif = b"Exif\0\0" + form_files.exif(6)
    profile.add_text("Raw profile type exif", f"\nexif\n{len(exif):8}\n{exif.hex()}\n")
    yield Form("jpeg turned in XMP alone", ".jpg", saved(_RGB, "JPEG", xmp=packet))
    yield Form("webp turned in XMP alone", ".webp", saved(_RGB, "WEBP", lossless=True, xmp=packet))
    yield Form("png turned in XMP alone", ".png", saved(_RGB, "PNG", pnginfo=text))
    yield Form("png turned in a text", ".png", saved(_RGB, "PNG", pnginfo=profile))
    yield Form("tiff turned in XMP alone", ".tif", form_files.tiff(_ARRAY, tags=((700, 1, list(packet)),)))
    exifs = {number: form_files.exif(number, "<>"[number % 2]) for number in range(1, 9)}
    for number, exif in exifs.items():
        data = b"Exif\0\0" + exif
        yield Form(f"jpeg turned {number}", ".jpg", saved(_RGB, "JPEG", exif=data))
        yield Form(f"png turned {number}", ".png", saved(_RGB, "PNG", exif=data))
        upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(saved(_RGB, "PNG", exif=data)))))
        webp = saved(_RGB, "WEBP", lossless=True, exif=data)
        yield Form(f"webp turned {number}", ".webp", webp, pixels=upright)  # as OpenCV 5 does, and 4.11 does not
        yield Form(f"tiff turned {number}", ".tif", form_files.tiff(_ARRAY, tags=((0x0112, 3, [number]),)))
        yield Form(f"tiff grey turned {number}", ".tif", form_files.tiff(_GREY, tags=((0x0112, 3, [number]),)))
