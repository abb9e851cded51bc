import base64
import socket
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.predictor.sources import media, servers
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source import Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.sources.streams import urls

PHOTO = IMAGES[0].read_bytes()


def _source(url, **options):
    return open_source(SourceOptions(source=url, **{"timeout_s": 5, "max_retries": 0} | options))


def test_an_image(tmp_path):
    buffer = tmp_path / "a.png"
    PIL.Image.open(IMAGES[0]).save(buffer)
    routes = {
        "/a.jpg": servers.file(PHOTO, "image/jpeg"),
        "/a": servers.file(PHOTO),  # what it is, its first bytes say
        "/a.mp4": servers.file(PHOTO, "video/mp4"),
        "/endless.jpg": servers.file(PHOTO, "image/jpeg", tells_size=False),
        "/a.png?size=9&x=%20y": servers.file(buffer.read_bytes(), "image/png"),
        "/moved": servers.moved("/a.jpg"),
        "/two%20words.jpg": servers.file(PHOTO, "image/jpeg"),
    }
    with servers.web(routes) as url:
        for path in (*routes, "/two words.jpg"):
            source = _source(url + path)
            [frame] = source.images
            assert isinstance(frame, Frame)
            np.testing.assert_array_equal(frame.image, read_image(PHOTO))
            assert (frame.source, frame.index, frame.video, source.count) == (url + path, 0, None, 1)
            assert not source.is_live


def _slow(handler):
    servers.begin(handler, "image/jpeg", size=len(PHOTO))
    handler.wfile.write(PHOTO[:1_000])
    handler.wfile.flush()
    threading.Event().wait(3)


ANSWERS = [
    # what a server answers, and what is said
    (servers.missing, "cannot be read: the server answers 404 Not Found. Expected the URL of an image, a video or a"),
    (lambda handler: handler.send_error(500), "the server answers 500 Internal Server Error"),
    (lambda handler: handler.send_error(401), "the server answers 401 Unauthorized"),
    (servers.file(b"<!doctype html><p>photo", "text/html"), "is a web page. Expected the URL of an image, a video or"),
    (servers.file(b"<html><p>photo"), "is a web page or XML"),
    (servers.file(b"<html><p>video", "video/mp4"), "is a web page or XML"),
    (servers.file(b'{"photo": 1}', "application/json"), "is no image: it starts with"),
    (servers.file(b"PK\x03\x04" + bytes(99)), "is an archive. Expected one of .* Unpack it first"),
    (servers.file(b"", "image/jpeg"), "is empty"),
    (servers.file(PHOTO[:900], "image/jpeg", size=len(PHOTO)), "was cut short: 900 of .* bytes came"),
    (servers.file(PHOTO[:900], "image/jpeg"), "cannot be decoded"),
    (servers.file(PHOTO[:900], "image/jpeg", size=1 << 40), r"is too large: it has 1,099,511,627,776 bytes or more"),
    (servers.file(b"hello", "video/mp4"), "is no video that can be read"),
    (servers.file(b"hello", "audio/mpeg"), "is no video that can be read"),
    (servers.moved("/x"), "it redirects more than 5 times, or in a circle"),
    (servers.moved("file:///etc/passwd"), "cannot be read: .*(not allowed|neither http nor https)"),
    (servers.moved("ftp://127.0.0.1/a.jpg"), "which is neither http nor https"),
    (servers.moved("http://nowhere.invalid/a.jpg"), "its host is not known"),
    (_slow, "nothing came within the time limit"),
    (lambda handler: handler.wfile.write(b"garbage\r\n\r\n"), "cannot be read"),
    (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "cannot be read"),
]


@pytest.mark.parametrize(("answer", "message"), ANSWERS)
def test_answers_that_are_no_source(answer, message):
    with servers.web({"/x": answer}) as url, pytest.raises(tftrt_yolo.ImageError, match=message):
        _source(url + "/x", timeout_s=1)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://nowhere.invalid/a.jpg", r"its host is not known"),
        ("https://nowhere.invalid/a.mp4", r"its host is not known"),
        ("http://127.0.0.1:1/a.jpg", "Connection refused"),
        ("http://", "it names no host"),
        ("http:///a.jpg", "it names no host"),
        ("http://[::1", "cannot be read: .*Invalid IPv6"),
        ("http://127.0.0.1:port/a", "cannot be read"),
        ("http://\udcff.invalid/", "cannot be read"),
    ],
)
def test_servers_that_are_not_there(url, message):
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        _source(url, timeout_s=1)


def test_a_password_is_sent_and_never_shown():
    seen = []

    def answer(handler):
        seen.append(handler.headers["Authorization"])
        servers.file(PHOTO, "image/jpeg")(handler)

    with servers.web({"/a.jpg": answer}) as url:
        with_password = url.replace("://", "://me:se%20cret@")
        [frame] = _source(with_password + "/a.jpg").images
        assert seen == ["Basic " + base64.b64encode(b"me:se cret").decode()]
        assert frame.source == url.replace("://", "://me:***@") + "/a.jpg"
        with pytest.raises(tftrt_yolo.ImageError) as raised:
            _source(with_password + "/b.jpg")
        assert "cret" not in str(raised.value)


def test_a_server_is_no_way_into_a_private_network():
    for target in ("http://127.0.0.1/x", "http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]/"):
        with pytest.raises(ValueError, match="which is in a private network"):
            urls.check_target(target, named_by="http://93.184.215.14/")
        urls.check_target(target, named_by="http://192.168.0.9/")


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_video_is_downloaded_and_its_file_goes_with_it(tmp_path, tells_size):
    """Its index stands at its end, so that it can only be read whole."""
    path = media.video(tmp_path / "a.mp4", 12, sound=True)
    with servers.web({"/a.mp4": servers.file(path.read_bytes(), "video/mp4", tells_size=tells_size)}) as url:
        source = _source(url + "/a.mp4", vid_stride=2)
        frames = list(source.images)
    assert [frame.index for frame in frames] == list(range(0, 12, 2))
    video = frames[0].video
    assert (video.source, video.has_sound, source.is_live, source.tally.num_retries) == (url + "/a.mp4", True, False, 0)
    copy = video.path
    assert copy.read_bytes() == path.read_bytes()
    del frames, video, source
    assert not copy.exists()


def _playlist(folder):
    media.video(
        folder / "a.m3u8", 30, codec="libx264", form="hls", g="10", container_hls_time="1", container_hls_list_size="0"
    )
    return {f"/{path.name}": servers.file(path.read_bytes()) for path in folder.iterdir()}


def test_hls_that_ends_is_a_video(tmp_path):
    routes = _playlist(tmp_path)
    assert len(routes) > 2
    with servers.web(routes) as url:
        source = _source(url + "/a.m3u8")
        assert not source.is_live
        assert [frame.index for frame in source.images] == list(range(30))


def test_hls_that_goes_on_is_live(tmp_path):
    routes = _playlist(tmp_path)
    text = (tmp_path / "a.m3u8").read_text().replace("#EXT-X-ENDLIST\n", "")
    with servers.web(routes | {"/a.m3u8": servers.file(text.encode())}) as url:
        source = _source(url + "/a.m3u8", stream_buffer=True)
        assert source.is_live
        images = iter(source.images)
        assert [next(images).index for _ in range(5)] == list(range(5))
        source.close()


@pytest.mark.parametrize("named", ["file:///etc/hosts.ts", "/etc/hosts.ts", "ftp://127.0.0.1/a.ts", "concat:a.ts|b.ts"])
def test_hls_opens_nothing_but_http(tmp_path, named):
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{named}\n#EXT-X-ENDLIST\n"
    with (
        servers.web({"/a.m3u8": servers.file(text.encode())}) as url,
        pytest.raises(tftrt_yolo.ImageError, match=r"cannot be read|no video|not there|holds no frame"),
    ):
        _source(url + "/a.m3u8", timeout_s=1)


def test_urls_in_a_list(tmp_path):
    media.video(tmp_path / "b.mp4", 3)
    routes = {
        "/a.jpg": servers.file(PHOTO),
        "/b.mp4": servers.file((tmp_path / "b.mp4").read_bytes()),
        "/live": servers.mjpeg([1, 2]),
    }
    with servers.web(routes) as url:
        (tmp_path / "list.txt").write_text(f"{url}/a.jpg\nb.mp4\n{url}/b.mp4\n{url}/gone\n{url}/live\nrtsp://a/b\n")
        images = list(_source(tmp_path / "list.txt").images)
    errors = [str(image.error) for image in images if isinstance(image, Unreadable)]
    assert len(images) == 1 + 3 + 3 + 3
    assert "404" in errors[0]
    assert "/live is a live stream, which has no end" in errors[1]
    assert "rtsp://a/b is a live stream" in errors[2]
    assert Path(images[1].source) == tmp_path / "b.mp4"
