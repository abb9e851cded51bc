import pytest

import tftrt_yolo
from tests.predictor.sources import media, servers
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source import Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions


def _open(path, text, **options):
    path.write_text(text)
    return open_source(
        SourceOptions(source=path, **{"timeout_s": 5, "max_retries": 0, "stream_buffer": True} | options)
    )


def test_streams_and_videos_in_turn(tmp_path):
    media.video(tmp_path / "a.mp4", 5)
    routes = {
        "/one": servers.mjpeg(range(6)),
        "/two": servers.mjpeg(range(9)),
        "/b.mp4": servers.file((tmp_path / "a.mp4").read_bytes()),
    }
    with servers.web(routes) as url:
        source = _open(tmp_path / "x.streams", f"# cameras\n{url}/one\n{url}/two\n\na.mp4\n{url}/b.mp4\n")
        assert source.is_live
        frames = list(source.images)
    by_source = {}
    for frame in frames:
        by_source.setdefault(frame.source, []).append(frame.index)
    expected = {f"{url}/one": 6, f"{url}/two": 9, str(tmp_path / "a.mp4"): 5, f"{url}/b.mp4": 5}
    assert by_source == {name: list(range(count)) for name, count in expected.items()}
    assert len({frame.source for frame in frames[:8]}) > 1  # none waits for another's end
    assert (source.tally.num_frames, source.tally.num_dropped, source.tally.notes) == (25, 0, [])


def test_a_video_among_streams_loses_no_frame(tmp_path):
    media.video(tmp_path / "a.mp4", 40)
    source = _open(tmp_path / "x.streams", "a.mp4\n", stream_buffer=False, vid_stride=2)
    assert [frame.index for frame in source.images] == list(range(0, 40, 2))
    assert source.tally.num_dropped == 0


def test_streams_that_cannot_be_opened(tmp_path):
    media.video(tmp_path / "a.mp4", 3)
    text = "http://127.0.0.1:1/a\na.mp4\n99\ngone.mp4\n"
    with pytest.raises(tftrt_yolo.ImageError, match=r"http://127\.0\.0\.1:1/a cannot be read: Connection refused"):
        _open(tmp_path / "x.streams", text)
    images = list(_open(tmp_path / "x.streams", text, skip_unreadable=True).images)
    assert [type(image) for image in images[:3]] == [Unreadable] * 3
    assert [image.index for image in images[3:]] == [0, 1, 2]
    assert "There is no webcam 99" in str(images[1].error)
    with pytest.raises(tftrt_yolo.ImageError, match="There is no webcam 99"):
        _open(tmp_path / "x.streams", "99\n", skip_unreadable=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names 0 streams. Expected 1 to 64, one a line"),
        ("# none\n", "names 0 streams"),
        ("0\n" * 65, "names 65 streams"),
        ("ftp://a/b\n", "begins with ftp://"),
    ],
)
def test_files_of_no_streams(tmp_path, text, message):
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        _open(tmp_path / "x.streams", text)


def test_an_image_is_no_stream(tmp_path):
    with (
        servers.web({"/a.jpg": servers.file(media.jpeg(1))}) as url,
        pytest.raises(tftrt_yolo.ImageError, match="is one image and no stream"),
    ):
        _open(tmp_path / "x.streams", f"{url}/a.jpg\n")
