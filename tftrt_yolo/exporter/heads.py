"""Decoding of the heads in TensorFlow ops that TF-TRT converts.

The network is cut before its head's decode: what the exported trunk gives are, level by level, the raw outputs of the
head's last convolutions. Here they become boxes and scores:

    levels = trunk(frames)                       # six tensors for YOLOv8: box and class of three levels
    boxes_xyxy, scores = decode_detect(levels, HeadSpec(strides=(8, 16, 32), reg_max=16))
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tftrt_yolo.contract import HeadSpec


def decode_detect(levels: Sequence[tf.Tensor], spec: HeadSpec) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a detection head.

    Args:
      levels: For each level its box distribution (batch, h, w, 4 * reg_max) and its class logits (batch, h, w, C).
      spec: Strides and bins.

    Returns:
      Boxes (batch, A, 4) float32, xyxy in frame pixels, and scores (batch, A, C) float32 in [0, 1]; A anchors, level
      by level, row by row.

    Source: ultralytics.nn.modules.head.Detect and block.DFL; ultralytics.utils.tal.make_anchors and dist2bbox.
    """
    # Level by level, so that only four numbers an anchor are copied when the levels are joined, not 4 * reg_max.
    distances = tf.concat([_expected_distances(_flat(level), spec.reg_max) for level in levels[::2]], axis=1)
    logits = tf.concat([_flat(level) for level in levels[1::2]], axis=1)
    centers, strides = _anchors([level.shape[1:3] for level in levels[::2]], spec.strides)
    top_left = (centers - distances[..., :2]) * strides
    bottom_right = (centers + distances[..., 2:]) * strides
    return tf.concat([top_left, bottom_right], axis=-1), tf.sigmoid(logits)


def ultralytics_layout(boxes_xyxy: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Packs dense predictions as Ultralytics' own loader expects them.

    Args:
      boxes_xyxy: (batch, A, 4) float32 in frame pixels.
      scores: (batch, A, C) float32.

    Returns:
      (batch, 4 + C, A) float32: centre x, centre y, width, height in frame pixels, then the scores.
    """
    top_left, bottom_right = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    rows = tf.concat([(top_left + bottom_right) / 2, bottom_right - top_left, scores], axis=-1)
    return tf.transpose(rows, (0, 2, 1))


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


def _anchors(grid_sizes_hw: Sequence[tuple[int, int]], strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Cell centres (1, A, 2) as x, y in cells, and strides (1, A, 1) in pixels, both float32."""
    centers, pixels = [], []
    for (height, width), stride in zip(grid_sizes_hw, strides, strict=True):
        y, x = np.mgrid[:height, :width] + 0.5
        centers.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        pixels.append(np.full((height * width, 1), stride))
    return np.concatenate(centers)[None].astype(np.float32), np.concatenate(pixels)[None].astype(np.float32)
