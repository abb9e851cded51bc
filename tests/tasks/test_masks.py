"""Masks of the image's resolution: those that `evaluate` compares, held to Ultralytics' process_mask_native."""

import numpy as np
import pytest

from tftrt_yolo.evaluation import mask_runs
from tftrt_yolo.ground.placement import letterboxed
from tftrt_yolo.tasks import masks


@pytest.mark.parametrize("size_hw", [(480, 640), (64, 64), (37, 211), (900, 300), (5, 3)])
def test_masks_at_the_images_pixels(size_hw):
    pytest.importorskip("faster_coco_eval")
    from faster_coco_eval.core import mask as mask_api

    rng, frame_size_hw = np.random.default_rng(1), (128, 160)
    prototypes = rng.normal(size=(32, 40, 32)).astype(np.float32)
    coefficients = rng.normal(size=(12, 32)).astype(np.float32)
    height, width = size_hw
    corners = np.sort(rng.uniform([-3, -3], [width + 3, height + 3], (2, 12, 2)), axis=0)
    boxes = np.concatenate([corners[0], corners[1]], axis=1).clip(0, [width, height] * 2).astype(np.float32)
    kept, found = masks.compute(
        coefficients, prototypes, boxes, image_size_hw=size_hw, frame_size_hw=frame_size_hw, is_of_image=True
    )
    placement = letterboxed(size_hw, frame_size_hw)
    runs = mask_runs.encode(coefficients, prototypes, boxes, placement, wanted=np.ones(12, bool))
    expected = np.stack([mask_api.decode(one) for one in runs]).astype(bool)
    np.testing.assert_array_equal(kept, expected.any(axis=(1, 2)))
    assert kept.sum() > (3 if min(size_hw) > 5 else 0)
    different = (np.asarray(found) != expected[kept]).mean()
    assert different < 1e-4  # where a sum is zero but for its rounding


def test_no_detection():
    empty = np.zeros((0, 32), np.float32), np.zeros((4, 4, 32), np.float32), np.zeros((0, 4), np.float32)
    kept, found = masks.compute(*empty, image_size_hw=(8, 8), frame_size_hw=(16, 16), is_of_image=True)
    assert kept.shape == (0,)
    assert np.asarray(found).shape == (0, 8, 8)
