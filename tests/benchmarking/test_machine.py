import os
import stat

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.benchmarking import inputs, machine
from tftrt_yolo.benchmarking.contestants import CONTESTANTS, Circumstances, choose, why_absent

CPU = Circumstances(has_gpu=False, tensorflow_sees_gpu=False, why_no_engines="no GPU, no library", has_weights=True)
GPU = Circumstances(has_gpu=True, tensorflow_sees_gpu=True, why_no_engines="", has_weights=True)


@pytest.mark.parametrize(
    ("name", "circumstances", "reason"),
    [
        ("tensorflow-fp32", CPU, ""),
        ("tensorflow-fp32", GPU, ""),
        ("xla-fp16", CPU, "no GPU"),
        ("xla-fp16", GPU, ""),
        ("onednn-bf16", CPU, ""),  # what the processor lacks, convert says
        ("onednn-bf16", GPU, "measured on CPUs only"),
        ("tensorrt-fp16", CPU, "no GPU, no library"),
        ("tensorrt-fp16", GPU, ""),
        ("openvino-fp32", GPU, "measured on CPUs only"),
        ("pytorch-compile-fp16", CPU, "no GPU"),
        ("pytorch-compile-fp16", GPU, ""),
        # a GPU that the driver knows and TensorFlow does not
        ("xla-fp16", Circumstances(True, False, "no GPU", True), "TensorFlow sees no GPU here"),
        ("tensorflow-fp32", Circumstances(True, False, "no GPU", True), "TensorFlow sees no GPU here"),
        ("pytorch-compile-fp16", Circumstances(True, False, "no GPU", True), ""),
        # no checkpoint
        ("tensorflow-fp32", Circumstances(False, False, "", False), ""),
        ("pytorch-eager-fp32", Circumstances(False, False, "", False), "no weights were given"),
        ("onnxruntime-cpu-fp32", Circumstances(False, False, "", False), "no weights were given"),
        ("ultralytics-savedmodel", Circumstances(False, False, "", False), "no weights were given"),
    ],
)
def test_who_can_take_part(name, circumstances, reason):
    found = why_absent(CONTESTANTS[name], circumstances)
    assert found.startswith(reason)
    assert bool(found) is bool(reason)


def test_choosing():
    assert choose(None) == tuple(CONTESTANTS.values())
    assert [one.name for one in choose(("xla-fp16", "tensorflow-fp32", "xla-fp16"))] == ["xla-fp16", "tensorflow-fp32"]
    with pytest.raises(ValueError, match=r"'xla'; known are tensorflow-fp32, xla-fp16"):
        choose(("xla",))
    with pytest.raises(ValueError, match="contestants is empty"):
        choose(())


@pytest.mark.parametrize(
    ("reasons", "names", "is_throttled"),
    [
        (0x0, [], False),
        (0x1, [], False),  # idle
        (0x4, ["power cap"], False),  # the GPU's ordinary limit
        (0x20 | 0x4, ["power cap", "software thermal slowdown"], True),
        (0x8 | 0x80, ["hardware slowdown", "power brake"], True),
        (0x40, ["hardware thermal slowdown"], True),
    ],
)
def test_what_holds_the_clock_down(reasons, names, is_throttled):
    limits = tuple(machine.decode_limits(reasons))
    assert sorted(limits) == names
    assert machine.Clock(1, 2, limits).is_throttled is is_throttled


def _pretend_nvidia_smi(folder, monkeypatch, script):
    """A program of that name, first on the path."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "_SAMPLE_SECONDS", 0.01)


# Memory rises by 10 MiB a call; the newer name of the clock's limits is unknown to an older driver.
_OLD_DRIVER = """\
case "$1" in *clocks_event_reasons*) echo 'Field is not a valid field to query.'; exit 2;; esac
case "$1" in *driver_version*) echo 'NVIDIA Model, 525.1'; exit;; esac
echo x >> "$(dirname "$0")/calls"
echo "$((1000 + 10 * $(wc -l < "$(dirname "$0")/calls"))), 1500, 0x0000000000000024"
"""


def test_a_gpu_is_watched(tmp_path, monkeypatch):
    _pretend_nvidia_smi(tmp_path, monkeypatch, _OLD_DRIVER)
    found = machine.describe()
    assert (found.gpu, found.driver) == ("NVIDIA Model", "525.1")
    with machine.GpuWatch() as watch:
        watch.set_timing(True)
        while not watch.clock:
            pass
        watch.set_timing(False)
    samples = len((tmp_path / "calls").read_text().splitlines())
    assert watch.peak_bytes == 10 * (samples - 1) << 20
    assert watch.clock == machine.Clock(1500, 1500, ("power cap", "software thermal slowdown"))


@pytest.mark.parametrize(
    "script",
    ["exit 9", "echo '[N/A], [N/A], [N/A]'"],  # no driver; a GPU in partitions
)
def test_a_gpu_that_tells_nothing(tmp_path, monkeypatch, script):
    _pretend_nvidia_smi(tmp_path, monkeypatch, script)
    with machine.GpuWatch() as watch:
        watch.set_timing(True)
    assert watch.peak_bytes is None
    assert watch.clock is None


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_hidden_gpu_is_none(tmp_path, monkeypatch, visible):
    _pretend_nvidia_smi(tmp_path, monkeypatch, _OLD_DRIVER)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.describe().gpu is None


def test_pictures_are_letterboxed_to_the_frame(tmp_path):
    import PIL.Image

    PIL.Image.new("RGB", (100, 50), (255, 0, 0)).save(tmp_path / "wide.png")
    [frame] = inputs.read_frames(tmp_path / "wide.png", (64, 64))
    assert frame.shape == (64, 64, 3)
    assert (frame[16:48] == (255, 0, 0)).all()
    assert (frame[:16] == 114).all()
    assert (frame[48:] == 114).all()
    assert inputs.read_frames(IMAGES[0].parent, (32, 64)).shape == (len(IMAGES), 32, 64, 3)
    with pytest.raises(tftrt_yolo.ImageError, match="no file or folder"):
        inputs.read_frames(tmp_path / "none.jpg", (64, 64))
