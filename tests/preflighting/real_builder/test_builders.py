"""Which TensorRT is found, and what is said where none works; each in an interpreter of its own."""

import os
import subprocess
import sys

import pytest

from tests.preflighting.sketches import Sketch, write
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.real_builder import engine
from tftrt_yolo.preflighting.real_builder.builders import Builder, find

WITHOUT_RTX = "import sys; sys.modules |= dict.fromkeys(('tensorrt_rtx', 'tensorrt_rtx_bindings'))\n"
FIND = (
    "from tftrt_yolo.preflighting.real_builder import builders\nprint(repr(builders.find()), 'tensorrt' in sys.modules)"
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    sketch = Sketch()
    output = sketch.layer("UNARY", [sketch.input(-1, 3, 8, 10)], (-1, 3, 8, 10), operation="EXP")
    return write([sketch.network(output)], tmp_path_factory.mktemp("recording"))


def _said(code, folder, **environment):
    """What an interpreter prints that has no TensorRT-RTX, but what lies in a folder."""
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_RTX + code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout + process.stderr


def _building(recording):
    return f"from tftrt_yolo.preflighting.real_builder.build import build\nprint(*build({str(recording)!r}))"


def _install(folder, version, code):
    """A package named tensorrt; its code runs when it is imported."""
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text(code)
    facts = folder / f"tensorrt-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n")
    (facts / "top_level.txt").write_text("tensorrt\n")
    (facts / "RECORD").write_text("tensorrt/__init__.py,,\n")


def test_tensorrt_rtx_is_found_and_not_imported():
    assert find() == Builder("tensorrt_rtx_bindings", "TensorRT-RTX", "1.7.1.116")
    assert str(find()) == "TensorRT-RTX 1.7.1.116"
    assert "tensorrt_rtx_bindings" not in sys.modules


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("10.3.0", "Builder(module='tensorrt', name='TensorRT', version='10.3.0') False"),
        ("8.6.1", "None False"),  # TensorFlow's own, with another API
        ("oh", "None False"),
    ],
)
def test_tensorrt_must_be_new_enough(version, expected, tmp_path):
    _install(tmp_path, version, "raise AssertionError")
    assert _said(FIND, tmp_path).strip() == expected


def test_what_only_has_the_name_is_none(tmp_path):
    (tmp_path / "tensorrt").mkdir()  # a namespace package to Python
    assert _said(FIND, tmp_path).strip() == "None False"
    assert _said("import types; sys.modules['tensorrt'] = types.ModuleType('tensorrt')\n" + FIND, tmp_path).strip() == (
        "None True"
    )


def test_without_any(recording, tmp_path):
    assert (
        "PreflightError: No TensorRT that can rebuild a network is installed here. Install TensorRT-RTX, which needs "
        "no GPU: pip install 'tftrt_yolo[preflight]' (Linux, x86-64)."
    ) in _said(_building(recording), tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "raise ImportError('libnvinfer.so.10: cannot open shared object file')",
            "PreflightError: TensorRT 10.3.0 is installed and cannot be imported: libnvinfer.so.10: cannot open shared "
            "object file. Install TensorRT-RTX, which needs no GPU: ",
        ),
        ("import os; os.abort()", "TensorRT 10.3.0 did not come to an end. Try smaller batch_sizes, another version"),
        ("import os; os.abort()", "The process was ended by SIGABRT, a refusal of native code."),
        (
            "import os; os._exit(3)",
            "TensorRT 10.3.0 did not come to an end. Try smaller batch_sizes, another version",
        ),
    ],
)
def test_one_that_does_not_work(code, expected, recording, tmp_path):
    _install(tmp_path, "10.3.0", code)
    assert expected in _said(_building(recording), tmp_path)


def test_tensorrt_itself_builds_for_the_gpu_that_is_here(recording):
    stub = Builder("types", "TensorRT", "10.3.0")  # a module that names no compute capabilities, as TensorRT names none
    with pytest.raises(
        PreflightError,
        match=r"^compute_capability is '8\.9', and TensorRT 10\.3\.0 builds for the GPU that is here and for no "
        r"other\. Leave it out\. For another GPU: Install TensorRT-RTX, which needs no GPU: ",
    ):
        next(engine.work(recording, stub, engine.Order("8.9", (1,), "Range", in_half=False), first=0))
