"""Image files of every format and mode, damaged, through Predictor and through signature `encoded`.

`encoded` fails for none of them: a file has a status and no detections, or Pillow's pixels where Pillow reads it, and
the files beside it are as alone.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image

from tests.conftest import DATA, IMAGES, TINY_WEIGHTS
from tests.fuzz import damages
from tests.ground.files import forms
from tftrt_yolo.ground.files.image_formats import FORMATS

_FORMATS = {
    "JPEG": ("RGB", "L", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB"),
    "WEBP": ("RGB", "RGBA", "L"),
    "PPM": ("1", "L", "RGB", "I;16"),
    **({"AVIF": ("RGB", "RGBA", "L")} if "AVIF" in FORMATS else {}),
    **({"JPEG2000": ("RGB", "RGBA", "L", "I;16")} if "JPEG2000" in FORMATS else {}),
}
_SUFFIXES = (
    ".jpg",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".webp",
    ".avif",
    ".jp2",
    ".ppm",
    ".txt",
    "",
    ".JPG\x1b[31m",
    "\n.jpg",
)
_FORMS = forms.forms()
_TOLERANCE = 8  # levels: CMYK is rounded in another way, and pixels of 16 bits in a BMP are OpenCV's
_TIFF_COMPRESSIONS = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")


def _refusals():
    from tftrt_yolo import ImageError

    return (ImageError,)


REFUSALS = _refusals()


def prepare(folder: Path):
    import tensorflow as tf

    import tftrt_yolo

    predictors = []
    for task, weights in (("detect", TINY_WEIGHTS), ("classify", DATA / "yolov8n-tiny-classify.pt")):
        path = folder / f"{task}_saved_model"
        if not path.exists():
            tftrt_yolo.export(weights, path, image_size=64)
        signatures = tf.saved_model.load(str(path)).signatures
        predictors.append((tftrt_yolo.Predictor(path), signatures["encoded"]))
    predictors = [(*both, _reader()) for both in predictors]
    pictures = [PIL.Image.open(path).convert("RGB").resize((96, 80)) for path in IMAGES[:8]]
    return predictors, pictures, [path.read_bytes() for path in IMAGES[:4]]


def case(prepared, rng: np.random.Generator, folder: Path):
    predictors, pictures, photos = prepared
    kind, data = _file(pictures, photos, rng)
    names = []
    for _ in range(int(rng.choice([0, 1, 1, 1, 2, 3]))):
        name, change = _DAMAGES[rng.integers(len(_DAMAGES))]
        changed = change(data, rng)
        names.append(name)
        data = changed[: 8 << 20]
    predictor, encoded, read = predictors[rng.integers(len(predictors))]
    way = rng.choice(["path", "bytes", "encoded", "encoded"])
    label = f"{kind} {'+'.join(names) or 'whole'} {way}"
    if way == "bytes":
        return label, lambda: predictor(data)
    if way == "encoded":
        return label, lambda: _beside_good_ones(encoded, read, data, photos[rng.integers(len(photos))])
    path = folder / f"image{rng.choice(_SUFFIXES)}"
    path.write_bytes(data)
    return label, lambda: predictor(path)


def _reader():
    """Pixels of a small frame and status, as `encoded` makes them of a file."""
    import tensorflow as tf

    from tftrt_yolo.graph import letterbox
    from tftrt_yolo.graph.encoded.images import read_each

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def read(files):
        found = read_each(files, (64, 64), letterbox.letterbox_padded_images)
        return found.frames, found.sizes_hw, found.status

    return read


def _beside_good_ones(encoded, read, data, photo):
    """Asks `encoded` for a file between two good ones, and compares what is read of it with Pillow."""
    import tensorflow as tf

    outputs = {name: value.numpy() for name, value in encoded(image_bytes=tf.constant([photo, data, photo])).items()}
    status = outputs.pop("status")
    assert (status[0], status[2]) == (b"", b"")
    for values in outputs.values():
        np.testing.assert_allclose(values[0], values[2], rtol=1e-4, atol=1e-3)
        assert not status[1] or not values[1].any()
    if not status[1]:
        _compare_with_pillow(read, data)


def _compare_with_pillow(read, data):
    import tensorflow as tf

    from tftrt_yolo import ImageError
    from tftrt_yolo.graph import letterbox
    from tftrt_yolo.ground.files.image_files import read_image

    try:
        expected = read_image(data)
    except ImageError:  # what Pillow finds too damaged, such as a text behind the pixels
        return
    frames, sizes, _ = (value.numpy() for value in read(tf.constant([data])))
    assert tuple(sizes[0]) == expected.shape[:2]
    frame = letterbox.letterbox_images(tf.constant(expected[None]), (64, 64))[0].numpy()
    difference = np.abs(frames.astype(int) - frame).max()
    assert difference <= _TOLERANCE, f"{difference} levels from Pillow's pixels"


def _file(pictures, photos, rng):
    """A file as cameras and programs write it: its kind and bytes."""
    if rng.random() < 0.1:
        return "photo", photos[rng.integers(len(photos))]
    if rng.random() < 0.2:
        form = _FORMS[rng.integers(len(_FORMS))]
        return form.name, form.data
    name = rng.choice(list(_FORMATS))
    mode = rng.choice(_FORMATS[name])
    image = _in_mode(pictures[rng.integers(len(pictures))], str(mode))
    options = {}
    if name == "JPEG":
        options = {"quality": int(rng.integers(5, 100)), "progressive": bool(rng.integers(2))}
        options |= {"restart_marker_blocks": int(rng.integers(1, 9))} if rng.integers(2) else {}
    if name == "TIFF" and rng.integers(2):
        options = {"compression": _TIFF_COMPRESSIONS[rng.integers(len(_TIFF_COMPRESSIONS))]}
    if name == "JPEG2000":
        options |= {"tile_size": (int(rng.integers(8, 99)),) * 2} if rng.integers(2) else {"irreversible": True}
    if name in ("AVIF", "GIF", "WEBP", "PNG", "TIFF") and rng.random() < 0.2 and mode not in ("I;16", "LAB", "PA"):
        options |= {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    if name == "WEBP":
        options |= {"lossless": bool(rng.integers(2))}
    can_turn = name in ("JPEG", "PNG", "WEBP", "TIFF") or (name == "AVIF" and "save_all" not in options)
    if can_turn and rng.random() < 0.3:  # Pillow's encoder of AVIF crashes of animations that are turned
        exif = PIL.Image.Exif()
        exif[0x0112] = int(rng.integers(0, 12))
        options["exif"] = exif
    file = io.BytesIO()
    try:
        image.save(file, name, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, struct.error):  # not every mode has every option
        file = io.BytesIO()
        image.save(file, name)
    return f"{name} {mode}", file.getvalue()


def _in_mode(image, mode):
    if mode == "I;16":
        return PIL.Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "PA":
        return image.convert("P").convert("PA")
    if mode == "LAB":
        return PIL.Image.frombytes("LAB", image.size, image.tobytes())
    return image.convert(mode)


def _header_bits(data, rng):
    return damages.bits(data[:600], rng) + data[600:]


def _extreme_bytes(data, rng):
    """Numbers of 1 to 8 bytes become the least or the greatest."""
    changed = bytearray(data)
    for place in rng.integers(0, max(min(len(data), 400), 1), 3):
        length = int(rng.choice([1, 2, 4, 8]))
        changed[place : place + length] = rng.choice([b"\x00", b"\xff", b"\x7f", b"\x80"]).item() * length
    return bytes(changed[: len(data)])


def _concatenated(data, rng):
    return data + damages.bits(data, rng)


_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P3 9 9 ", b"P6 9 9 ")
_MAGICS += (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\0\x1cftypavif")


def _other_magic(data, rng):
    return _MAGICS[rng.integers(len(_MAGICS))] + data[8:]


def _size(data, rng):
    """Another size in the header, with its checksum where there is one."""
    width, height = (int(rng.choice([0, 1, 7, 97, 4_000, 9_000, 65_535, 70_000, 0x7FFFFFFF])) for _ in range(2))
    if data.startswith(b"\x89PNG") and len(data) > 33:
        header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            place = data.find(marker)
            if place >= 0:
                return data[: place + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[place + 9 :]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + data[10:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<II", width, height) + data[26:]
    place = data.find(b"\xff\x4f\xff\x51")  # JPEG 2000: size of image and tiles
    if place >= 0:
        return _jpeg_2000_size(data, place + 8, rng)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff_value(data, rng, (256, 257, 258, 277, 278, 322, 323))
    return _extreme_bytes(data, rng)


def _jpeg_2000_size(data, place, rng):
    """Another size of the image, its place, or its tiles; the header around it says the same of the image."""
    changed = bytearray(data)
    values = [0, 1, 8, 97, 4_000, 9_000, 65_535, 0x7FFFFFFF]
    for field in rng.integers(0, 8, int(rng.integers(1, 4))):
        value = struct.pack(">I", int(rng.choice(values)))
        changed[place + 4 * field : place + 4 * field + 4] = value
        header = data.find(b"ihdr")
        if field < 2 and header >= 0:  # width, height; there height comes first
            changed[header + 4 + 4 * (1 - field) : header + 8 + 4 * (1 - field)] = value
    return bytes(changed)


def _tiff_value(data, rng, tags):
    """Another type, count or value of one of these tags."""
    order = "<" if data[:2] == b"II" else ">"
    changed = bytearray(data)
    for place in range(8, len(data) - 12, 2):
        if struct.unpack_from(order + "H", data, place)[0] in tags and rng.integers(2):
            value = int(rng.choice([0, 1, 255, 65_535, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF]))
            struct.pack_into(order + "I", changed, place + int(rng.choice([4, 8])), value)
            break
    return bytes(changed)


def _tiff_tag(data, rng):
    if not data.startswith((b"II*\0", b"MM\0*")):
        return _header_bits(data, rng)
    return _tiff_value(data, rng, tuple(range(254, 347)))


def _swapped_tables(data, rng):
    """Two segments of a JPEG, or chunks of a PNG, change places."""
    separator = b"\xff" if data.startswith(b"\xff\xd8") else b"IDAT"
    parts = data.split(separator)
    if len(parts) > 3:
        first, second = rng.integers(1, len(parts), 2)
        parts[first], parts[second] = parts[second], parts[first]
    return separator.join(parts)


def _chunk(data, rng):
    """A chunk or a segment more, of text, a profile or EXIF, which may unpack to megabytes."""
    content = zlib.compress(bytes(int(rng.choice([10, 1 << 16, 1 << 23])))) if rng.integers(2) else rng.bytes(300)
    if data.startswith(b"\x89PNG"):
        kind, start = [
            (b"zTXt", b"a\0\0"),
            (b"iCCP", b"a\0\0"),
            (b"iTXt", b"a\0\1\0\0\0"),
            (b"eXIf", b""),
            (b"tRNS", b""),
        ][rng.integers(5)]
        body = kind + start + content
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:33] + chunk * int(rng.choice([1, 1, 200])) + data[33:]
    if data.startswith(b"\xff\xd8"):
        start = rng.choice([b"Exif\0\0II*\0", b"ICC_PROFILE\0\1\1", b"Photoshop 3.0\0", b"MPF\0", b"Adobe\0d"])
        body = start + content[:60_000]
        segment = b"\xff" + bytes([int(rng.choice([0xE1, 0xE2, 0xED, 0xEE, 0xFE]))]) + struct.pack(">H", len(body) + 2)
        return data[:2] + (segment + body) * int(rng.choice([1, 1, 200])) + data[2:]
    return damages.twice(data, rng)


_CHANGES = (*damages.ALL, _header_bits, _extreme_bytes, _concatenated, _other_magic)
_CHANGES += (_size, _size, _tiff_tag, _swapped_tables, _chunk)
_DAMAGES = [(change.__name__.strip("_"), change) for change in _CHANGES]
