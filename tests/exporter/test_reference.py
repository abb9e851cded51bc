"""PyTorch's dense predictions under the contract's names, against Ultralytics' own network and box functions."""

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import DATA
from tftrt_yolo.exporter import pytorch_parity, reference
from tftrt_yolo.exporter.checkpoint.load import load
from tftrt_yolo.ground.workers.worker import Worker
from tftrt_yolo.tasks import obb
from tftrt_yolo.tasks.table import TASKS

torch = pytest.importorskip("torch")


def _size(task):
    return (64, 64) if task == "classify" else (192, 320)


@pytest.mark.parametrize("task", TASKS)
def test_names_and_numbers_are_ultralytics_own(task):
    from ultralytics.nn.tasks import load_checkpoint
    from ultralytics.utils import ops

    weights = str(DATA / f"{'yolo26n' if TASKS[task].gives_map else 'yolov8n'}-tiny-{task}.pt")
    frames = pytorch_parity.reference_frames(_size(task))
    yolo = load(weights)
    dense = reference.run(yolo, frames)
    assert set(dense) == set(TASKS[task].dense)
    assert yolo.facts.task == task
    module, _ = load_checkpoint(weights)  # neither fused nor touched
    with torch.inference_mode():
        expected = module.float().eval()(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
    if TASKS[task].gives_map:
        [given] = dense.values()
        np.testing.assert_allclose(given.reshape(-1), expected.permute(0, 2, 3, 1).reshape(-1), rtol=1e-4, atol=1e-3)
        return
    expected = expected[0]
    if task == "classify":
        np.testing.assert_allclose(dense["probabilities"], expected, atol=1e-5)
        return
    rows = (expected[0] if task == "segment" else expected).transpose(1, 2)
    np.testing.assert_allclose(dense["scores"], rows[..., 4:14], atol=1e-5)
    if task == "obb":
        xywhr = torch.cat([rows[..., :4], rows[..., 14:]], -1)
        np.testing.assert_allclose(dense["boxes_xywhr"], xywhr, atol=1e-3)
        corners = ops.xywhr2xyxyxyxy(xywhr)
        np.testing.assert_allclose(obb.corners(dense["boxes_xywhr"]), corners, atol=2e-3)
        np.testing.assert_allclose(dense["boxes"][..., :2], corners.amin(-2), atol=2e-3)
        np.testing.assert_allclose(dense["boxes"][..., 2:], corners.amax(-2), atol=2e-3)
        return
    np.testing.assert_allclose(dense["boxes"], ops.xywh2xyxy(rows[..., :4]), atol=1e-3)
    if task == "segment":
        np.testing.assert_allclose(dense["mask_coefficients"], rows[..., 14:], atol=1e-4)
        np.testing.assert_allclose(dense["prototypes"], expected[1].permute(0, 2, 3, 1), atol=1e-4)
    if task == "pose":
        np.testing.assert_allclose(dense["keypoints"].reshape(*rows.shape[:2], 9), rows[..., 14:], atol=1e-3)


def test_a_worker_answers_batch_after_batch():
    frames = pytorch_parity.reference_frames((64, 96))
    with Worker("tftrt_yolo.exporter.reference") as worker:
        worker.open(weights=str(DATA / "yolov8n-tiny-pose.pt"))
        facts = worker.receive()
        assert (facts.task, facts.head.keypoint_shape, len(facts.names)) == ("pose", (3, 3), 10)
        answers = []
        for batch in (frames[:1], frames, frames[1:]):
            worker.send(batch)
            answers.append(worker.receive())
    for name in TASKS["pose"].dense:
        np.testing.assert_array_equal(answers[1][name], np.concatenate([answers[0][name], answers[2][name]]))


def test_a_worker_says_what_is_wrong_with_the_weights():
    with Worker("tftrt_yolo.exporter.reference") as worker:
        worker.open(weights="nowhere.pt")
        with pytest.raises(tftrt_yolo.CheckpointError, match=r"nowhere\.pt does not exist"):
            worker.receive()


def test_key_points_without_confidence_get_1():
    head = load("yolov8n-pose.yaml").facts.head
    assert head.keypoint_shape == (17, 3)
    rows = np.random.default_rng(0).random((2, 4 + 1 + 34, 7), np.float32)
    from dataclasses import replace

    dense = TASKS["pose"].reference([rows], replace(head, num_classes=1, keypoint_shape=(17, 2)))
    assert dense["keypoints"].shape == (2, 7, 17, 3)
    assert (dense["keypoints"][..., 2] == 1).all()
    np.testing.assert_array_equal(dense["keypoints"][0, :, 1, :2], rows[0, 7:9].T)
