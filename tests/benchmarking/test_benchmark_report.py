import csv
import dataclasses
import json

import pytest

import tftrt_yolo
from tests.benchmarking.reports import made_report, measured


def test_a_round_trip(tmp_path):
    report = made_report()
    report.write(tmp_path)
    assert tftrt_yolo.BenchmarkReport.read(tmp_path) == report
    assert tftrt_yolo.BenchmarkReport.read(tmp_path / "benchmark.json") == report


def test_without_a_gpu_and_without_a_floor(tmp_path):
    report = made_report(ceilings=None, costs=(), why_no_floor="ended with status 1. Its last words:\n  no shape")
    machine = dataclasses.replace(report.machine, gpu=None, driver=None)
    report = dataclasses.replace(report, machine=machine)
    report.write(tmp_path)
    assert tftrt_yolo.BenchmarkReport.read(tmp_path) == report
    assert "floor: not measured: no shape" in str(report)
    assert report.rows()[0]["share_of_floor"] is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],  # cut short
        lambda text: "[]",
        lambda text: text.replace('"p50_ms"', '"p50"'),  # of another version
        lambda text: text.replace('"p50_ms": 2.0', '"p50_ms": "2.0"'),
        lambda text: text.replace('"num_calls": 50', '"num_calls": 0'),
        lambda text: json.dumps({**json.loads(text), "measurements": None}),
    ],
)
def test_damaged_files(tmp_path, damage):
    made_report().write(tmp_path)
    path = tmp_path / "benchmark.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(tftrt_yolo.BenchmarkError, match=r"benchmark\.json is damaged"):
        tftrt_yolo.BenchmarkReport.read(tmp_path)


def test_one_of_an_earlier_version(tmp_path):
    """Which knew neither files nor parts."""
    made_report().write(tmp_path)
    path = tmp_path / "benchmark.json"
    document = json.loads(path.read_text())
    del document["decoding_limit"], document["budgets"]
    path.write_text(json.dumps(document))
    report = tftrt_yolo.BenchmarkReport.read(tmp_path)
    assert (report.decoding_limit, report.budgets) == (None, ())
    assert "Python" not in str(report)


def test_a_missing_file(tmp_path):
    with pytest.raises(tftrt_yolo.BenchmarkError, match="cannot be read: No such file"):
        tftrt_yolo.BenchmarkReport.read(tmp_path)


def test_what_follows_from_the_numbers():
    report = made_report()
    dense = report.measurement("xla-fp16", "dense", 1)
    assert dense.images_per_second == 1000.0
    assert dense.batch_ms == 1.0
    assert report.floor_ms("xla-fp16", 1) == pytest.approx(
        0.1
    )  # 1 GFLOP at 10 TFLOP/s; 10 MB at 100 GB/s are 0.1 ms too
    assert report.share_of_floor(dense) == pytest.approx(0.1)
    assert report.selection_share("xla-fp16", 1) == pytest.approx(1 - 800 / 1000)
    assert report.selection_share("xla-fp16", 8) is None
    assert report.share_of_floor(report.measurement("xla-fp16", "end_to_end", 1)) is None
    assert report.measurement("xla-fp16", "selected", 8) is None
    assert report.share_of_decoding(report.measurement("xla-fp16", "from_jpeg", 1)) == pytest.approx(300 / 1200)
    assert report.share_of_decoding(dense) is None
    assert report.budgets[0].rest_ms == pytest.approx(3.5 - 1.5 - 0.1 - 1.0 - 0.5 + 0.01)


@pytest.mark.parametrize(("spread", "is_unstable"), [(0.05, False), (0.099, False), (0.11, True)])
def test_unstable(spread, is_unstable):
    assert measured("xla-fp16", "dense", 1, 100.0, spread=spread).is_unstable is is_unstable


def test_the_text_says_all():
    text = str(made_report())
    for part in (
        "Benchmark of yolov8n, detect, 640 x 640 px, 80 classes",
        "GPU model, driver 580.1; CPU | model, 16 cores",
        "1.00 GFLOP an image over 10 TFLOP/s FP16, 1 TFLOP/s FP32, 100 GB/s",
        "~4,000",
        "~ unstable",
        "1200 to 1900 MHz, power cap",
        "power brake THROTTLED",
        "onnxruntime-cuda-fp16: ModuleNotFoundError: No module named 'onnxruntime'",
        "ultralytics-savedmodel dense batch 8: exported for batch 1",
        "pytorch-compile-fp16 (dense, batch 8): OutOfMemory",
        "100 GB/s; 1,200 files/s decoded and letterboxed",
        "contestant   file   array   decode    up   network   selection    back   rest",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120
    assert "THROTTLED" not in next(line for line in text.splitlines() if "1200 to" in line)


def test_a_model_that_finds_no_objects_selects_none(tmp_path):
    model = dataclasses.replace(made_report().model, task="depth", num_classes=1)
    text = str(made_report(model=model))
    assert "Benchmark of yolov8n, depth, 640 x 640 px\n" in text
    assert "With all around the network: uint8 images on the device to results on the device" in text
    assert "detections" not in text
    assert " around" in text


def test_many_batch_sizes_fit_the_width():
    batch_sizes = (1, 8, 32, 64)
    slow = [measured("pytorch-compile-autotune-fp16", "dense", size, 12345.6, p50_ms=2345.6) for size in batch_sizes]
    text = str(made_report(batch_sizes=batch_sizes, measurements=tuple(slow)))
    assert text.count("12,346") == len(batch_sizes)
    assert text.count("2,346") == len(batch_sizes) * 2  # and the end of the rate
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_csv_has_a_row_a_measurement(tmp_path):
    report = made_report()
    report.write_csv(tmp_path)
    with open(tmp_path / "benchmark.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(report.measurements)
    assert float(rows[0]["images_per_second"]) == 1000.0
    assert rows[4]["is_unstable"] == "True"
    assert float(rows[1]["selection_share"]) == pytest.approx(0.2)
    assert float(rows[3]["share_of_decoding"]) == pytest.approx(0.25)


def test_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    import PIL.Image

    from tftrt_yolo.benchmarking.results import chart

    chart.write(made_report(), tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1300
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10  # more than a blank page
