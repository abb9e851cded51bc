import os
from pathlib import Path

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.predictor.sources import media
from tftrt_yolo.ground.arguments import named_as_flags
from tftrt_yolo.predictor.sources.opening import is_live_by_name, open_source
from tftrt_yolo.predictor.sources.source import Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions

REFUSED = [
    # a source, and what is said
    ("nothing.jpg", "There is no file or folder nothing.jpg. Expected an image, a video, a folder"),
    ("nothing.mp4", "There is no file or folder nothing.mp4"),
    ("nothing.txt", "There is no file or folder nothing.txt"),
    ("nothing.streams", "There is no file or folder nothing.streams"),
    ("nothing/*.jpg", r"No file matches the pattern nothing/\*\.jpg"),
    ("", "source is empty. Expected an image"),
    ("/dev/null", "/dev/null is a device, a pipe or a socket and no file"),
    ("a\0b", "There is no file or folder|cannot be read"),
    (Path("http://example.invalid/a.jpg"), "A Path has one slash of a URL's two; give the URL as a string"),
    ("ftp://example.invalid/a.jpg", "begins with ftp://. Expected a path, or a URL of http, https, rtsp"),
    ("file:///etc/passwd", "begins with file://"),
    ("s3://bucket/a.jpg", "begins with s3://"),
    ("concat:a.mp4|b.mp4", "There is no file or folder"),
    ("screen", "There is no file or folder screen"),
    (77, r"There is no webcam 77 \(/dev/video77\)\. Expected the number of one that is here"),
    (np.int64(77), "There is no webcam 77"),
    ("77", "There is no webcam 77"),
    ("/dev/video77", "There is no webcam 77"),
    (-1, "There is no webcam -1"),
]


@pytest.mark.parametrize(("source", "message"), REFUSED)
def test_sources_that_are_not_there(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        open_source(SourceOptions(source=source))


@pytest.mark.parametrize("source", [None, 1.5, True, ["a.jpg"], object()])
def test_sources_of_another_type(source):
    with pytest.raises(TypeError, match=r"source is .*; expected a path, a URL, a glob or the number of a webcam\."):
        open_source(SourceOptions(source=source))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("vid_stride", 0, "vid_stride is 0; it must be a whole number of at least 1"),
        ("vid_stride", 1.5, "vid_stride is 1.5; it must be a whole"),
        ("max_retries", -1, "max_retries is -1; it must be a whole number of at least 0"),
        ("max_retries", True, "max_retries is True"),
        ("timeout_s", 0, "timeout_s is 0; it must be a number of seconds above 0"),
        ("timeout_s", float("nan"), "timeout_s is nan"),
        ("timeout_s", "1", "timeout_s is '1'"),
        ("recursive", "yes", "recursive is 'yes'; it must be True or False"),
        ("stream_buffer", 1, "stream_buffer is 1; it must be True or False"),
        ("skip_unreadable", None, "skip_unreadable is None; it must be True or False"),
    ],
)
def test_options_out_of_range(name, value, message):
    with pytest.raises(ValueError, match=message):
        SourceOptions(source="a.jpg", **{name: value})
    with named_as_flags(), pytest.raises(ValueError, match=f"^--{message}"):
        SourceOptions(source="a.jpg", **{name: value})


def test_every_spelling_of_a_path(tmp_path, monkeypatch):
    path = media.video(tmp_path / "a.mp4", 3)
    monkeypatch.chdir(tmp_path)
    for source in ("a.mp4", "./a.mp4", str(path), path, os.fsencode(path), next(os.scandir(tmp_path))):
        assert len(list(open_source(SourceOptions(source=source)).images)) == 3


def test_a_number_is_a_webcam_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_live_by_name("7")
    (tmp_path / "7").write_bytes(IMAGES[0].read_bytes())
    assert not is_live_by_name("7")
    assert is_live_by_name(7)
    assert list(open_source(SourceOptions(source="7")).images) == [Path("7")]


def test_what_is_live_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.streams").write_text("0\n")
    for source in (0, "0", "rtsp://a/b", "RTMP://a/b", "tcp://a:1", "udp://@:1", "cameras.streams", "/dev/video3"):
        assert is_live_by_name(source), source
    for source in ("a.jpg", "http://a/b", "https://a/b.mp4", "-", "no.streams", Path("photos")):
        assert not is_live_by_name(source), source


def test_a_video_that_cannot_be_read_is_refused_at_once_or_in_its_turn(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(tftrt_yolo.ImageError, match=r"a\.mp4 is no video that can be read"):
        open_source(SourceOptions(source=tmp_path / "a.mp4"))
    [image] = open_source(SourceOptions(source=tmp_path / "a.mp4", skip_unreadable=True)).images
    assert isinstance(image, Unreadable)
    media.video(tmp_path / "b.mp4", 2)
    images = list(open_source(SourceOptions(source=tmp_path)).images)
    assert [type(image).__name__ for image in images] == ["Unreadable", "Frame", "Frame"]
