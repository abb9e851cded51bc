"""A job's directory: what is there is whole, what is another's is refused, and what is missing is known."""

import dataclasses
import errno
import json

import pytest

pytest.importorskip("ray")

from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.pipelines.ray_data import job_folder, rows
from tftrt_yolo.pipelines.ray_data.job import Job
from tftrt_yolo.pipelines.ray_data.listing import Item
from tftrt_yolo.tasks.table import TASKS

ITEMS = [Item(f"/photos/{index}.jpg") for index in range(5)]
JOB = Job(
    saved_model_dir="/models/a",
    model_sha256="a" * 64,
    task="detect",
    source={"source": "/photos", "recursive": False},
    selection={"score_threshold": 0.5, "classes": (0, 2), "class_agnostic": True},
    form="jsonl",
    shard_size=2,
    versions={"tftrt_yolo": "1"},
)


def _opened(path, job=JOB, *, overwrite=False):
    return job_folder.opened(path, job, lambda: ITEMS, overwrite=overwrite)


def _packed(shard, job=JOB):
    form = rows.FORMS[job.form](TASKS[job.task], job.model_sha256)
    found = {"xyxy": [0.0, 1.0, 2.5, 3.0], "score": 0.5, "class": 1, "name": "one"}
    return [
        form.pack([{"image": item.file, "height": 4, "width": 3, "detections": [found]}]) for item in shard.items[:-1]
    ] + [form.pack([{"image": shard.items[-1].file, "error": "gone"}])]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_it_is_continued_and_done(tmp_path, form):
    path, job = tmp_path / "out", dataclasses.replace(JOB, form=form)
    with _opened(path, job) as folder:
        first, *_ = folder.missing()
        folder.commit(first.index, _packed(first, job))
    (path / f"shard-000001.{form}.partial").write_bytes(b"half")
    with _opened(path, job, overwrite=True) as folder:
        assert folder.num_found == 1
        for shard in folder.missing():
            folder.commit(shard.index, _packed(shard, job))
        folder.complete()
    manifest = json.loads((path / "manifest.json").read_text())
    assert [shard["num_images"] for shard in manifest["shards"]] == [2, 2, 1]
    assert (manifest["num_images"], manifest["num_unreadable"], manifest["class_counts"]) == (5, 3, {"one": 2})
    assert sorted(file.name for file in path.iterdir()) == sorted(
        ["job.json", "listing.jsonl.gz", "manifest.json", *(f"shard-00000{index}.{form}" for index in range(3))]
    )
    form = rows.FORMS[form](TASKS["detect"], JOB.model_sha256)
    found = [row for shard in manifest["shards"] for row in form.rows(path / shard["file"])]
    assert [row["image"] for row in found] == [item.file for item in ITEMS]
    assert found[0]["detections"] == [{"xyxy": [0.0, 1.0, 2.5, 3.0], "score": 0.5, "class": 1, "name": "one"}]
    assert found[1] == {"image": "/photos/1.jpg", "error": "gone"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"model_sha256": "b" * 64, "saved_model_dir": "/models/b"},
            "'/models/a' with the SHA-256 aaaaaaaaaaaa, and here '/models/b' with the SHA-256 bbbbbbbbbbbb",
        ),
        (
            {"source": {"source": "/other", "recursive": False}},
            "source '/photos', recursive False, and here source '/o",
        ),
        ({"selection": {}}, "score_threshold 0.5, classes 0 2, class_agnostic True, and here the model's own"),
        ({"form": "parquet"}, "form there is 'jsonl', and here 'parquet'"),
        ({"shard_size": 3}, "shard_size there is 2, and here 3"),
        ({"versions": {"tftrt_yolo": "2"}}, "versions there is tftrt_yolo '1', and here tftrt_yolo '2'"),
    ],
)
def test_another_job_is_refused_and_named(tmp_path, change, named):
    with _opened(tmp_path / "out"):
        pass
    other = dataclasses.replace(JOB, **change)
    with pytest.raises(BatchError) as caught, _opened(tmp_path / "out", other):
        pass
    assert named in str(caught.value)
    with _opened(tmp_path / "out", other, overwrite=True) as folder:
        assert folder.job.model_sha256 == other.model_sha256


def test_two_processes_at_once(tmp_path):
    with (
        _opened(tmp_path / "out"),
        pytest.raises(BatchError, match="is being written by another process"),
        _opened(tmp_path / "out"),
    ):
        pass


def test_a_strangers_files_stay(tmp_path):
    with _opened(tmp_path / "out"):
        pass
    (tmp_path / "out" / "notes.txt").touch()
    with (
        pytest.raises(FileExistsError, match=r"notes\.txt"),
        _opened(tmp_path / "out", dataclasses.replace(JOB, shard_size=9), overwrite=True),
    ):
        pass


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_damaged_shard_is_named(tmp_path, form):
    job = dataclasses.replace(JOB, form=form)
    with _opened(tmp_path / "out", job) as folder:
        for shard in folder.missing():
            folder.commit(shard.index, _packed(shard, job))
    file = tmp_path / "out" / f"shard-000001.{form}"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(BatchError, match=f"shard-000001.{form} is damaged"), _opened(tmp_path / "out", job):
        pass


def test_a_full_disk(tmp_path):
    """/dev/full is one."""
    with _opened(tmp_path / "out") as folder:
        first, second, _ = folder.missing()
        folder.commit(first.index, _packed(first))
        (tmp_path / "out" / "shard-000001.jsonl.partial").symlink_to("/dev/full")
        with pytest.raises(OSError, match=r"shard-000001\.jsonl cannot be written: No space left") as caught:
            folder.commit(second.index, _packed(second))
        assert caught.value.errno == errno.ENOSPC
    assert [file.name for file in (tmp_path / "out").glob("shard-*")] == ["shard-000000.jsonl"]
    with _opened(tmp_path / "out") as folder:
        assert [shard.index for shard in folder.missing()] == [1, 2]
