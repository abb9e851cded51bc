"""Semantic segmentation from a checkpoint to pictures, figures and engines, against PyTorch and Ultralytics."""

import io
import json
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import DATA
from tests.evaluation.digits import metrics
from tftrt_yolo import contract
from tftrt_yolo.evaluation.networks import PyTorchNetwork, describe
from tftrt_yolo.graph import letterbox
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.saved_model.handle import open_saved_model

torch = pytest.importorskip("torch")

WEIGHTS = DATA / "yolo26n-tiny-semantic.pt"
PICTURES = sorted((DATA / "semantic" / "images").glob("*.jpg"))
SIDE = 160


@pytest.fixture(scope="module")
def export(models):
    return models.exported("semantic")


def test_every_signature_gives_what_the_contract_says(export, models):
    report = models.report(export)
    assert list(report.parity) == ["logits"]
    assert report.parity["logits"] < 1e-3
    assert (report.task, report.num_classes, report.nms, report.branches) == ("semantic", 11, "", ())
    inspected = tftrt_yolo.inspect(export)
    outputs = {key: found for key, (_, found) in inspected.signatures.items()}
    assert outputs.pop("encoded") == {"class_maps": "string (?)", "status": "string (?)"}
    assert all(found == {"logits": "float32 (?, 20, 20, 11)"} for found in outputs.values())
    assert inspected.metadata.names[10] == "background"


def test_maps_are_ultralytics_and_the_files_are_the_maps(export):
    """Ultralytics' predictor on PyTorch's logits, of pictures of several shapes; ties may fall another way."""
    from ultralytics.models.yolo.semantic import SemanticSegmentationPredictor

    predictor = tftrt_yolo.Predictor(export)
    images = [read_image(path) for path in PICTURES[:4]]
    frames = np.stack([letterbox.letterbox_images(image[None], (SIDE, SIDE))[0][0].numpy() for image in images])
    with PyTorchNetwork(WEIGHTS, describe(open_saved_model(export))) as network:
        logits = network.run(frames)[0]["logits"]
    theirs = SemanticSegmentationPredictor()
    theirs.model = types.SimpleNamespace(names=predictor.metadata.names)
    theirs.batch = [[str(path) for path in PICTURES[:4]]]
    planes = torch.from_numpy(logits.transpose(0, 3, 1, 2).copy())
    expected = theirs.postprocess(planes, torch.zeros(4, 3, SIDE, SIDE), images)
    found = predictor(PICTURES[:4])
    for ours, wanted in zip(found, expected, strict=True):
        differs = np.count_nonzero(ours.class_map != wanted.semantic_mask.data.numpy())
        assert differs <= ours.class_map.size // 1_000
        shares = {row["name"]: row["pixel_ratio"] for row in wanted.summary()}
        assert {row["name"]: row["share"] for row in ours.rows()} == pytest.approx(shares, abs=1e-3)
    encoded = tf.saved_model.load(str(export)).signatures[contract.ENCODED]
    files = tf.constant([*(path.read_bytes() for path in PICTURES[:4]), b"no picture"])
    outputs = {name: value.numpy() for name, value in encoded(image_bytes=files).items()}
    for ours, file in zip(found, outputs["class_maps"], strict=False):
        with PIL.Image.open(io.BytesIO(file)) as image:
            differs = np.count_nonzero(np.asarray(image) != ours.class_map)
        assert differs <= ours.class_map.size // 1_000
    assert outputs["class_maps"][4] == b""
    assert outputs["status"][4].startswith(b"it is no image")


def test_figures_are_the_validators(export, tmp_path):
    """On pictures whose sides are scaled without rounding, which Ultralytics does another way."""
    report = tftrt_yolo.evaluate(export, DATA / "semantic" / "data.yaml", output_dir=tmp_path / "evaluation")
    expected = metrics()["yolo26n-tiny-semantic"]
    for name in ("mIoU", "pixel accuracy"):
        assert report.value(name) == pytest.approx(expected[name], abs=5e-4)
    [iou, _] = report.models[0].metrics
    for index, value in iou.per_class.items():
        assert value == pytest.approx(expected["IoU"][index], abs=2e-3)
    assert iou.interval is not None
    assert report.score_shift is None
    assert report.num_objects == sum(one.num_objects for one in report.classes) == 12 * 240_000 // 3
    assert "12 images, 960,000 labelled pixels, 0 without any; semantic" in str(report)
    assert (tmp_path / "evaluation" / "confusion_matrix.png").is_file()
    assert tftrt_yolo.EvaluationReport.read(tmp_path / "evaluation") == report


def test_files_that_predict_writes(export, tmp_path):
    options = tftrt_yolo.OutputOptions(output_dir=tmp_path / "found", save=("csv", "maps"))
    report = tftrt_yolo.predict(export, DATA / "semantic" / "images" / "00000[01].jpg", options)
    assert str(report).startswith("Segmented 2 images in ")
    lines = [json.loads(line) for line in (tmp_path / "found" / "detections.jsonl").read_text().splitlines()]
    for line, result in zip(lines, tftrt_yolo.Predictor(export)(PICTURES[:2]), strict=True):
        assert line["classes"] == result.rows()
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "found" / line["maps"])), result.class_map)
    header, *rows = (tmp_path / "found" / "detections.csv").read_text().splitlines()
    assert header == "image,frame,seconds,class,name,pixels,share"
    assert len(rows) == sum(len(line["classes"]) for line in lines)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("txt", "save has txt, which is for models for detect"),
        ("crops", "save has crops, which is for models for detect"),
        (
            "masks",
            r"save has masks, which is for models for segment, and .* is a model for semantic, which gives a map",
        ),
    ],
)
def test_forms_of_objects_are_refused(export, tmp_path, form, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.predict(export, PICTURES[0], tftrt_yolo.OutputOptions(output_dir=tmp_path / "found", save=(form,)))
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize("options", [{"score_threshold": 0.5}, {"classes": (1,)}, {"tracker": "bytetrack"}])
def test_what_is_for_objects_is_refused(export, options):
    message = (
        "for models that find objects, and .* is a model for semantic, which gives a map of each image and no boxes"
    )
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.Predictor(export)(PICTURES[0], **options)


def test_one_engine_and_a_limit_on_scores_that_there_are_not(export, tmp_path):
    report = tftrt_yolo.convert(export, tmp_path / "b_saved_model")
    assert (report.engines, report.nodes_outside) == (1, 0)
    expected, found = (tftrt_yolo.Predictor(path)(PICTURES[:2]) for path in (export, tmp_path / "b_saved_model"))
    for one, other in zip(expected, found, strict=True):
        assert np.count_nonzero(one.class_map != other.class_map) <= one.class_map.size // 1_000
    int8 = tftrt_yolo.Int8Options(calibration_data=DATA / "images", maximum_score_shift=0.1)
    with pytest.raises(
        ValueError, match=r"maximum_score_shift is for models that give scores, and .* is a model for sem"
    ):
        tftrt_yolo.convert(export, tmp_path / "c_saved_model", precision_mode="INT8", int8=int8)
