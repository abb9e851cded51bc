"""Batches for what XLA compiles, on a function whose rows are easy to know; models are in tests/converter/baked."""

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.saved_model.batches import CompiledSizes, fill_batches

GIVEN = CompiledSizes((2, 5))


@pytest.mark.parametrize(
    ("sizes", "num_images", "run_by"),
    [
        ((), 0, (1,)),  # an empty batch is filled up like one image: XLA never sees it
        ((), 1, (1,)),
        ((), 2, (2,)),
        ((), 3, (4,)),
        ((), 64, (64,)),
        ((), 65, (128,)),
        ((2, 5), 0, (2,)),
        ((2, 5), 1, (2,)),
        ((2, 5), 2, (2,)),
        ((2, 5), 3, (5,)),
        ((2, 5), 5, (5,)),
        ((2, 5), 6, (5, 2)),
        ((2, 5), 8, (5, 5)),
        ((2, 5), 10, (5, 5)),
        ((2, 5), 11, (5, 5, 2)),
        ((7,), 20, (7, 7, 7)),
        ((1,), 3, (1, 1, 1)),
    ],
)
def test_the_sizes_that_a_batch_is_run_in(sizes, num_images, run_by):
    assert CompiledSizes(sizes).run_by(num_images) == run_by


def test_the_sizes_in_words():
    assert str(CompiledSizes()) == "every power of two"
    assert str(CompiledSizes((4,))) == "batch size 4"
    assert str(GIVEN) == "batch sizes 2, 5"


@pytest.fixture(scope="module")
def compiled():
    """Quotients and names of its rows; it notes in its output how large the batch was that it saw."""

    @tf.function(
        input_signature=[tf.TensorSpec((None, 3)), (tf.TensorSpec((None,)), tf.TensorSpec((None, 2), tf.int32))],
        jit_compile=True,
    )
    def function(values, others):
        divisors, names = others
        size = tf.shape(values)[0]
        return {"quotients": values / divisors[:, tf.newaxis], "names": names, "sizes": tf.fill([size], size)}

    return function.get_concrete_function()


def _arguments(count):
    rng = np.random.default_rng(count)
    values, divisors = rng.random((count, 3), np.float32), 1 + rng.random(count, np.float32)
    return values, (divisors, rng.integers(0, 100, (count, 2), np.int32))


@pytest.mark.parametrize("sizes", [CompiledSizes(), GIVEN, CompiledSizes((1,)), CompiledSizes((4, 8, 16))])
def test_every_row_of_every_batch(compiled, sizes):
    """The values of a naive division, and the sizes that the rule says; shapes with a batch of any size."""
    signature, _ = compiled.structured_input_signature
    run = tf.function(fill_batches(compiled, sizes), input_signature=signature, autograph=False)
    assert run.get_concrete_function().structured_outputs["quotients"].shape.as_list() == [None, 3]
    for count in range(18):
        values, (divisors, names) = _arguments(count)
        found = run(tf.constant(values), (tf.constant(divisors), tf.constant(names)))
        np.testing.assert_allclose(found["quotients"], values / divisors[:, None], rtol=1e-6)
        np.testing.assert_array_equal(found["names"], names)
        seen = [size for size in sizes.run_by(count) for _ in range(size)][:count]
        assert found["sizes"].numpy().tolist() == seen
