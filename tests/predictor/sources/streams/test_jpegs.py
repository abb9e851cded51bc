import io

import numpy as np
import PIL.Image
import pytest

from tests.predictor.sources.media import jpeg
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.ground.files.reading import UnreadableError
from tftrt_yolo.predictor.sources.streams import jpegs

ONE, TWO = jpeg(10), jpeg(20)


def _reader(data, piece):
    """Gives bytes a piece at a time."""
    return iter([*(data[place : place + piece] for place in range(0, len(data), piece)), b""]).__next__


def _with_preview():
    """A JPEG whose EXIF holds a JPEG."""
    exif = PIL.Image.Exif()
    exif[0x927C] = ONE  # a maker's note
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 48), (9, 9, 9)).save(buffer, "JPEG", exif=exif)
    assert ONE in buffer.getvalue()
    return buffer.getvalue()


def _of_kind(**options):
    noise = np.random.default_rng(0).integers(0, 256, (99, 77, 3), np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(noise).save(buffer, "JPEG", **options)
    return buffer.getvalue()


KINDS = [ONE, _of_kind(), _of_kind(progressive=True), _of_kind(restart_marker_blocks=1), _of_kind(quality=100)]
FRAMINGS = [b"", b"\r\n--frame\r\nContent-Length: 9\r\n\r\n", b"\0" * 9, b"\xff", b"\xff\xd8", b"\xff" * 3, b"junk\xd9"]


@pytest.mark.parametrize("between", FRAMINGS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_jpegs_of_every_kind_with_anything_between(between, piece):
    found = list(jpegs.Jpegs(_reader(between + between.join(KINDS), piece)))
    assert len(found) == len(KINDS)
    for data, expected in zip(found, KINDS, strict=True):
        np.testing.assert_array_equal(read_image(data), read_image(expected))
    if not between.endswith(b"\xff"):
        assert found == KINDS


def test_a_preview_is_not_given():
    data = _with_preview()
    assert list(jpegs.Jpegs(_reader(data + TWO, 50))) == [data, TWO]


def test_each_comes_with_its_last_byte():
    pieces = iter([ONE[:-1], ONE[-1:], TWO])
    found = iter(jpegs.Jpegs(lambda: next(pieces)))
    assert next(found) == ONE
    assert next(pieces) == TWO  # nobody has asked for it yet


@pytest.mark.parametrize("cut", [5, 100, 400])
def test_one_without_an_end_does_not_swallow_the_next(cut):
    torn = _of_kind()[:-cut]
    assert list(jpegs.Jpegs(_reader(torn + TWO, 99))) == [torn, TWO]
    assert list(jpegs.Jpegs(_reader(TWO + torn, 99))) == [TWO, torn]


@pytest.mark.parametrize(
    ("rest", "says"),
    [(b"\r\n--frame--\r\n", True), (b"\r\n--frame--", True), (b"\r\n--frame\r\n", False), (b"", False)],
)
def test_the_end_that_a_multipart_answer_tells(rest, says):
    found = jpegs.Jpegs(_reader(ONE + rest, 9))
    assert list(found) == [ONE]
    assert found.says_its_end == says


@pytest.mark.parametrize("data", [b"", b"no JPEG at all", b"\xff\xd8", b"\xff"])
def test_nothing(data):
    assert list(jpegs.Jpegs(_reader(data, 9))) == []


@pytest.mark.parametrize("start", [b"x", ONE[:-2]])
def test_no_end_of_memory(start, monkeypatch):
    monkeypatch.setattr(jpegs, "_MOST_BYTES", 1 << 20)
    pieces = iter([start])
    with pytest.raises(UnreadableError, match="holds no JPEG"):
        list(jpegs.Jpegs(lambda: next(pieces, b"x" * 9_999)))
