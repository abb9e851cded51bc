"""How well classes fit, pixel by pixel: IoU of each class, their mean, and the share of pixels that are right.

    scores = SemanticScores(model)
    scores.add(dense, truths, frames)           # batch after batch
    scores.metrics()

As in Ultralytics' validator both are compared at the frame's resolution, where masks are put by the nearest pixel and
polygons are drawn, and what is labelled 255 or lies in the padding does not count. The mean is over the classes that
have a label.

Source: ultralytics.utils.metrics.SemanticMetrics, ultralytics.data.augment.LetterBox.apply_semantic.
"""

import time

import numpy as np

from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.truth import IGNORED, ClassTruth
from tftrt_yolo.evaluation.evaluation_report import Metric
from tftrt_yolo.graph.class_values import first_value
from tftrt_yolo.ground.placement import Placement, scaled_size
from tftrt_yolo.tasks.maps import class_maps
from tftrt_yolo.tasks.maps.semantic import STRIDE

_IOU, _ACCURACY = "mIoU", "pixel accuracy"


class SemanticScores:
    """IoU and accuracy of the classes of pixels.

    Attributes:
      selection_seconds: Time from dense outputs to counts so far.
    """

    def __init__(self, model: LabelSpec):
        """Starts without images.

        Args:
          model: What is measured.
        """
        self._first = first_value(len(model.names))
        self._num_values = len(model.names) + self._first
        self._counts = np.zeros((self._num_values,) * 2, np.int64)
        self._images = []  # of each the pixels that are right, labelled and found, class by class
        self.selection_seconds = 0.0

    @property
    def confusion(self) -> np.ndarray:
        """(C, C) int64, true class by predicted class in pixels; of one class (2, 2), with what is beside it last."""
        return self._counts[::-1, ::-1] if self._first else self._counts

    def add(self, dense: dict[str, np.ndarray], truths: list[ClassTruth], frames: list[Placement]) -> None:
        """Takes a batch.

        Args:
          dense: The outputs of signature `network`, a row an image; rows behind the last image are padding.
          truths: The classes of each image's pixels.
          frames: Where each image lies in its frame.
        """
        start = time.perf_counter()
        for logits, truth, frame in zip(dense["logits"], truths, frames, strict=False):
            frame_hw = tuple(STRIDE * side for side in logits.shape[:2])
            scaled_hw = scaled_size(tuple(frame.size_hw.tolist()), frame_hw)
            found = class_maps.class_map(logits, image_size_hw=scaled_hw, frame_size_hw=frame_hw)
            labelled = truth.drawn(scaled_hw)
            counts = labelled != IGNORED
            pairs = self._num_values * labelled[counts].astype(np.int64) + found[counts]
            own = np.bincount(pairs, minlength=self._num_values**2).reshape(self._counts.shape)
            self._counts += own
            self._images.append((np.diag(own).copy(), own.sum(axis=1), own.sum(axis=0)))
        self.selection_seconds += time.perf_counter() - start

    def metrics(self) -> tuple[tuple[Metric, ...], dict]:
        """The metrics over all images so far; there are no curves."""
        right, labelled, found = np.diag(self._counts), self._counts.sum(axis=1), self._counts.sum(axis=0)
        there = np.flatnonzero(labelled)
        there = there[there >= self._first]
        iou = right / np.maximum(labelled + found - right, 1)
        accuracy = right / np.maximum(labelled, 1)
        total = int(labelled.sum())
        return tuple(
            Metric(name, value, {int(index) - self._first: float(own[index]) for index in there})
            for name, value, own in (
                (_IOU, float(iou[there].mean()) if len(there) else None, iou),
                (_ACCURACY, float(right.sum() / total) if total else None, accuracy),
            )
        ), {}

    def best_f1(self) -> None:
        """None: there is no threshold."""

    def notes(self) -> tuple[str, ...]:
        """Nothing: every image counts."""
        return ()

    def resampled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for other choices of the images.

        Args:
          weights: (R, images), how often each image counts.

        Returns:
          Name of each metric to (R,) float64; NaN where no label was drawn.
        """
        right, labelled, found = np.tensordot(weights, np.array(self._images, np.float64), axes=1).transpose(1, 0, 2)
        with np.errstate(invalid="ignore"):
            iou = np.where(labelled > 0, right / (labelled + found - right), np.nan)[:, self._first :]
            accuracy = right.sum(axis=1) / labelled.sum(axis=1)
            is_any = (labelled[:, self._first :] > 0).any(axis=1)
            means = np.nansum(iou, axis=1) / np.maximum((~np.isnan(iou)).sum(axis=1), 1)
        return {_IOU: np.where(is_any, means, np.nan), _ACCURACY: accuracy}
