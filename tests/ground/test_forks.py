"""Processes that were forked after TensorFlow ran: they say so at once, where they would wait for ever.

Each test starts a Python of its own, for the tests' process should not be forked, and ends it after a minute.
"""

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import IMAGES

_BEGIN = """
import multiprocessing, os, sys
import numpy as np
import tftrt_yolo
from tftrt_yolo import ForkedProcessError, Predictor, TftrtYoloError

MODEL, IMAGE = sys.argv[1:]

def said(use):
    try:
        use()
    except TftrtYoloError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"

def in_fork(use):
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.write(write_end, said(use).encode())
        os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    return os.read(read_end, 10_000).decode()
"""


def _run(text, model):
    command = [sys.executable, "-c", _BEGIN + textwrap.dedent(text), str(model), str(IMAGES[0])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


MESSAGE = "is used in a process that was forked after TensorFlow ran, and TensorFlow's threads do not survive a fork"

USES = {
    "a predictor that the parent loaded": ("A Predictor", "lambda: predictor(IMAGE)"),
    "many images": ("A Predictor", "lambda: list(predictor.stream([IMAGE] * 9, batch_size=2))"),
    "a warm-up": ("A Predictor", "lambda: predictor.warm_up((1,))"),
    "a predictor of its own": ("The SavedModel ", "lambda: Predictor(MODEL)"),
    "predict": ("The SavedModel ", "lambda: tftrt_yolo.predict(MODEL, IMAGE, MODEL + '_pictures')"),
    "the network alone": ("The network of ", "lambda: network.run(np.zeros((1, 64, 64, 3), np.uint8))"),
    "another network": ("The SavedModel ", "lambda: SavedModelNetwork(MODEL, strict=False)"),
    "frames": ("A SavedModel's frame ", "lambda: framer(np.zeros((8, 8, 3), np.uint8))"),
}


@pytest.mark.parametrize("name", USES)
def test_a_child_of_a_process_that_predicted(toy_export, name):
    subject, use = USES[name]
    said = _run(
        f"""
        from tftrt_yolo.saved_model.network import Framer, SavedModelNetwork
        predictor = Predictor(MODEL)
        network, framer = SavedModelNetwork(MODEL, strict=False), Framer(predictor.metadata)
        print(in_fork({use}))
        print(len(predictor(IMAGE)))
        """,
        toy_export,
    )
    child, parent = said.splitlines()
    assert child.startswith(f"ForkedProcessError: {subject}")
    assert MESSAGE in child
    assert 'start processes with multiprocessing.get_context("spawn") and load the model in the child' in child
    assert parent == "1"  # the parent goes on


def test_in_the_middle_of_a_stream(toy_export):
    said = _run(
        """
        stream = Predictor(MODEL).stream([IMAGE] * 40, batch_size=2)
        next(stream)
        print(in_fork(lambda: list(stream)))
        print(len(list(stream)))
        """,
        toy_export,
    )
    assert said.startswith("ForkedProcessError: A Predictor")
    assert said.endswith("\n39\n")


def test_children_of_a_child(toy_export):
    said = _run(
        """
        predictor = Predictor(MODEL)
        print(in_fork(lambda: print(in_fork(lambda: predictor(IMAGE)), flush=True)))
        """,
        toy_export,
    )
    assert said.splitlines()[0].startswith("ForkedProcessError: A Predictor")


def test_multiprocessing_with_fork(toy_export):
    said = _run(
        """
        predictor = Predictor(MODEL)

        def count(image):
            return len(predictor(image))

        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(said(lambda: pool.map(count, [IMAGE] * 4)))
        """,
        toy_export,
    )
    assert said.startswith("ForkedProcessError: A Predictor")


def test_a_process_in_which_somebody_else_ran_tensorflow(toy_export):
    """This package is imported in the child, so nothing could watch the fork."""
    command = """
import os, sys
import tensorflow as tf
tf.constant(1) + 1
if not (child := os.fork()):
    import tftrt_yolo
    try:
        tftrt_yolo.Predictor(sys.argv[1])
    except tftrt_yolo.ForkedProcessError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    result = subprocess.run(
        [sys.executable, "-c", command, str(toy_export)], capture_output=True, text=True, timeout=120, check=False
    )
    assert MESSAGE in result.stdout, result.stderr


def test_a_process_that_is_forked_before_anything_is_loaded(toy_export):
    said = _run(
        """
        import tensorflow
        import tftrt_yolo.saved_model.load
        print(in_fork(lambda: Predictor(MODEL)(IMAGE)))
        """,
        toy_export,
    )
    assert said == "nothing\n"


def test_a_spawned_process_predicts(toy_export, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from tftrt_yolo import Predictor\n"
        "def count(arguments):\n"
        "    return len(Predictor(arguments[0])(arguments[1]))\n"
        "if __name__ == '__main__':\n"
        "    print(count(sys.argv[1:]))\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(count, [sys.argv[1:]]))\n"
    )
    command = [sys.executable, script, toy_export, IMAGES[0]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "1\n[1]\n", result.stderr
