"""Streams, warm-up and memory of the predictor's pipeline."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.predictor import pipeline


@pytest.fixture(scope="module")
def predictor(tiny_export):
    return tftrt_yolo.Predictor(tiny_export)


def test_stream_gives_what_a_call_gives_in_order(predictor):
    expected = predictor(IMAGES, batch_size=8)
    assert sum(map(len, expected)) > 100
    for got, one in zip(predictor.stream(iter(IMAGES), batch_size=3), expected, strict=True):
        np.testing.assert_array_equal(got.class_id, one.class_id)
        np.testing.assert_allclose(got.xyxy, one.xyxy, atol=0.02)


def test_stream_takes_no_more_than_it_needs(predictor):
    """An endless source: three batches are under way at most, and memory does not grow."""
    taken = itertools.count()
    image = np.zeros((300, 300, 3), np.uint8)

    def camera():
        while True:
            next(taken)
            yield image.copy()

    results = predictor.stream(camera(), batch_size=2)
    list(itertools.islice(results, 10))
    tracemalloc.start()
    list(itertools.islice(results, 4))
    first = tracemalloc.get_traced_memory()[0]
    list(itertools.islice(results, 60))
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    results.close()
    assert next(taken) <= 74 + 4 * 2 + 1
    assert grown < 4 * image.nbytes


def test_stream_is_lazy_and_checks_first(predictor):
    with pytest.raises(ValueError, match="batch_size is 0; it must be a whole number of at least 1"):
        predictor.stream([], batch_size=0)
    assert list(predictor.stream([])) == []
    with pytest.raises(tftrt_yolo.ImageError, match=r"missing\.jpg cannot be read"):
        list(predictor.stream([IMAGES[0], "missing.jpg"]))


def test_results_before_a_bad_image_are_not_lost(predictor):
    """Of a stream that breaks, the full batches before the break arrive."""
    arrived, results = [], predictor.stream([*IMAGES[:12], "missing.jpg"], batch_size=1)
    with pytest.raises(tftrt_yolo.ImageError):
        arrived.extend(results)
    assert len(arrived) >= 8


def test_warm_up(predictor):
    predictor.warm_up((1, 2))
    assert predictor.compiled_batch_sizes == ()  # plain TensorFlow compiles nothing
    with pytest.raises(ValueError, match="batch_sizes is 0"):
        predictor.warm_up((0,))


@pytest.mark.parametrize(
    ("warm", "num_images", "expected"),
    [
        ((), 1, 1),
        ((), 3, 4),  # the next power of two
        ((), 8, 8),
        ((), 9, 16),
        ((1, 6), 1, 1),
        ((1, 6), 2, 6),  # the next warm one
        ((1, 6), 6, 6),
    ],
)
def test_a_compiled_models_batches_are_filled_up(warm, num_images, expected):
    compiled = pipeline.Pipeline({}, frame_size_hw=(32, 32), is_compiled=True, uses_gpu=False)
    compiled._warm_batch_sizes = warm
    assert compiled._padded_size(num_images) == expected
    plain = pipeline.Pipeline({}, frame_size_hw=(32, 32), is_compiled=False, uses_gpu=False)
    assert plain._padded_size(num_images) == num_images


def test_batches_stay_within_memory(monkeypatch):
    monkeypatch.setattr(pipeline, "_MAX_PADDED_PIXELS", 1_000)
    images = [np.zeros(shape, np.uint8) for shape in [(10, 10, 3), (10, 10, 3), (100, 10, 3), (10, 10, 3), (90, 90, 3)]]
    batches = list(pipeline._batches(images, 8))
    assert [len(batch) for batch in batches] == [2, 1, 1, 1]
    assert [image.shape for batch in batches for image in batch] == [image.shape for image in images]


def test_memory_is_aligned_and_used_again():
    plain = pipeline.Pipeline({}, frame_size_hw=(32, 32), is_compiled=False, uses_gpu=False)
    memory = plain._take_memory(10_000)
    assert memory.ctypes.data % 4_096 == 0
    assert memory.nbytes == 10_000
    plain._free_memory.append(memory)
    assert plain._take_memory(5_000) is memory
    plain._free_memory.append(memory)
    assert plain._take_memory(20_000).nbytes == 20_000


def test_files_are_read_ahead_and_in_order(monkeypatch):
    """The reader is as slow as it likes: order stays, and several files are read at a time."""
    real, active, most = image_files.read_image, [], []

    def slow(image):
        active.append(image)
        most.append(len(active))
        time.sleep(0.02)
        active.remove(image)
        return real(image)

    monkeypatch.setattr(image_files, "read_image", slow)
    read = list(image_files.read_ahead(IMAGES[:9]))
    assert [path for path, _ in read] == IMAGES[:9]
    np.testing.assert_array_equal(read[3][1], real(IMAGES[3]))
    assert max(most) > 1


def test_unreadable_files_in_between():
    read = list(image_files.read_ahead([IMAGES[0], b"no image", IMAGES[1]], raises=False))
    assert [type(image).__name__ for _, image in read] == ["ndarray", "ImageError", "ndarray"]
