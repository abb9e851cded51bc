"""TensorFlow's chatter stays off the standard error of Python calls; whatever else is written there passes."""

import os
import subprocess
import sys

import pytest

from tests.conftest import IMAGES
from tftrt_yolo.ground import chatter


def _run(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name != chatter.LEVEL}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept | environment
    )
    assert result.returncode == 0, result.stderr
    return result


def test_a_predictor_is_quiet(tiny_export):
    code = f"import tftrt_yolo\npredictor = tftrt_yolo.Predictor({str(tiny_export)!r})\n"
    code += f"print(len(predictor([{str(IMAGES[0])!r}])))\n"
    result = _run(code)
    assert (result.stdout, result.stderr) == ("1\n", "")


@pytest.mark.slow
def test_a_model_for_xla_is_quiet(tiny_export, tmp_path):
    """XLA logs by another way, which no setting reaches, when it compiles."""
    code = "import tftrt_yolo\n"
    code += f"tftrt_yolo.convert({str(tiny_export)!r}, {str(tmp_path / 'x')!r}, accelerator='xla')\n"
    code += f"predictor = tftrt_yolo.Predictor({str(tmp_path / 'x')!r})\nprint(len(predictor([{str(IMAGES[0])!r}])))\n"
    result = _run(code)
    assert (result.stdout, result.stderr) == ("1\n", "")


def test_who_wants_to_hear_it_does():
    assert "oneDNN" in _run("import tftrt_yolo; tftrt_yolo.check()", TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_who_imported_tensorflow_before_finds_all_as_it_was():
    code = "import os, sys, tensorflow\nbefore = sys.stderr, dict(os.environ), list(sys.meta_path)\n"
    code += (
        "import tftrt_yolo\ntftrt_yolo.check()\nassert before == (sys.stderr, dict(os.environ), list(sys.meta_path))\n"
    )
    _run(code)


def test_who_imports_it_himself_hears_it():
    code = (
        "import tftrt_yolo\ntftrt_yolo.check\nimport os, tensorflow\nassert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ\n"
    )
    assert "oneDNN" in _run(code).stderr


def test_it_is_loaded_as_ever():
    """By its own loader, which it knows; and the standard error is the one that it was."""
    code = "import os, sys, importlib.machinery, tftrt_yolo\nbefore = sys.stderr, os.fstat(2).st_ino\n"
    code += "tftrt_yolo.check()\nimport tensorflow as tf\nloader = importlib.machinery.SourceFileLoader\n"
    code += "assert type(tf.__loader__) is type(tf.__spec__.loader) is loader\n"
    code += "assert (sys.stderr, os.fstat(2).st_ino) == before\nos.write(2, b'E0000 mine\\n')\n"
    assert _run(code).stderr == "E0000 mine\n"


def test_errors_are_errors():
    """One that is raised while TensorFlow is imported, with what was written before it."""
    code = "import sys, os, importlib.machinery, tftrt_yolo\nfrom tftrt_yolo.ground import chatter\n"
    code += "sys.meta_path[:] = [f for f in sys.meta_path if f is not importlib.machinery.PathFinder]\n"
    code += "os.makedirs('tensorflow'); open('tensorflow/__init__.py', 'w').write(\n"
    code += (
        '    \'import os; os.write(2, b"I0000 chatter\\\\nlast words\\\\n"); raise ImportError("no such library")\')\n'
    )
    code += "sys.path.insert(0, os.getcwd()); sys.meta_path.append(importlib.machinery.PathFinder)\n"
    code += "chatter.heed()\n"
    code += "try: exec('import tensorflow', {'__name__': 'tftrt_yolo.x'})\n"
    code += "except ImportError as error: print(error)\nassert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ\n"
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        result = _run(f"import os\nos.chdir({folder!r})\n{code}")
    assert (result.stdout, result.stderr) == ("no such library\n", "last words\n")


def test_filters_within_filters_and_in_threads():
    code = "import os, threading, time\nfrom tftrt_yolo.ground import chatter\n"
    code += "def work(seconds):\n    with chatter.filtered():\n        os.write(2, b'I0000 chatter\\n')\n"
    code += "        time.sleep(seconds)\n        os.write(2, b'I0000 chatter\\n')\n"
    code += "threads = [threading.Thread(target=work, args=(s,)) for s in (0.4, 0.1, 0.2)]\n"
    code += "[t.start() for t in threads]\n[t.join() for t in threads]\n"
    code += "with chatter.filtered():\n    with chatter.filtered():\n        os.write(2, b'kept\\n')\n"
    code += "os.write(2, b'I0000 after\\n')\n"
    assert _run(code).stderr == "kept\nI0000 after\n"


def test_a_closed_standard_error():
    code = "import os\nos.close(2)\nfrom tftrt_yolo.ground import chatter\nwith chatter.filtered(): print('fine')\n"
    assert _run(code).stdout == "fine\n"


def test_fatal_messages_of_tensorflow_pass_the_filter():
    lines = "I0000 chatter\n2026-01-31 10:00:00.1: W chatter\n2026-01-31 10:00:00.1: F fatal\nWhatever else\n"
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-c", chatter.FILTER], input=lines, capture_output=True, text=True, check=True
    )
    assert result.stdout == "2026-01-31 10:00:00.1: F fatal\nWhatever else\n"
