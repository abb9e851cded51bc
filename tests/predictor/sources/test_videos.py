import gc
import logging
import re
import struct
import sys
import threading

import av
import numpy as np
import pytest

import tftrt_yolo
from tests.predictor.sources import media
from tftrt_yolo.predictor.sources import containers, videos
from tftrt_yolo.predictor.sources.source import Tally


def _frames(path, vid_stride=1):
    tally = Tally()
    return list(videos.frames(videos.of_file(path, str(path)), vid_stride=vid_stride, tally=tally)), tally


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "tolerance"),
    [
        ("a.mp4", "mpeg4", "yuv420p", 12),
        ("a.mp4", "libx264", "yuv420p", 12),
        ("a.mkv", "libx264", "yuv420p10le", 12),  # ten bits
        ("a.mkv", "libx264", "yuv444p", 12),
        ("a.mov", "mjpeg", "yuvj420p", 12),  # full range
        ("a.avi", "mpeg4", "yuv420p", 12),
        ("a.ts", "mpeg2video", "yuv420p", 12),
        ("a.webm", "libvpx-vp9", "yuv420p", 12),
        ("a.mkv", "ffv1", "bgr0", 0),
        ("a.mkv", "ffv1", "yuva420p", 12),  # transparent
        ("a.mov", "qtrle", "argb", 0),
    ],
)
def test_every_frame_in_order_in_rgb(tmp_path, name, codec, pixels, tolerance):
    path = media.video(tmp_path / name, codec=codec, pixels=pixels)
    frames, tally = _frames(path)
    assert [frame.index for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(20) / media.RATE, atol=0.002)
    for number, frame in enumerate(frames):
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (48, 64, 3)
        expected = media.picture(number).astype(int)
        assert np.abs(frame.image.astype(int) - expected)[[5, 40], [5, 60]].max() <= tolerance, number
        np.testing.assert_array_equal(np.asarray(frame), frame.image)
    video = frames[0].video
    assert all(frame.video is video for frame in frames)
    assert (video.source, video.path, video.size_hw, video.rate) == (str(path), path, (48, 64), media.RATE)
    assert not video.has_sound
    assert (tally.num_frames, tally.num_dropped, tally.notes) == (20, 0, [])


def test_grey_and_odd_sizes(tmp_path):
    frames, _ = _frames(media.video(tmp_path / "a.mkv", 3, codec="ffv1", pixels="gray", size=(33, 47)))
    assert frames[0].image.shape == (47, 33, 3)
    assert (frames[0].image.min(-1) == frames[0].image.max(-1)).all()
    assert frames[0].image[3, 3, 0] > 100 > frames[0].image[3, -3, 0]


def test_sound_and_what_the_file_says_of_itself(tmp_path):
    frames, tally = _frames(media.video(tmp_path / "a.mp4", sound=True))
    assert len(frames) == frames[0].video.num_frames == 20
    assert frames[0].video.has_sound
    assert frames[0].video.seconds == pytest.approx(2, abs=0.1)
    assert tally.notes == []  # sound that ends before or after the picture is no damage


def test_every_nth_frame(tmp_path):
    path = media.video(tmp_path / "a.mp4")
    frames, tally = _frames(path, vid_stride=3)
    assert [frame.index for frame in frames] == list(range(0, 20, 3))
    assert tally.num_frames == 7
    everything, _ = _frames(path)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, everything[frame.index].image)


def test_a_variable_rate(tmp_path):
    times = [number**2 for number in range(10)]
    frames, _ = _frames(media.video(tmp_path / "a.mkv", 10, times=times))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.array(times) / media.RATE, atol=0.002)


def test_frames_without_time_stamps(tmp_path):
    """A bare stream of H.264, which knows neither when nor how many."""
    frames, tally = _frames(media.video(tmp_path / "a.h264", codec="libx264", form="h264"))
    assert [frame.index for frame in frames] == list(range(20))
    assert frames[0].video.num_frames is None
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(seconds)
    assert tally.notes == []


_POINT = 1 << 16
MATRICES = [
    # a matrix, and what NumPy makes of the image; the first is that of a telephone that was held upright
    ([[0, 1], [-1, 0]], lambda image: np.rot90(image, -1)),
    ([[0, -1], [1, 0]], np.rot90),
    ([[-1, 0], [0, -1]], lambda image: np.rot90(image, 2)),
    ([[-1, 0], [0, 1]], np.fliplr),
    ([[1, 0], [0, -1]], np.flipud),
    ([[0, 1], [1, 0]], lambda image: image.swapaxes(0, 1)),
    ([[1, 0], [0, 1]], lambda image: image),
]


@pytest.mark.parametrize(("matrix", "expected"), MATRICES)
def test_frames_are_turned_as_the_file_asks(tmp_path, matrix, expected):
    """The matrix is written into the header of the track, where a camera writes it."""
    path = media.video(tmp_path / "a.mp4", 2)
    plain, _ = _frames(path)
    [(a, b), (c, d)] = matrix
    wanted = np.array([a * _POINT, b * _POINT, 0, c * _POINT, d * _POINT, 0, 0, 0, 1 << 30], ">i4").tobytes()
    identity = np.array([_POINT, 0, 0, 0, _POINT, 0, 0, 0, 1 << 30], ">i4").tobytes()
    head, mark, track = path.read_bytes().partition(b"tkhd")
    path.write_bytes(head + mark + track.replace(identity, wanted, 1))
    frames, _ = _frames(path)
    np.testing.assert_array_equal(frames[0].image, expected(plain[0].image))
    assert frames[0].video.size_hw == frames[0].image.shape[:2]
    assert frames[0].image.flags.c_contiguous


def test_no_matrix_changes_nothing():
    image = media.picture(3)
    assert containers.turned(image, None) is image


@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("a.mkv", {}, r"a\.mkv is cut short: its last [\d.]+ s are missing; the \d+ frames before are used"),
        ("a.webm", {"codec": "libvpx-vp9"}, "is cut short: its last"),
        ("a.flv", {"codec": "flv"}, "is cut short: its last"),
        ("a.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}, r"cut short: of 20 frames it lacks \d+ frames"),
        ("a.mp4", {"container_movflags": "faststart"}, "is cut short: its last"),
    ],
)
def test_a_video_cut_short_gives_what_is_there_and_says_so(tmp_path, caplog, name, options, note):
    path = media.video(tmp_path / name, size=(320, 240), **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames, tally = _frames(path)
    assert 2 <= len(frames) < 20
    assert any(re.search(note, said) for said in tally.notes), tally.notes
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == tally.notes


def test_what_an_avi_repeats_is_not_missing(tmp_path):
    path = media.video(tmp_path / "a.avi", 10, times=[0, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    frames, tally = _frames(path)
    assert [len(frames), tally.notes] == [10, []]
    assert [frame.seconds for frame in frames][:3] == [0.0, 0.2, 0.3]


def test_damage_in_the_middle_is_told_and_the_rest_is_used(tmp_path):
    path = media.video(tmp_path / "a.avi", 40, codec="mjpeg", pixels="yuvj420p", size=(320, 240))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3_000] = bytes(3_000)
    path.write_bytes(data)
    frames, tally = _frames(path)
    assert len(frames) >= 30
    assert any("a.avi is damaged" in note for note in tally.notes), tally.notes


def _write(data):
    return lambda path: path.write_bytes(data)


def _codec_unknown(path):
    media.video(path)
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"ZZZZ"))


def _index_missing(path):
    data = media.video(path, size=(320, 240)).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _names_another(text):
    """A file that names another one beside it, which is there."""

    def write(path):
        media.video(path.with_name("secret.ts"))
        path.write_text(text)

    return write


def _no_frame(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=media.RATE)
        stream.width, stream.height, stream.pix_fmt = *media.SIZE, "yuv420p"
        container.start_encoding()


def _huge(path):
    """Few bytes whose header speaks of gigabytes."""
    data = media.video(path, 2, codec="ffv1", pixels="bgr0").read_bytes()
    path.write_bytes(data.replace(struct.pack("<ii", *media.SIZE), struct.pack("<ii", 15_000, 15_000)))


REFUSED = [
    # a name, how it comes about, and what is said
    ("zero.mp4", _write(b""), r"zero\.mp4 is empty\. Expected the path of a video file"),
    ("text.mp4", _write(b"hello\n" * 99), r"text\.mp4 is no video that can be read: FFmpeg says Invalid data"),
    ("page.mp4", _write(b"<!doctype html><p>" + b"x" * 999), "is no video that can be read"),
    ("noise.mkv", _write(bytes(range(256)) * 99), "is no video that can be read"),
    ("cut.mp4", _index_missing, "cut short before its end was written"),
    ("codec.avi", _codec_unknown, "a video in a codec that FFmpeg does not decode here.*convert it first"),
    ("sound.mp3", media.sound, "has no video track: it is a mp3 file with audio"),
    ("none.avi", _no_frame, "none.avi holds no frame of video: there is none"),
    (
        "list.mp4",
        _names_another("ffconcat version 1.0\nfile secret.ts\n"),
        "is a list for FFmpeg's concat, which names",
    ),
    (
        "live.mp4",
        _names_another("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.ts\n#EXT-X-ENDLIST\n"),
        "is a playlist",
    ),
    ("dash.mp4", _names_another('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'), "is no video"),
    ("talk.mp4", _names_another("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 9 RTP/AVP 33\r\n"), "session"),
    ("huge.avi", _huge, "is too large to be safe: its frames have 15,000 x 15,000 pixels; at most"),
]


@pytest.mark.parametrize(("name", "write", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_video_is_an_image_error(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        _frames(tmp_path / name)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"])
def test_no_format_that_opens_other_files_is_known(tmp_path, text):
    """Whatever stands before the list, so that its first bytes do not tell."""
    other = media.video(tmp_path / "other.ts")
    for number, before in enumerate((b"\n\n", b"#\n", b"\xef\xbb\xbf", b"")):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(before + text.format(other).encode())
        with pytest.raises(tftrt_yolo.ImageError, match=r"is no video that can be read|names other files"):
            _frames(path)


@pytest.mark.parametrize(("name", "message"), [("gone.mp4", "No such file"), (".", "it is a folder")])
def test_what_is_no_file(tmp_path, name, message):
    with pytest.raises(tftrt_yolo.ImageError, match=f"cannot be read: {message}"):
        _frames(tmp_path / name)


def test_decoding_stays_a_few_frames_ahead_and_ends_with_the_consumer(tmp_path):
    before = set(threading.enumerate())
    path = media.video(tmp_path / "a.mp4", 60)
    frames = videos.frames(videos.of_file(path, "a.mp4"), vid_stride=1, tally=Tally())
    next(frames)
    assert len(set(threading.enumerate()) - before) == 1
    frames.close()
    assert set(threading.enumerate()) <= before


def test_without_pyav_the_message_names_the_extra(tmp_path, monkeypatch):
    path = media.video(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(tftrt_yolo.ImageError, match=r"pip install 'tftrt_yolo\[video\]'"):
        _frames(path)


def test_the_oracle_is_pyavs_own_reading(tmp_path):
    """Frame by frame what PyAV itself makes of the file."""
    path = media.video(tmp_path / "a.mp4", codec="libx264")
    frames, _ = _frames(path)
    with av.open(str(path)) as container:
        for frame, expected in zip(frames, container.decode(video=0), strict=True):
            np.testing.assert_array_equal(frame.image, expected.to_ndarray(format="rgb24"))


def test_frames_do_not_stay_in_memory(tmp_path):
    """Not even until the next round of the garbage collector: of 1080p that would be gigabytes."""
    path = media.video(tmp_path / "a.mkv", 100, codec="ffv1", pixels="bgr0")
    gc.collect()
    gc.disable()
    try:
        tally = Tally()
        assert sum(1 for _ in videos.frames(videos.of_file(path, "a.mkv"), vid_stride=1, tally=tally)) == 100
        alive = [one for one in gc.get_objects() if isinstance(one, (av.VideoFrame, tftrt_yolo.Frame))]
    finally:
        gc.enable()
    assert len(alive) <= 10
