"""Which TensorRT is found, and what is said where none works; each in an interpreter of its own."""

import os
import subprocess
import sys

import pytest

from tests.preflighting.sketches import Sketch, write
from tftrt_yolo.preflighting.real_builder.builders import Builder, find, installed

WITHOUT_RTX = "import sys; sys.modules |= dict.fromkeys(('tensorrt_rtx', 'tensorrt_rtx_bindings'))\n"
FIND = (
    "from tftrt_yolo.preflighting.real_builder import builders\nprint(repr(builders.find()), 'tensorrt' in sys.modules)"
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    sketch = Sketch()
    output = sketch.layer("UNARY", [sketch.input(-1, 3, 8, 10)], (-1, 3, 8, 10), operation="EXP")
    return write([sketch.network(output)] * 2, tmp_path_factory.mktemp("recording"))


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
    return (
        "from tftrt_yolo.preflighting.real_builder.build import build\n"
        f"for said in build({str(recording)!r}): print(type(said).__name__, said)"
    )


def _checking(compute_capability):
    code = "from tftrt_yolo.preflighting.real_builder.build import check_target\n"
    return f"{code}print(check_target({compute_capability!r}))"


def install(folder, version, code):
    """A package named tensorrt; its code runs when it is imported."""
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text(code)
    facts = folder / f"tensorrt-{version}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n")
    (facts / "top_level.txt").write_text("tensorrt\n")
    (facts / "RECORD").write_text("tensorrt/__init__.py,,\n")


def test_tensorrt_rtx_is_found_and_not_imported():
    assert find() == Builder("tensorrt_rtx_bindings", "TensorRT-RTX", "1.7.1.116", "tensorrt_rtx_cu12_bindings")
    assert str(find()) == "TensorRT-RTX 1.7.1.116"
    assert "tensorrt_rtx_bindings" not in sys.modules


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("10.3.0", "Builder(module='tensorrt', name='TensorRT', version='10.3.0', package='tensorrt') False"),
        ("8.6.1", "None False"),  # TensorFlow's own, with another API
        ("oh", "None False"),
    ],
)
def test_tensorrt_must_be_new_enough(version, expected, tmp_path):
    install(tmp_path, version, "raise AssertionError")
    assert _said(FIND, tmp_path).strip() == expected


def test_what_only_has_the_name_is_none(tmp_path):
    (tmp_path / "tensorrt").mkdir()  # a namespace package to Python
    assert _said(FIND, tmp_path).strip() == "None False"
    assert _said("import types; sys.modules['tensorrt'] = types.ModuleType('tensorrt')\n" + FIND, tmp_path).strip() == (
        "None True"
    )


def test_without_any(recording, tmp_path):
    expected = (
        "PreflightError: No TensorRT that can rebuild a network is installed here. Install TensorRT-RTX, which needs "
        "no GPU: pip install 'tftrt_yolo[preflight]' (Linux, x86-64)."
    )
    assert expected in _said(_building(recording), tmp_path)
    assert expected in _said(_checking("8.9"), tmp_path)
    assert _said(_checking(None), tmp_path).strip() == "None"


LEAVE_OUT = "Install another version of it, or leave it out: pip uninstall tensorrt."
# What stands in for a package of TensorRT 10, up to where it fails.
WITH_LOGGER = """
__version__ = "10.3.0"
class ILogger:
    class Severity:
        INTERNAL_ERROR, ERROR, WARNING = range(3)
"""
WITH_BUILDER = f"""{WITH_LOGGER}
class Builder:
    def __init__(self, logger):
        logger.log(1, "CUDA initialization failure with error: 35.")
        {{}}
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "raise ImportError('libnvinfer.so.10: cannot open shared object file')",
            "TensorRT 10.3.0 is installed and cannot be imported: libnvinfer.so.10: cannot open shared object file. "
            f"{LEAVE_OUT}",
        ),
        ("import os; os.abort()", f"TensorRT 10.3.0 did not come to an end. Try smaller batch_sizes. {LEAVE_OUT}"),
        ("import os; os.abort()", "The process was ended by SIGABRT, a refusal of native code."),
        (
            "import os; os._exit(3)",
            f"TensorRT 10.3.0 did not come to an end. Try smaller batch_sizes. {LEAVE_OUT}",
        ),
        (  # half a package
            "",
            "TensorRT 10.3.0 is installed and does not work here: AttributeError: module 'tensorrt' has no attribute",
        ),
        (WITH_LOGGER, "does not work here: AttributeError: module 'tensorrt' has no attribute 'Builder'. TensorRT"),
        (  # as TensorRT without a GPU
            WITH_BUILDER.format("raise TypeError('pybind11::init(): factory function returned nullptr')"),
            "TensorRT 10.3.0 is installed and does not work here: CUDA initialization failure with error: 35. TensorRT "
            "itself needs a GPU. Without one: Install TensorRT-RTX, which needs no GPU: pip install "
            f"'tftrt_yolo[preflight]' (Linux, x86-64). {LEAVE_OUT}",
        ),
        (
            WITH_BUILDER.format("pass"),
            "TensorRT 10.3.0 fails (AttributeError: module 'tensorrt' has no attribute 'NetworkDefinitionCreationFlag'"
            f"). {LEAVE_OUT} If another version fails too, file an issue with network.json.",
        ),
    ],
)
def test_one_that_does_not_work_refuses_each_network(code, expected, recording, tmp_path):
    """The rest of a preflight goes on."""
    install(tmp_path, "10.3.0", code)
    said = _said(_building(recording), tmp_path)
    assert said.count(expected) == said.count("Refusal ") == 2, said
    assert "Traceback" not in said


@pytest.mark.parametrize("code", ["raise ImportError('libnvinfer.so.10')", "import os; os.abort()"])
def test_one_that_does_not_work_passes_the_check(code, tmp_path):
    install(tmp_path, "10.3.0", code)
    assert _said(_checking("8.9"), tmp_path).strip() == "None"


def test_tensorrt_itself_builds_for_the_gpu_that_is_here(tmp_path):
    install(tmp_path, "10.3.0", "")
    assert (
        "PreflightError: compute_capability is '8.9', and TensorRT 10.3.0 builds for the GPU that is here and for no "
        "other. Leave it out. For another GPU: Install TensorRT-RTX, which needs no GPU: "
    ) in _said(_checking("8.9"), tmp_path)


def test_all_that_is_installed(tmp_path):
    """TensorRT of any version is among it, which an engine may want; RTX comes first, which builds without a GPU."""
    assert [builder.name for builder in installed()][:1] == ["TensorRT-RTX"]
    assert next(installed()) == find()
    install(tmp_path, "8.6.1", "")
    code = "from tftrt_yolo.preflighting.real_builder import builders\nprint(*builders.installed(), builders.find())"
    assert _said(code, tmp_path).split("\n")[0] == "TensorRT 8.6.1 None"
