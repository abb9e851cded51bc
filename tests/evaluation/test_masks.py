import numpy as np
import pytest
from faster_coco_eval.core import mask as mask_api

from tftrt_yolo.evaluation import mask_runs
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.placement import Placement


def _case(size_hw, frame_side):
    height, width = size_hw
    ratio = min(frame_side / height, frame_side / width)
    scaled = np.array([round(width * ratio), round(height * ratio)])
    return Placement(np.array(size_hw), scaled / [width, height], np.round((frame_side - scaled) / 2 - 0.1))


@pytest.mark.parametrize("size_hw", [(240, 320), (161, 90), (64, 64)])
def test_masks_as_ultralytics_native_ones(size_hw):
    """Smooth prototypes, boxes anywhere, one of them empty: IoU of at least 0.97."""
    torch = pytest.importorskip("torch")
    from ultralytics.utils import ops

    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.normal(size=(1, 8, 10, 10)).astype(np.float32))
    prototypes = torch.nn.functional.interpolate(coarse, (80, 80), mode="bicubic")[0]
    coefficients = rng.normal(size=(20, 8)).astype(np.float32)
    corners = np.sort(rng.uniform(0, 1, (20, 2, 2)), axis=1) * size_hw[::-1]
    boxes = corners.reshape(20, 4).astype(np.float32)
    boxes[3] = 5.5
    encoded = mask_runs.encode(
        coefficients,
        prototypes.permute(1, 2, 0).numpy(),
        boxes,
        _case(size_hw, 320),
        wanted=np.ones(20, bool),
    )
    expected = ops.process_mask_native(prototypes, torch.from_numpy(coefficients), torch.from_numpy(boxes), size_hw)
    got = mask_api.decode(encoded).transpose(2, 0, 1).astype(bool)
    expected = expected.numpy().astype(bool)
    both, either = (got & expected).sum((1, 2)), (got | expected).sum((1, 2))
    assert not got[3].any()
    assert (both >= 0.97 * either - 8).all()


@pytest.mark.parametrize("place", [(0, 0), (3, 2), (5, 4)])
def test_runs_decode_to_the_mask(place):
    """In the corner, inside, and at the right and bottom edges, where columns run into each other."""
    mask = np.random.default_rng(1).random((4, 5)) < 0.6
    mask[:, 2] = True
    whole = np.zeros((8, 10), bool)
    whole[place[1] : place[1] + 4, place[0] : place[0] + 5] = mask
    runs = mask_runs.encode_runs(mask, *place, (8, 10))
    np.testing.assert_array_equal(mask_api.decode([runs])[..., 0], whole)
    assert mask_api.area([runs])[0] == whole.sum()


def test_only_masks_that_can_match_are_computed():
    truth = Truth(np.array([1]), np.array([[0.0, 0, 50, 50]]), outlines=([[0, 0, 50, 0, 50, 50]],))
    boxes = np.array([[10, 10, 60, 60], [10, 10, 60, 60], [51, 51, 90, 90]], np.float32)
    np.testing.assert_array_equal(mask_runs.may_match(np.array([1, 2, 1]), boxes, truth), [True, False, False])
    background = Truth(np.zeros(0, int), np.zeros((0, 4)), outlines=())
    assert not mask_runs.may_match(np.array([1]), boxes[:1], background).any()
