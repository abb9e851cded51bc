"""Runs that are divided between processes: to the byte what one process writes, whatever happens to a process."""

import contextlib
import filecmp
import os
import shutil
import signal
from pathlib import Path

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.predictor.output import films
from tftrt_yolo.ground.errors import DeviceError
from tftrt_yolo.predictor.devices.device_worker import Job
from tftrt_yolo.predictor.devices.places import Place
from tftrt_yolo.predictor.devices.run import Run
from tftrt_yolo.predictor.devices.share import Share
from tftrt_yolo.predictor.sources import opening
from tftrt_yolo.predictor.sources.source import Source

TWO = ("cpu", "CPU")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Pictures, some of one name, one that cannot be read and one of a mode to warn of, and two videos between them."""
    folder = tmp_path_factory.mktemp("mixed")
    for number, path in enumerate(IMAGES[:7]):
        place = folder / "abc"[number % 3] / f"same_{number // 3}.jpg"
        place.parent.mkdir(exist_ok=True)
        shutil.copy(path, place)
    (folder / "b" / "broken.jpg").write_text("no picture")
    films.film(folder / "a" / "clip.mp4", frames=7)
    films.film(folder / "b" / "clip.mp4", frames=4)
    return folder


def _predicted(model, source, output_dir, *, devices=None, **options):
    sources = tftrt_yolo.SourceOptions(source=source, recursive=True, skip_unreadable=True, devices=devices)
    return tftrt_yolo.predict(model, sources, output_dir, batch_size=2, **options)


def _check_same(first, second):
    """Two folders have the same files, with the same bytes."""
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    _, differ, failed = filecmp.cmpfiles(first, second, list(map(str, names)), shallow=False)
    assert (differ, failed) == ([], [])


def _without_time(report):
    """What a report says that is the same for every way; the output's own name goes."""
    return {**vars(report), "seconds": 0, "output_dir": "", "backend": ""}


def test_every_form_is_to_the_byte_that_of_one_process(tiny_export, mixed, tmp_path, monkeypatch):
    """The source is relative, as most are; the processes work elsewhere."""
    monkeypatch.chdir(mixed.parent)
    save, counts = ("txt", "csv", "coco", "crops"), []
    reports = [
        _predicted(
            tiny_export,
            mixed.name,
            tftrt_yolo.OutputOptions(output_dir=tmp_path / str(number), save=save),
            devices=devices,
            on_progress=lambda *done, own=counts: own.append(done),
        )
        for number, devices in enumerate((None, TWO))
    ]
    _check_same(tmp_path / "0", tmp_path / "1")
    assert _without_time(reports[0]) == _without_time(reports[1])
    assert (reports[1].num_images, reports[1].num_frames) == (7, 11)
    assert len(reports[1].unreadable) == 1
    assert reports[1].backend.startswith("TensorFlow on 2 x CPU: ")
    half = len(counts) // 2  # in one process what cannot be read counts as it is read, ahead of the results
    assert [done for done, _ in counts[half:]] == sorted(done for done, _ in counts[half:])
    assert len(counts[half:]) == half == 18
    assert counts[half - 1] == counts[-1] == (19, None)


def test_masks_and_what_a_list_names_in_vain(models, tmp_path):
    model, listed = models.exported("segment"), tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, [*IMAGES[:5], "nowhere.jpg"])))
    save = ("masks", "coco")
    reports = [
        _predicted(model, listed, tftrt_yolo.OutputOptions(output_dir=tmp_path / name, save=save), devices=devices)
        for name, devices in (("one", ("CPU",)), ("two", TWO))
    ]
    _check_same(tmp_path / "one", tmp_path / "two")
    assert _without_time(reports[0]) == _without_time(reports[1])
    assert len(reports[1].unreadable) == 1


def _children():
    """Processes of this one."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found |= {int(number) for number in (task / "children").read_text().split()}
    return found


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(tiny_export, tmp_path):
    listed, before, killed = tmp_path / "list.txt", _children(), []
    listed.write_text("\n".join(map(str, IMAGES[:6] * 15)))  # far more than is on its way at a time

    def kill(*_):
        if not killed:
            killed.append(min(_children() - before))
            os.kill(killed[0], signal.SIGKILL)

    one, two = (tftrt_yolo.OutputOptions(output_dir=tmp_path / name, pictures=False) for name in ("one", "two"))
    _predicted(tiny_export, listed, one)
    report = _predicted(tiny_export, listed, two, devices=TWO, on_progress=kill)
    _check_same(tmp_path / "one", tmp_path / "two")
    assert _children() <= before
    [note] = report.notes
    assert note.startswith("the process on CPU was ended by SIGKILL, as Linux does where memory runs out; its ")
    assert note.endswith(" on were left to another one")


def test_a_process_that_dies_again_is_an_error(tiny_export):
    run = Run(None, tftrt_yolo.OutputOptions(output_dir="new"), 2, {})
    sources = tftrt_yolo.SourceOptions(source="photos")
    job = Job(str(tiny_export), Path.cwd(), {"strict": False}, sources, run, "CPU")
    share = Share(job, Place("CPU", {"PYTHONHOME": "/nowhere"}), [(0, IMAGES[0])])
    with contextlib.ExitStack() as resources:
        share.begin(resources)
        with pytest.raises(DeviceError, match=r"on CPU ended with status 1, as the one before it, and its 1 file from"):
            share.until_ready()
    assert len(share.notes) == 1


def test_an_image_that_cannot_be_read_stops_the_run_as_in_one_process(tiny_export, mixed, tmp_path):
    messages = []
    for devices in (None, TWO):
        sources = tftrt_yolo.SourceOptions(source=mixed / "b", devices=devices)
        with pytest.raises(tftrt_yolo.ImageError) as raised:
            tftrt_yolo.predict(tiny_export, sources, tmp_path / "out", batch_size=2)
        messages.append(str(raised.value))
        assert list(tmp_path.iterdir()) == []
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("-", {}, r"- is standard input\. Expected a folder"),
        (0, {}, r"0 is live\. Expected"),
        ("rtsp://user:secret@camera/1", {}, r"rtsp://user:\*\*\*@camera/1 is live"),
        ("https://example.org/a.jpg", {}, r"example\.org/a\.jpg is one URL"),
        ("urls.txt", {}, r"urls\.txt lists URLs"),
        ("a/clip.mp4", {}, r"a/clip\.mp4 is one video"),
        ("a", {"tracker": "bytetrack"}, "tracker tells objects by the images before, and devices divides the images"),
    ],
)
def test_what_cannot_be_divided_is_refused(mixed, monkeypatch, source, options, message):
    monkeypatch.chdir(mixed)
    Path("urls.txt").write_text("https://example.org/a.jpg\n")
    with pytest.raises(ValueError, match=message):
        opening.divided(tftrt_yolo.SourceOptions(source=source, devices=TWO, **options))
    Path("urls.txt").unlink()


def test_a_device_that_is_not_there_is_refused_before_anything_starts(tiny_export, mixed, tmp_path):
    with pytest.raises(ValueError, match=r"^devices is 'GPU:41', which is not there; this machine has CPU"):
        _predicted(tiny_export, mixed, tmp_path / "out", devices=("cpu", 41))
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_refuses_a_selection_before_anything_starts(models, mixed, tmp_path):
    asked = tftrt_yolo.SelectionOptions(score_threshold=0.5)
    with pytest.raises(ValueError, match="score_threshold is for models that find objects"):
        _predicted(models.exported("classify"), mixed, tmp_path / "out", devices=TWO, selection=asked)


def test_a_source_of_two_is_closed_like_any_other(mixed):
    source = opening.divided(tftrt_yolo.SourceOptions(source=mixed / "a", devices=TWO))
    assert isinstance(source, Source)
    assert source.count is None  # there is a video
    source.close()
