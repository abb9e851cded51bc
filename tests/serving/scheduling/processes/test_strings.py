"""Texts on their way between processes."""

import numpy as np
import pytest

from tftrt_yolo.serving.scheduling.processes import strings


@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (2, 3), (0, 3), (2, 0)])
def test_strings_arrive_as_they_were(shape):
    count = int(np.prod(shape))
    values = np.array([*(b"\0" * index + b"end\0" for index in range(count)), None], object)[:-1].reshape(shape)
    numbers = np.arange(3)
    found = strings.unpacked(strings.packed({"texts": values, "numbers": numbers}))
    assert found["texts"].dtype == object
    assert found["texts"].shape == shape
    assert found["texts"].tolist() == values.tolist()
    assert found["numbers"] is numbers


@pytest.mark.parametrize("lengths", [[1, 1], [3, 1], [-1, 4], [2**62, 2**62]])
def test_lengths_that_lie_are_refused(lengths):
    with pytest.raises(ValueError, match="bytes came with 3"):
        strings.unpacked({"texts": {"lengths": np.array(lengths, np.int64), "data": b"abc"}})
