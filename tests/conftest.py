"""Real models, exported and converted once for all tests, however many processes run them."""

import contextlib
import fcntl
import functools
import json
import os
import pickle
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("YOLO_VERBOSE", "false")

import pytest

import tftrt_yolo
from tests import toy
from tftrt_yolo.ground.assets import ACCEPTANCE, WEIGHTS
from tftrt_yolo.preflighting.rehearsal import process

DATA = Path(__file__).parent / "data"
TINY_WEIGHTS = ACCEPTANCE / "yolov8n-tiny-detect.pt"
IMAGES = sorted((DATA / "images").glob("*.jpg"))
CROPS = sorted((DATA / "classify").glob("*/*.jpg"))
OTHER_TASKS = ("segment", "pose", "obb", "classify")


def pytest_addoption(parser):
    parser.addoption(
        "--saved_models",
        help="Folder with {tiny,digits,segment,pose,obb,classify}{,_tensorrt}_saved_model and {toy,yaml}_saved_model "
        "that were made elsewhere, for a machine that has no export tools.",
    )
    parser.addoption(
        "--rehearsal",
        action="store_true",
        help="Run where TensorFlow takes our stand-in for TensorRT: with a GPU, tests marked tensorrt run.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Starts pytest again, in a rehearsal, if that is asked for; everything that it starts inherits the environment."""
    if not config.getoption("--rehearsal") or process.is_rehearsal():
        return None
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()  # the other one captures
    return process.run([sys.executable, "-m", "pytest", *config.invocation_params.args])


def pytest_collection_modifyitems(items):
    """Puts the longest files first, so that no worker is left alone with one; skips what this machine cannot run."""
    items.sort(key=lambda item: item.path.name not in ("test_documents.py", "test_acceptance.py"))
    marks = {mark.name for item in items for mark in item.iter_markers()}
    machine = tftrt_yolo.check() if marks & {"gpu", "tensorrt"} else None
    for item in items:
        if item.get_closest_marker("tensorrt") and not machine.can_build_engines:
            item.add_marker(pytest.mark.skip(reason=f"no TensorRT here: {machine.why_no_engines}"))
        elif item.get_closest_marker("gpu") and not machine.gpus:
            item.add_marker(pytest.mark.skip(reason="TensorFlow sees no GPU here"))
        elif item.get_closest_marker("torchvision") and not _torchvision_works():
            item.add_marker(pytest.mark.skip(reason="torchvision cannot be imported beside this build of torch"))


@functools.cache
def _torchvision_works() -> bool:
    """Looks in a process of its own: a torchvision that fails to load leaves torch half registered."""
    import subprocess
    import sys

    return (
        subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode == 0
    )


class _Models:
    """Makes each SavedModel at most once: whoever needs it first makes it, and other processes wait for it."""

    def __init__(self, folder, ready_folder):
        # absolute: tests link to what is in it, and start processes in other folders
        self._folder, self._ready_folder = folder, ready_folder and Path(ready_folder).absolute()

    def _path(self, name, make):
        if self._ready_folder:
            return self._ready_folder / name
        folder = self._folder / name.removesuffix("_saved_model")
        folder.mkdir(exist_ok=True)
        report = folder / "report"
        with _locked(folder / "lock"):
            if not report.exists():  # it is written last
                report.write_bytes(pickle.dumps(make(folder / name)))
        return folder / name

    def exported(self, name):
        return self._path(f"{name}_saved_model", lambda path: _export(name, path))

    def converted(self, name):
        source = self.exported(name)
        return self._path(f"{name}_tensorrt_saved_model", lambda path: tftrt_yolo.convert(source, path))

    def report(self, path):
        """What `export` or `convert` returned for a path that one of the others gave."""
        if self._ready_folder:
            pytest.skip("the models were made elsewhere")
        return pickle.loads((path.parent / "report").read_bytes())


@contextlib.contextmanager
def _locked(path):
    """Waits until no other process is here."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed
        yield


def _export(name, path):
    """Exports a model: "tiny", another task's tiny one by the task, "digits", "yaml" (random weights) or "toy"."""
    if name == "toy":
        toy.write_weights(path.with_name("yolov8-toy.pt"))
    weights, size = {
        "tiny": (TINY_WEIGHTS, 320),
        **{task: (ACCEPTANCE / f"yolov8n-tiny-{task}.pt", 320) for task in OTHER_TASKS},
        "classify": (ACCEPTANCE / "yolov8n-tiny-classify.pt", 64),
        "semantic": (DATA / "yolo26n-tiny-semantic.pt", 160),
        "depth": (DATA / "yolo26n-tiny-depth.pt", 160),
        "digits": (WEIGHTS, 640),
        "yaml": ("yolov8n.yaml", 320),
        "toy": (path.with_name("yolov8-toy.pt"), toy.SIZE),
    }[name]
    return tftrt_yolo.export(weights, path, image_size=size)


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """Nothing is written into the user's home; processes that a test starts inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory, request):
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers
    folder = folder / "models"
    folder.mkdir(exist_ok=True)
    return _Models(folder, request.config.getoption("--saved_models"))


@pytest.fixture(scope="session")
def tiny_export(models):
    return models.exported("tiny")


@pytest.fixture(scope="session")
def tiny_conversion(models):
    return models.converted("tiny")


@pytest.fixture(scope="session")
def toy_export(models):
    """See tests/toy.py."""
    return models.exported("toy")


@pytest.fixture
def photo():
    """(404, 401, 3) or so: one of the pictures as an array."""
    from tftrt_yolo.ground.files.image_files import read_image

    return read_image(IMAGES[0])


def heed_interrupts():
    """For a child's `preexec_fn`: a shell's jobs ignore interrupts, nohup's hang-ups, and their children too."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def reference(model):
    """What Ultralytics predicts on every picture: name to xyxy, scores and classes."""
    return json.loads((DATA / "reference" / f"{model}.json").read_text())


def match(detections, expected):
    """Matches detections to a reference: number matched, and what is left over on both sides.

    A match has the same class, an IoU of at least 0.97 and a score within 0.02.
    """
    import numpy as np
    import supervision as sv

    boxes = np.array(expected["xyxy"], np.float32).reshape(-1, 4)
    free, missed = set(range(len(detections))), []
    for box, score, index in zip(boxes, expected["scores"], expected["classes"], strict=True):
        found = [
            i
            for i in sorted(free)
            if detections.class_id[i] == index
            and abs(detections.confidence[i] - score) <= 0.02
            and sv.box_iou_batch(box[None], detections.xyxy[i][None])[0, 0] >= 0.97
        ]
        if found:
            free.remove(found[0])
        else:
            missed.append((box.tolist(), score, index))
    return len(boxes) - len(missed), missed, [float(detections.confidence[i]) for i in sorted(free)]
