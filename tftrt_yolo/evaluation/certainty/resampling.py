"""Intervals by bootstrap: the figures of data sets that are drawn, image by image, from the one that was measured.

    weights = draw(num_images=40)                              # (1000, 40), how often each image is drawn
    one, other = (precisions(matches, weights) for matches in both)       # the very same draws for both
    interval(one.map50_95 - other.map50_95)                    # Interval(low=-0.012, high=0.009)

What is drawn more than once counts as often; nothing is matched again, so that a thousand data sets take about as long
as one.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
"""

import dataclasses

import numpy as np

from tftrt_yolo.evaluation.certainty.figures import BestF1, Interval
from tftrt_yolo.evaluation.certainty.matches import IOU_LEVELS, ClassMatches, Matches

RESAMPLES = 1_000
FEWEST_IMAGES = 10  # of fewer an interval would say more of the draw than of the images
_SEED = 0
_PERCENTILES = (2.5, 97.5)
_RECALLS = np.linspace(0, 1, 101)  # COCO's
_SCORES = np.linspace(0, 1, 1_000)  # thresholds at which F1 is computed
_SMOOTHED = 101  # of these, over which F1 is averaged before the best is looked for: 0.05 to either side
_MOST_NUMBERS = 4 << 20  # of one class that are held at a time


@dataclasses.dataclass(frozen=True)
class Resampled:
    """Figures of one kind for each of R draws; NaN where no label was drawn.

    Attributes:
      map50_95: (R,) float64.
      map50: (R,) float64.
      f1: (R, 1000) float64, F1 at IoU 0.5 above each score from 0 to 1, the mean over the classes that have a label.
    """

    map50_95: np.ndarray
    map50: np.ndarray
    f1: np.ndarray


def draw(num_images: int) -> np.ndarray | None:
    """How often each image is drawn, each time as many as there are.

    Args:
      num_images: Images of the data set.

    Returns:
      (1000, images) uint8, always the same for the same number; None for fewer than ten images.
    """
    if num_images < FEWEST_IMAGES:
        return None
    rng = np.random.default_rng(_SEED)
    return np.stack(
        [
            np.minimum(np.bincount(rng.integers(0, num_images, num_images), minlength=num_images), 255).astype(np.uint8)
            for _ in range(RESAMPLES)
        ]
    )


def interval(values: np.ndarray) -> Interval | None:
    """The 95 % interval of a figure.

    Args:
      values: (R,) the figure for each draw; NaN where it has none.

    Returns:
      The interval; None where less than half of the draws have a figure.
    """
    values = values[np.isfinite(values)]
    if 2 * len(values) < RESAMPLES:
        return None
    return Interval(*map(float, np.percentile(values, _PERCENTILES)))


def precisions(matches: Matches, weights: np.ndarray, num_classes: int) -> Resampled:
    """Average precision and F1 of many draws.

    Args:
      matches: What was found of one kind.
      weights: (R, images), how often each image counts; all ones for the figures of the images themselves.
      num_classes: Classes of the model.

    Returns:
      The figures. Average precision is COCO's of the data set that was drawn, to the last digits.
    """
    precision, f1, labelled = np.zeros((len(weights), 2)), np.zeros((len(weights), len(_SCORES))), 0
    for one in map(matches.of_class, range(num_classes)):
        objects = weights @ one.objects.astype(np.float64)
        if not objects.any():
            continue
        labelled = labelled + (objects > 0)
        rows = max(1, _MOST_NUMBERS // max(1, len(one.scores)))
        for first in range(0, len(weights), rows):
            part = slice(first, first + rows)
            _add(one, weights[part], objects[part, np.newaxis], precision[part], f1[part])
    with np.errstate(invalid="ignore", divide="ignore"):
        mean50_95, mean50 = (precision / np.broadcast_to(labelled, len(weights))[:, np.newaxis]).T
        return Resampled(mean50_95, mean50, f1 / np.broadcast_to(labelled, len(weights))[:, np.newaxis])


def _add(one: ClassMatches, weights: np.ndarray, objects: np.ndarray, precision: np.ndarray, f1: np.ndarray) -> None:
    """Adds a class's figures to the sums over the classes, draw by draw; of a draw without a label nothing."""
    drawn = weights[:, one.images].astype(np.float64)
    has_label, objects = objects > 0, np.maximum(objects, 1)
    total, reached = None, np.searchsorted(_RECALLS, np.arange(objects.max() + 1) / objects, side="right")
    for level in range(len(IOU_LEVELS)):
        if total is None or one.are_ignored is not None:
            counting = drawn if one.are_ignored is None else drawn * ~one.are_ignored[level]
            total = counting.cumsum(axis=1)
        hits = np.flatnonzero(one.right[level])
        found = drawn[:, hits].cumsum(axis=1)
        average = _average_precision(found, total[:, hits], reached) * has_label[:, 0]
        precision[:, 0] += average / len(IOU_LEVELS)
        if level == 0:
            precision[:, 1] += average
            f1 += has_label * _f1(one.scores, hits, found, total, objects)


def _average_precision(found: np.ndarray, total: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """COCO's average precision of one class at one IoU level.

    Precision and recall change for the better at right detections only, so the others count by their number alone. An
    image that was drawn twice has its detections twice in a row: of these the last has the best precision.

    Args:
      found: (R, hits), right detections up to each right one.
      total: (R, hits), detections up to there.
      reached: (R, objects + 1), how many of the recalls so many right detections reach.

    Returns:
      (R,) float64.
    """
    precision = found / np.maximum(total, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    steps = np.diff(np.take_along_axis(reached, found.astype(np.int64), axis=1), axis=1, prepend=0)
    return (envelope * steps).sum(axis=1) / len(_RECALLS)


def _f1(scores: np.ndarray, hits: np.ndarray, found: np.ndarray, total: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """F1 of one class above each threshold, (R, 1000)."""
    right = _at(found, np.searchsorted(-scores[hits], -_SCORES, side="left"))
    counting = _at(total, np.searchsorted(-scores, -_SCORES, side="left"))
    return 2 * right / (counting + objects)


def _at(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The running sums after so many numbers, 0 after none."""
    return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)[:, counts]


def best_thresholds(f1: np.ndarray) -> np.ndarray:
    """The score at which F1 is best, for each draw.

    F1 is averaged over 0.05 to either side before, as Ultralytics' validator does: the best of a plateau would be
    anywhere on it.

    Args:
      f1: (R, 1000).

    Returns:
      (R,) float64; NaN where there is no F1.

    Source: ultralytics.utils.metrics.ap_per_class.
    """
    half = _SMOOTHED // 2
    padded = np.pad(f1, ((0, 0), (half, half)), mode="edge")
    sums = np.pad(padded.cumsum(axis=1), ((0, 0), (1, 0)))
    smooth = sums[:, _SMOOTHED:] - sums[:, :-_SMOOTHED]
    return np.where(np.isnan(f1).any(axis=1), np.nan, _SCORES[np.round(smooth, 9).argmax(axis=1)])


def best_f1(f1: np.ndarray) -> BestF1 | None:
    """The best threshold of one curve and F1 there.

    Args:
      f1: (1000,).

    Returns:
      Both; None where no class has a label, or nothing right was found.
    """
    if not np.isfinite(f1).all() or not f1.any():
        return None
    [threshold] = best_thresholds(f1[np.newaxis])
    return BestF1(round(float(threshold), 3), float(f1[np.searchsorted(_SCORES, threshold)]))
