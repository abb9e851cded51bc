"""TensorFlow without Keras, until somebody asks for it."""

import subprocess
import sys

import pytest

from tests.conftest import IMAGES
from tftrt_yolo.ground.workers import worker

LEFT_OUT = "from tftrt_yolo.ground.workers import late_keras\nlate_keras.leave_out()\nlate_keras.leave_out()\n"
LOADED = "import sys\nassert [name in sys.modules for name in ('keras.src', 'pandas', 'matplotlib')] == 3 * [{}]\n"


def _run(code, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_it_comes_when_it_is_asked_for(tiny_export):
    """And is whole: a layer, an optimizer, and a saved model of its own that TensorFlow reads."""
    pytest.importorskip("keras")
    _run(
        LEFT_OUT
        + "import tensorflow as tf\n"
        + LOADED.format(False)
        + "tf.saved_model.load(sys.argv[1])\n"
        + LOADED.format(False)
        + "model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2)])\n"
        "model.compile(optimizer='adam', loss='mse')\n"
        "assert model(tf.ones((1, 3))).shape == (1, 2)\n"
        "assert sys.modules['keras.src']\nimport keras\nassert keras.optimizers.Adam\n",
        tiny_export,
    )


def test_where_tensorflow_is_there_already_nothing_changes():
    _run("import sys, tensorflow\nbefore = list(sys.meta_path)\n" + LEFT_OUT + "assert sys.meta_path == before\n")


def test_who_imports_tensorflow_beside_us_has_keras_as_ever():
    pytest.importorskip("keras")
    _run("import tftrt_yolo\ntftrt_yolo.check()\n" + LOADED.format(True))


def test_processes_of_ours_have_none(tiny_export, tmp_path):
    """Commands and workers, by what they leave in a file as they end."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, sys\n"
        f"path = {str(tmp_path)!r} + '/seen' + str(os.getpid())\n"
        "def leave():\n    if 'tensorflow' in sys.modules: open(path, 'w').write(str('keras.src' in sys.modules))\n"
        "atexit.register(leave)\n"
    )
    command = [sys.executable, "-m", "tftrt_yolo", "predict", str(tiny_export), f"--source={IMAGES[0]}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:{worker._PACKAGE.parent}")
        subprocess.run([*command, f"--output_dir={tmp_path / 'out'}"], check=True, capture_output=True)
        with worker.Worker("tftrt_yolo.workflows.accepting.steps") as process:
            process.open()
            process.send(("check", {}))
            assert process.receive().tensorflow_version
            process.close()
            process._process.wait()
    assert [path.read_text() for path in tmp_path.glob("seen*")] == ["False", "False"]
