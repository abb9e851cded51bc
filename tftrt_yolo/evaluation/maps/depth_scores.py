"""How far measured depths are from the labels, as Ultralytics' validator computes it.

    scores = DepthScores(model)
    scores.add(dense, truths, frames)          # batch after batch; of an image its figures are kept
    scores.metrics()

Every image has its figures, over the pixels whose label lies between 1 mm and the data set's `max_depth`, and their
mean is what is reported; an image of which fewer than ten of them are left in the frame, as a sparse label's may be,
has none. Both maps are taken at the size of the frame. Before they are compared the network's map is
scaled so that both medians are the same, for a network that knows the shape of a scene need not know its scale; the
figures that are called unaligned are those of the metres as they are.

Source: ultralytics.utils.metrics.DepthMetrics; ultralytics.models.yolo.depth.val; for the size of the labels
ultralytics.data.base.BaseDataset.load_image, ultralytics.data.dataset.DepthDataset and DepthFormat.
"""

import math
import time

import numpy as np

from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.maps.depth_labels import FEWEST_PIXELS, LEAST_DEPTH, DepthTruth
from tftrt_yolo.evaluation.evaluation_report import Metric
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.ground.text import counted
from tftrt_yolo.tasks.maps.depth_maps import corner_weights

_GRID = 4  # pixels of the frame, along an axis, for one of the network's map
_NEAR = 1.25  # ratio of two depths up to which delta1 counts them as the same
_NAMES = ("delta1", "delta2", "delta3", "abs_rel", "rmse", "silog", "unaligned delta1", "unaligned abs_rel")


class DepthScores:
    """The figures of depth.

    Attributes:
      confusion: (1, 1) zeros: there are no classes.
      selection_seconds: Time of comparing so far.
    """

    def __init__(self, model: LabelSpec):
        """Starts without images.

        Args:
          model: What is measured.
        """
        self.confusion, self.selection_seconds = np.zeros((1, 1), np.int64), 0.0
        self._figures = []  # of each image; NaN of one that has none

    def add(self, dense: dict[str, np.ndarray], truths: list[DepthTruth], frames: list[Placement]) -> None:
        """Takes a batch.

        Args:
          dense: The outputs of signature `network`, a row an image; rows behind the last image are padding.
          truths: How far the pixels of each image are.
          frames: Where each image lies in its frame.
        """
        start = time.perf_counter()
        grid_hw = dense["depth"].shape[1:]
        size_hw = tuple(_GRID * length for length in grid_hw)
        rows, columns = (corner_weights(*lengths) for lengths in zip(grid_hw, size_hw, strict=True))
        for depth, truth, frame in zip(dense["depth"], truths, frames, strict=False):
            label = of_frame(truth.depth, (int(frame.size_hw[0]), int(frame.size_hw[1])), size_hw)
            self._figures.append(figures(rows @ depth @ columns.T, label, truth.most_depth))
        self.selection_seconds += time.perf_counter() - start

    def metrics(self) -> tuple[tuple[Metric, ...], dict]:
        """The mean figures of all images so far, None if none has any; there are no classes and no curves."""
        [means] = self._means(np.ones((1, len(self._figures))))
        values = [None if np.isnan(mean) else float(mean) for mean in means]
        return tuple(Metric(name, value, {}) for name, value in zip(_NAMES, values, strict=True)), {}

    def best_f1(self) -> None:
        """None: there is no threshold."""

    def notes(self) -> tuple[str, ...]:
        """How many images have no figures, if any."""
        left_out = int(np.isnan(np.array(self._figures)).any(axis=-1).sum())
        if not left_out:
            return ()
        verb = "has" if left_out == 1 else "have"
        return (
            f"{counted(left_out, 'image')} of {len(self._figures):,} {verb} fewer than {FEWEST_PIXELS} labelled pixels "
            "in the frame, and no figures, as in Ultralytics' validator",
        )

    def resampled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The figures for other choices of the images.

        Args:
          weights: (R, images), how often each image counts.

        Returns:
          Name of each metric to (R,) float64; NaN where no image was drawn that has figures.
        """
        return dict(zip(_NAMES, self._means(weights).T, strict=True))

    def _means(self, weights: np.ndarray) -> np.ndarray:
        """(R, 8) float64, over the images that have figures, each counting as often as (R, images) weights say."""
        found = np.array(self._figures, np.float64).reshape(-1, len(_NAMES))
        there = ~np.isnan(found).any(axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0
            return weights[:, there] @ found[there] / weights[:, there].sum(axis=1, keepdims=True)


def of_frame(label: np.ndarray, image_size_hw: tuple[int, int], frame_size_hw: tuple[int, int]) -> np.ndarray:
    """A label at the pixels of the frame: of each the nearest, for between two depths nothing need be.

    Ultralytics takes it to the size at which it loads images, whose longer side is the frame's, and from there to the
    frame.

    Args:
      label: (h, w).
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the frame in pixels.

    Returns:
      (*frame_size_hw).
    """
    side = max(frame_size_hw)
    ratio = side / max(image_size_hw)
    loaded_hw = image_size_hw if ratio == 1 else tuple(min(math.ceil(one * ratio), side) for one in image_size_hw)
    for size_hw in (loaded_hw, frame_size_hw):
        rows, columns = (_nearest(*lengths) for lengths in zip(label.shape, size_hw, strict=True))
        label = label[rows[:, np.newaxis], columns]
    return label


def _nearest(length: int, size: int) -> np.ndarray:
    """Which pixel of an axis OpenCV takes for each of the wanted ones; its step is the reciprocal of a ratio."""
    return np.minimum(np.floor(np.arange(size) * (1.0 / (size / length))).astype(int), length - 1)


def figures(depth: np.ndarray, label: np.ndarray, most_depth: float) -> np.ndarray:
    """The figures of one image.

    Args:
      depth: (h, w) float32, metres, as the network has it.
      label: (h, w) float32, metres; 0 where nobody knows.
      most_depth: Metres, from which on labels do not count.

    Returns:
      (8,) float64, in the order of the report; NaN where fewer than `FEWEST_PIXELS` count.
    """
    counts = (label > LEAST_DEPTH) & (label < most_depth)
    if np.count_nonzero(counts) < FEWEST_PIXELS:
        return np.full(len(_NAMES), np.nan)
    right, found = label[counts], depth[counts]
    is_finite = np.isfinite(found)
    scale = np.float32(1)
    if is_finite.any():
        scale = _median(right[is_finite]) / _median(np.maximum(found[is_finite], np.float32(LEAST_DEPTH)))
    aligned, plain = (_compared(values, right, most_depth) for values in (found * scale, found))
    return np.array([*aligned, plain[0], plain[3]])


def _median(values: np.ndarray) -> np.float32:
    """The middle one; of an even number the lower of both, as PyTorch has it."""
    middle = (len(values) - 1) // 2
    return np.partition(values, middle)[middle]


def _compared(found: np.ndarray, right: np.ndarray, most_depth: float) -> list[float]:
    """The first six figures of (n,) depths; what is no number counts as the farthest."""
    least, most = np.float32(LEAST_DEPTH), np.float32(most_depth)
    found = np.clip(np.nan_to_num(found, nan=most, posinf=most, neginf=least), least, most)
    ratio = np.maximum(found / right, right / found)
    apart = found.astype(np.float64) - right
    logs = np.log(found.astype(np.float64)) - np.log(right.astype(np.float64))
    silog = 100 * math.sqrt(max(np.square(logs).mean() - logs.mean() ** 2, 0.0))
    deltas = [float((ratio < _NEAR**power).mean()) for power in (1, 2, 3)]
    return [*deltas, float((np.abs(apart) / right).mean()), math.sqrt(np.square(apart).mean()), silog]
