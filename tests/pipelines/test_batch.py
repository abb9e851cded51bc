"""Jobs on Ray, embedded: what `stream` finds, each path once, whatever is killed meanwhile."""

import collections
import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

import pyarrow.parquet as pq

import tftrt_yolo
from tests.conftest import IMAGES, heed_interrupts

BROKEN = "broken \u202e.jpg"
NUM_COPIES = 8  # of each picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """(8 * 40) pictures, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("photos")
    for copy, image in itertools.product(range(NUM_COPIES), IMAGES):
        os.link(image, folder / f"{copy}_{image.name}") if _can_link(image, folder) else shutil.copy(
            image, folder / f"{copy}_{image.name}"
        )
    (folder / BROKEN).write_bytes(IMAGES[0].read_bytes()[:500])
    return folder


def _can_link(image, folder):
    return image.stat().st_dev == folder.stat().st_dev


@pytest.fixture(scope="module")
def expected(tiny_export, photos):
    """Path to what `stream` finds there, as files have it; of what cannot be read, the reason."""
    predictor, reasons = tftrt_yolo.Predictor(tiny_export), {}
    found = predictor.with_images(photos, on_unreadable=lambda path, error: reasons.update({str(path): str(error)}))
    rows = {
        str(path): {"height": image.shape[0], "width": image.shape[1], "detections": predictor.task.rows(result, names)}
        for names in [predictor.names]
        for path, image, result in found
    }
    return {path: {"image": path, **row} for path, row in rows.items()} | {
        path: {"image": path, "error": reason} for path, reason in reasons.items()
    }


def _lines(output):
    """All rows of a job that wrote JSON."""
    return [json.loads(line) for path in sorted(output.glob("shard-*.jsonl")) for line in path.open()]


def _check(rows, expected):
    """Each path once, with what is expected there."""
    assert collections.Counter(row["image"] for row in rows) == dict.fromkeys(expected, 1)
    for row in rows:
        assert row == expected[row["image"]]


def test_rows_are_what_stream_finds(tiny_export, photos, expected, tmp_path):
    told = []
    report = tftrt_yolo.batch(
        tiny_export,
        photos,
        tftrt_yolo.BatchOutputOptions(output_dir=tmp_path / "out", shard_size=100),
        on_progress=lambda *numbers: told.append(numbers),
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    rows = []
    for shard in manifest["shards"]:
        file = tmp_path / "out" / shard["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == shard["sha256"]
        assert file.stat().st_size == shard["num_bytes"]
        rows += pq.ParquetFile(file).read().to_pylist()
    assert [row["image"] for row in rows] == sorted(expected)
    assert {row.pop("model") for row in rows} == {report.model_sha256}
    _check([{name: value for name, value in row.items() if value is not None} for row in rows], expected)
    classes = collections.Counter(one["name"] for row in expected.values() for one in row.get("detections", ()))
    assert report.class_counts == manifest["class_counts"] == dict(classes)
    counts = (report.num_images, report.num_unreadable, report.num_detections, report.num_shards)
    assert counts == (len(expected), 1, classes.total(), 4)
    assert told[-1] == (len(expected), len(expected))
    assert sorted(told) == told
    assert "TensorFlow on CPU" in report.backend[0]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard-*")}
    again = tftrt_yolo.batch(
        tiny_export, photos, tftrt_yolo.BatchOutputOptions(output_dir=tmp_path / "out", shard_size=100)
    )
    assert (again.num_shards_before, again.num_computed, again.class_counts) == (4, 0, report.class_counts)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard-*")}


class _Command:
    """The command, with a folder of its own for temporary files, by which its processes are known."""

    def __init__(self, folder: Path, saved_model_dir: Path, photos: Path):
        self.output, self.temporary = folder / "out", folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        flags = [f"--source={photos}", f"--output_dir={self.output}", "--form=jsonl", "--shard_size=40", "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tftrt_yolo", "batch", str(saved_model_dir), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
            env=os.environ | {"TFTRT_YOLO_TEST": str(self.temporary)},
        )

    def processes(self) -> dict[int, str]:
        """Its processes and those that they started, with their names."""
        mark, found = str(self.temporary).encode(), {}
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has just ended
                if mark in path.read_bytes() and int(path.parent.name) != self.process.pid:
                    found[int(path.parent.name)] = (path.parent / "cmdline").read_text()
        return found

    def wait_for_shards(self, number: int) -> None:
        """Waits until so many are written, and it goes on."""
        deadline = time.monotonic() + 120
        while len(list(self.output.glob("shard-*.jsonl"))) < number:
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.002)

    def check_no_process_left(self) -> None:
        """None, or not for long; two helpers of Ray's look for a killed driver's cluster for a minute."""
        deadline = time.monotonic() + 30

        def left() -> dict[int, str]:
            return {number: name for number, name in self.processes().items() if "Agent" not in name}

        while (processes := left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes == {}


def test_a_killed_driver_and_a_killed_actor(tiny_export, photos, expected, tmp_path):
    command = _Command(tmp_path, tiny_export, photos)
    command.wait_for_shards(1)
    command.process.send_signal(signal.SIGKILL)
    command.process.communicate(timeout=60)
    command.check_no_process_left()
    there = {path.name: path.read_bytes() for path in command.output.glob("shard-*.jsonl")}
    assert 0 < len(there) < 9
    assert not (command.output / "manifest.json").exists()

    command = _Command(tmp_path, tiny_export, photos)
    command.wait_for_shards(len(there) + 1)
    [actor] = [number for number, name in command.processes().items() if "MapWorker" in name]
    os.kill(actor, signal.SIGKILL)
    output, error = command.process.communicate(timeout=120)
    assert (command.process.returncode, error) == (0, "")
    command.check_no_process_left()
    report = json.loads(output)
    assert (report["num_shards"], report["num_shards_before"]) == (9, len(there))
    assert all((command.output / name).read_bytes() == content for name, content in there.items())
    _check(_lines(command.output), expected)


# TERM, for which Ray has a handler of its own; tests/cli/test_signals.py has the others.
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_an_interrupt_keeps_what_is_whole(tiny_export, photos, expected, tmp_path, name):
    command = _Command(tmp_path, tiny_export, photos)
    command.wait_for_shards(1)
    command.process.send_signal(getattr(signal, name))
    _, error = command.process.communicate(timeout=60)
    assert command.process.returncode == 130
    said = re.fullmatch(
        r"tftrt-yolo batch: interrupted; (\d) of 9 shards written, and nothing half written is left; the same command "
        r"goes on\n",
        error,
    )
    assert said, error
    command.check_no_process_left()
    shards = sorted(path.name for path in command.output.glob("shard-*"))
    assert len(shards) == int(said[1])
    assert sorted(path.name for path in command.output.iterdir()) == ["job.json", "listing.jsonl.gz", *shards]
    rows = _lines(command.output)
    assert len(rows) >= 40 * (len(shards) - 1) + 1
    assert all(row == expected[row["image"]] for row in rows)


@pytest.mark.slow
def test_what_a_predictor_cannot_open_is_told_as_it_is(tiny_export, photos, tmp_path):
    """A node's own error, not Ray's about it. The metadata is as before, so asking the node finds nothing."""
    shutil.copytree(tiny_export, tmp_path / "model")
    graph = tmp_path / "model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"saved_model\.pb is not as it was written.*again\.$"):
        tftrt_yolo.batch(tmp_path / "model", photos, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["job.json", "listing.jsonl.gz"]
