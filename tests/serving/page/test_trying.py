"""What a try gives, from files to what is shown, with a real model behind the hub; Gradio is not needed for it."""

import asyncio
import os
import re
import threading
import time

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.predictor.output.videos.video_writer import VideoWriter
from tftrt_yolo.serving.page import clips, words
from tftrt_yolo.serving.page.asking import Asker
from tftrt_yolo.serving.page.trying import Choice, Limits, Trying
from tftrt_yolo.serving.page.uploads import Uploads
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.serving_options import BatchingOptions, ModelOptions
from tftrt_yolo.tasks.results import tables

PICTURE = IMAGES[3]


class _Desk:
    """A hub with one model, and tries of it in one loop."""

    def __init__(self, saved_model_dir):
        self._loop = asyncio.new_event_loop()
        self._hub = Hub(ModelOptions(saved_model_dir=saved_model_dir), BatchingOptions())
        self._loop.run_until_complete(self._hub.start())
        self.uploads = Uploads(most_bytes=1 << 30)
        self.asker = Asker(self._hub, seconds=30.0)
        self.trying = Trying(self.asker, self.uploads, Limits(most_frames=12, most_pixels=1_000_000))

    def run(self, *files, model="tiny", version=None, trying=None, **asked):
        """All that is shown."""

        async def all_of_it():
            return [shown async for shown in (trying or self.trying).run([*files], Choice(model, version, asked))]

        return self._loop.run_until_complete(all_of_it())

    def end(self):
        self._loop.run_until_complete(self._hub.stop())
        self._loop.close()
        self.uploads.remove()


@pytest.fixture(scope="module")
def desk(models):
    made = _Desk(models.exported("tiny"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def predictor(models):
    return tftrt_yolo.Predictor(models.exported("tiny"))


def test_pictures(desk, predictor):
    [shown] = desk.run(*IMAGES[3:6])
    expected = predictor(IMAGES[3:6])
    assert [shown.table.count(tables.page(result)) for result in expected] == [1, 1, 1]
    assert [caption for _, caption in shown.pictures] == [path.name for path in IMAGES[3:6]]
    assert all(desk.uploads.holds(path) for path, _ in shown.pictures)
    drawn = np.asarray(PIL.Image.open(shown.pictures[0][0]).convert("RGB")).astype(int)
    assert np.abs(drawn - np.asarray(tftrt_yolo.annotate(PICTURE, expected[0]))).mean() < 4  # a JPEG of it
    assert (shown.notice, shown.video) == ("", None)
    for label in ("queue", "compute", "total", "answered by"):
        assert f'data-name="{label}"' in shown.figures
    assert "version 1 on CPU" in shown.figures


@pytest.mark.parametrize("task", ["semantic", "depth"])
def test_a_map(models, tmp_path, task):
    pytest.importorskip("av")
    made = _Desk(models.exported(task))
    try:
        [shown] = made.run(PICTURE, model=task, score_threshold=0.5)  # a slider that is not shown asks for nothing
        [expected] = tftrt_yolo.Predictor(models.exported(task))(PICTURE)
        assert tables.page(expected) in shown.table
        drawn = np.asarray(PIL.Image.open(shown.pictures[0][0]).convert("RGB")).astype(int)
        assert np.abs(drawn - np.asarray(tftrt_yolo.annotate(PICTURE, expected))).mean() < 4
        video = made.run(clip := _video(tmp_path / "clip.mp4", count=3), model=task)[-1]
        assert video.video
        assert "<b>3 frames, " in video.table
        if task == "semantic":
            assert "<th>name</th><th>frames</th><th>a frame</th>" in video.table
        else:
            assert "<th>metres, of all frames</th><th>minimum</th><th>median</th><th>maximum</th>" in video.table
            found = [result for _, _, result in tftrt_yolo.Predictor(models.exported(task)).with_images(clip)]
            figures = np.array([(one.minimum, one.median, one.maximum) for one in found])
            assert np.ptp(figures, axis=0).max() > 0.01  # the frames are not alike
            for label, of in (("least", np.min), ("mean", np.mean), ("largest", np.max)):
                [row] = re.findall(rf"<tr><td>{label}</td>(.*?)</tr>", video.table)
                cells = re.findall(r"<td>(.*?)</td>", row)
                np.testing.assert_allclose(np.array(cells, float), of(figures, axis=0), atol=0.0056)
        line = words.model_line(made.asker.model(task, None))
        assert ("<span>depth · 160 x 160 px</span>" if task == "depth" else "semantic · 11 classes · 160") in line
    finally:
        made.end()


def test_a_bad_picture_beside_good_ones(desk, tmp_path):
    bad = tmp_path / "<b>bad.jpg"
    bad.write_bytes(b"nothing")
    [shown] = desk.run(PICTURE, bad, IMAGES[4])
    assert len(shown.pictures) == 2
    assert "&lt;b&gt;bad.jpg is no image: it starts with b&#x27;nothing&#x27;." in shown.notice
    assert "<b>" not in shown.notice
    assert str(tmp_path) not in shown.notice


def _video(path, sizes=((320, 240),), count=15):
    import av

    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=5)
        stream.width, stream.height = sizes[0]
        for index in range(count):
            image = PIL.Image.open(IMAGES[3 + index % 2]).convert("RGB").resize(sizes[0])
            file.mux(stream.encode(av.VideoFrame.from_image(image)))
        file.mux(stream.encode())
    return path


def test_a_video(desk, predictor, tmp_path):
    av = pytest.importorskip("av")
    clip = _video(tmp_path / "clip.mp4")
    *under_way, last = desk.run(clip)
    assert "of 12 frames</span><progress value=" in under_way[0].notice
    assert under_way[0].pictures[0][1] == "frame 8"
    assert "The video is longer; its first 12 frames are annotated (--page_frames)." in last.notice
    with av.open(last.video) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
        assert (file.streams.video[0].codec_context.name, float(file.duration / 1e6)) == ("h264", 2.4)
    assert [frame.shape for frame in frames] == [(240, 320, 3)] * 12
    found = list(predictor.with_images(clip))[:12]
    for frame, (_, image, result) in zip(frames, found, strict=True):
        difference = np.abs(frame.astype(int) - np.asarray(tftrt_yolo.annotate(image, result)))
        assert difference.mean() < 12  # H.264 of it
    names = np.concatenate([result.data["class_name"] for _, _, result in found])
    for name in set(names):
        count = int((names == name).sum())
        assert f"<td>{name}</td><td>{count}</td><td>{count / 12:.2f}</td>" in last.table


@pytest.mark.parametrize(
    ("owner", "name"),
    [(clips._Batches, "next"), (VideoWriter, "add"), (VideoWriter, "close")],
    ids=["reading", "drawing", "completing"],
)
def test_a_video_that_is_stopped_is_closed_behind_its_threads(desk, tmp_path, monkeypatch, owner, name):
    """A thread goes on when nobody waits for it any more; what it works on was closed under it, and FFmpeg fell."""
    pytest.importorskip("av")
    clip, at_work, begun, closed = _video(tmp_path / "clip.mp4"), [], threading.Event(), []

    def slowly(*arguments):
        at_work.append(name)
        begun.set()
        time.sleep(0.3)
        try:
            return work(*arguments)
        finally:
            at_work.remove(name)

    def seen(method):
        def close(*arguments):
            closed.append(list(at_work))
            return method(*arguments)

        return close

    work = getattr(owner, name)
    monkeypatch.setattr(owner, name, slowly)
    monkeypatch.setattr(clips._Batches, "close", seen(clips._Batches.close))
    monkeypatch.setattr(VideoWriter, "abandon", seen(VideoWriter.abandon))

    async def all_of_it():
        return [shown async for shown in desk.trying.run([clip], Choice("tiny", None, {}))]

    async def stopped():
        task = asyncio.ensure_future(all_of_it())
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    desk._loop.run_until_complete(stopped())
    assert closed == [[]] * (1 if name == "next" else 2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "dog"}, "dog"),
        ({"model": ""}, "There is no model"),
        ({"version": 7}, "version"),
        ({"score_threshold": 2.0}, "score_threshold is 2.0; it must be"),
        ({"max_detections": 0}, "max_detections is 0; it must be"),
    ],
)
def test_what_cannot_be_asked(desk, asked, said):
    [shown] = desk.run(PICTURE, **asked)
    assert said in shown.notice
    assert shown.notice.startswith('<div class="problem" role="alert">')
    assert shown.pictures is None


def test_too_many_and_what_does_not_go_together(desk, tmp_path):
    [shown] = desk.run(*IMAGES[:33])
    assert "You dropped 33 pictures; expected at most 32. Drop fewer." in shown.notice
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom")
    [shown] = desk.run(clip, PICTURE)
    assert "You dropped 2 files, a video among them. Drop a video alone." in shown.notice
    [shown] = desk.run(clip)
    assert "clip.mp4 is no video that can be read" in shown.notice
    clip.rename(tmp_path / "clip.jpg")  # known by its first bytes
    [shown] = desk.run(tmp_path / "clip.jpg")
    assert "clip.jpg is no video that can be read" in shown.notice


def test_sizes(desk, tmp_path):
    pytest.importorskip("av")
    PIL.Image.new("RGB", (1_250, 801)).save(tmp_path / "large.png")
    [shown] = desk.run(tmp_path / "large.png")
    assert "large.png has 1,250 x 801 pixels; expected at most 1,000,000 (--max_pixels)." in shown.notice
    [shown] = desk.run(_video(tmp_path / "large.mp4", sizes=((1_280, 960),), count=2))
    assert "large.mp4 has frames of 1,280 x 960 pixels; expected at most 1,000,000 (--max_pixels)." in shown.notice


def test_a_file_that_is_gone(desk, tmp_path):
    [shown] = desk.run(tmp_path / "gone.jpg")
    assert "No such file or directory. Drop it again." in shown.notice
    assert str(tmp_path) not in shown.notice


def test_a_failure_of_ours_is_said_in_words(desk, caplog):
    class Failing(Asker):
        async def ask(self, *_, **__):
            raise KeyError("secret")

    trying = Trying(Failing(desk.asker._hub, seconds=1.0), desk.uploads, Limits(1, 1_000_000))
    [shown] = desk.run(PICTURE, trying=trying)
    assert "The server failed; its log says why. Try again, or another file." in shown.notice
    assert "secret" not in shown.notice


def test_the_process_stays_light(tmp_path):
    """What the page imports is none of the frameworks: models run in processes of their own."""
    import subprocess
    import sys

    code = (
        "import sys; from tftrt_yolo.serving.page import trying, guard, words, looks;"
        "print([name for name in ('tensorflow', 'torch', 'ultralytics', 'pandas') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "[]"
