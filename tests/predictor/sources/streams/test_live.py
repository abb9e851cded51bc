import io
import itertools
import logging
import re
import socket
import threading

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.predictor.sources import media, servers
from tftrt_yolo.predictor.sources.opening import open_source
from tftrt_yolo.predictor.sources.source import Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.sources.streams import live

_PATIENCE_S = 20


def _source(url, **options):
    return open_source(SourceOptions(source=url, **{"timeout_s": 5, "max_retries": 0} | options))


def _until(is_so):
    """Waits for something that another thread brings about."""
    waiting = threading.Event()
    for _ in range(int(_PATIENCE_S / 0.01)):
        if is_so():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")


def test_every_frame_of_a_stream_in_order():
    with servers.web({"/": servers.mjpeg(range(0, 240, 8))}) as url:
        source = _source(url + "/", stream_buffer=True)
        assert source.is_live
        assert source.count is None
        frames = list(source.images)
    assert [frame.index for frame in frames] == list(range(30))
    assert [round(frame.image.mean() / 8) for frame in frames] == list(range(30))
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(seconds)
    assert {frame.source for frame in frames} == {url + "/"}
    video = frames[0].video
    assert (video.size_hw, video.is_live, video.path, video.num_frames) == ((48, 64), True, None, None)
    tally = source.tally
    assert (tally.num_frames, tally.num_dropped, tally.num_retries, tally.notes) == (30, 0, 0, [])


def test_the_newest_frame_is_given_and_the_others_are_counted():
    """The server sends frame after frame while the first is dealt with; what is given next is the last of them."""
    go_on, end = threading.Event(), threading.Event()
    waits = {1: go_on, 21: end}

    def before(number):
        if number in waits:
            assert waits[number].wait(_PATIENCE_S)

    with servers.web({"/": servers.mjpeg(range(25), before=before)}) as url:
        source = _source(url + "/")
        images = iter(source.images)
        assert next(images).index == 0
        go_on.set()  # the network is busy, and frames 1 to 20 come
        _until(lambda: source.tally.num_dropped == 19)
        assert next(images).index == 20
        end.set()
        rest = [frame.index for frame in images]
    assert rest[-1] == 24
    assert rest == sorted(set(rest))
    assert source.tally.num_dropped + source.tally.num_frames == 25


def test_with_a_buffer_the_sender_waits_and_memory_does_not_grow():
    """Of large pictures a connection holds few; so the server gets no further than those that wait."""
    sent, big = [], (2_000, 1_500)

    def answer(handler):
        servers.begin(handler, "multipart/x-mixed-replace; boundary=frame")
        noise = np.random.default_rng(0).integers(0, 256, (*big[::-1], 3), np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(noise).save(buffer, "JPEG", quality=95)
        for number in range(55):
            handler.wfile.write(b"--frame\r\n\r\n" + buffer.getvalue())
            sent.append(number)
        handler.wfile.write(b"--frame--")

    with servers.web({"/": answer}) as url:
        source = _source(url + "/", stream_buffer=True)
        images = iter(source.images)
        assert next(images).image.shape == (*big[::-1], 3)
        _until(lambda: len(sent) >= live._MOST_WAITING)
        threading.Event().wait(0.3)
        assert len(sent) < live._MOST_WAITING + 12
        assert [frame.index for frame in images] == list(range(1, 55))
    assert source.tally.num_dropped == 0


def test_every_nth_frame():
    with servers.web({"/": servers.mjpeg(range(10))}) as url:
        source = _source(url + "/", stream_buffer=True, vid_stride=3)
        assert [frame.index for frame in source.images] == [0, 3, 6, 9]
        assert source.tally.num_dropped == 0  # they were not asked for


def _broken(*answers):
    """Answers the first time with the first, and so on; the last again and again."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


BREAKS = [
    # how a stream breaks, and what is said
    (servers.mjpeg(range(3), ends=False), "the connection was closed"),
    (
        servers.mjpeg(range(3), ends=False, after=lambda: threading.Event().wait(2)),
        "nothing came within the time limit",
    ),
]


@pytest.mark.parametrize(("breaks", "reason"), BREAKS)
def test_a_stream_that_breaks_and_comes_back(caplog, breaks, reason):
    with servers.web({"/": _broken(breaks, servers.missing, servers.mjpeg(range(4)))}) as url:
        source = _source(url + "/", stream_buffer=True, max_retries=5, timeout_s=1)
        frames = list(source.images)
    assert [frame.index for frame in frames] == list(range(7))
    tally = source.tally
    assert (tally.num_frames, tally.num_retries, tally.notes) == (7, 2, [])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    patterns = [
        rf"^{re.escape(url)}/: {reason}.*; it is opened anew in 1 s \(1 of 5\)$",
        rf"^{re.escape(url)}/: cannot be read: .* 404 Not Found\. .*; it is opened anew in 2 s \(2 of 5\)$",
    ]
    assert [bool(re.search(*pair)) for pair in zip(patterns, warnings, strict=True)] == [True, True], warnings


@pytest.mark.parametrize("max_retries", [0, 1])
def test_a_stream_that_does_not_come_back_keeps_its_frames(max_retries):
    with servers.web({"/": _broken(servers.mjpeg(range(3), ends=False), servers.missing)}) as url:
        source = _source(url + "/", stream_buffer=True, max_retries=max_retries)
        assert len(list(source.images)) == 3
    assert source.tally.num_retries == max_retries
    [note] = source.tally.notes
    tried = ", and it was tried again 1 time" if max_retries else ""
    assert re.search(rf"stopped: .*{tried}\. Its 3 frames before are used\.$", note)


def test_a_stream_that_is_none_any_more():
    with servers.web({"/": _broken(servers.mjpeg([1], ends=False), servers.file(media.jpeg(1)))}) as url:
        source = _source(url + "/", max_retries=1)
        assert len(list(source.images)) == 1
    assert "what is there now is no stream any more" in source.tally.notes[0]


def test_a_stream_without_a_frame():
    with servers.web({"/": servers.mjpeg([])}) as url:
        [image] = _source(url + "/").images
    assert isinstance(image, Unreadable)
    assert "gave no frame: it ended at once. Expected a stream of frames" in str(image.error)


def test_a_damaged_frame_is_left_out_and_told():
    def answer(handler):
        servers.begin(handler, "multipart/x-mixed-replace; boundary=frame")
        strange = media.jpeg(2).replace(b"\xff\xc0", b"\xff\xc3")  # lossless, which nobody reads
        for data in (media.jpeg(1), strange, media.jpeg(3)):
            handler.wfile.write(b"--frame\r\n\r\n" + data)
        handler.wfile.write(b"--frame--")

    with servers.web({"/": answer}) as url:
        source = _source(url + "/", stream_buffer=True)
        assert [frame.index for frame in source.images] == [0, 2]
    assert source.tally.num_dropped == 1
    assert "has frames that cannot be decoded, which are left out" in source.tally.notes[0]


@pytest.mark.parametrize("has_begun", [True, False])
def test_threads_and_connections_end_with_the_source(has_begun):
    before, gone = set(threading.enumerate()), threading.Event()

    def answer(handler):
        try:
            servers.mjpeg(itertools.cycle(range(200)))(handler)
        finally:
            gone.set()

    with servers.web({"/": answer}) as url:
        source = _source(url + "/")
        if has_begun:
            next(iter(source.images))
        source.close()
        assert gone.wait(_PATIENCE_S)  # the server sees that nobody listens
        _until(lambda: not [one for one in set(threading.enumerate()) - before if one.name == "stream"])
        source.close()
    assert list(source.images) == []


def _ts(tmp_path):
    return media.video(tmp_path / "a.ts", 30).read_bytes()


def test_rtsp(tmp_path):
    with servers.tcp(servers.rtsp(_ts(tmp_path))) as port:
        source = _source(f"rtsp://me:secret@127.0.0.1:{port}/camera", stream_buffer=True)
        assert source.is_live
        frames = list(source.images)
    assert 20 <= len(frames) <= 30
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].source == f"rtsp://me:***@127.0.0.1:{port}/camera"
    assert frames[0].video.rate == media.RATE
    assert np.abs(frames[0].image.astype(int) - media.picture(0)).max() < 60
    assert "stopped: " in source.tally.notes[0]
    assert "secret" not in source.tally.notes[0]


def test_a_video_that_a_web_server_sends_without_an_end(tmp_path):
    data = _ts(tmp_path)
    with servers.web({"/live": servers.file(data, "video/mp2t", tells_size=False)}) as url:
        source = _source(url + "/live", stream_buffer=True)
        assert source.is_live
        assert len(list(source.images)) == 30


def test_tcp_and_udp(tmp_path):
    data = _ts(tmp_path)
    with servers.tcp(lambda connection: connection.sendall(data)) as port:
        assert 20 <= len(list(_source(f"tcp://127.0.0.1:{port}", stream_buffer=True).images)) <= 30
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
    is_over = threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not is_over.is_set():
                for place in range(0, len(data), 1_316):
                    sender.sendto(data[place : place + 1_316], ("127.0.0.1", port))
                    is_over.wait(0.01)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        source = _source(f"udp://127.0.0.1:{port}", stream_buffer=True)
        images = iter(source.images)
        assert [next(images).index for _ in range(5)] == list(range(5))
    finally:
        is_over.set()
        thread.join()
    source.close()


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "tcp"])
def test_streams_that_were_never_there(scheme):
    with pytest.raises(tftrt_yolo.ImageError, match=r"cannot be opened: Connection refused\. Expected a stream"):
        _source(f"{scheme}://127.0.0.1:1/camera")


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_a_sender_does_not_send_us_elsewhere(tmp_path, text):
    asked = threading.Event()
    with servers.tcp(lambda _: asked.set()) as other:
        data = text.format(f"tcp://127.0.0.1:{other}").encode()
        with (
            servers.tcp(lambda connection: connection.sendall(data)) as port,
            pytest.raises(tftrt_yolo.ImageError, match="cannot be opened"),
        ):
            _source(f"tcp://127.0.0.1:{port}")
    assert not asked.is_set()


def test_a_stream_that_is_silent_from_the_beginning():
    with (
        servers.tcp(lambda connection: connection.recv(1)) as port,
        pytest.raises(tftrt_yolo.ImageError, match="cannot be opened: nothing came within the time limit"),
    ):
        _source(f"tcp://127.0.0.1:{port}", timeout_s=0.5)
