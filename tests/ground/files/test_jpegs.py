"""The decoder of usual JPEG files beside Pillow: the same pixels, the same refusals, and who decoded what."""

import io
import subprocess
import sys
import threading

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from tests.conftest import IMAGES
from tests.ground.files import form_files, forms
from tftrt_yolo import ImageError
from tftrt_yolo.ground.files import image_structure, jpegs
from tftrt_yolo.ground.files.image_files import read_image, upright_size
from tftrt_yolo.ground.files.jpegs import Decoded, Scratch

simplejpeg = pytest.importorskip("simplejpeg")
_PICTURE = np.tile(np.asarray(forms.picture()), (2, 1, 1))
_JPEG = forms.saved(forms.picture(), "JPEG", quality=90)
_SIZES = ((1, 1), (1, 40), (40, 1), (2, 3), (15, 17), (16, 16), (31, 33), (33, 31), (61, 45), (8, 64))


def _saved(**options):
    return forms.saved(forms.picture(), "JPEG", **options)


def _with(segment, marker):
    """A segment before all others."""
    return _JPEG[:2] + form_files.segment(segment, marker) + _JPEG[2:]


def _exif(number):
    return b"Exif\0\0" + form_files.exif(number, "<>"[number % 2])


def _samplings():
    """Every subsampling with every kind of rest in the last block."""
    for sampling in ("444", "422", "420", "440", "411"):
        for width, height in _SIZES:
            array = np.ascontiguousarray(_PICTURE[:height, :width])
            yield f"{sampling}, {width} x {height}", simplejpeg.encode_jpeg(array, 85, "RGB", sampling)


_USUAL = {
    **dict(_samplings()),
    **{f"turned {number}": _saved(exif=_exif(number)) for number in range(10)},
    **{path.name: path.read_bytes() for path in IMAGES[:3]},
    "grey": forms.saved(forms.picture().convert("L"), "JPEG"),
    **({"progressive": _saved(progressive=True)} if jpegs._PROGRESSIVE in jpegs._KINDS else {}),
    "restart markers": _saved(restart_marker_blocks=1),
    "RGB, as Adobe says": forms._rgb_jpeg(),
    "YCbCr, as Adobe says": _with(b"Adobe\0\x64\0\0\0\0\1", 0xEE),
    "a comment": _with(b"no more", 0xFE),
    "a resource of Photoshop's": _with(b"Photoshop 3.0\0008BIM\4\4\0\0\0\0\0\2ab", 0xED),
    "zeros behind the end": _JPEG + bytes(4_000),
}
_OTHERS = {
    "inks": forms.saved(forms.picture().convert("CMYK"), "JPEG"),
    "two pictures": forms.saved(forms.picture(), "MPO", save_all=True, append_images=[forms.picture()]),
    "junk between segments": _JPEG[:20] + b"\0" * 5 + _JPEG[20:],
    "a short profile": _with(b"ICC_PROFILE\0", 0xE2),
    "a short JFIF": _with(b"JFIF\0", 0xE0),
    "a resource of Photoshop's that is cut short": _with(b"Photoshop 3.0\0008BIM\4\4", 0xED),
    "a restart marker before the scan": _JPEG[:20] + b"\xff\xd0" + _JPEG[20:],
    "an unknown marker": _JPEG[:20] + form_files.segment(b"", 0x02) + _JPEG[20:],
    "EXIF in two segments": _saved(exif=_exif(6)[:20])[:2]
    + form_files.segment(_exif(6)[:20])
    + form_files.segment(b"Exif\0\0" + _exif(6)[20:])
    + _JPEG[2:],
    "EXIF with a tag twice": _with(_exif(6)[:14] + b"\2\0" + _exif(6)[16:28] + _exif(6)[16:], 0xE1),
    "EXIF that is cut short": _with(_exif(6)[:20], 0xE1),
    "EXIF of another kind": _with(b"Exif\0\0" + b"XX" + _exif(6)[8:], 0xE1),
    "EXIF with a value elsewhere": _with(b"Exif\0\0II*\0\x08\0\0\0\1\0\x1a\1\5\0\1\0\0\0\xff\xff\0\0\0\0\0\0", 0xE1),
    "an orientation of 32 bits": _with(b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\6\0\0\0\0\0\0\0", 0xE1),
}


def _pillows(data):
    """Pillow's pixels, upright, without anything of ours."""
    return np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"))


def _outcome(data, decoded=None):
    """Pixels or the refusal."""
    try:
        array = read_image(data, decoded=decoded)
        return array.shape, array.tobytes()
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize("name", _USUAL)
def test_usual_files_are_decoded_here_with_pillows_pixels(name):
    decoded, memory = Decoded(), Scratch()
    for given in (None, memory, memory):
        got = read_image(_USUAL[name], memory=given, decoded=decoded)
        assert (got.dtype, got.flags.c_contiguous) == (np.uint8, True)
        np.testing.assert_array_equal(got, _pillows(_USUAL[name]))
    assert (decoded.num_fast, decoded.num_pillow, decoded.num_fallbacks) == (3, 0, 0)
    assert upright_size(_USUAL[name]) == _pillows(_USUAL[name]).shape[1::-1]


@pytest.mark.parametrize("name", _OTHERS)
def test_other_files_are_pillows(monkeypatch, name):
    decoded = Decoded()
    got = _outcome(_OTHERS[name], decoded)
    assert (decoded.num_fast, decoded.num_pillow, decoded.num_fallbacks) == (0, 1, 0)
    monkeypatch.setattr(jpegs, "simplejpeg", None)
    assert got == _outcome(_OTHERS[name])


@pytest.mark.parametrize("kind", ["baseline", "progressive", "turned", "restart"])
def test_damaged_files_end_as_they_do_without_it(monkeypatch, kind):
    """Cut anywhere, with and without an end put behind, and with bytes that are not what they were."""
    options = {
        "progressive": {"progressive": True},
        "turned": {"exif": _exif(6)},
        "restart": {"restart_marker_blocks": 2},
    }
    data, random = _saved(**options.get(kind, {})), np.random.default_rng(19)
    damaged = [data[:place] + end for place in range(3, len(data), 61) for end in (b"", b"\xff\xd9")]
    for place in random.integers(2, len(data), 250):
        damaged.append(data[:place] + bytes([random.integers(256)]) + data[place + 1 :])
    decoded = Decoded()
    outcomes = [_outcome(one, decoded) for one in damaged]
    assert (decoded.num_fast > 20) == (kind != "progressive" or jpegs._PROGRESSIVE in jpegs._KINDS)
    assert decoded.num_fast + decoded.num_pillow <= len(damaged)
    assert decoded.num_fallbacks > 20 or not decoded.num_fast
    monkeypatch.setattr(jpegs, "simplejpeg", None)
    for one, outcome in zip(damaged, outcomes, strict=True):
        assert _outcome(one) == outcome


def test_memory_is_used_again_by_its_own_thread_alone():
    memory, places = Scratch(), []

    def read():
        first = read_image(_JPEG, memory=memory)
        again = read_image(_USUAL["turned 6"], memory=memory)
        assert np.shares_memory(first, again)
        places.append(again)  # kept, or another thread could get its place

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 3
    assert not any(np.shares_memory(one, other) for one in places for other in places if one is not other)
    np.testing.assert_array_equal(places[0], _pillows(_USUAL["turned 6"]))
    large = memory.take((5_000, 5_000))
    assert not np.shares_memory(large, memory.take((5_000, 5_000)))  # 75 MB are not kept


def test_counts_of_many_threads():
    decoded = Decoded()
    threads = [threading.Thread(target=lambda: [decoded.count(fast=1) for _ in range(2_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoded.num_fast == 16_000


def test_orientations_in_a_directory_are_pillows():
    for number in range(300):
        exif = form_files.exif(number, "<>"[number % 2])
        tags = PIL.Image.Exif()
        tags.load(exif)
        assert image_structure.orientation(exif) == tags[0x0112] == number
    assert image_structure.orientation(b"") == 1


def test_without_the_package_pillow_decodes_and_it_is_said_once():
    script = (
        "import sys; sys.modules['simplejpeg'] = None\n"
        "from absl import logging; logging.set_verbosity(logging.INFO)\n"
        "from tftrt_yolo.ground.files.image_files import Decoded, read_image\n"
        "decoded = Decoded(); [read_image(sys.argv[1], decoded=decoded) for _ in range(3)]\n"
        "print(decoded.num_fast, decoded.num_pillow, decoded.num_fallbacks)"
    )
    done = subprocess.run([sys.executable, "-c", script, IMAGES[0]], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "3", "0"]
    assert done.stderr.count("simplejpeg is not installed; Pillow decodes JPEG files") == 1
