"""From one network's dense outputs to its metrics: select, bring into the image, compare, add up.

    scores = DetectionScores(model)
    scores.add(dense, examples, frames)         # batch after batch; nothing of an image is kept but its matches
    scores.metrics()
    scores.resampled(weights)                   # the same figures of data sets that are drawn from this one

`ClassificationScores` does the same for probabilities.
"""

import time

import numpy as np

from tftrt_yolo.evaluation import average_precision as ap
from tftrt_yolo.evaluation import mask_runs, selection
from tftrt_yolo.evaluation.certainty import resampling
from tftrt_yolo.evaluation.certainty.figures import BestF1
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Detections, Truth
from tftrt_yolo.evaluation.evaluation_report import Metric
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.tasks import obb

# What is measured of each task, and what the report calls it.
_KINDS = {
    "detect": {ap.BOXES: "box"},
    "segment": {ap.BOXES: "box", ap.MASKS: "mask"},
    "pose": {ap.BOXES: "box", ap.KEYPOINTS: "keypoint"},
    "obb": {ap.ORIENTED: "oriented", ap.ORIENTED_POLYGONS: "oriented, exact IoU"},
}
# What counts for the confusion matrix. Source: ultralytics.utils.metrics.ConfusionMatrix.process_batch.
_CONFUSION_SCORE = 0.25
_CONFUSION_IOU = 0.45
_TOP = 5
BEST_THRESHOLD = "best-F1 threshold"  # what `resampled` calls it


class DetectionScores:
    """Average precision and confusion of boxes and what belongs to them.

    Attributes:
      confusion: (C + 1, C + 1) int64, true class by predicted class; the last stands for background.
      selection_seconds: Time of selection, masks and matching so far.
    """

    def __init__(self, model: LabelSpec):
        """Starts without images.

        Args:
          model: What is measured.
        """
        import faster_coco_eval  # noqa: F401 - here, so that no image waits for it
        import supervision  # noqa: F401

        self._task, self._num_classes, self._is_end_to_end = model.task, len(model.names), model.is_end_to_end
        self._classes = sorted(model.names)
        sigmas = ap.keypoint_sigmas(model.num_keypoints) if model.num_keypoints else None
        self._precisions = [ap.AveragePrecision(kind, self._num_classes, sigmas=sigmas) for kind in _KINDS[model.task]]
        self.confusion = np.zeros((self._num_classes + 1,) * 2, np.int64)
        self.selection_seconds = 0.0

    def add(self, dense: dict[str, np.ndarray], truths: list[Truth], frames: list[Placement]) -> None:
        """Takes a batch.

        Args:
          dense: The outputs of signature `network`, a row an image; rows behind the last image are padding.
          truths: What is on each image, in pixels of the image.
          frames: Where each image lies in its frame.
        """
        start = time.perf_counter()
        images = []
        for index, (truth, frame) in enumerate(zip(truths, frames, strict=True)):
            detections = self._detections({name: value[index] for name, value in dense.items()}, truth, frame)
            self.confusion += _confusion(truth, detections, self._num_classes)
            images.append((truth, detections))
        sizes_hw = [(int(frame.size_hw[0]), int(frame.size_hw[1])) for frame in frames]
        for precision in self._precisions:
            precision.add(images, sizes_hw)
        self.selection_seconds += time.perf_counter() - start

    def _detections(self, dense: dict[str, np.ndarray], truth: Truth, frame: Placement) -> Detections:
        """Selects one image's detections and brings them into the image."""
        oriented_boxes = dense.get("boxes_xywhr")
        chosen = selection.select(
            dense["scores"],
            boxes_xyxy=dense["boxes"],
            boxes_xywhr=oriented_boxes,
            is_end_to_end=self._is_end_to_end,
        )
        extras = {}
        boxes = frame.boxes_in_image(dense["boxes"][chosen.anchors])
        if "mask_coefficients" in dense:
            wanted = mask_runs.may_match(chosen.classes, boxes, truth)
            coefficients = dense["mask_coefficients"][chosen.anchors]
            extras["masks"] = mask_runs.encode(coefficients, dense["prototypes"], boxes, frame, wanted=wanted)
        if "keypoints" in dense:
            extras["keypoints"] = frame.keypoints_in_image(dense["keypoints"][chosen.anchors])
        if oriented_boxes is not None:
            extras["boxes_xywhr"] = frame.oriented_in_image(oriented_boxes[chosen.anchors])
        return Detections(chosen.classes, chosen.scores, boxes, **extras)

    def metrics(self) -> tuple[tuple[Metric, ...], dict[str, ap.Curves]]:
        """The metrics over all images so far, and the curves that they come from, by the report's names."""
        curves = {_KINDS[self._task][precision.kind]: precision.result() for precision in self._precisions}
        metrics = []
        for name, curve in curves.items():
            for suffix, values in (("mAP50-95", curve.ap50_95), ("mAP50", curve.ap50)):
                per_class = dict(zip((self._classes[place] for place in curve.classes), values.tolist(), strict=True))
                metrics.append(Metric(f"{name} {suffix}", float(values.mean()) if len(values) else None, per_class))
        return tuple(metrics), curves

    def best_f1(self) -> BestF1 | None:
        """The score at which F1 of the boxes is best; None where no class has a label, or nothing right was found."""
        matches = self._precisions[0].matches
        [f1] = resampling.precisions(matches, np.ones((1, matches.num_images)), self._num_classes).f1
        return resampling.best_f1(f1)

    def notes(self) -> tuple[str, ...]:
        """What must be known of the figures: nothing, for every image counts."""
        return ()

    def resampled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for other choices of the images.

        Args:
          weights: (R, images), how often each image counts.

        Returns:
          Name of each metric, and `BEST_THRESHOLD`, to (R,) float64; NaN where no label was drawn.
        """
        found = {}
        for precision in self._precisions:
            name = _KINDS[self._task][precision.kind]
            drawn = resampling.precisions(precision.matches, weights, self._num_classes)
            found |= {f"{name} mAP50-95": drawn.map50_95, f"{name} mAP50": drawn.map50}
            if precision is self._precisions[0]:
                found[BEST_THRESHOLD] = resampling.best_thresholds(drawn.f1)
        return found


def _confusion(truth: Truth, detections: Detections, num_classes: int) -> np.ndarray:
    """One image's part of the confusion matrix."""
    from supervision.metrics.core import MetricTarget
    from supervision.metrics.detection import ConfusionMatrix

    sure = detections.scores > _CONFUSION_SCORE
    single = np.ones(len(truth), bool) if truth.are_crowds is None else ~truth.are_crowds
    if truth.corners is None:
        target, places, found = MetricTarget.BOXES, truth.boxes_xyxy, detections.boxes_xyxy
    else:
        target = MetricTarget.ORIENTED_BOUNDING_BOXES
        places = truth.corners.reshape(-1, 8)
        found = obb.corners(detections.boxes_xywhr).reshape(-1, 8)
    return ConfusionMatrix.evaluate_detection_batch(
        predictions=np.column_stack([found, detections.classes, detections.scores])[sure].astype(np.float32),
        targets=np.column_stack([places, truth.classes])[single].astype(np.float32),
        num_classes=num_classes,
        conf_threshold=_CONFUSION_SCORE,
        iou_threshold=_CONFUSION_IOU,
        metric_target=target,
    )


class ClassificationScores:
    """How often the right class is the most probable one, or among five.

    Attributes:
      confusion: (C, C) int64, true class by predicted class.
      selection_seconds: Time of counting so far.
    """

    def __init__(self, model: LabelSpec):
        """Starts without images.

        Args:
          model: What is measured.
        """
        self._classes = sorted(model.names)
        self.confusion = np.zeros((len(self._classes),) * 2, np.int64)
        self._among = np.zeros(len(self._classes), np.int64)
        self._hits = []  # of each image, whether the right class is the best, and among five
        self.selection_seconds = 0.0

    def add(self, dense: dict[str, np.ndarray], truths: list[Truth], frames: list[Placement]) -> None:
        """Takes a batch, as `DetectionScores.add`."""
        start = time.perf_counter()
        for probabilities, truth in zip(dense["probabilities"], truths, strict=False):  # padding has no truth
            [right] = truth.classes
            best = np.argsort(-probabilities, kind="stable")[:_TOP]
            self.confusion[right, best[0]] += 1
            self._among[right] += right in best
            self._hits.append((right == best[0], right in best))
        self.selection_seconds += time.perf_counter() - start

    def metrics(self) -> tuple[tuple[Metric, ...], dict]:
        """The metrics over all images so far; there are no curves."""
        counts = self.confusion.sum(axis=1)
        there = np.flatnonzero(counts)
        return tuple(
            Metric(
                name,
                float(hits.sum() / max(counts.sum(), 1)),
                {self._classes[index]: float(hits[index] / counts[index]) for index in there},
            )
            for name, hits in (("top-1", np.diag(self.confusion)), (f"top-{_TOP}", self._among))
        ), {}

    def best_f1(self) -> None:
        """None: a classifier has no threshold."""

    def notes(self) -> tuple[str, ...]:
        """As `DetectionScores.notes`."""
        return ()

    def resampled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """As `DetectionScores.resampled`."""
        rates = weights @ np.array(self._hits, np.float64) / weights.sum(axis=1, keepdims=True)
        return {"top-1": rates[:, 0], f"top-{_TOP}": rates[:, 1]}
