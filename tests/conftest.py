"""Real models, exported and converted once for all tests."""

import json
import os
import signal
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("YOLO_VERBOSE", "false")

import pytest

import tftrt_yolo
from tftrt_yolo.ground.assets import WEIGHTS

DATA = Path(__file__).parent / "data"
TINY_WEIGHTS = DATA / "yolov8n-tiny-detect.pt"
IMAGES = sorted((DATA / "images").glob("*.jpg"))
CROPS = sorted((DATA / "classify").glob("*/*.jpg"))
OTHER_TASKS = ("segment", "pose", "obb", "classify")


def pytest_addoption(parser):
    parser.addoption(
        "--saved_models",
        help="Folder with {tiny,digits,segment,pose,obb,classify}{,_tensorrt}_saved_model that were made elsewhere, "
        "for a machine that has no export tools.",
    )


def pytest_collection_modifyitems(items):
    """Skips what this machine cannot run, and says why."""
    marks = {mark.name for item in items for mark in item.iter_markers()}
    machine = tftrt_yolo.check() if marks & {"gpu", "tensorrt"} else None
    for item in items:
        if item.get_closest_marker("tensorrt") and not machine.can_build_engines:
            item.add_marker(pytest.mark.skip(reason=f"no TensorRT here: {machine.why_no_engines}"))
        elif item.get_closest_marker("gpu") and not machine.gpus:
            item.add_marker(pytest.mark.skip(reason="TensorFlow sees no GPU here"))
        elif item.get_closest_marker("torchvision") and not _torchvision_works():
            item.add_marker(pytest.mark.skip(reason="torchvision cannot be imported beside this build of torch"))


def _torchvision_works() -> bool:
    """Looks in a process of its own: a torchvision that fails to load leaves torch half registered."""
    import subprocess
    import sys

    return (
        subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode == 0
    )


class _Models:
    """Makes each SavedModel at most once."""

    def __init__(self, folder, ready_folder):
        self._folder, self._ready_folder = folder, ready_folder
        self.reports = {}

    def _path(self, name, make):
        if self._ready_folder:
            return Path(self._ready_folder) / name
        path = self._folder / name
        if not path.exists():
            self.reports[name] = make(path)
        return path

    def exported(self, name):
        tiny = {task: (DATA / f"yolov8n-tiny-{task}.pt", 64 if task == "classify" else 320) for task in OTHER_TASKS}
        weights, size = {"tiny": (TINY_WEIGHTS, 320), "digits": (WEIGHTS, 640), **tiny}[name]
        return self._path(f"{name}_saved_model", lambda path: tftrt_yolo.export(weights, path, image_size=size))

    def converted(self, name):
        source = self.exported(name)
        return self._path(f"{name}_tensorrt_saved_model", lambda path: tftrt_yolo.convert(source, path))


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory):
    """Nothing is written into the user's home; processes that a test starts inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory, request):
    return _Models(tmp_path_factory.mktemp("models"), request.config.getoption("--saved_models"))


@pytest.fixture(scope="session")
def tiny_export(models):
    return models.exported("tiny")


@pytest.fixture(scope="session")
def tiny_conversion(models):
    return models.converted("tiny")


@pytest.fixture
def photo():
    """(404, 401, 3) or so: one of the pictures as an array."""
    from tftrt_yolo.ground.image_files import read_image

    return read_image(IMAGES[0])


def heed_interrupts():
    """For a child's `preexec_fn`: a shell's background jobs ignore interrupts, and so would all their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
