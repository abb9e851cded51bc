"""Sources as they are given to a Predictor, and to the command line."""

import re
import shutil
import subprocess
import sys
import threading

import av
import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS
from tests.predictor.sources import media, servers
from tftrt_yolo.predictor.sources.opening import open_source


@pytest.fixture(scope="module")
def predictor(tiny_export):
    return tftrt_yolo.Predictor(tiny_export)


@pytest.fixture
def folder(tmp_path):
    """Three images and a video of five frames."""
    for path in IMAGES[:3]:
        shutil.copy(path, tmp_path)
    media.video(tmp_path / "z.mp4", 5)
    return tmp_path


def test_names_of_sources(predictor, folder, monkeypatch):
    monkeypatch.chdir(folder)
    expected = predictor(IMAGES[:3])
    for source in ("*.jpg", str(folder / "*.jpg"), [path.name for path in IMAGES[:3]]):
        for results in (predictor(source), list(predictor.stream(source))):
            assert len(results) == 3
            for result, same in zip(results, expected, strict=True):
                np.testing.assert_array_equal(result.xyxy, same.xyxy)
    for source in (folder, str(folder), ".", tftrt_yolo.SourceOptions(source=folder)):
        assert len(predictor(source)) == len(list(predictor.stream(source))) == 8
    assert len(predictor("z.mp4")) == 5
    assert len(predictor("z.mp4", vid_stride=2)) == 3
    assert len(list(predictor.stream(tftrt_yolo.SourceOptions(source="z.mp4", vid_stride=4)))) == 2
    assert len(list(predictor.stream(tftrt_yolo.SourceOptions(source="z.mp4", vid_stride=4), vid_stride=5))) == 1
    assert len(predictor(open_source(tftrt_yolo.SourceOptions(source="z.mp4")))) == 5


def test_frames_come_with_their_images(predictor, folder):
    found = list(predictor.with_images(folder))
    assert [given for given, _, _ in found[:3]] == [folder / path.name for path in IMAGES[:3]]
    frames = [given for given, _, _ in found[3:]]
    assert [frame.index for frame in frames] == list(range(5))
    for frame, image, _ in found[3:]:
        assert isinstance(frame, tftrt_yolo.Frame)
        assert isinstance(frame.video, tftrt_yolo.VideoInfo)
        np.testing.assert_array_equal(frame.image, image)


def test_results_on_a_video_are_those_on_its_frames(predictor, tmp_path):
    """A lossless video of one photo, twice."""
    images = [np.asarray(image) for _, image, _ in predictor.with_images([IMAGES[0]])] * 2
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.height, stream.width, stream.pix_fmt = *images[0].shape[:2], "bgr0"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    [expected] = predictor(IMAGES[0])
    results = predictor(tmp_path / "a.mkv")
    assert len(results) == 2
    for result in results:
        np.testing.assert_allclose(result.xyxy, expected.xyxy, atol=0.01)
    assert len(expected)


def test_one_image_is_still_one_image(predictor):
    [expected] = predictor(IMAGES[0])
    for image in (IMAGES[0].read_bytes(), bytearray(IMAGES[0].read_bytes())):
        for results in (predictor(image), list(predictor.stream(image))):
            [result] = results
            np.testing.assert_array_equal(result.xyxy, expected.xyxy)


def test_unreadable_entries_are_raised_or_skipped(predictor, folder):
    (folder / "b.mp4").write_text("no video")
    with pytest.raises(tftrt_yolo.ImageError, match=r"b\.mp4 is no video that can be read"):
        predictor(folder)
    given, results = [], []
    with pytest.raises(tftrt_yolo.ImageError, match=r"b\.mp4"):
        results.extend(predictor.stream(folder))
    assert len(results) == 3  # those before it
    assert len(predictor(folder, on_unreadable="skip")) == 8
    assert len(predictor(folder, on_unreadable=lambda *pair: given.append(pair))) == 8
    [(entry, error)] = given
    assert str(entry) == str(folder / "b.mp4")
    assert isinstance(error, tftrt_yolo.ImageError)
    assert len(predictor(tftrt_yolo.SourceOptions(source=folder, skip_unreadable=True))) == 8
    (folder / "list.txt").write_text("z.mp4\ngone.jpg\n")
    with pytest.raises(tftrt_yolo.ImageError, match=r"1 entry .* is not there: gone\.jpg"):
        predictor(folder / "list.txt")
    assert len(predictor(folder / "list.txt", on_unreadable="skip")) == 5


@pytest.mark.parametrize("source", [0, "0", "rtsp://127.0.0.1:1/a", "udp://127.0.0.1:1", "x.streams"])
def test_a_call_refuses_what_has_no_end(predictor, tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.streams").write_text("0\n")
    message = f"{re.escape(str(source))} is live and has no end, .* Expected a source that ends; use stream"
    for given in (source, tftrt_yolo.SourceOptions(source=source)):
        with pytest.raises(ValueError, match=message):
            predictor(given)
    with pytest.raises(tftrt_yolo.ImageError, match=r"webcam 0|cannot be opened"):
        predictor.stream(source, timeout_s=0.2)


def test_a_call_refuses_a_stream_behind_a_url_and_lets_go_of_it(predictor):
    with servers.web({"/": servers.mjpeg([1] * 5)}) as url:
        with pytest.raises(ValueError, match="is live and has no end"):
            predictor(url + "/")
        assert len(list(predictor.stream(url + "/", stream_buffer=True, max_retries=0))) == 5


def test_a_live_stream_falls_behind_by_less_than_two_frames(predictor):
    """The server sends the next picture when a result is there, but the first ten at once: they are left out."""
    predictor.warm_up((1,))
    results, sent = threading.Semaphore(0), []

    def before(number):
        if number > 10:
            assert results.acquire(timeout=20)
        sent.append(number)

    with servers.web({"/": servers.mjpeg(range(20), before=before)}) as url:
        source = open_source(tftrt_yolo.SourceOptions(source=url + "/", max_retries=0))
        given = []
        for frame, _, _ in predictor.with_images(source):
            given.append((frame.index, len(sent)))
            results.release()
    assert given[-1][0] == 19
    assert source.tally.num_frames + source.tally.num_dropped == 20
    # Of those that came one by one, each result is of the newest that was sent, or of the one before.
    assert all(sent_then - index <= 2 for index, sent_then in given[2:]), given


def test_closing_a_stream_ends_its_threads(predictor, tmp_path):
    before = set(threading.enumerate())

    def left():
        return [one for one in set(threading.enumerate()) - before if one.name in ("source", "stream")]

    stream = predictor.stream(media.video(tmp_path / "a.mp4", 200))
    next(stream)
    assert left()
    stream.close()
    assert not left()
    with servers.web({"/": servers.mjpeg([1] * 10_000)}) as url:
        stream = predictor.stream(url + "/")
        next(stream)
        assert left()
        stream.close()
        assert not left()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vid_stride": 0}, "vid_stride is 0; it must be a whole number of at least 1"),
        ({"timeout_s": -1}, "timeout_s is -1; it must be a number of seconds above 0"),
        ({"stream_buffer": "yes"}, "stream_buffer is 'yes'; it must be True or False"),
    ],
)
def test_options_of_a_call_are_checked(predictor, folder, options, message):
    for call in (predictor, predictor.stream, predictor.with_images):
        with pytest.raises(ValueError, match=message):
            call(folder, **options)


def test_images_only_where_images_are_needed(tiny_export, folder):
    """The other commands say what takes videos."""
    with pytest.raises(tftrt_yolo.ImageError, match=r"is a video \(MP4 or MOV\)\..* Videos are read by predict and"):
        tftrt_yolo.Predictor(tiny_export)([folder / "z.mp4"])


def _run(*arguments, **options):
    command = [sys.executable, "-m", "tftrt_yolo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--source=0"], 1, r"predict: There is no webcam 0 \(/dev/video0\)\. Expected"),
        (["--source=-"], 1, r"predict: Standard input is empty\. Expected JPEGs"),
        (
            ["--source=a.mp4", "--source=b.mp4"],
            2,
            "--source is given 2 times, the last time as 'b.mp4'; expected",
        ),
        (["--source=a.mp4", "--vid_stride=0"], 1, "--vid_stride is 0; it must be"),
        (["--source=a.mp4", "--timeout_s=0"], 1, "--timeout_s is 0.0; it must be"),
        (["--source=a.mp4", "--max_retries=-1"], 1, "--max_retries is -1; it must be"),
        (["--source=gone.mp4"], 1, "There is no file or folder gone.mp4"),
        (["--source=http://127.0.0.1:1/a.mp4"], 1, "http://127.0.0.1:1/a.mp4 cannot be read: Connection refused"),
        (["--source=rtsp://127.0.0.1:1/a"], 1, "rtsp://127.0.0.1:1/a cannot be opened: Connection refused"),
        (["--source=list.txt"], 1, r"not there: gone\.jpg.* Pass --skip_unreadable to go on without"),
    ],
)
def test_bad_sources_by_the_command_line(tmp_path, flags, status, message):
    (tmp_path / "list.txt").write_text("gone.jpg\n")
    result = _run("predict", TINY_WEIGHTS.parent, "--output_dir=out", *flags, cwd=tmp_path, stdin=subprocess.DEVNULL)
    assert result.returncode == status, result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]
