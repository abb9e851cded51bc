"""Whole numbers of NumPy's, and lists of one, are taken wherever a number is."""

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS
from tftrt_yolo.exporter import export
from tftrt_yolo.workflows import benchmark


class _Measured(Exception):
    pass


@pytest.mark.parametrize("sizes", [[1], [np.int64(1)], np.array([1, 1]), (1,), range(1, 2)])
def test_benchmark(tiny_export, tmp_path, monkeypatch, sizes):
    plans = []

    def measure(plan, *_):
        plans.append(plan)
        raise _Measured

    monkeypatch.setattr(benchmark, "measure", measure)
    with pytest.raises(_Measured):
        tftrt_yolo.benchmark(tiny_export, tmp_path / "out", batch_sizes=sizes, seconds=np.float32(0.5))
    [plan] = plans
    assert (plan.batch_sizes, type(plan.batch_sizes[0])) == ((1,), int)
    assert (plan.seconds, type(plan.seconds)) == (0.5, float)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), True, "1", None, np.float32("inf")])
def test_durations_that_cannot_be_measured(tiny_export, tmp_path, seconds):
    with pytest.raises(ValueError, match=r"^seconds is .*; it must be a number above 0"):
        tftrt_yolo.benchmark(tiny_export, tmp_path / "out", seconds=seconds)


def test_predictor(tiny_export, tmp_path):
    predictor = tftrt_yolo.Predictor(tiny_export)
    for sizes in ([1], np.array([1, 2]), (size for size in (1, 2)), [np.uint8(2)]):
        predictor.warm_up(sizes)
    [one, other] = (predictor(IMAGES[0], batch_size=size)[0] for size in (np.int64(2), 2))
    np.testing.assert_array_equal(one.xyxy, other.xyxy)
    for wrong in (0, 1.0, True):
        with pytest.raises(ValueError, match=r"batch_sizes is .*; it must be a whole number of at least 1"):
            predictor.warm_up([wrong])
    report = tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "out", batch_size=np.int64(1))
    assert report.num_images == 1


@pytest.mark.parametrize(
    ("image_size", "size_hw"),
    [
        (640, (640, 640)),
        (np.int64(640), (640, 640)),
        ([320, 640], (320, 640)),
        (np.array([320, 640]), (320, 640)),
        ((np.int32(320), 640), (320, 640)),
    ],
)
def test_image_size(image_size, size_hw):
    found = export._size_hw(image_size)
    assert found == size_hw
    assert [type(side) for side in found] == [int, int]


@pytest.mark.parametrize("image_size", [0, 640.0, True, "640", (640,), (1, 2, 3), [640, None], np.ones(2), {}])
def test_what_is_no_image_size(tmp_path, image_size):
    with pytest.raises(ValueError, match=r"^image_size is .*; expected a positive whole number or"):
        tftrt_yolo.export(TINY_WEIGHTS, tmp_path / "out", image_size=image_size)
