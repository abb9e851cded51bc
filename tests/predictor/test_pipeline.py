"""Streams, warm-up and memory of the predictor's pipeline."""

import itertools
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.predictor import batches, framing
from tftrt_yolo.predictor.batches import Reader, Reading
from tftrt_yolo.predictor.frame_memory import FrameMemory
from tftrt_yolo.predictor.pipeline import Pipeline


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
    memory = FrameMemory((32, 32), pins=False)
    compiled = Pipeline({}, memory, is_compiled=True)
    compiled._warm_batch_sizes = warm
    assert compiled._padded_size(num_images) == expected
    assert Pipeline({}, memory, is_compiled=False)._padded_size(num_images) == num_images


def _reader(**settings):
    memory = FrameMemory((32, 32), pins=False)
    return Reader(fit="letterbox", memory=memory, **settings)


def test_batches_stay_within_memory(monkeypatch):
    """Large images are few at a time, whatever batch was asked for; none is lost, and order stays."""
    monkeypatch.setattr(batches, "_MOST_AHEAD_BYTES", 4 * 90 * 90 * 3)
    large = [np.full((90, 90, 3), value, np.uint8) for value in range(20)]
    found = list(_reader().batches(large, Reading(batch_size=8)))
    sizes = [len(batch.images) for batch in found]
    assert sizes[0] == 8
    assert max(sizes[1:]) <= 4
    assert [image.given[0, 0, 0] for batch in found for image in batch.images] == list(range(20))


def test_files_are_read_ahead_of_their_batch(monkeypatch):
    """The reader is as slow as it likes: order stays, and several files are read at a time."""
    real, active, most = image_files.read_image, [], []

    def slow(image, *options, **more):
        active.append(image)
        most.append(len(active))
        time.sleep(0.02)
        active.remove(image)
        return real(image, *options, **more)

    monkeypatch.setattr(image_files, "read_image", slow)
    found = list(_reader().batches(IMAGES[:9], Reading(batch_size=4, keeps_arrays=True)))
    assert [len(batch.images) for batch in found] == [4, 4, 1]
    images = [image for batch in found for image in batch.images]
    assert [image.given for image in images] == IMAGES[:9]
    np.testing.assert_array_equal(images[3].array, real(IMAGES[3]))
    assert max(most) > 1 or len(os.sched_getaffinity(0)) == 1


def test_what_cannot_be_read_leaves_no_gap():
    left_out = []
    reading = Reading(batch_size=4, on_error=lambda image, _: left_out.append(image))
    files = [b"no image", IMAGES[0], b"none", IMAGES[1], IMAGES[2]]
    [first, second] = _reader().batches(files, reading)
    assert left_out == [b"no image", b"none"]
    assert [image.given for image in first.images] == IMAGES[:2]
    assert [image.given for image in second.images] == IMAGES[2:3]
    expected = np.empty((32, 32, 3), np.uint8)
    for row, path in enumerate(IMAGES[:2]):
        framing.letterbox(read_image(path), expected)
        np.testing.assert_array_equal(first.frames[row], expected)


def _until(images, error):
    yield from images
    raise error


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
@pytest.mark.parametrize("kind", [KeyError, tftrt_yolo.ImageError, OSError])
def test_results_before_a_failure_arrive(predictor, batch_size, count, kind):
    """Whatever the iterable raises comes after the results of all images before it, and is the very same."""
    arrived, failure = [], kind("the camera is gone")
    with pytest.raises(kind, match="the camera is gone") as raised:
        arrived.extend(predictor.stream(_until(IMAGES[:count], failure), batch_size=batch_size))
    assert raised.value is failure
    expected = predictor(IMAGES[:count], batch_size=1)
    assert [len(one) for one in arrived] == [len(one) for one in expected]
    for got, one in zip(arrived, expected, strict=True):
        np.testing.assert_allclose(got.xyxy, one.xyxy, atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("place", [0, 1, 5, 9])
def test_results_before_a_bad_image_arrive(predictor, batch_size, place):
    images, arrived = [*IMAGES[:place], b"no image", *IMAGES[place:9]], []
    with pytest.raises(tftrt_yolo.ImageError, match="image of 8 bytes is no image"):
        arrived.extend(predictor.stream(images, batch_size=batch_size))
    assert [len(one) for one in arrived] == [len(one) for one in predictor(IMAGES[:9])[:place]]


def test_an_interrupt_is_raised_at_once(predictor):
    arrived = []
    with pytest.raises(KeyboardInterrupt):
        arrived.extend(predictor.stream(_until(IMAGES[:3], KeyboardInterrupt()), batch_size=8))
    assert not arrived


@pytest.mark.parametrize("batch_size", [1, 4, 20])
def test_unreadable_images_are_skipped(predictor, batch_size, caplog):
    """The others' results are those that they have alone."""
    bad = [b"no image", "missing.jpg", np.zeros((0, 3, 3), np.uint8), np.zeros((70_000, 1, 3), np.uint8)]
    images = [bad[0], *IMAGES[:3], bad[1], bad[2], *IMAGES[3:6], bad[3]]
    expected = [one.xyxy for one in predictor(IMAGES[:6])]
    with caplog.at_level("WARNING"):
        skipped = list(predictor.stream(images, batch_size=batch_size, on_unreadable="skip"))
    assert caplog.text.count("skipped: ") == 4
    given = []
    called = predictor(images, batch_size=batch_size, on_unreadable=lambda *what: given.append(what))
    assert [image for image, _ in given] == bad or all(a is b for (a, _), b in zip(given, bad, strict=True))
    assert all(isinstance(error, tftrt_yolo.ImageError) for _, error in given)
    for results in (skipped, called):
        for got, one in zip(results, expected, strict=True):
            np.testing.assert_allclose(got.xyxy, one, atol=0.02)
    assert predictor(bad, on_unreadable="skip") == []


def test_what_a_callback_raises_comes_after_the_results(predictor):
    def refuse(image, error):
        raise LookupError(f"{image} was promised") from error

    arrived = []
    with pytest.raises(LookupError, match=r"missing\.jpg was promised"):
        arrived.extend(predictor.stream([*IMAGES[:4], "missing.jpg", IMAGES[4]], batch_size=3, on_unreadable=refuse))
    assert len(arrived) == 4


@pytest.mark.parametrize("value", ["ignore", None, True, "", 3, np.zeros(2)])
def test_on_unreadable_is_checked_first(predictor, value):
    expected = "expected 'raise', 'skip' or a function that takes the image and its ImageError"
    for use in (predictor, predictor.stream):
        with pytest.raises(ValueError, match=f"on_unreadable is .*; {expected}"):
            use([], on_unreadable=value)


def test_strips_in_one_batch_stay_small(predictor):
    """8 images of 65,535 x 1 pixels took 8 GB; they are 1.6 MB. As high as wide, they are 12 GB and never made."""
    strips = [np.full((65_535, 1, 3), 9, np.uint8)] * 8
    before = _peak_bytes()
    assert [len(one) for one in predictor(strips, batch_size=8)] == [0] * 8
    mixed = [strips[0], np.full((1, 65_535, 3), 9, np.uint8)]
    assert [len(one) for one in predictor(mixed, batch_size=8)] == [0, 0]
    assert _peak_bytes() - before < 1 << 30


def _peak_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1_024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_memory_is_aligned_and_used_again():
    memory = FrameMemory((32, 32), pins=False)
    frames = memory.take(3)
    assert frames.shape == (3, 32, 32, 3)
    assert frames.ctypes.data % 4_096 == 0
    memory.give_back(frames)
    assert memory.take(2) is frames
    memory.give_back(frames)
    assert len(memory.take(4)) == 4


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


def test_batches_are_cut_where_memory_ends(tiny_export, caplog):
    """The largest batch that memory has room for is found by halves, said once a half, and kept."""
    predictor = tftrt_yolo.Predictor(tiny_export)
    own, sizes_seen = predictor._pipeline._signatures["framed"], []

    def framed(frames, sizes):
        sizes_seen.append(len(sizes))
        if len(sizes) > 2:
            tf.zeros((1 << 43,))  # more than any machine has: TensorFlow raises what it raises on a full GPU
        return own(frames=frames, sizes=sizes)

    def found():
        batches_of_seven = predictor._reader.batches(IMAGES[:7], Reading(batch_size=7))
        return [outputs["boxes"] for _, outputs in predictor._pipeline.run(batches_of_seven, {"framed": framed})]

    with caplog.at_level("WARNING"):
        first = found()
    assert sizes_seen == [7, 3, *[1] * 7]
    assert "no memory for 7 images at once; batches are cut to 3" in caplog.text
    assert "no memory for 3 images at once; batches are cut to 1" in caplog.text
    sizes_seen.clear()
    again = found()
    assert sizes_seen == [1] * 7
    for boxes, same, result in zip(first, again, predictor(IMAGES[:7], batch_size=1), strict=True):
        np.testing.assert_array_equal(boxes, same)
        np.testing.assert_array_equal(boxes, result.xyxy)
