"""The whole benchmark on a tiny model, and a peer in another interpreter."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tftrt_yolo
from tests.conftest import TINY_WEIGHTS, heed_interrupts
from tftrt_yolo import BenchmarkOptions, contract
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.ground.assets import WEIGHTS
from tftrt_yolo.ground.workers.worker import Worker

QUICK = {"batch_sizes": (1,), "seconds": 0.3}


def test_importing_it_loads_no_framework():
    heavy = "{'tensorflow', 'torch', 'PIL', 'rich', 'yaml'}"
    code = f"import sys, tftrt_yolo; tftrt_yolo.benchmark; print({heavy} & {{*sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.slow
def test_a_benchmark(tiny_export, tmp_path, monkeypatch):
    """Ours, two peers and one that cannot run here."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    out, lines = tmp_path / "out", []
    arguments = {
        "weights": TINY_WEIGHTS,
        "contestants": ("tensorflow-fp32", "onnxruntime-cpu-fp32", "pytorch-eager-fp32", "xla-fp16"),
        "options": BenchmarkOptions(artifacts_dir=tmp_path / "artifacts"),
        **QUICK,
    }
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # PyTorch's threads wait for each other for seconds on a busy machine
    report = tftrt_yolo.benchmark(tiny_export, out, on_progress=lines.append, **arguments)
    assert [(absence.contestant, absence.reason) for absence in report.absent] == [("xla-fp16", "no GPU")]
    assert report.crashed == ()
    assert {(m.contestant, m.mode) for m in report.measurements} == {
        ("tensorflow-fp32", "dense"),
        ("tensorflow-fp32", "selected"),
        ("tensorflow-fp32", "end_to_end"),
        ("tensorflow-fp32", "from_jpeg"),
        ("onnxruntime-cpu-fp32", "dense"),
        ("pytorch-eager-fp32", "dense"),
    }
    for measurement in report.measurements:
        assert measurement.batch_size == 1
        assert 0 < measurement.p50_ms <= measurement.p90_ms <= measurement.p99_ms
        assert measurement.images_per_second == sorted(measurement.windows_images_per_second)[1]
        assert report.share_of_floor(measurement) is None or 0 < report.share_of_floor(measurement) < 1.2
    [budget] = report.budgets
    assert list(budget.parts_ms) == ["decode", "letterbox", "network", "selection", "back"]
    assert 0 < budget.parts_ms["network"] < budget.array_ms
    assert report.decoding_limit > report.measurement("tensorflow-fp32", "from_jpeg", 1).images_per_second
    assert all(run.peak_host_bytes > 10 << 20 for run in report.contestants)
    assert report.contestants[0].versions["tensorflow"]
    assert len(list((tmp_path / "artifacts").glob(f"{TINY_WEIGHTS.stem}_*.onnx"))) == 1
    assert sorted(path.name for path in out.iterdir()) == ["benchmark.csv", "benchmark.json", "benchmark.png"]
    assert tftrt_yolo.BenchmarkReport.read(out) == report
    assert "tensorflow-fp32: end_to_end, batch 1" in lines
    with pytest.raises(FileExistsError, match="exists already"):
        tftrt_yolo.benchmark(tiny_export, out, **arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "out"]


@pytest.mark.slow
def test_one_crashes_and_the_others_go_on(tiny_export, tmp_path):
    """The interpreter of the peers dies, of the one as of the other."""
    pytest.importorskip("torch")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho a library is missing >&2\nexit 1\n")
    python.chmod(0o755)
    flags = [f"--saved_model_dir={tiny_export}", f"--output_dir={tmp_path / 'out'}", f"--weights={TINY_WEIGHTS}"]
    flags += ["--batch_sizes=2", "--seconds=0.1", f"--peer_python={python}"]
    flags += ["--contestants=pytorch-eager-fp32,onnxruntime-cpu-fp32,tensorflow-fp32"]
    result = subprocess.run(
        [sys.executable, "-m", "tftrt_yolo", "benchmark", *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert result.returncode == 0, result.stderr
    report = tftrt_yolo.BenchmarkReport.read(tmp_path / "out")
    assert {(m.contestant, m.batch_size) for m in report.measurements} == {("tensorflow-fp32", 2)}
    assert [(crash.contestant, crash.during) for crash in report.crashed] == [
        ("pytorch-eager-fp32", "preparation"),
        ("onnxruntime-cpu-fp32", "preparation"),
    ]
    for crash in report.crashed:
        assert "ended with status 1. Its last words" in crash.last_words
        assert "a library is missing" in crash.last_words
    assert "Crashed\n  pytorch-eager-fp32 (preparation): " in result.stdout


def test_weights_that_are_refused_stop_nobody_else(tiny_export, tmp_path):
    weights = tmp_path / TINY_WEIGHTS.name
    weights.write_bytes(b"no checkpoint")
    export = shutil.copytree(tiny_export, tmp_path / "tiny_saved_model")  # as of a version that knew no content
    metadata = export / contract.METADATA_FILE
    metadata.write_text(re.sub(r"  weights_sha256: .*\n", "", metadata.read_text()))
    arguments = QUICK | {"contestants": ("pytorch-eager-fp32", "tensorflow-fp32"), "weights": weights}
    report = tftrt_yolo.benchmark(export, tmp_path / "out", **arguments)
    assert {one.contestant for one in report.measurements} == {"tensorflow-fp32"}
    [absence] = report.absent
    assert absence.contestant == "pytorch-eager-fp32"
    assert "is no checkpoint: it starts with b'no checkpoin" in absence.reason


def test_nothing_is_written_if_nothing_can_be_measured(tiny_export, tmp_path):
    with pytest.raises(tftrt_yolo.BenchmarkError, match=r"Nothing could be measured(?s:.*)no weights were given"):
        tftrt_yolo.benchmark(tiny_export, tmp_path / "out", contestants=("ultralytics-savedmodel",), **QUICK)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"contestants": ("tensorflow",)}, ValueError, "'tensorflow'; known are tensorflow-fp32, "),
        ({"contestants": ()}, ValueError, "contestants is empty"),
        ({"batch_sizes": (1, 0)}, ValueError, r"is \(1, 0\); expected one or more whole numbers of at least 1"),
        ({"batch_sizes": (1.5,)}, ValueError, r"batch_sizes is \(1\.5,\); expected whole numbers, such as"),
        ({"batch_sizes": ()}, ValueError, "expected one or more whole numbers"),
        ({"batch_sizes": 8}, ValueError, "batch_sizes is 8; expected whole numbers"),
        ({"seconds": 0}, ValueError, "seconds is 0; it must be a number above 0"),
        ({"seconds": float("nan")}, ValueError, "seconds is nan"),
        ({"seconds": "2"}, ValueError, "seconds is '2'"),
        ({"options": BenchmarkOptions(images="nowhere/*.jpg")}, tftrt_yolo.ImageError, "No file matches the pattern"),
        ({"weights": "nowhere/a.pt"}, ValueError, "which is no file"),
        ({"weights": "nowhere/yolov8n.yaml"}, ValueError, "which is no file"),
        ({"weights": WEIGHTS}, ValueError, r"but saved_model_dir was exported from yolov8n-tiny-detect\.pt"),
        ({"options": BenchmarkOptions(peer_python="/nowhere/python")}, ValueError, "which is no program"),
        ({"saved_model_dir": "nowhere"}, tftrt_yolo.SavedModelError, "nowhere is no directory"),
    ],
)
def test_bad_arguments(tiny_export, tmp_path, arguments, error, message):
    arguments = {"saved_model_dir": tiny_export, **arguments}
    with pytest.raises(error, match=message):
        tftrt_yolo.benchmark(output_dir=tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_conversion_is_refused(tiny_conversion, tmp_path):
    with pytest.raises(tftrt_yolo.NotAnExportError, match=r"is a conversion already\. Benchmark the export that"):
        tftrt_yolo.benchmark(tiny_conversion, tmp_path / "out")


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (("--contestants=xla,openvino",), 1, "contestants has 'xla'; known are tensorflow-fp32, xla-fp16"),
        (("--contestants=openvino",), 1, "contestants has 'openvino'"),  # one name is a tuple too
        (("--batch_sizes=0",), 1, "batch_sizes is (0,)"),
        (("--seconds=fast",), 2, "--seconds=fast"),
        (("--seconds=-1",), 1, "seconds is -1.0"),
    ],
)
def test_errors_of_the_command(tmp_path, monkeypatch, capfd, flags, status, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "--saved_model_dir=a", "--output_dir=b", *flags]) == status
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error


_SHOW = "def work():\n    import os, sys\n    return [sys.executable, sys.path, dict(os.environ)]\n"


def test_another_interpreter_gets_nothing_of_ours(tmp_path, monkeypatch):
    """A link to this one stands for it: what counts is that it was named."""
    other = tmp_path / "bin" / "python"
    other.parent.mkdir()
    other.symlink_to(sys.executable)
    (tmp_path / "show_environment.py").write_text(_SHOW)
    for name in ("LD_LIBRARY_PATH", "XLA_FLAGS", "PYTHONPATH"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path))
    options = {"environment": {"A": "b"}, "keep_heap": False}
    with Worker("show_environment", python=other, **options) as worker:
        worker.start()
        executable, path, environment = worker.receive()
    assert executable == str(other)
    assert "LD_LIBRARY_PATH" not in environment
    assert "XLA_FLAGS" not in environment
    assert "/nowhere" not in path
    assert environment["PYTHONPATH"] == str(tmp_path)
    assert environment["A"] == "b"
    assert "MALLOC_TOP_PAD_" not in environment


def test_a_peer_without_packages_is_absent_and_says_why(tiny_export, tmp_path):
    """An interpreter that has numpy alone, as the peers' modules promise to need."""
    import numpy

    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("numpy", "numpy.libs"):
        source = os.path.join(os.path.dirname(os.path.dirname(numpy.__file__)), name)
        if os.path.exists(source):
            (folder / name).symlink_to(source)
    numpy_only = tmp_path / "python"
    numpy_only.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} -S "$@"\n')
    numpy_only.chmod(0o755)
    for runner, job in (
        ("pytorch", {"weights": "a.pt", "precision": "FP32", "compile_mode": None}),
        ("onnxruntime", {"onnx_path": "a.onnx", "on_gpu": False}),
        ("openvino", {"onnx_path": "a.onnx", "precision": "FP32"}),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(folder))
            with Worker(f"tftrt_yolo.benchmarking.runners.{runner}", python=numpy_only) as worker:
                worker.start(**job, frames_path="a.npy", batch_sizes=(1,), seconds=1.0)
                event = worker.receive()
        assert event["event"] == "absent"
        assert "ModuleNotFoundError: No module named" in event["reason"]


@pytest.mark.slow
def test_an_interrupt_ends_the_children_and_leaves_nothing(tiny_export, tmp_path):
    arguments = [f"--saved_model_dir={tiny_export}", f"--output_dir={tmp_path / 'out'}", "--seconds=60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tftrt_yolo", "benchmark", *arguments, "--contestants=tensorflow-fp32"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )

    def members():
        listing = subprocess.run(["ps", "-ww", "-s", str(process.pid), "-o", "args="], capture_output=True, text=True)
        return [line for line in listing.stdout.splitlines() if "tftrt_yolo.benchmarking" in line]

    deadline = time.monotonic() + 60
    while not members() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members()
    process.send_signal(signal.SIGINT)  # to the parent alone
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; nothing half written is left" in error
    assert members() == []
    assert not list(tmp_path.iterdir())
