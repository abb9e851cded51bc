"""Which shuffles must be copied: against NumPy where bytes are moved, and by hand where they cancel."""

import itertools
import math

import numpy as np
import pytest

from tests.preflighting.recordings import NAMES, Sketch, recorded
from tftrt_yolo.preflighting import shuffles
from tftrt_yolo.preflighting.shuffles import CANCELS, COPY, FOLDED, FREE, MERGED

NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)  # to these
SHAPES = [(2, 3, 4), (1, 3, 4), (2, 1, 4), (2, 3, 1), (1, 1, 4), (1, 3, 1)]


def _verdicts(sketch):
    return [row.verdict for row in shuffles.examine(sketch.network())]


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_transpose_is_free_exactly_if_no_byte_moves(dims, order):
    values = np.arange(math.prod(dims)).reshape(dims)
    stays = np.array_equal(values.transpose(order).ravel(), values.ravel())
    sketch = Sketch()
    sketch.output(sketch.transpose(sketch.input(*dims), *order))
    (row,) = shuffles.examine(sketch.network())
    assert row.verdict == (FREE if stays else COPY)
    assert row.bytes == (0 if stays else 4 * values.size)
    assert row.permutation == (() if stays else order)


@pytest.mark.parametrize("between", [(3, 2, 4), (6, 4), (2, 3, 2, 2), (1, 24)])
def test_the_second_transpose_counts_too(between):
    """A reshape, and then a transpose of what it gives."""
    for order in itertools.permutations(range(len(between))):
        values = np.arange(24).reshape(between)
        stays = np.array_equal(values.transpose(order).ravel(), values.ravel())
        sketch = Sketch()
        dims = [between[axis] for axis in order]
        given = sketch.input(2, 3, 4)
        sketch.output(sketch.layer("SHUFFLE", [given], dims, reshape=between, second_transpose=order))
        assert _verdicts(sketch) == [FREE if stays else COPY], order


def test_the_batch_is_not_taken_for_one():
    sketch = Sketch()
    sketch.output(sketch.transpose(sketch.input(-1, 3, 1), 1, 0, 2))
    (row,) = shuffles.examine(sketch.network())
    assert (row.verdict, row.bytes) == (COPY, 12)  # of one image


def test_inverses_side_by_side_cancel():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC, name="there")
    sketch.output(sketch.sigmoid(sketch.transpose(turned, *NCHW, name="back")))
    first, second = shuffles.examine(sketch.network())
    assert (first.verdict, first.partners, first.bytes) == (CANCELS, ("back",), 0)
    assert (second.verdict, second.partners) == (CANCELS, ("there",))


def test_inverses_cancel_through_what_does_not_care():
    sketch = Sketch()
    one, two = (sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC) for _ in range(2))
    summed = sketch.sigmoid(sketch.sigmoid(one), sketch.sigmoid(two), sketch.constant(1, 1, 1, 3))
    joined = sketch.layer("CONCATENATION", [summed, one], (-1, 8, 6, 6), axis=3)
    sketch.output(sketch.transpose(joined, *NCHW), sketch.transpose(joined, *NCHW))
    assert _verdicts(sketch) == [CANCELS] * 4


def test_a_way_that_is_not_turned_keeps_all():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC)
    summed = sketch.sigmoid(turned, sketch.input(-1, 8, 6, 3))
    sketch.output(sketch.transpose(summed, *NCHW))
    assert _verdicts(sketch) == [COPY, COPY]


def test_a_way_out_that_is_not_turned_back_keeps_all():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC)
    sketch.output(sketch.transpose(turned, *NCHW), sketch.convolution(turned, 4))
    assert _verdicts(sketch) == [COPY, COPY]


def test_an_output_of_the_network_keeps_its_transpose():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC)
    sketch.output(turned, sketch.transpose(turned, *NCHW))
    assert _verdicts(sketch) == [COPY, COPY]


def test_the_shape_of_what_is_turned_keeps_the_transpose():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC)
    shape = sketch.layer("SHAPE", [turned], (4,), output="INT32")
    back = sketch.transpose(turned, *NCHW)
    sketch.output(sketch.layer("RESIZE", [back, shape], (-1, 8, 6, 3), mode="NEAREST"))
    assert _verdicts(sketch) == [COPY, COPY]


def test_a_layer_that_cares_keeps_both():
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 3, 8, 6), *NHWC)
    soft = sketch.layer("SOFTMAX", [turned], (-1, 8, 6, 3), axes=8)
    sketch.output(sketch.transpose(soft, *NCHW))
    assert _verdicts(sketch) == [COPY, COPY]


def test_the_same_transpose_twice_is_no_pair():
    """H and W that are equal in size do not make it one: the numbers would be swapped."""
    sketch = Sketch()
    sketch.output(sketch.transpose(sketch.transpose(sketch.input(-1, 5, 5, 5), *NHWC), *NHWC))
    first, second = shuffles.examine(sketch.network())
    assert (first.verdict, second.verdict) == (COPY, MERGED)
    values = np.arange(2 * 125).reshape(2, 5, 5, 5)
    assert np.array_equal(values.transpose(first.permutation), values.transpose(NHWC).transpose(NHWC))


@pytest.mark.parametrize("orders", [(NHWC, (0, 2, 1, 3)), (NHWC, NHWC, (0, 1, 3, 2)), ((0, 3, 2, 1), NCHW)])
def test_transposes_one_after_the_other_are_one_copy(orders):
    sketch = Sketch()
    tensor = sketch.input(-1, 3, 8, 6)
    for place, order in enumerate(orders):
        tensor = sketch.transpose(sketch.sigmoid(tensor), *order, name=f"turn {place}")
    sketch.output(tensor)
    head, *others = shuffles.examine(sketch.network())
    assert (head.verdict, head.bytes) == (COPY, 4 * 3 * 8 * 6)
    assert head.partners == tuple(other.name for other in others)
    assert all((other.verdict, other.partners, other.bytes) == (MERGED, ("turn 0",), 0) for other in others)
    values = expected = np.arange(2 * 3 * 8 * 6).reshape(2, 3, 8, 6)
    for order in orders:
        expected = expected.transpose(order)
    assert np.array_equal(values.transpose(head.permutation), expected)


def test_constants_are_turned_when_the_engine_is_built():
    sketch = Sketch()
    turned = sketch.transpose(sketch.constant(3, 3, 8, 16), 3, 2, 0, 1)
    sketch.output(sketch.sigmoid(sketch.input(-1, 8, 3, 3), turned))
    assert _verdicts(sketch) == [FOLDED]


def test_a_reshape_by_a_tensor():
    sketch = Sketch()
    given = sketch.input(-1, 8, 5, 5)
    shape = sketch.constant(6, output="INT32")
    spread = sketch.layer("SHUFFLE", [given, shape], (-1, 2, 5, 2, 5, 2), second_transpose=(0, 3, 4, 1, 5, 2))
    sketch.output(sketch.layer("SHUFFLE", [spread, shape], (-1, 2, 10, 10)))
    rows = shuffles.examine(sketch.network())
    assert [row.verdict for row in rows] == [COPY, FREE]
    assert rows[0].permutation == (0, 3, 4, 1, 5, 2)


@pytest.mark.parametrize("name", NAMES)
def test_recordings(name, tmp_path):
    """What is told of each shuffle fits together, and the neck's resizes cost no copy."""
    network = recorded(name, tmp_path)
    rows = shuffles.examine(network)
    by_name = {row.name: row for row in rows}
    assert len(by_name) == len(rows)
    for row in rows:
        assert (row.bytes > 0) == (row.verdict == COPY)
        assert bool(row.partners) or row.verdict not in (CANCELS, MERGED)
        assert all(by_name[partner].verdict in (CANCELS, COPY, MERGED) for partner in row.partners)
        if row.verdict == MERGED:
            assert row.name in by_name[row.partners[0]].partners
    assert all(row.verdict == CANCELS for row in rows if "ResizeNearestNeighbor-to_" in row.name)
    stem = [row.verdict for row in rows if "tf.compat.v1.pad/Pad-" in row.name]
    assert stem in ([COPY, COPY], [])
