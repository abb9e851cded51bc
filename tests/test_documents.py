"""The notebook, and the commands and Python of README and of the site's pages, are run as they stand.

A page may use what README's commands wrote, and what its own did; each distinct command is run once. For every
document all commands come first and its Python after them. All but README's are marked slow, for there are many.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, README, ROOT, blocks, commands, script

# What the commands and the Python of a case must print, as patterns.
EXPECTED = {
    "README.md": [
        "1 TensorRT engine",
        "xla, FP16 in all 71",
        "Found 10 objects",
        r"box mAP50-95 +0\.93\d\d +0\.93\d\d +[+-]0\.00",
        "num_detections",
        r"num_detections:\s*\[10\]",
        "'5' '6' '2'",
    ],
    "docs/pages/acceptance.md, slow": ["^Acceptance of tftrt_yolo", r"^ *convert +ok$", r"^ *compare +ok$"],
    "docs/pages/accuracy.md": [r"^0\.93\d+$"],
    "docs/pages/command_line.md": [r"\d+\.\d+\.\d+", "--precision_mode", '"export_tools"', '"signatures"'],
    "docs/pages/contract.md": [r"float32 \(\?, 640, 640, 3\)"],
    "docs/pages/engines.md": [r"built an engine for compute capability 8\.6", r"^  no faults$"],
    "docs/pages/int8.md, slow": [
        *("1 TensorRT engine, INT8", "2 TensorRT engines, INT8/FP16", "box mAP50-95", r"convolution_\d+ +backbone"),
    ],
    "docs/pages/onnx.md": [r"FP16\) as ONNX, opset 19", "layers of it .*HALF"],
    "docs/pages/prediction.md": [r"^000000\.jpg \d"],
    "docs/pages/recipes.md": ["Found 10 objects"],
    "docs/pages/serving.md": [r"num_detections:\s*\[10\]", r"tf\.Tensor\(\[10\]"],
    "docs/pages/speed.md, slow": ["onednn-fp32"],
    "docs/pages/tasks.md": [r"^\['\d'"],
    "docs/pages/tensorflow.md": [r"^\[0 1 2 1 0 3 1 1 0 1\]$"],
    "docs/pages/tensorrt.md": ["built with TensorRT", r"^1 1\.0 (True|False)$"],
    "docs/pages/triton.md": [
        r"^Wrote runs/triton/digits/1, a version of model digits for Triton's python backend",
        r"built by TensorRT-RTX .*, and Triton's TensorRT backend has TensorRT and cannot read its plans",
        r"^\[\[3\]\] \[\[b''\]\]$",
        r"^0$",
    ],
    "docs/pages/xla.md": ["xla, FP16 in all 71", "onednn, FP32"],
}


def _last_output(name):
    """Runs a notebook, and gives what its last cell shows."""
    pytest.importorskip("torch")
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    return ast.literal_eval(notebook.cells[-1].outputs[-1]["data"]["text/plain"])


@pytest.mark.slow  # the commands and the Python of README are the same walk
def test_the_notebook_runs_and_ends_with_its_result():
    result = _last_output("1_export_convert_predict")
    assert result["engines"] == 1
    assert result["coverage"] == 1.0
    assert result["largest_box_difference_px"] < 0.1
    assert result["digits"] == "1223555679"


@pytest.mark.slow
def test_the_notebook_of_all_tasks_runs_and_ends_with_its_result():
    pytest.importorskip("pandas")
    result = _last_output("2_all_tasks")
    assert all(result[task] == ["4", "7", "8"] for task in ("detect", "segment", "pose", "obb"))
    assert result["classify"] == "0"
    assert result["rows"] > 190


@pytest.mark.slow
def test_the_notebook_of_video_and_tracking_runs_and_ends_with_its_result():
    pytest.importorskip("pandas")
    pytest.importorskip("lap")
    assert _last_output("3_video_and_tracking") == {"frames": 75, "tracker": "bytetrack", "objects": "034577"}


@pytest.mark.slow
def test_the_notebook_of_serving_runs_and_ends_with_its_result():
    for name in ("tritonclient.http", "tensorflow_serving", "uvicorn"):
        pytest.importorskip(name)
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    result = _last_output("4_serving")
    assert result == {"digits": "1223555679", "counts": [10, 10, 10], "few": 4, "status": 0}


@pytest.mark.slow
def test_the_notebook_of_int8_runs_and_ends_with_its_result():
    pytest.importorskip("faster_coco_eval")
    result = _last_output("5_int8")
    assert (result["engines"], result["faults"]) == (1, ())
    assert result["map_fp32"] > 0.7
    assert abs(result["map_fp32"] - result["map_int8"]) < 0.01
    assert result["layers"] == 71


@pytest.mark.slow
def test_the_notebook_of_a_job_runs_and_ends_with_its_result():
    for name in ("pandas", "pyarrow", "ray"):
        pytest.importorskip(name)
    assert _last_output("6_batch") == {"pictures": 41, "unreadable": 1, "as_predictor": True, "digits": 223}


def test_executed_notebooks_are_those_that_are_there():
    """Their pages on the site have the very cells, and what they show is small."""
    import nbformat

    folder = ROOT / "notebooks" / "executed"
    pages = sorted(folder.glob("*.md"))
    assert pages
    for page in pages:
        text = page.read_text()
        cells = nbformat.read(ROOT / "notebooks" / f"{page.stem}.ipynb", as_version=4).cells
        assert re.findall(r"^```python\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL) == [
            cell.source for cell in cells if cell.cell_type == "code"
        ], f"make notebooks writes {page.name} anew"
        assert all(cell.source in text for cell in cells if cell.cell_type == "markdown")
        assert not re.search(r"/tmp\w{8}/|/home/|/root/", text), f"{page.name} has a path of the machine that wrote it"
        shown = re.findall(r"^!\[[^]]*\]\((.+)\)$", text, re.MULTILINE)
        assert set(shown) == {path.name for path in folder.glob(f"{page.stem}_*.jpg")}
        assert sum(path.stat().st_size for path in [page, *folder.glob(f"{page.stem}_*.jpg")]) < 400_000


def test_notebooks_are_stripped_and_define_nothing():
    import nbformat

    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                assert not cell.outputs
                assert cell.execution_count is None
                assert not any(
                    isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.walk(ast.parse(cell.source))
                )


class _Checkout:
    """A folder that looks like a checkout, for what the documents write; it remembers what was run."""

    def __init__(self, folder):
        self.folder, self._outputs = folder, {}
        for name in ("tftrt_yolo", "configs", "tests"):
            (folder / name).symlink_to(ROOT / name)

    def run(self, document, *, is_slow):
        """Runs a document, README before it; returns all that was printed for it."""
        if document != README:
            self.run(README, is_slow=False)
        outputs = [self._once(["bash", "-c", command]) for command in commands(document, is_slow=is_slow)]
        code = script(document, is_slow=is_slow)
        return "\n".join(outputs + ([self._once([sys.executable, "-c", code])] if code else []))

    def _once(self, command):
        """Runs a command unless it was run before; returns what it printed."""
        key = tuple(command)
        if key not in self._outputs:
            environment = {
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "HOME": str(self.folder),
                "PYTHONPATH": str(ROOT),
            }
            result = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, f"{command[-1]}\n{result.stdout}\n{result.stderr}"
            self._outputs[key] = result.stdout
        return self._outputs[key]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return _Checkout(tmp_path_factory.mktemp("checkout"))


def _cases():
    """Each document with its quick blocks, and with its slow ones; id to both."""
    return {
        document.relative_to(ROOT).as_posix() + (", slow" if is_slow else ""): (document, is_slow)
        for document in DOCUMENTS
        for is_slow in sorted({block.is_slow for block in blocks(document) if block.language in ("bash", "python")})
    }


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case == "README.md" else [pytest.mark.slow]) for case in _cases()]
)
def test_a_documents_commands_and_python(checkout, case):
    pytest.importorskip("torch")
    document, is_slow = _cases()[case]
    printed = checkout.run(document, is_slow=is_slow)
    for pattern in EXPECTED.get(case, []):
        assert re.search(pattern, printed, re.MULTILINE), f"{pattern} is not in\n{printed}"


def test_every_expectation_is_of_a_case():
    assert set(EXPECTED) <= set(_cases())
