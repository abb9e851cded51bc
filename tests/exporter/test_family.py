"""Models beside YOLOv8 whose heads are the same, and heads that need no suppression.

`benchmarks/engines.md` has every model that was run; here are small ones.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

import tftrt_yolo
from tests import toy
from tests.conftest import IMAGES
from tests.exporter.grouped import grouped_in
from tftrt_yolo import contract
from tftrt_yolo.exporter import pytorch_parity
from tftrt_yolo.graph import letterbox
from tftrt_yolo.ground.files.image_files import read_image

torch = pytest.importorskip("torch")

_spec = importlib.util.spec_from_file_location("engines", Path(__file__).parents[2] / "benchmarks" / "engines.py")
engines = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(engines)


TOY = "toy26-pose"  # the toy's layers under the head of yolo26-pose


def _document(name):
    """A narrow variant of one of Ultralytics' model YAMLs, or TOY."""
    from ultralytics.nn.tasks import yaml_model_load

    if name == TOY:
        document = yaml.safe_load(toy.MODEL_YAML.read_text())
        features = document["head"].pop()[0]
        head = [features, 1, "Pose26", ["nc", "kpt_shape"]]
        facts = {"nc": 5, "end2end": True, "reg_max": 1, "kpt_shape": [17, 3]}
        return document | facts | {"head": [*document["head"], head]}
    return yaml_model_load(f"{name}.yaml") | {"nc": 5, "scales": {"n": [0.33, 0.125, 512]}}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Weights and export of a `_document`, each made once."""
    folder, made = tmp_path_factory.mktemp("family"), {}

    def make(name, nms="auto"):
        if (name, nms) not in made:
            weights, saved_model_dir = folder / f"{name}-narrow.pt", folder / f"{name}-{nms}_saved_model"
            if not weights.exists():
                (folder / f"{name}-narrow.yaml").write_text(yaml.safe_dump(_document(name)))
                engines.make_weights(str(folder / f"{name}-narrow"), weights)
            report = tftrt_yolo.export(weights, saved_model_dir, image_size=160, nms=nms)
            made[name, nms] = weights, saved_model_dir, report
        return made[name, nms]

    return make


def _slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", [TOY, *_slow("yolo26n-pose", "yolo26n", "yolo26n-obb", "yolov10n")])
def test_end_to_end(narrow, tmp_path, name):
    """Of an NMS-free head Ultralytics' own best are predicted, and nothing is suppressed; still one engine."""
    from ultralytics.nn.autobackend import AutoBackend

    weights, saved_model_dir, report = narrow(name, "one-to-one")
    assert "one-to-one, each object once; the checkpoint has one-to-many too, nms=one-to-many\n" in f"{report}\n"
    inspected = tftrt_yolo.inspect(saved_model_dir)
    assert "score above 0.25, each object once (one-to-one, nothing is suppressed), at most 300\n" in str(inspected)
    metadata = inspected.metadata
    assert metadata.is_end_to_end
    images = torch.from_numpy(pytorch_parity.reference_frames((160, 160)).transpose(0, 3, 1, 2).copy())
    ours, theirs = AutoBackend(str(saved_model_dir)), AutoBackend(str(weights), end2end=True)
    with torch.inference_mode():
        expected, got = theirs(images)[0], ours(images)
    assert ours.end2end
    assert got.shape == expected.shape
    np.testing.assert_allclose(got[..., 4], expected[..., 4], atol=1e-3)
    # Scores that are nearly equal may have changed places, at the end of the list also with one that is not in it.
    tolerance = torch.tensor([0.1] * 4 + [1e-3, 0.5])
    apart = (got[:, :, None, :6] - expected[:, None, :, :6]).abs()
    assert (apart <= tolerance).all(-1).any(-1).float().mean() > 0.98

    predictor = tftrt_yolo.Predictor(saved_model_dir)
    [result] = predictor(IMAGES[0])
    image = read_image(IMAGES[0])[None]
    frame, _ = letterbox.letterbox_images(image, (160, 160))
    with torch.inference_mode():
        rows = theirs(torch.from_numpy(frame.numpy()).permute(0, 3, 1, 2) / 255)[0][0]
    scores = predictor.task.boxes(result).confidence
    assert len(scores) == (rows[:, 4] > 0.25).sum() > 10
    np.testing.assert_allclose(scores, rows[: len(scores), 4], atol=1e-3)

    assert grouped_in(saved_model_dir) == []
    report = tftrt_yolo.convert(saved_model_dir, tmp_path / "b_saved_model")
    assert (report.engines, report.nodes_outside) == (1, 0)
    assert tftrt_yolo.inspect(tmp_path / "b_saved_model").metadata == metadata


def _first(found):
    """The first tensor of what a network gives, however deep its tuples are."""
    return _first(found[0]) if isinstance(found, (list, tuple)) else found


@pytest.mark.parametrize("name", [TOY, *_slow("yolo26n-seg", "yolo26n", "yolo26n-obb", "yolov10n")])
def test_one_to_many(narrow, tmp_path, name):
    """The other branch of the same heads is the default, and what it gives is Ultralytics', suppressed as there."""
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.utils.nms import non_max_suppression

    weights, saved_model_dir, report = narrow(name)
    assert (report.nms, report.branches) == ("one-to-many", ("one-to-many", "one-to-one"))
    metadata = tftrt_yolo.inspect(saved_model_dir).metadata
    assert not metadata.is_end_to_end
    ours, theirs = AutoBackend(str(saved_model_dir)), AutoBackend(str(weights), end2end=False)
    assert not ours.end2end
    image = read_image(IMAGES[0])[None]
    frame, _ = letterbox.letterbox_images(image, (160, 160))
    with torch.inference_mode():
        frames = torch.from_numpy(frame.numpy()).permute(0, 3, 1, 2) / 255
        found = [network(frames) for network in (ours, theirs)]
        got, expected = map(_first, found)  # beside it prototypes and raw outputs
        chosen = non_max_suppression(expected, 0.25, 0.7, nc=5, rotated=name.endswith("obb"), max_time_img=60)[0]
    assert got.shape == expected.shape
    sides = expected[:, :4].abs().amax(1, keepdim=True).clamp(min=160)  # px; random weights give boxes of thousands
    assert ((got[:, :4] - expected[:, :4]).abs() / sides).max() < 1e-3
    np.testing.assert_allclose(got[:, 4:9], expected[:, 4:9], atol=1e-3)

    # The signature, and not Predictor: that leaves out objects whose masks are empty, as random ones are.
    given = tf.saved_model.load(str(saved_model_dir)).signatures[contract.SERVING](images=tf.constant(image))
    scores = given["scores"][0, : int(given["num_detections"][0])].numpy()
    # Scores of random weights saturate: which of two equal ones suppresses the other is chance, here and there.
    assert abs(len(scores) - len(chosen)) <= len(chosen) / 20
    np.testing.assert_allclose(scores[:10], chosen[:10, 4], atol=1e-3)

    report = tftrt_yolo.convert(saved_model_dir, tmp_path / "b_saved_model")
    assert (report.engines, report.nodes_outside) == (1, 0)


@pytest.mark.parametrize("name", ["yolo11n", *_slow("yolo11n-seg")])
def test_the_same_heads_after_other_backbones(narrow, tmp_path, name):
    """YOLO11 has depthwise convolutions and attention; the decode is YOLOv8's."""
    _, saved_model_dir, report = narrow(name)
    assert report.parity["boxes"] < 0.05
    assert not tftrt_yolo.inspect(saved_model_dir).metadata.is_end_to_end
    assert grouped_in(saved_model_dir) == []
    conversion = tftrt_yolo.convert(saved_model_dir, tmp_path / "b_saved_model")
    assert (conversion.engines, conversion.nodes_outside) == (1, 0)


def test_the_table_is_whole():
    """Of every task and size, and of every family that is named, there is a row: one engine, nothing left over."""
    rows = [line.split("|")[1:-1] for line in engines.TABLE.read_text().splitlines() if line.startswith("| yolo")]
    by_name = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert set(by_name) == {*engines.YOLOV8, *engines.FAMILY}
    assert len(engines.YOLOV8) == 25
    for name in engines.YOLOV8:
        _, count, inside, left, differences = by_name[name]
        assert (count, left) == ("1", "nothing"), name
        assert len(set(inside.split(" of "))) == 1
        assert "within" in differences
