"""Masks inside the graph: the host's, pixel by pixel, and Ultralytics' where an image has the frame's size."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.encoded_masks import pasted
from tftrt_yolo.graph.encoded import masks as encoded_masks
from tftrt_yolo.tasks import masks

NUM = 24  # rows, padding among them
COUNTS = (NUM, 17, 0)
SIZES = [  # frame; three images
    ((96, 128), [(96, 128), (333, 500), (64, 48)]),
    ((64, 64), [(1, 1), (700, 9), (9, 700)]),
    ((128, 96), [(1, 300), (37, 41), (96, 128)]),
    ((96, 128), [(3_000, 4_000), (128, 96), (5, 4)]),
]


def _outputs(frame_hw, sizes_hw, *, seed=0):
    """Smooth prototypes, and boxes of which some leave their image, are empty, or lie between pixels."""
    rng = np.random.default_rng(seed)
    height, width = (length // 4 for length in frame_hw)
    coarse = [rng.normal(0, 1, [*rng.integers(2, 8, 2).tolist(), 8]).astype(np.float32) for _ in sizes_hw]
    corner, size = rng.uniform(-0.2, 1, (2, len(sizes_hw), NUM, 2)) * np.array([[[[1.0]]], [[[0.8]]]])
    boxes = np.concatenate([corner, corner + size], -1) * np.tile(np.array(sizes_hw)[:, np.newaxis, ::-1], 2)
    boxes[:, 2] = np.round(boxes[:, 2])
    boxes[:, 3, 2:] = boxes[:, 3, :2]
    boxes[:, 4] *= 0
    boxes[:, 5] = np.tile(np.array(sizes_hw)[:, ::-1], 2) * [0, 0, 1, 1]
    return {
        "num_detections": np.array(COUNTS[: len(sizes_hw)], np.int32),
        "boxes": boxes.astype(np.float32),
        "mask_coefficients": rng.normal(0, 1, (len(sizes_hw), NUM, 8)).astype(np.float32),
        "prototypes": np.stack([cv2.resize(values, (width, height)) for values in coarse]),
    }


def _packed(outputs, sizes_hw, frame_hw):
    pack = tf.function(lambda *arguments: encoded_masks.pack(*arguments, frame_hw), autograph=False)
    files, corners_xy = pack({name: tf.constant(values) for name, values in outputs.items()}, sizes_hw)
    assert (files.dtype, corners_xy.dtype) == (tf.string, tf.int32)
    return files.numpy(), corners_xy.numpy()


@pytest.mark.parametrize(("frame_hw", "sizes_hw"), SIZES)
def test_they_are_those_of_the_host(frame_hw, sizes_hw):
    outputs = _outputs(frame_hw, sizes_hw)
    files, corners_xy = _packed(outputs, tf.constant(sizes_hw), frame_hw)
    seen = 0
    for index, (size_hw, count) in enumerate(zip(sizes_hw, COUNTS, strict=True)):
        assert not any(files[index, count:])
        assert not corners_xy[index, count:].any()
        kept, expected = masks.compute(
            outputs["mask_coefficients"][index, :count],
            outputs["prototypes"][index],
            outputs["boxes"][index, :count],
            image_size_hw=size_hw,
            frame_size_hw=frame_hw,
        )
        found = pasted(files[index, :count], corners_xy[index, :count], size_hw)
        assert [mask is not None for mask in found] == kept.tolist()
        for mask, own in zip((mask for mask in found if mask is not None), expected, strict=True):
            np.testing.assert_array_equal(mask, own)
            seen += 1
    assert seen >= 8


def test_they_are_ultralytics_where_the_image_has_the_frames_size():
    torch = pytest.importorskip("torch")
    from ultralytics.utils.ops import process_mask

    frame_hw = (96, 128)
    outputs = _outputs(frame_hw, [frame_hw])
    files, corners_xy = _packed(outputs, tf.constant([frame_hw]), frame_hw)
    prototypes, coefficients, boxes = (
        torch.from_numpy(outputs[name][0]) for name in ("prototypes", "mask_coefficients", "boxes")
    )
    expected = process_mask(prototypes.permute(2, 0, 1), coefficients, boxes, frame_hw, upsample=True).numpy() > 0
    found = pasted(files[0], corners_xy[0], frame_hw)
    assert [mask is not None for mask in found] == expected.any(axis=(1, 2)).tolist()
    for mask, own in zip(found, expected, strict=True):
        assert mask is None or np.count_nonzero(mask ^ own) <= 0.001 * own.size  # zero, but for other rounding
    assert sum(mask is not None for mask in found) >= 8


def test_only_what_lies_within_the_box_is_computed():
    """A box that is not a number, and one far outside, are no masks and fail nobody's batch."""
    frame_hw = (64, 64)
    outputs = _outputs(frame_hw, [(64, 64)])
    outputs["boxes"][0, 0] = np.nan
    outputs["boxes"][0, 1] = [1e9, 1e9, 2e9, 2e9]
    outputs["boxes"][0, 2] = [-1e30, -1e30, 1e30, 1e30]
    outputs["boxes"][0, 6] = [10, 20, 30, 24]
    outputs["mask_coefficients"][0, [2, 6]] = 1
    outputs["prototypes"] = np.abs(outputs["prototypes"])  # so that these two fill their boxes
    files, corners_xy = _packed(outputs, tf.constant([(64, 64)]), frame_hw)
    assert not any(files[0, :2])
    whole, part = (pasted(files[0], corners_xy[0], frame_hw)[index] for index in (2, 6))
    assert whole.all()
    expected = np.zeros(frame_hw, bool)
    expected[20:24, 10:30] = True
    np.testing.assert_array_equal(part, expected)
    assert corners_xy[0, 6].tolist() == [10, 20]


def test_no_images_and_no_detections():
    outputs = _outputs((64, 64), [(64, 64)])
    none = {name: values[:0] for name, values in outputs.items()}
    files, corners_xy = _packed(none, tf.zeros((0, 2), tf.int32), (64, 64))
    assert (files.shape, corners_xy.shape) == ((0, NUM), (0, NUM, 2))
    outputs["num_detections"][:] = 0
    files, corners_xy = _packed(outputs, tf.constant([(64, 64)]), (64, 64))
    assert not any(files.ravel())
    assert not corners_xy.any()
