"""The decodes against Ultralytics' own heads, on random outputs of the last layers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.selection import Selection
from tftrt_yolo.tasks.table import TASKS

torch = pytest.importorskip("torch")

STRIDES = (8, 16, 32)


def _random_parts(rng, size_hw, channels, batch=2):
    """For each part a tensor (batch, h, w, channels) for each level."""
    sizes = [(size_hw[0] // stride, size_hw[1] // stride) for stride in STRIDES]
    return {
        part: [rng.normal(0, 2, (batch, height, width, count)).astype(np.float32) for height, width in sizes]
        for part, count in channels.items()
    }


def _metadata(task, head, size_hw=(64, 64)):
    return Metadata(task, {}, size_hw, 32, Selection(), "", head.keypoint_shape, head.is_end_to_end)


def _decode(task, parts, head):
    return TASKS[task].decode({name: [tf.constant(level) for level in levels] for name, levels in parts.items()}, head)


def _ultralytics_parts(parts, names):
    """The same, as Ultralytics' `_inference` takes it."""
    maps = {
        name: [torch.from_numpy(level).permute(0, 3, 1, 2) for level in parts[part]] for part, name in names.items()
    }
    joined = {name: torch.cat([level.flatten(2) for level in levels], -1) for name, levels in maps.items()}
    return joined | {"feats": maps["boxes"]}


def _head(cls, **arguments):
    head = cls(ch=(64, 64, 64), **arguments).eval()
    head.stride = torch.tensor([8.0, 16.0, 32.0])
    return head


@pytest.mark.parametrize(
    ("size_hw", "num_classes", "reg_max"),
    [
        ((64, 64), 10, 16),  # as YOLOv8
        ((64, 128), 3, 16),  # not square: rows and columns must not be mixed up
        ((96, 64), 1, 16),  # one class
        ((64, 64), 5, 1),  # a head that regresses distances directly
    ],
)
def test_detect(size_hw, num_classes, reg_max):
    from ultralytics.nn.modules import Detect

    parts = _random_parts(np.random.default_rng(0), size_hw, {"box": 4 * reg_max, "class": num_classes})
    with torch.inference_mode():
        own = _head(Detect, nc=num_classes, reg_max=reg_max)
        expected = own._inference(_ultralytics_parts(parts, {"box": "boxes", "class": "scores"})).numpy()
    head = HeadSpec(STRIDES, reg_max, num_classes=num_classes)
    dense = _decode("detect", parts, head)
    packed = TASKS["detect"].ultralytics(dense, _metadata("detect", head))
    np.testing.assert_allclose(packed, expected, atol=2e-3, rtol=1e-5)
    # And the reference that parity is checked with is the inverse of that packing.
    for name, value in TASKS["detect"].reference([expected], head).items():
        np.testing.assert_allclose(dense[name], value, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape"), [("Pose", (3, 3)), ("Pose", (17, 2)), ("Pose26", (5, 3)), ("Pose26", (2, 2))]
)
def test_pose(kind, shape):
    from ultralytics.nn.modules import head as modules

    count = shape[0] * shape[1]
    parts = _random_parts(np.random.default_rng(1), (64, 96), {"box": 64, "class": 2, "keypoints": count})
    with torch.inference_mode():
        raw = _ultralytics_parts(parts, {"box": "boxes", "class": "scores", "keypoints": "kpts"})
        expected = _head(getattr(modules, kind), nc=2, kpt_shape=shape)._inference(raw).numpy()
    head = HeadSpec(STRIDES, 16, kind, num_classes=2, keypoint_shape=shape)
    dense = _decode("pose", parts, head)
    assert dense["keypoints"].shape == (2, expected.shape[2], shape[0], 3)
    if shape[1] == 2:
        assert (dense["keypoints"][..., 2].numpy() == 1).all()
    packed = TASKS["pose"].ultralytics(dense, _metadata("pose", head))
    np.testing.assert_allclose(packed, expected, atol=2e-3, rtol=1e-5)
    for name, value in TASKS["pose"].reference([expected], head).items():
        np.testing.assert_allclose(dense[name], value, atol=2e-3, rtol=1e-5)


@pytest.mark.parametrize("kind", ["OBB", "OBB26"])
def test_obb(kind):
    from ultralytics.nn.modules import head as modules
    from ultralytics.utils.ops import xywhr2xyxyxyxy

    parts = _random_parts(np.random.default_rng(2), (64, 96), {"box": 64, "class": 2, "angle": 1})
    raw = _ultralytics_parts(parts, {"box": "boxes", "class": "scores", "angle": "angle"})
    if kind == "OBB":
        raw["angle"] = (raw["angle"].sigmoid() - 0.25) * np.pi  # forward_head does this, before _inference
    with torch.inference_mode():
        expected = _head(getattr(modules, kind), nc=2)._inference(raw).numpy()
    head = HeadSpec(STRIDES, 16, kind, num_classes=2)
    dense = _decode("obb", parts, head)
    packed = TASKS["obb"].ultralytics(dense, _metadata("obb", head))
    np.testing.assert_allclose(packed, expected, atol=2e-3, rtol=1e-5)
    corners = xywhr2xyxyxyxy(dense["boxes_xywhr"].numpy())
    np.testing.assert_allclose(dense["boxes"][..., :2], corners.min(-2), atol=2e-3)
    np.testing.assert_allclose(dense["boxes"][..., 2:], corners.max(-2), atol=2e-3)


def test_segment():
    rng = np.random.default_rng(3)
    parts = _random_parts(rng, (64, 96), {"box": 64, "class": 2, "coefficients": 32})
    parts["prototypes"] = [rng.normal(0, 1, (2, 16, 24, 32)).astype(np.float32)]
    head = HeadSpec(STRIDES, 16, "Segment", num_classes=2)
    dense = _decode("segment", parts, head)
    rows, prototypes = TASKS["segment"].ultralytics(dense, _metadata("segment", head))
    np.testing.assert_array_equal(prototypes, parts["prototypes"][0])
    coefficients = np.concatenate([level.reshape(2, -1, 32) for level in parts["coefficients"]], 1)
    np.testing.assert_array_equal(rows[:, 6:], coefficients.transpose(0, 2, 1))


@pytest.mark.parametrize(("task", "extra"), [("detect", {}), ("pose", {"keypoints": 9}), ("obb", {"angle": 1})])
def test_end_to_end_heads_give_ultralytics_best(task, extra):
    """The best 300, an anchor with several classes where they are among the best, against Detect.postprocess."""
    from ultralytics.nn.modules import Detect

    parts = _random_parts(np.random.default_rng(4), (128, 160), {"box": 4, "class": 3, **extra})
    kind = {"detect": "Detect", "pose": "Pose26", "obb": "OBB26"}[task]
    shape = (3, 3) if task == "pose" else None
    head = HeadSpec(STRIDES, 1, kind, num_classes=3, keypoint_shape=shape, is_end_to_end=True)
    dense = _decode(task, parts, head)
    got = TASKS[task].ultralytics(dense, _metadata(task, head)).numpy()
    beside = {"pose": "keypoints", "obb": "boxes_xywhr"}.get(task)
    rest = (
        dense[beside].numpy().reshape(2, -1, 9 if task == "pose" else 5)[..., -9 if task == "pose" else -1 :]
        if beside
        else None
    )
    boxes = dense["boxes_xywhr"][..., :4] if task == "obb" else dense["boxes"]
    rows = np.concatenate([boxes, dense["scores"], *([] if rest is None else [rest])], -1)
    own = _head(Detect, nc=3, reg_max=1)
    expected = own.postprocess(torch.from_numpy(rows)).numpy()
    assert expected.shape == got.shape
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert len({tuple(row) for row in got[0, :, :4]}) < 300  # some anchors come twice


def test_decode_equals_float64():
    """The expectation of the distribution, anchor by anchor, in float64."""
    parts = _random_parts(np.random.default_rng(1), (32, 64), {"box": 64, "class": 2}, batch=1)
    dense = _decode("detect", parts, HeadSpec(STRIDES, 16))
    expected = []
    for level, stride in zip(parts["box"], STRIDES, strict=True):
        for y in range(level.shape[1]):
            for x in range(level.shape[2]):
                bins = np.exp(level[0, y, x].reshape(4, 16).astype(np.float64))
                left, top, right, bottom = (bins * np.arange(16)).sum(1) / bins.sum(1)
                expected.append([x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom])
                expected[-1] = [edge * stride for edge in expected[-1]]
    np.testing.assert_allclose(dense["boxes"][0], expected, atol=1e-3)
    assert dense["scores"].shape == (1, len(expected), 2)


def test_a_task_says_everything():
    """Every row of the table is whole: what it decodes, gathers and measures fits together."""
    heads = [head for task in TASKS.values() for head in task.heads]
    assert len(heads) == len(set(heads))
    for name, task in TASKS.items():
        assert task.name == name
        assert {quantity.output for quantity in task.quantities} == set(task.dense)
        assert bool(task.select) == bool(task.place) == bool(task.boxes) == bool(task.level_parts)
        assert dataclasses.is_dataclass(task)
