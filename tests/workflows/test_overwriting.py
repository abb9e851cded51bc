"""What `overwrite` deletes, through the public functions: an earlier result, and nothing of anybody else."""

import shutil

import pytest

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS
from tftrt_yolo.benchmarking.results import benchmark_report
from tftrt_yolo.converter.int8.in_float import sensitivity_report
from tftrt_yolo.evaluation import evaluation_report
from tftrt_yolo.workflows.accepting import acceptance_report

# A verb to how it is called, with its input and an output directory, and to the file by which its result is known.
VERBS = {
    "export": (lambda source, out: tftrt_yolo.export(TINY_WEIGHTS, out, overwrite=True), "saved_model.pb"),
    "convert": (lambda source, out: tftrt_yolo.convert(source, out, overwrite=True), "saved_model.pb"),
    "predict": (lambda source, out: tftrt_yolo.predict(source, IMAGES[0], out, overwrite=True), "detections.jsonl"),
    "evaluate": (
        lambda source, out: tftrt_yolo.evaluate(source, "data.yaml", output_dir=out, overwrite=True),
        evaluation_report.FILE,
    ),
    "benchmark": (lambda source, out: tftrt_yolo.benchmark(source, out, overwrite=True), benchmark_report.FILE),
    "sensitivity": (
        lambda source, out: tftrt_yolo.sensitivity(source, IMAGES[0].parent, output_dir=out, overwrite=True),
        sensitivity_report.FILE,
    ),
    "acceptance": (lambda source, out: tftrt_yolo.acceptance(out, overwrite=True), acceptance_report.FILE),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_deletes_a_strangers_file(tiny_export, tmp_path, verb):
    call, marker = VERBS[verb]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / marker).touch()
    (tmp_path / "out" / "holiday.jpg").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds what this did not write \(holiday\.jpg\)"):
        call(tiny_export, tmp_path / "out")
    assert (tmp_path / "out" / "holiday.jpg").read_text() == "mine"


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_deletes_what_it_reads(tiny_export, tmp_path, verb):
    """An output directory that holds the source."""
    call, marker = VERBS[verb]
    shutil.copytree(tiny_export, tmp_path / "out" / "model")
    (tmp_path / "out" / marker).touch()
    with pytest.raises(FileExistsError, match=r"holds what this did not write \(model/\)"):
        call(tmp_path / "out" / "model", tmp_path / "out")
    assert (tmp_path / "out" / "model" / "saved_model.pb").is_file()


@pytest.mark.parametrize("stage", ["yolov8n-digits_saved_model", "yolov8n-digits_tensorrt_saved_model", "pictures"])
def test_the_demo_looks_at_every_output_before_it_starts(tmp_path, stage):
    (tmp_path / stage).mkdir(parents=True)
    (tmp_path / stage / "mine.txt").touch()
    started = []
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=stage):
            tftrt_yolo.demo(tmp_path, overwrite=overwrite, on_stage=started.append)
    assert started == []
    assert [path.name for path in tmp_path.iterdir()] == [stage]
