import dataclasses
import shutil

import numpy as np
import pytest
import yaml

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS
from tftrt_yolo import contract
from tftrt_yolo.selection import Selection
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Quantity

torch = pytest.importorskip("torch")


def test_report(models, tiny_export):
    report = models.report(tiny_export)
    assert report.parity["boxes"] < 0.1
    assert report.parity["scores"] < 1e-3
    assert report.num_classes == 10
    assert report.size_bytes == sum(file.stat().st_size for file in tiny_export.rglob("*") if file.is_file())
    assert "parity" in str(report)


def test_leaves_nothing_beside_the_saved_model(tiny_export):
    assert {path.name for path in tiny_export.iterdir()} <= {
        "assets",
        "export.json",
        "fingerprint.pb",
        "metadata.yaml",
        "saved_model.pb",
        "variables",
    }
    assert {path.name for path in tiny_export.parent.iterdir()} == {tiny_export.name, "lock", "report"}


def test_signatures_keep_the_contract(tiny_export):
    signatures = tftrt_yolo.inspect(tiny_export).signatures
    detections = {
        "boxes": "float32 (?, 300, 4)",
        "classes": "int32 (?, 300)",
        "num_detections": "int32 (?)",
        "scores": "float32 (?, 300)",
    }
    anchors = (320 // 8) ** 2 + (320 // 16) ** 2 + (320 // 32) ** 2
    assert signatures == {
        "serving_default": ({"images": "uint8 (?, ?, ?, 3)"}, detections),
        "encoded": ({"image_bytes": "string (?)"}, detections | {"status": "string (?)"}),
        "padded": ({"images": "uint8 (?, ?, ?, 3)", "sizes": "int32 (?, 2)"}, detections),
        "framed": ({"frames": "uint8 (?, 320, 320, 3)", "sizes": "int32 (?, 2)"}, detections),
        "network": (
            {"frames": "float32 (?, 320, 320, 3)"},
            {"boxes": f"float32 (?, {anchors}, 4)", "scores": f"float32 (?, {anchors}, 10)"},
        ),
    }


def test_network_equals_pytorch_on_photos(tiny_export):
    """Boxes within 0.1 px and scores within 1e-3 of PyTorch, batch 1 and 3, on real pictures."""
    import tensorflow as tf

    from tftrt_yolo.exporter import reference
    from tftrt_yolo.exporter.checkpoint.load import load
    from tftrt_yolo.graph import letterbox
    from tftrt_yolo.ground.files.image_files import read_image

    yolo = load(str(TINY_WEIGHTS))
    loaded = tf.saved_model.load(str(tiny_export))
    images = [tf.constant(read_image(path)[None]) for path in IMAGES[:3]]
    images = [letterbox.to_unit_range(letterbox.letterbox_images(image, (320, 320))[0]) for image in images]
    batch = tf.concat(images, 0)
    expected = reference.run(yolo, batch.numpy())
    for first, last in ((0, 1), (0, 3)):
        got = loaded.signatures["network"](frames=batch[first:last])
        np.testing.assert_allclose(got["boxes"], expected["boxes"][first:last], atol=0.1)
        np.testing.assert_allclose(got["scores"], expected["scores"][first:last], atol=1e-3)


def test_encoded_gives_what_serving_default_gives(tiny_export):
    import tensorflow as tf

    from tftrt_yolo.ground.files.image_files import read_image

    signatures = tf.saved_model.load(str(tiny_export)).signatures
    encoded = signatures["encoded"](image_bytes=tf.constant([path.read_bytes() for path in IMAGES[:4]]))
    for index, path in enumerate(IMAGES[:4]):
        alone = signatures["serving_default"](images=tf.constant(read_image(path)[None]))
        assert encoded["num_detections"][index] == alone["num_detections"][0]
        np.testing.assert_allclose(encoded["boxes"][index], alone["boxes"][0], atol=0.2)


def test_metadata_has_the_keys_that_ultralytics_reads(tiny_export):
    document = yaml.safe_load((tiny_export / "metadata.yaml").read_text())
    assert document["task"] == "detect"
    assert document["stride"] == 32
    assert document["imgsz"] == [320, 320]
    assert document["names"] == {index: str(index) for index in range(10)}
    metadata = contract.read_metadata(tiny_export)
    assert metadata.selection == Selection(0.25, 0.7, 300)
    assert metadata.weights == TINY_WEIGHTS.name


def test_options_reach_the_saved_model(tiny_export, tmp_path):
    """Not square, few detections, another threshold; the directory of an earlier export is replaced."""
    target = tmp_path / "wide_saved_model"
    shutil.copytree(tiny_export, target)
    tftrt_yolo.export(
        TINY_WEIGHTS,
        target,
        image_size=(192, 320),
        score_threshold=0.6,
        iou_threshold=0.5,
        max_detections=2,
        overwrite=True,
    )
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert tftrt_yolo.inspect(target).signatures["network"][0] == {"frames": "float32 (?, 192, 320, 3)"}
    for detections in tftrt_yolo.Predictor(target)(IMAGES[:5]):
        assert len(detections) <= 2
        assert (detections.confidence > 0.6).all()


def test_a_model_yaml_gives_random_weights(models):
    """By its official name; what becomes of it is in converter/test_convert.py."""
    report = models.report(models.exported("yaml"))
    assert report.num_classes == 80
    assert report.num_parameters > 3_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "positive whole number"),
        ({"image_size": (1, 2, 3)}, "positive whole number"),
        ({"image_size": 64.0}, "positive whole number"),
        ({"score_threshold": 1.5}, "score_threshold is 1.5; it must be a number between 0 and 1"),
        ({"iou_threshold": -0.1}, "iou_threshold is -0.1"),
        ({"max_detections": 0}, "max_detections is 0; it must be a whole number of at least 1"),
    ],
)
def test_arguments_out_of_range(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.export(TINY_WEIGHTS, tmp_path / "x_saved_model", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size_hw", "message"),
    [
        ((100, 100), r"image_size is 100 x 100 .* multiples of the model's stride, 32.*nearest that is: 96"),
        ((64, 70), r"64 x 70 .*nearest that is: 64"),
    ],
)
def test_sizes_that_the_strides_do_not_divide(size_hw, message):
    """See also test_tasks.py, for a whole export."""
    from tftrt_yolo.exporter import export

    with pytest.raises(ValueError, match=message):
        export._check_stride(size_hw, 32)


def _bad_weights(folder, kind):
    """A bad checkpoint of each kind."""
    path = folder / f"{kind}.pt"
    match kind:
        case "truncated":
            path.write_bytes(TINY_WEIGHTS.read_bytes()[:100_000])
        case "empty":
            path.touch()
        case "text":
            path.write_text("these are not the weights that you are looking for")
        case "state_dict":
            torch.save({"weight": torch.zeros(3)}, path)
        case "other_network":
            torch.save({"model": torch.nn.Linear(3, 3)}, path)
        case "torchscript":
            torch.jit.script(torch.nn.Linear(3, 3)).save(str(path))
        case "evil":
            torch.save({"model": _Evil(folder / "harm")}, path)
        case "rtdetr.yaml":
            return "rtdetr-l.yaml"
        case "world.yaml":
            return "yolov8s-world.yaml"
        case "evil.yaml":
            path = folder / "evil.yaml"
            path.write_text(
                "nc: 1\nactivation: __import__('os').mkdir('harm')\nbackbone: []\nhead:\n  - [-1, 1, Detect, [nc]]\n"
            )
        case "grey.yaml":
            from ultralytics.nn.tasks import yaml_model_load

            path = folder / "yolov8n-grey.yaml"
            path.write_text(yaml.safe_dump({**yaml_model_load("yolov8n.yaml"), "channels": 1}))
        case "headless.yaml":
            path = folder / "headless.yaml"
            path.write_text("nc: 1\nbackbone:\n  - [-1, 1, Conv, [8, 3, 2]]\nhead: []\n")
        case "layer.yaml":
            path = folder / "layer.yaml"
            path.write_text("nc: 1\nbackbone:\n  - [-1, 1, torch_safe_load, [1]]\nhead:\n  - [-1, 1, Detect, [nc]]\n")
    return str(path)


class _Evil:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self._path),)


BAD_WEIGHTS = {
    "missing": "does not exist",
    "truncated": r"is damaged or cut short \(.*copy or download it again",
    "empty": "is no checkpoint: it is empty",
    "text": "is no checkpoint: it starts with b'these are no'",
    "state_dict": "holds a dictionary with the keys 'weight' and no network",
    "other_network": "a Linear and no YOLO network",
    "torchscript": "is a TorchScript archive",
    "evil": r"holds the name '(posix|nt)\.mkdir', which is none of PyTorch's or Ultralytics' classes",
    "rtdetr.yaml": "ends in the head RTDETRDecoder, which is not supported. Supported are Detect",
    "world.yaml": "ends in the head WorldDetect, which is not supported",
    "grey.yaml": "takes images of 1 channel. Only RGB",
    "evil.yaml": "its activation is .*, which is not a torch.nn layer",
    "layer.yaml": "'torch_safe_load', is not a layer",
    "headless.yaml": "does not describe a YOLO model: it has no head",
}


@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_weights(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # where evil.yaml would do its harm
    from tftrt_yolo.exporter.checkpoint.load import load

    weights = _bad_weights(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(tftrt_yolo.CheckpointError, match=BAD_WEIGHTS[kind]):
        load(weights)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["missing", "truncated", "evil"])
def test_export_passes_on_what_is_wrong_with_the_weights(tmp_path, kind):
    weights = _bad_weights(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(tftrt_yolo.CheckpointError, match=BAD_WEIGHTS[kind]):
        tftrt_yolo.export(weights, tmp_path / "x_saved_model")
    assert sorted(tmp_path.iterdir()) == before  # no SavedModel, no temporary folder, no harm


def test_an_existing_directory_is_not_touched(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="is not what this writes"):
            tftrt_yolo.export(TINY_WEIGHTS, target, overwrite=overwrite)
    assert (target / "thesis.txt").read_text() == "years of work"


def test_a_model_that_differs_is_refused(tmp_path, monkeypatch):
    """The parity check can fail: no difference at all is accepted."""
    strict = dataclasses.replace(TASKS["detect"], quantities=(Quantity("boxes", "boxes", 0.0, "px"),))
    monkeypatch.setitem(TASKS, "detect", strict)
    with pytest.raises(tftrt_yolo.ParityError, match=r"differs from PyTorch by up to .* px in boxes; at most 0 px"):
        tftrt_yolo.export(TINY_WEIGHTS, tmp_path / "x_saved_model", image_size=64)
    assert not list(tmp_path.iterdir())


def test_a_crash_of_the_worker_is_reported(tmp_path):
    """onnx2tf meets a file that is no ONNX, and its last words come back."""
    from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError

    with Worker("tftrt_yolo.exporter.tensorflow_half") as worker:
        (worker.folder / "trunk.onnx").write_bytes(b"no ONNX")
        worker.start(onnx_path=worker.folder / "trunk.onnx", head=None, metadata=None, saved_model_dir=tmp_path)
        with pytest.raises(WorkerCrashedError, match=r"(?s)ended with status 1.*onnx_graph = onnx.load"):
            worker.receive()
    assert not worker.folder.exists()


@pytest.mark.torchvision
def test_ultralytics_predicts_from_our_directory(tiny_export):
    from ultralytics import YOLO

    ours = YOLO(str(tiny_export), task="detect").predict(IMAGES[0], imgsz=320, rect=False, verbose=False)[0]
    theirs = YOLO(str(TINY_WEIGHTS)).predict(IMAGES[0], imgsz=320, rect=False, verbose=False)[0]
    np.testing.assert_allclose(ours.boxes.data.cpu(), theirs.boxes.data.cpu(), atol=0.1)
