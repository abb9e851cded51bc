"""IoU and accuracy of pixels against Ultralytics' own metrics, label placement and all."""

import functools

import cv2
import numpy as np
import pytest

from tests.tasks.maps.test_semantic import _logits
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.truth import ClassTruth
from tftrt_yolo.evaluation.maps.semantic_scores import SemanticScores
from tftrt_yolo.ground.placement import letterboxed

FRAME = (96, 160)


def _scene(num_classes, size_hw, seed):
    """Logits, and a mask that agrees with them in a part of the image."""
    rng = np.random.default_rng(seed)
    logits = _logits(FRAME, num_classes, seed)
    mask = rng.integers(0, max(num_classes, 2), size_hw).astype(np.uint8)
    mask[: size_hw[0] // 2] = 1  # a class that all images have
    mask[rng.random(size_hw) < 0.1] = 255
    return logits, mask


def _placed(mask, size_hw):
    return cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def _scores(num_classes, scenes, repeats=None):
    model = LabelSpec("semantic", {index: str(index) for index in range(num_classes)})
    scores = SemanticScores(model)
    for (logits, mask), count in zip(scenes, repeats or [1] * len(scenes), strict=True):
        for _ in range(count):
            placement = letterboxed(mask.shape, FRAME)
            truth = ClassTruth(drawn=functools.partial(_placed, mask), num_objects=mask.size)
            padded = np.stack([logits, np.zeros_like(logits)])  # rows behind the last image are padding
            scores.add({"logits": padded}, [truth], [placement])
    return scores


def _ultralytics(num_classes, scenes):
    """What Ultralytics' letterbox, postprocessing and metrics make of the same."""
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("ultralytics.utils.metrics")
    if not hasattr(metrics, "SemanticMetrics"):
        pytest.skip("this Ultralytics has no semantic segmentation")
    from ultralytics.data.augment import LetterBox
    from ultralytics.models.yolo.semantic import SemanticSegmentationValidator

    # Without its constructor, which wants a torchvision that works.
    validator = SemanticSegmentationValidator.__new__(SemanticSegmentationValidator)
    validator.nc, validator._semantic_target_shape = num_classes, FRAME
    found = metrics.SemanticMetrics({index: str(index) for index in range(num_classes)})
    for logits, mask in scenes:
        labels = {"img": np.zeros((*mask.shape, 3), np.uint8), "semantic_mask": mask}
        box = LetterBox(new_shape=FRAME)
        labels = box.apply_semantic(box.apply_image(labels, parameters := box.get_params(labels)), parameters)
        predictions = validator.postprocess(torch.from_numpy(logits.transpose(2, 0, 1).copy())[None])
        found.update_stats(predictions, torch.from_numpy(labels["semantic_mask"].astype(np.int32))[None])
    found.process()
    return found


@pytest.mark.parametrize("num_classes", [1, 4, 19])
def test_figures_are_ultralytics(num_classes):
    scenes = [_scene(num_classes, size_hw, seed) for seed, size_hw in enumerate([(96, 120), (331, 200), (50, 400)])]
    expected = _ultralytics(num_classes, scenes)
    (iou, accuracy), curves = (scores := _scores(num_classes, scenes)).metrics()
    assert (iou.name, accuracy.name, curves, scores.best_f1()) == ("mIoU", "pixel accuracy", {}, None)
    assert iou.value == pytest.approx(expected.miou, abs=1e-4)
    assert accuracy.value == pytest.approx(expected.pixel_accuracy, abs=1e-4)
    for index, value in iou.per_class.items():
        assert value == pytest.approx(expected.per_class_iou[index], abs=1e-3)
        assert accuracy.per_class[index] == pytest.approx(expected.per_class_pixel_accuracy[index], abs=1e-3)
    matrix = expected.matrix.numpy()
    matrix = matrix[::-1, ::-1] if num_classes == 1 else matrix
    assert np.abs(scores.confusion - matrix).sum() <= 1e-3 * matrix.sum()


@pytest.mark.parametrize("num_classes", [1, 4])
def test_draws_are_the_figures_of_the_images_drawn(num_classes):
    scenes = [_scene(num_classes, (96, 120), seed) for seed in range(4)]
    weights = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [2, 0, 0, 2]])
    drawn = _scores(num_classes, scenes).resampled(weights.astype(np.float64))
    for row, repeats in enumerate(weights.tolist()):
        (iou, accuracy), _ = _scores(num_classes, scenes, repeats).metrics()
        assert drawn["mIoU"][row] == pytest.approx(iou.value, abs=1e-12)
        assert drawn["pixel accuracy"][row] == pytest.approx(accuracy.value, abs=1e-12)


def test_without_a_label_there_is_no_figure():
    logits, mask = _scene(4, (96, 120), 0)
    scores = _scores(4, [(logits, np.full_like(mask, 255))])
    assert [metric.value for metric in scores.metrics()[0]] == [None, None]
    drawn = scores.resampled(np.ones((2, 1)))
    assert np.isnan(drawn["mIoU"]).all()
    assert np.isnan(drawn["pixel accuracy"]).all()


def test_labels_are_placed_by_the_nearest_pixel():
    """As OpenCV does it for Ultralytics: which pixel that is shows in a mask of single pixels."""
    mask = np.random.default_rng(0).integers(0, 4, (331, 200)).astype(np.uint8)
    placed = cv2.resize(mask, (58, 96), interpolation=cv2.INTER_NEAREST)
    logits = np.zeros((12, 20, 4), np.float32)
    logits[..., 2] = 1
    [(iou, _), _] = _scores(4, [(logits, mask)]).metrics()
    assert iou.per_class[2] == (placed == 2).mean()
