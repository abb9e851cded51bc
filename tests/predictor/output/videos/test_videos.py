"""Annotated videos: codec, times, sound, sizes; and what a run on videos leaves behind."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest

import tftrt_yolo
from tests.predictor.output import films
from tftrt_yolo.predictor.output.videos.video_writer import VideoWriter
from tftrt_yolo.predictor.sources.frame import VideoInfo


def _lines(folder):
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "codec", "sound", "written"),
    [
        ("a.mp4", "libx264", "aac", "aac"),  # copied
        ("a.mkv", "libx264", "flac", "flac"),  # copied
        ("a.avi", "mpeg4", "mp3", "mp3"),  # copied
        ("a.ts", "libx264", "aac", "aac"),  # copied, out of its transport headers
        ("a.mov", "libx264", "pcm_s16le", "aac"),  # MP4 has no such, or players do not play it
        ("a.avi", "mpeg4", "pcm_u8", "aac"),
        ("a.mkv", "libx264", None, None),
    ],
)
def test_an_annotated_video(tiny_export, tmp_path, name, codec, sound, written):
    films.film(tmp_path / name, codec=codec, sound=sound)
    report = tftrt_yolo.predict(tiny_export, tmp_path / name, tmp_path / "out")
    assert (report.num_images, report.num_frames, report.num_videos) == (0, 12, 1)
    assert not [note for note in report.notes if "sound" in note]
    assert "on 12 frames of 1 video in" in str(report)
    assert "(videos and detections.jsonl)" in str(report)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "detections.jsonl"}
    with av.open(str(tmp_path / "out" / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (320, 240)
    data = (tmp_path / "out" / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # so that browsers play at once
    lines, frames = _lines(tmp_path / "out"), films.decoded(tmp_path / "out" / "a.mp4")
    assert [line["frame"] for line in lines] == list(range(12))
    assert [line["video"] for line in lines] == ["a.mp4"] * 12
    np.testing.assert_allclose([line["seconds"] for line in lines], [time for time, _ in frames], atol=1e-4)
    assert report.num_detections == sum(len(line["detections"]) for line in lines) > 0
    heard, times = films.heard(tmp_path / "out" / "a.mp4")
    assert heard == written
    if sound:
        assert times[0] < 0.06
        assert times[-1] == pytest.approx(12 / 25, abs=0.06)


def test_the_pictures_are_the_drawn_ones(tiny_export, tmp_path):
    """Each frame of the video is the picture that `annotate` draws, but for what H.264 loses."""
    films.film(tmp_path / "a.mp4", frames=6)
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", tmp_path / "out")
    predictor = tftrt_yolo.Predictor(tiny_export)
    results = predictor.with_images(str(tmp_path / "a.mp4"))
    for (_, image, result), (_, written) in zip(results, films.decoded(tmp_path / "out" / "a.mp4"), strict=True):
        drawn = predictor.task.draw(image, result, predictor.names).astype(int)
        assert np.abs(drawn - written).mean() < 6
        assert np.abs(drawn - image).mean() > 0.3  # something was drawn


def test_every_second_frame_keeps_pace_with_the_sound(tiny_export, tmp_path):
    films.film(tmp_path / "a.mp4", frames=25, sound="aac")
    sources = tftrt_yolo.SourceOptions(source=tmp_path / "a.mp4", vid_stride=2)
    tftrt_yolo.predict(tiny_export, sources, tmp_path / "out")
    times = [time for time, _ in films.decoded(tmp_path / "out" / "a.mp4")]
    np.testing.assert_allclose(times, np.arange(13) * 0.08, atol=1e-4)
    with av.open(str(tmp_path / "out" / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(12.5, abs=0.01)
    _, heard = films.heard(tmp_path / "out" / "a.mp4")
    assert heard[-1] == pytest.approx(1.0, abs=0.06)
    assert [line["frame"] for line in _lines(tmp_path / "out")] == list(range(0, 25, 2))


@pytest.mark.parametrize("sound", ["aac", "pcm_s16le"])
def test_frames_that_begin_late_and_come_unevenly(tiny_export, tmp_path, sound):
    """The first frame a second after the sound, and frames of a telephone, whose rate varies."""
    offsets = [0, 0.04, 0.1, 0.13, 0.3, 0.31, 0.5]
    times = [Fraction(round((1 + offset) * 600), 600) for offset in offsets]
    films.film(tmp_path / "a.mkv", frames=len(times), times=times, sound=sound)
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mkv", tmp_path / "out")
    found = [time for time, _ in films.decoded(tmp_path / "out" / "a.mp4")]
    np.testing.assert_allclose(found, [1 + offset for offset in offsets], atol=2e-3)
    _, heard = films.heard(tmp_path / "out" / "a.mp4")
    assert heard[0] < 0.06
    assert heard[-1] > 1.4


def test_sound_that_begins_late(tiny_export, tmp_path):
    films.film(tmp_path / "a.mov", frames=25, sound="pcm_s16le", sound_start=0.5)
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mov", tmp_path / "out")
    _, heard = films.heard(tmp_path / "out" / "a.mp4")
    assert heard[0] == pytest.approx(0.5, abs=0.06)


def test_sound_of_noise_is_left_out_and_said(tiny_export, tmp_path):
    """Every packet of the sound is overwritten; the frames stay."""
    films.film(tmp_path / "a.mkv", sound="flac")
    with av.open(str(tmp_path / "a.mkv")) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    data = (tmp_path / "a.mkv").read_bytes()
    for packet in packets:
        assert packet in data
        data = data.replace(packet, bytes(len(packet)))
    (tmp_path / "a.mkv").write_bytes(data)
    report = tftrt_yolo.predict(tiny_export, tmp_path / "a.mkv", tmp_path / "out")
    assert report.num_frames == 12
    assert any("a.mkv is left out: it is damaged" in note for note in report.notes), report.notes
    assert "  note         The sound of" in str(report)
    assert films.heard(tmp_path / "out" / "a.mp4")[0] is None


def test_sound_with_a_hole(tiny_export, tmp_path):
    """What is whole is kept at its time, what is not is counted; copied and encoded."""
    for name, sound in (("a.mkv", "flac"), ("b.mkv", "ac3")):
        films.film(tmp_path / name, frames=25, sound=sound)
        with av.open(str(tmp_path / name)) as container:
            packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        data = (tmp_path / name).read_bytes()
        for packet in packets[3:6]:
            data = data.replace(packet, bytes(len(packet)))
        (tmp_path / name).write_bytes(data)
    report = tftrt_yolo.predict(tiny_export, str(tmp_path / "*.mkv"), tmp_path / "out")
    assert len([note for note in report.notes if note.endswith("pieces were left out.")]) == 2, report.notes
    for name in ("a.mp4", "b.mp4"):
        _, heard = films.heard(tmp_path / "out" / name)
        assert heard[-1] == pytest.approx(1.0, abs=0.07)


def test_several_videos_and_images_of_one_folder(tiny_export, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    films.film(folder / "same.mp4", frames=3)
    films.film(folder / "same.mkv", frames=4)
    films.film(folder / "other.mp4", frames=5)
    (folder / "same.jpg").write_bytes((films.IMAGES[0]).read_bytes())
    progress = []
    report = tftrt_yolo.predict(
        tiny_export,
        folder,
        tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save=("txt",)),
        on_progress=lambda *counts: progress.append(counts),
    )
    assert (report.num_images, report.num_frames, report.num_videos) == (1, 12, 3)
    assert progress == [(number, None) for number in range(1, 14)]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(names) == 6
    assert names >= {"same.jpg", "other.mp4", "detections.jsonl", "labels"}
    lines = _lines(tmp_path / "out")
    for file in {line["video"] for line in lines if "video" in line}:
        assert len(films.decoded(tmp_path / "out" / file)) == sum(line.get("video") == file for line in lines)
    named = [line["labels"] for line in lines if "labels" in line]
    assert len(set(named)) == len(named) == len(list((tmp_path / "out" / "labels").iterdir()))
    assert "1 image and 12 frames of 3 videos" in str(report)


def test_an_output_of_videos_is_replaced_and_nothing_else(tiny_export, tmp_path):
    films.film(tmp_path / "a.mp4", frames=3)
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save=("txt", "csv", "coco", "crops"))
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", output)
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", output, overwrite=True)
    for foreign in ("mine.mp4", "labels/mine.txt", "crops/mine.jpg", "labels/mine/a.txt"):
        (tmp_path / "out" / foreign).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / foreign).touch()
        with pytest.raises(FileExistsError, match=rf"holds what this did not write \((labels/mine/|{foreign})\)"):
            tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", output, overwrite=True)
        (tmp_path / "out" / foreign).unlink()
    (tmp_path / "out" / "labels" / "mine").rmdir()
    tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", tmp_path / "out", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.mp4", "detections.jsonl"}
    with pytest.raises(FileExistsError, match=r"out holds .*a\.mp4, which is to be read"):
        tftrt_yolo.predict(tiny_export, tmp_path / "out" / "a.mp4", tmp_path / "out", overwrite=True)


def test_without_pictures(tiny_export, tmp_path):
    films.film(tmp_path / "a.mp4", frames=3, sound="aac")
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", pictures=False)
    report = tftrt_yolo.predict(tiny_export, tmp_path / "a.mp4", output)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["detections.jsonl"]
    assert all("video" not in line for line in _lines(tmp_path / "out"))
    assert f"{tmp_path / 'out'} (detections.jsonl)" in str(report)


def _info(size_hw, **changes):
    return VideoInfo(**{"source": "a.mp4", "size_hw": size_hw, "rate": Fraction(30_000, 1_001)} | changes)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 2), (33, 17), (48, 65), (64, 64)])
@pytest.mark.parametrize("is_live", [False, True])
def test_sizes_of_every_kind(tmp_path, size_hw, is_live):
    """Odd sides get one more row or column, the last one again; colours stay."""
    picture = np.zeros((*size_hw, 3), np.uint8) + np.array([200, 60, 30], np.uint8)
    writer = VideoWriter(tmp_path / "a.mp4", _info(size_hw, is_live=is_live), vid_stride=1)
    for index in range(30):
        writer.add(picture, index * 1_001 / 30_000)
    writer.close()
    frames = films.decoded(tmp_path / "a.mp4")
    assert len(frames) == 30
    np.testing.assert_allclose([time for time, _ in frames], np.arange(30) * 1_001 / 30_000, atol=1e-6)
    for _, pixels in frames:
        assert pixels.shape[:2] == (size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2)
        assert np.abs(pixels.astype(int) - [200, 60, 30]).max() < 12
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.01)
        assert container.duration / 1e6 == pytest.approx(30 * 1_001 / 30_000, abs=1e-3)


def test_a_frame_of_another_size_and_times_that_go_back(tmp_path):
    """A camera that is turned, and a stream that begins anew."""
    writer = VideoWriter(tmp_path / "a.mp4", _info((48, 64), is_live=True), vid_stride=1)
    for size_hw, seconds in (((48, 64), 0.0), ((64, 48), 0.1), ((48, 64), 0.05), ((48, 64), 0.3)):
        writer.add(np.full((*size_hw, 3), 90, np.uint8), seconds)
    writer.close()
    frames = films.decoded(tmp_path / "a.mp4")
    assert [pixels.shape for _, pixels in frames] == [(48, 64, 3)] * 4
    times = [time for time, _ in frames]
    assert times == sorted(times)
    assert times[0] == 0
    assert times[-1] == pytest.approx(0.3, abs=1e-3)


def test_a_video_that_no_encoder_takes(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", _info((2, 40_000)), vid_stride=1)
    with pytest.raises(OSError, match=r"The video a\.mp4 of 40,000 x 2 pixels cannot be written: .+ Expected a folder"):
        writer.add(np.zeros((2, 40_000, 3), np.uint8), 0.0)
    writer.abandon()
