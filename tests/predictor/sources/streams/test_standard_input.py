import io
import os
import pty
import re
import subprocess
import sys

import PIL.Image
import pytest

from tests.conftest import IMAGES
from tests.predictor.sources import media

_PROGRAM = """
import sys
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source_options import SourceOptions
try:
    for image in open_source(SourceOptions(source="-", vid_stride=int(sys.argv[1]))).images:
        print(image.image.shape[:2] + (image.index,) if isinstance(image, Frame) else image.error, flush=True)
except ImageError as error:
    print(error)
"""


def _run(data, vid_stride=1, **options):
    """What a process makes of its standard input, a line for each image."""
    command = [sys.executable, "-c", _PROGRAM, str(vid_stride)]
    given = {"input": data} if data is not None else {}
    result = subprocess.run(command, capture_output=True, check=True, **given, **options)
    return result.stdout.decode().splitlines()


def _png():
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (9, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def test_jpegs_with_anything_between():
    photos = [path.read_bytes() for path in IMAGES[:3]]
    expected = []
    for index, path in enumerate(IMAGES[:3]):
        with PIL.Image.open(path) as image:
            expected.append(str((*image.size[::-1], index)))
    assert _run(b"".join(photos)) == expected
    assert _run(b"\r\n--frame\r\n\r\n".join(photos) + b"\n") == expected
    assert _run(b"".join(photos), 2) == expected[::2]


def test_a_frame_is_dealt_with_before_the_next_comes():
    command = [sys.executable, "-c", _PROGRAM, "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for index in range(3):
            process.stdin.write(media.jpeg(index))
            process.stdin.flush()
            assert process.stdout.readline().decode().strip() == f"(48, 64, {index})"
        process.stdin.close()
        assert process.stdout.read() == b""


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_video(tmp_path, name):
    data = media.video(tmp_path / name, 20).read_bytes()
    assert _run(data) == [f"(48, 64, {index})" for index in range(20)]
    assert _run(data, 7) == ["(48, 64, 0)", "(48, 64, 7)", "(48, 64, 14)"]


REFUSED = [
    # what comes, and what is said
    (b"", r"Standard input is empty\. Expected JPEGs, one image or a video"),
    (b"hello\n", r"Standard input is no image: it starts with b'hello\\n'"),
    (b"<html>", "Standard input is a web page or XML"),
    (media.jpeg(1)[:400], "Image 1 of standard input: image of 400 bytes cannot be decoded"),
    (_png()[:40], "Image 1 of standard input: .* cannot be decoded"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_is_none(data, message):
    [line] = _run(data)
    assert re.match(message, line)


def test_one_image_of_another_kind():
    assert _run(_png()) == ["(7, 9, 0)"]


def test_a_torn_jpeg_is_told_in_its_turn():
    lines = _run(media.jpeg(1) + media.jpeg(2)[:-20])
    assert lines[0] == "(48, 64, 0)"
    assert lines[1].startswith("Image 2 of standard input: image of")


def test_a_terminal_and_none():
    controller, terminal = pty.openpty()
    try:
        [line] = _run(None, stdin=terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    assert line.startswith("Standard input is a terminal. Expected JPEGs")
    [line] = _run(None, preexec_fn=lambda: os.close(0))
    assert line.startswith("Standard input is closed")
