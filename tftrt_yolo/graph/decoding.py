"""What the tasks' decodes are made of, in TensorFlow ops that TF-TRT converts.

The network is cut before its head's decode: what the exported trunk gives are, level by level, the raw outputs of the
head's last convolutions. Here they become boxes and scores; `tftrt_yolo.tasks` has what each task adds:

    parts = {"box": [...], "class": [...]}       # a tensor (batch, h, w, channels) for each level
    boxes_xyxy = boxes(parts["box"], HeadSpec(strides=(8, 16, 32), reg_max=16))
    scores = tf.sigmoid(joined(parts["class"]))
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tftrt_yolo.contract import HeadSpec


def boxes(levels: Sequence[tf.Tensor], head: HeadSpec) -> tf.Tensor:
    """Decodes upright boxes.

    Args:
      levels: For each level the distributions of the four sides' distances (batch, h, w, 4 * reg_max).
      head: Strides and bins.

    Returns:
      (batch, A, 4) float32, xyxy in frame pixels; A anchors, level by level, row by row.

    Source: ultralytics.nn.modules.head.Detect; ultralytics.utils.tal.make_anchors and dist2bbox.
    """
    sides, (centers, strides) = distances(levels, head), anchors(levels, head)
    top_left = (centers - sides[..., :2]) * strides
    bottom_right = (centers + sides[..., 2:]) * strides
    return tf.concat([top_left, bottom_right], axis=-1)


def joined(levels: Sequence[tf.Tensor]) -> tf.Tensor:
    """Joins the cells of all levels: (batch, h, w, channels) each to (batch, A, channels)."""
    return tf.concat([_flat(level) for level in levels], axis=1)


def distances(levels: Sequence[tf.Tensor], head: HeadSpec) -> tf.Tensor:
    """Expected distances of the sides from the cells' centres: left, top, right, bottom.

    Args:
      levels: As `boxes`.
      head: Bins.

    Returns:
      (batch, A, 4) float32, in cells.

    Source: ultralytics.nn.modules.block.DFL.
    """
    # Level by level, so that only four numbers an anchor are copied when the levels are joined, not 4 * reg_max.
    return tf.concat([_expected_distances(_flat(level), head.reg_max) for level in levels], axis=1)


def anchors(levels: Sequence[tf.Tensor], head: HeadSpec) -> tuple[np.ndarray, np.ndarray]:
    """Where the cells are.

    Args:
      levels: For each level a tensor (batch, h, w, channels).
      head: Strides.

    Returns:
      Cell centres (1, A, 2) as x, y in cells, and strides (1, A, 1) in pixels, both float32.
    """
    centers, pixels = [], []
    for (height, width), stride in zip((level.shape[1:3] for level in levels), head.strides, strict=True):
        y, x = np.mgrid[:height, :width] + 0.5
        centers.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        pixels.append(np.full((height * width, 1), stride))
    return np.concatenate(centers)[None].astype(np.float32), np.concatenate(pixels)[None].astype(np.float32)


def _flat(level: tf.Tensor) -> tf.Tensor:
    """Joins the rows of a level: (batch, h, w, channels) to (batch, h * w, channels)."""
    return tf.reshape(level, (-1, level.shape[1] * level.shape[2], level.shape[3]))


def _expected_distances(distributions: tf.Tensor, reg_max: int) -> tf.Tensor:
    """Expected value of each side's distribution: (batch, A, 4 * reg_max) to (batch, A, 4), in cells."""
    if reg_max == 1:
        return distributions
    num_anchors = distributions.shape[1]
    probabilities = tf.nn.softmax(tf.reshape(distributions, (-1, num_anchors, 4, reg_max)))
    return tf.reduce_sum(probabilities * np.arange(reg_max, dtype=np.float32), axis=-1)
