import re
import subprocess
import sys
from pathlib import Path

import pytest

import tftrt_yolo
from tftrt_yolo import contract
from tftrt_yolo.ground.files import directories
from tftrt_yolo.selection import Selection

PACKAGE = Path(tftrt_yolo.__file__).parent
HEAVY = ("tensorflow", "torch", "ultralytics", "onnx", "supervision", "PIL", "yaml", "numpy")


def test_import_is_light():
    """It loads nothing heavy, which is what makes it quick."""
    code = f"import sys, tftrt_yolo; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_can_be_loaded():
    for name in tftrt_yolo.__all__:
        assert getattr(tftrt_yolo, name).__doc__ if name != "__version__" else tftrt_yolo.__version__
    with pytest.raises(AttributeError, match=r"no attribute 'exprot'; it has export"):
        _ = tftrt_yolo.exprot


def test_export_and_convert_load_neither_framework_into_the_caller(tiny_export):
    """Both work in processes of their own; importing ultralytics would patch Pillow here."""
    code = (
        "import sys, tftrt_yolo\n"
        f"try: tftrt_yolo.export({str(tiny_export / 'x.pt')!r}, 'nowhere')\n"
        "except tftrt_yolo.CheckpointError: pass\n"
        "from tftrt_yolo import exporter, converter\n"
        "print([name for name in ('tensorflow', 'torch', 'ultralytics', 'PIL') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def _imports(path):
    return re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)


def test_rooms_keep_their_secrets():
    """Only one module knows onnx2tf; PyTorch is known to that of the export and to the benchmark's peers alone."""
    knows = {
        name: {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if name in {i.split(".")[0] for i in _imports(path)}
        }
        for name in ("torch", "ultralytics", "onnx2tf", "torchvision")
    }
    assert knows == {
        "torch": {
            *(f"exporter/{name}.py" for name in ("onnx_trunk", "pytorch_half", "reference", "surgery")),
            *(f"exporter/checkpoint/{name}.py" for name in ("contents", "fake_quantization", "load", "model_yaml")),
            *(f"exporter/checkpoint/{name}.py" for name in ("rebuild", "rewrite")),
            *(f"benchmarking/runners/{name}.py" for name in ("pytorch", "torchvision", "ultralytics")),
            "predictor/tracking/undisturbed.py",
        },
        "ultralytics": {
            "exporter/checkpoint/load.py",
            "exporter/checkpoint/rebuild.py",
            "exporter/official.py",
            "exporter/surgery.py",
            *(f"benchmarking/runners/{name}.py" for name in ("pytorch", "torchvision")),
            *(f"benchmarking/runners/{name}.py" for name in ("ultralytics", "ultralytics_export")),
            "predictor/tracking/library.py",
        },
        "onnx2tf": {"exporter/trunk.py"},
        "torchvision": {f"benchmarking/runners/{name}.py" for name in ("torchvision", "ultralytics")},
    }


def _write(target, text, *, fail):
    with directories.written_whole(target, contract.SAVED_MODEL, overwrite=True) as partial_dir:
        (partial_dir / "saved_model.pb").write_text(text)
        if fail:
            raise RuntimeError("half way")


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    target = tmp_path / "a"
    target.mkdir()
    (target / "saved_model.pb").write_text("old")
    with pytest.raises(RuntimeError, match="half way"):
        _write(target, "new", fail=True)
    assert (target / "saved_model.pb").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    _write(target, "new", fail=False)
    assert (target / "saved_model.pb").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_metadata_survives_a_round_trip(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    metadata = contract.Metadata(
        task="detect",
        names={0: "naïve: 'quoted'", 1: "yes", 2: "1"},
        image_size_hw=(320, 640),
        stride=32,
        selection=Selection(0.1, 0.5, 10, 100),
        weights="a.pt",
    )
    contract.write_metadata(tmp_path, metadata)
    assert contract.read_metadata(tmp_path) == metadata


def test_check_tells_what_is_missing_and_what_to_do():
    machine = tftrt_yolo.check()
    text = str(machine)
    assert machine.tensorflow_version in text
    if not machine.can_build_engines:
        assert machine.why_no_engines in text
        assert "To mend: " in text
    if any(machine.library_problems.values()):
        assert machine.loaded_tensorrt is None
        assert all(name in text for name in machine.library_problems)
        assert "check --fix" in text
