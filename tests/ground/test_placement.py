"""Where an image lies in a frame: against Ultralytics' LetterBox, and against what the SavedModel computes."""

import itertools
import math

import numpy as np
import pytest

from tftrt_yolo.ground import placement

RNG = np.random.default_rng(0)
FRAMES = ((640, 640), (320, 640), (640, 320), (64, 96), (224, 224), (32, 32))
SIZES = [
    *itertools.product((1, 2, 3, 31, 32, 33, 100, 479, 480, 481, 640, 1_080), (1, 2, 5, 64, 333, 640, 641, 1_920)),
    *((int(height), int(width)) for height, width in RNG.integers(1, 3_000, (300, 2))),
]


def _geometry(image_size_hw, frame_size_hw):
    """Scaled height and width, padding at the left and the top; LetterBox.__call__ of Ultralytics line by line."""
    (height, width), (frame_height, frame_width) = image_size_hw, frame_size_hw
    ratio = min(frame_height / height, frame_width / width)
    new_unpad = round(width * ratio), round(height * ratio)
    dw, dh = frame_width - new_unpad[0], frame_height - new_unpad[1]
    dw, dh = dw / 2, dh / 2
    return (new_unpad[1], new_unpad[0]), (round(dw - 0.1), round(dh - 0.1))


@pytest.mark.parametrize("frame_size_hw", FRAMES)
def test_it_is_ultralytics_geometry(frame_size_hw):
    compared = 0
    for size_hw in SIZES:
        (height, width), padding_xy = _geometry(size_hw, frame_size_hw)
        if min(height, width) == 0:
            continue  # OpenCV would raise; here a side is one pixel at least
        assert placement.scaled_size(size_hw, frame_size_hw) == (height, width)
        placed = placement.letterboxed(size_hw, frame_size_hw)
        assert tuple(placed.padding_xy) == padding_xy
        np.testing.assert_array_equal(placed.gain_xy, [width / size_hw[1], height / size_hw[0]])
        assert tuple(placed.size_hw) == size_hw
        compared += 1
    assert compared > 250


@pytest.mark.parametrize("frame_size_hw", FRAMES)
def test_the_scaled_image_fits_and_touches(frame_size_hw):
    for size_hw in SIZES:
        scaled = placement.scaled_size(size_hw, frame_size_hw)
        placed = placement.letterboxed(size_hw, frame_size_hw)
        assert min(scaled) >= 1
        assert any(side == frame for side, frame in zip(scaled, frame_size_hw, strict=True))
        for side, frame, padding in zip(scaled, frame_size_hw, placed.padding_xy[::-1], strict=True):
            after = frame - side - padding
            assert padding >= 0
            assert padding <= after <= padding + 1  # of an odd rest the larger half is at the right or at the bottom


@pytest.mark.parametrize("frame_size_hw", FRAMES)
def test_ultralytics_itself_pads_alike(frame_size_hw):
    """The frame of a white image: where it is white."""
    augment = pytest.importorskip("ultralytics.data.augment")
    letterbox = augment.LetterBox(frame_size_hw, auto=False, padding_value=114)
    for size_hw in SIZES[:90:3]:
        if min(_geometry(size_hw, frame_size_hw)[0]) == 0:
            continue
        frame = letterbox(image=np.full((*size_hw, 3), 255, np.uint8))
        rows, columns = (np.nonzero((frame[..., 0] == 255).any(axis=axis))[0] for axis in (1, 0))
        left, top = placement.letterboxed(size_hw, frame_size_hw).padding_xy
        height, width = placement.scaled_size(size_hw, frame_size_hw)
        assert (rows[0], rows[-1] + 1) == (top, top + height)
        assert (columns[0], columns[-1] + 1) == (left, left + width)
        assert frame[..., 0].min() in (placement.PADDING_VALUE, 255)


@pytest.mark.parametrize("frame_size_hw", FRAMES)
def test_the_graph_computes_the_same(frame_size_hw):
    import tensorflow as tf

    from tftrt_yolo.graph import letterbox

    sizes = np.array(SIZES, np.int32)
    found = letterbox.letterbox_of(tf.constant(sizes), frame_size_hw)
    for index, size_hw in enumerate(SIZES):
        placed = placement.letterboxed(size_hw, frame_size_hw)
        np.testing.assert_array_equal(found.padding_xy[index], placed.padding_xy)
        np.testing.assert_allclose(found.gain_xy[index], placed.gain_xy, rtol=1e-6)


def test_there_and_back():
    """Boxes, keypoints and oriented boxes of an image, taken into the frame by hand."""
    for size_hw, frame_size_hw in itertools.product(SIZES[-40:], FRAMES):
        placed = placement.letterboxed(size_hw, frame_size_hw)
        corners = np.sort(RNG.uniform(0, 1, (2, 5, 2)), axis=0) * size_hw[::-1]
        boxes = np.concatenate(list(corners), axis=1)
        framed = boxes * np.tile(placed.gain_xy, 2) + np.tile(placed.padding_xy, 2)
        np.testing.assert_allclose(placed.boxes_in_image(framed), boxes, atol=1e-9 * max(size_hw))
        points = np.concatenate([corners[0] * placed.gain_xy + placed.padding_xy, np.full((5, 1), 0.7)], axis=1)
        back = placed.keypoints_in_image(points[np.newaxis])[0]
        np.testing.assert_allclose(back[:, :2], corners[0], atol=1e-9 * max(size_hw))
        assert (back[:, 2] == 0.7).all()
        oriented = np.concatenate([points[:, :2], np.full((5, 2), 10.0), np.full((5, 1), 0.3)], axis=1)
        found = placed.oriented_in_image(oriented)
        np.testing.assert_allclose(found[:, :2], corners[0], atol=1e-9 * max(size_hw))
        np.testing.assert_allclose(found[:, 2:4], 10 / math.sqrt(placed.gain_xy[0] * placed.gain_xy[1]))
        assert (found[:, 4] == 0.3).all()


def test_boxes_are_clipped_and_keypoints_are_not():
    placed = placement.letterboxed((100, 200), (64, 64))
    assert placed.padding_xy.tolist() == [0, 16]
    outside = np.array([[-10.0, 0.0, 100.0, 64.0]])
    assert placed.boxes_in_image(outside).tolist() == [[0, 0, 200, 100]]
    assert placed.keypoints_in_image(np.array([[[-32.0, 0.0, 1.0]]])).tolist() == [[[-100, -50, 1]]]


def test_nothing_gives_nothing():
    placed = placement.letterboxed((100, 200), (64, 64))
    assert placed.boxes_in_image(np.zeros((0, 4))).shape == (0, 4)
    assert placed.keypoints_in_image(np.zeros((0, 17, 3))).shape == (0, 17, 3)
    assert placed.oriented_in_image(np.zeros((0, 5))).shape == (0, 5)
