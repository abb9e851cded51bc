"""Every task's export: contract, parity on photos, Ultralytics' own loader, GPU kernels, one engine."""

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import CROPS, DATA, IMAGES, OTHER_TASKS
from tftrt_yolo.exporter import pytorch_parity
from tftrt_yolo.tasks.table import TASKS

torch = pytest.importorskip("torch")

ANCHORS = (320 // 8) ** 2 + (320 // 16) ** 2 + (320 // 32) ** 2
SELECTED = {
    "boxes": "float32 (?, 300, 4)",
    "classes": "int32 (?, 300)",
    "num_detections": "int32 (?)",
    "scores": "float32 (?, 300)",
}
DENSE = {"boxes": f"float32 (?, {ANCHORS}, 4)", "scores": f"float32 (?, {ANCHORS}, 10)"}
PROTOTYPES = {"prototypes": "float32 (?, 80, 80, 32)"}
PROBABILITIES = {"probabilities": "float32 (?, 10)"}
PACKED = {"segment": SELECTED | {"mask_corners": "int32 (?, 300, 2)", "masks": "string (?, 300)"}}  # of encoded
OUTPUTS = {  # of serving_default and padded, and of encoded unless it is packed; of network
    "segment": (
        SELECTED | {"mask_coefficients": "float32 (?, 300, 32)"} | PROTOTYPES,
        DENSE | {"mask_coefficients": f"float32 (?, {ANCHORS}, 32)"} | PROTOTYPES,
    ),
    "pose": (
        SELECTED | {"keypoints": "float32 (?, 300, 3, 3)"},
        DENSE | {"keypoints": f"float32 (?, {ANCHORS}, 3, 3)"},
    ),
    "obb": (
        SELECTED | {"boxes_xywhr": "float32 (?, 300, 5)"},
        DENSE | {"boxes_xywhr": f"float32 (?, {ANCHORS}, 5)"},
    ),
    "classify": (PROBABILITIES, PROBABILITIES),
}


def _pictures(task):
    return CROPS[::8] if task == "classify" else IMAGES[:3]


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_signatures_keep_the_contract(models, task):
    size = 64 if task == "classify" else 320
    selected, dense = OUTPUTS[task]
    exported, converted = (tftrt_yolo.inspect(make(task)) for make in (models.exported, models.converted))
    assert exported.signatures == {
        "serving_default": ({"images": "uint8 (?, ?, ?, 3)"}, selected),
        "encoded": ({"image_bytes": "string (?)"}, PACKED.get(task, selected) | {"status": "string (?)"}),
        "padded": ({"images": "uint8 (?, ?, ?, 3)", "sizes": "int32 (?, 2)"}, selected),
        "framed": ({"frames": f"uint8 (?, {size}, {size}, 3)", "sizes": "int32 (?, 2)"}, selected),
        "network": ({"frames": f"float32 (?, {size}, {size}, 3)"}, dense),
    }
    assert converted.signatures == exported.signatures
    assert converted.metadata == exported.metadata
    assert exported.metadata.task == task
    assert exported.metadata.keypoint_shape == ((3, 3) if task == "pose" else None)


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_reports(models, task):
    """Parity within the tolerances, and one engine with nothing left over."""
    report, conversion = (models.report(make(task)) for make in (models.exported, models.converted))
    for quantity in TASKS[task].quantities:
        assert report.parity[quantity.label] <= quantity.tolerance / 10
        assert f"{quantity.label} within" in str(report)
    assert (conversion.engines, conversion.nodes_outside, conversion.left_to_tensorflow) == (1, 0, ())


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_network_equals_pytorch_on_photos(models, task):
    """On real pictures, batch 1 and 3, within the tolerances of the task."""
    import tensorflow as tf

    from tftrt_yolo.exporter import reference
    from tftrt_yolo.exporter.checkpoint.load import load
    from tftrt_yolo.graph import crop, letterbox
    from tftrt_yolo.ground.files.image_files import read_image

    saved_model_dir = models.exported(task)
    fit = crop.crop_images if task == "classify" else letterbox.letterbox_padded_images
    size_hw = (64, 64) if task == "classify" else (320, 320)
    images = [tf.constant(read_image(path)[None]) for path in _pictures(task)[:3]]
    batch = tf.concat(
        [letterbox.to_unit_range(fit(image, letterbox.sizes_of(image), size_hw)[0]) for image in images], 0
    )
    expected = reference.run(load(str(DATA / f"yolov8n-tiny-{task}.pt")), batch.numpy())
    network = tf.saved_model.load(str(saved_model_dir)).signatures["network"]
    for first, last in ((0, 1), (0, 3)):
        got = {name: value.numpy() for name, value in network(frames=batch[first:last]).items()}
        pytorch_parity.check(TASKS[task], got, {name: value[first:last] for name, value in expected.items()})


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_encoded_gives_what_serving_default_gives(models, task):
    import tensorflow as tf

    from tftrt_yolo.ground.files.image_files import read_image

    signatures = tf.saved_model.load(str(models.exported(task))).signatures
    pictures = _pictures(task)
    encoded = signatures["encoded"](image_bytes=tf.constant([path.read_bytes() for path in pictures]))
    for index, path in enumerate(pictures):
        alone = signatures["serving_default"](images=tf.constant(read_image(path)[None]))
        packing = TASKS[task].packing
        same = set(alone) - set(packing.replaced if packing else ())
        assert set(encoded) == same | {"status"} | set(packing.given if packing else ())
        assert encoded["status"][index] == ""
        for name, value in ((name, alone[name]) for name in sorted(same)):
            np.testing.assert_allclose(encoded[name][index], value[0], atol=0.3, err_msg=name)


@pytest.mark.parametrize("task", ["detect", *OTHER_TASKS])
def test_ultralytics_own_loader_gives_what_it_gives_for_the_checkpoint(models, task):
    from ultralytics.nn.autobackend import AutoBackend

    exported = models.exported("tiny" if task == "detect" else task)
    frames = pytorch_parity.reference_frames((64, 64) if task == "classify" else (320, 320))
    images = torch.from_numpy(frames.transpose(0, 3, 1, 2).copy())
    ours, theirs = AutoBackend(str(exported)), AutoBackend(str(DATA / f"yolov8n-tiny-{task}.pt"))
    assert (ours.task, ours.names) == (task, {index: str(index) for index in range(10)})
    if task == "pose":
        assert tuple(ours.kpt_shape) == (3, 3)
    with torch.inference_mode():
        expected, got = theirs(images), ours(images)
    if task == "segment":
        assert [tuple(part.shape) for part in got] == [(2, 46, ANCHORS), (2, 32, 80, 80)]
        np.testing.assert_allclose(got[1], expected[0][1], atol=1e-3)
        expected, got = expected[0], got[0]
    expected = expected[0] if isinstance(expected, (list, tuple)) else expected
    np.testing.assert_allclose(got, expected, atol=0.1)
    if task != "classify":
        np.testing.assert_allclose(got[:, 4:14], expected[:, 4:14], atol=1e-3)
    else:
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.torchvision
@pytest.mark.parametrize("task", OTHER_TASKS)
def test_ultralytics_predicts_from_our_directory(models, task):
    from ultralytics import YOLO

    picture, size = _pictures(task)[0], 64 if task == "classify" else 320
    arguments = {"imgsz": size, "verbose": False} | ({} if task == "classify" else {"rect": False})
    ours = YOLO(str(models.exported(task)), task=task).predict(picture, **arguments)[0]
    theirs = YOLO(str(DATA / f"yolov8n-tiny-{task}.pt")).predict(picture, **arguments)[0]
    part = {"segment": "boxes", "pose": "keypoints", "obb": "obb", "classify": "probs"}[task]
    np.testing.assert_allclose(getattr(ours, part).data.cpu(), getattr(theirs, part).data.cpu(), atol=0.1)


def test_a_size_that_the_strides_do_not_divide(tmp_path):
    with pytest.raises(ValueError, match="image_size is 100 x 100"):
        tftrt_yolo.export(DATA / "yolov8n-tiny-pose.pt", tmp_path / "x_saved_model", image_size=100)
    assert not list(tmp_path.iterdir())


def test_a_classifier_has_no_strides():
    from tftrt_yolo.exporter.checkpoint.load import load

    assert load(str(DATA / "yolov8n-tiny-classify.pt")).facts.stride == 1


@pytest.mark.slow
def test_a_classifiers_frame_of_any_size(tmp_path):
    report = tftrt_yolo.export(DATA / "yolov8n-tiny-classify.pt", tmp_path / "y_saved_model", image_size=(75, 90))
    assert report.parity["probabilities"] <= 1e-4
    [found] = tftrt_yolo.Predictor(tmp_path / "y_saved_model")(CROPS[0])
    assert abs(found.confidence.sum() - 1) < 1e-5


def test_the_default_is_the_size_that_it_was_trained_at(tmp_path):
    """And with it the accuracy: at 224 px, the task's own, top-1 is 0.10."""
    report = tftrt_yolo.export(DATA / "yolov8n-tiny-classify.pt", tmp_path / "x_saved_model")
    assert report.image_size_hw == report.trained_size_hw == (64, 64)
    assert "at 64 x 64 px, dynamic batch" in str(report)
    assert "image size" not in str(report)
    found = tftrt_yolo.evaluate(tmp_path / "x_saved_model", DATA / "classify")
    assert found.value("top-1") == pytest.approx(0.90)
    assert not [note for note in found.notes if "trained at" in note]


def test_another_size_than_it_was_trained_at_is_said(tmp_path):
    """In the report of the export, in what is inspected, and with the accuracy."""
    report = tftrt_yolo.export(DATA / "yolov8n-tiny-classify.pt", tmp_path / "x_saved_model", image_size=(96, 224))
    assert "at 224 x 96 px; trained at 64, dynamic batch" in str(report)
    assert "224 x 96 px, trained at 64\n" in str(tftrt_yolo.inspect(tmp_path / "x_saved_model"))
    [note] = tftrt_yolo.evaluate(tmp_path / "x_saved_model", DATA / "classify").notes
    assert note.startswith("the frames are of 224 x 96 px, and yolov8n-tiny-classify.pt was trained at 64:")


def test_a_checkpoint_that_does_not_know_its_size(tmp_path):
    document = torch.load(DATA / "yolov8n-tiny-classify.pt", weights_only=False)
    torch.save({"model": document["model"] or document["ema"]}, tmp_path / "x.pt")
    report = tftrt_yolo.export(tmp_path / "x.pt", tmp_path / "x_saved_model")
    assert (report.image_size_hw, report.trained_size_hw) == ((224, 224), None)
    assert "the task's own: the checkpoint does not say at which size it was trained; for another, give" in str(report)
    assert tftrt_yolo.inspect(tmp_path / "x_saved_model").metadata.trained_size_hw is None
    assert {name: task.default_size for name, task in TASKS.items() if task.default_size != 640} == {"classify": 224}
