"""`tftrt_yolo.map`: what is found, beside Predictor's results; what stays beside it; and what is refused."""

import gc

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, OTHER_TASKS
from tests.pipelines import outputs
from tftrt_yolo.ground.files.image_files import read_image

MAPS = ["semantic", "depth"]
TASKS = ["tiny", "segment", *MAPS, *(pytest.param(task, marks=pytest.mark.slow) for task in OTHER_TASKS[1:])]


def _pictures(task):
    return (CROPS if task == "classify" else IMAGES)[:5]


def _files(paths):
    return tf.data.Dataset.from_tensor_slices([str(path) for path in paths]).map(tf.io.read_file)


def _arrays(images):
    return tf.data.Dataset.from_generator(lambda: images, output_signature=tf.TensorSpec((None, None, 3), tf.uint8))


@pytest.mark.parametrize("task", TASKS)
def test_files_and_arrays_of_every_task(models, task):
    path, paths = models.exported(task), _pictures(task)
    images = [read_image(one) for one in paths]
    predictor = tftrt_yolo.Predictor(path)
    expected = predictor([str(one) for one in paths], batch_size=2)
    for dataset in (_files(paths), _arrays(images)):
        found = list(tftrt_yolo.map(dataset, path, batch_size=2))
        assert [one.pop("status").numpy() for one in found] == [b""] * 5
        assert outputs.check(predictor, found, expected, images) >= 5


def test_batches_stay_batches(tiny_export):
    images = [read_image(path)[:300, :300] for path in IMAGES[:5]]
    predictor = tftrt_yolo.Predictor(tiny_export)
    expected = predictor(images, batch_size=3)
    found = list(tftrt_yolo.map(tf.data.Dataset.from_tensor_slices(np.stack(images)).batch(3), tiny_export))
    assert [one["boxes"].shape for one in found] == [(3, 300, 4), (2, 300, 4)]
    singles = [
        {name: values[index] for name, values in one.items()} for one in found for index in range(len(one["boxes"]))
    ]
    assert outputs.check(predictor, singles, expected, images) > 5
    [files] = tftrt_yolo.map(_files(IMAGES[:3]).batch(4), tiny_export)
    assert files["num_detections"].shape == (3,)
    with pytest.raises(ValueError, match="batches already"):
        tftrt_yolo.map(_files(IMAGES[:3]).batch(4), tiny_export, batch_size=2)


@pytest.mark.parametrize("accelerator", ["tensorrt", pytest.param("xla", marks=pytest.mark.slow)])
def test_conversions(models, tmp_path, accelerator):
    """Of a conversion for TensorRT the native segments run here; XLA's fills the last batch up by itself."""
    path = models.converted("tiny")
    if accelerator == "xla":
        path = tmp_path / "xla_saved_model"
        tftrt_yolo.convert(models.exported("tiny"), path, accelerator="xla", precision_mode="FP32")
    predictor = tftrt_yolo.Predictor(path)
    images = [read_image(one) for one in IMAGES[:5]]
    found = list(tftrt_yolo.map(_files(IMAGES[:5]), path, batch_size=4))
    assert outputs.check(predictor, found, predictor(images, batch_size=4), images) > 5
    if accelerator == "tensorrt" and predictor.backend.name == "TensorFlow":
        with pytest.raises(tftrt_yolo.TensorRTUnavailableError):
            tftrt_yolo.map(_files(IMAGES[:5]), path, strict=True)


def _labelled(paths):
    """Dictionaries with what does not fit together into a batch."""
    numbers = tf.data.Dataset.range(len(paths))
    names = tf.data.Dataset.from_tensor_slices([path.name for path in paths])
    ragged = numbers.map(lambda number: tf.range(number))
    sparse = numbers.map(lambda number: tf.sparse.from_dense(tf.one_hot(number, 9)))
    parts = {"image": _files(paths), "path": names, "objects": {"classes": ragged}, "sparse": sparse}
    return tf.data.Dataset.zip(parts)


def test_other_parts_stay_as_they_are(tiny_export):
    expected = [int(one["num_detections"]) for one in tftrt_yolo.map(_files(IMAGES[:5]), tiny_export)]
    dataset = tftrt_yolo.map(_labelled(IMAGES[:5]), tiny_export, batch_size=3)
    for index, (element, given) in enumerate(zip(dataset, _labelled(IMAGES[:5]), strict=True)):
        assert set(element) == {"detections", "path", "objects", "sparse"}
        assert element["path"] == given["path"]
        assert element["objects"]["classes"].numpy().tolist() == list(range(index))
        assert tf.reduce_sum(tf.sparse.to_dense(element["sparse"])) == 1
        assert element["detections"]["num_detections"] == expected[index]
    pairs = tf.data.Dataset.zip(
        tf.data.Dataset.from_tensor_slices([path.name for path in IMAGES[:5]]), _files(IMAGES[:5])
    )
    keyed = list(tftrt_yolo.map(pairs, tiny_export, image=1))
    assert [name.numpy().decode() for name, _ in keyed] == [path.name for path in IMAGES[:5]]
    assert [int(found["num_detections"]) for _, found in keyed] == expected


def test_one_bad_picture_is_a_status(tiny_export):
    good = IMAGES[0].read_bytes()
    files = [good, b"", str(IMAGES[1]).encode(), good[:-200], good, b"\xff\xfe\x00 no name.jpg"]
    found = list(tftrt_yolo.map(tf.data.Dataset.from_tensor_slices(files), tiny_export, batch_size=4))
    status = [one["status"].numpy().decode() for one in found]
    assert [not text for text in status] == [True, False, False, False, True, False]
    assert status[2].endswith("It looks like a path: read files first, with dataset.map(tf.io.read_file)")
    assert status[3].startswith("it is cut short")
    assert "path" not in status[1] + status[3] + status[5]
    assert [bool(one["num_detections"]) for one in found] == [True, False, False, False, True, False]
    assert not found[1]["boxes"].numpy().any()


def test_arrays_of_any_channels_and_sizes(tiny_export):
    """Two of them fill 13 GB in one batch, and each takes a part of a megabyte."""
    photo = read_image(IMAGES[0])
    grey = photo[..., :1]
    images = [photo, grey, np.dstack([photo, grey]), photo[..., :2], photo[:0], photo[:1, :1]]
    images += [np.zeros((65_000, 1, 3), np.uint8), np.zeros((1, 65_000, 3), np.uint8), photo]
    spec = tf.TensorSpec((None, None, None), tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: images, output_signature=spec)
    found = list(tftrt_yolo.map(dataset, tiny_export, batch_size=9))
    status = [one["status"].numpy().decode() for one in found]
    assert status[3] == "it has 2 channels; expected 3: RGB"
    assert status[4] == f"it is {photo.shape[1]} pixels wide and 0 high; expected sides of 1 to 65535"
    assert not any(status[:3] + status[5:])
    predictor = tftrt_yolo.Predictor(tiny_export)
    for index, image in [(0, photo), (1, grey), (2, photo), (8, photo)]:
        [expected] = predictor(image)
        count = int(found[index]["num_detections"])
        assert count == len(expected) > 0
        np.testing.assert_allclose(found[index]["boxes"][:count], expected.xyxy, rtol=1e-4, atol=1e-3)
    assert not any(int(found[index]["num_detections"]) for index in (3, 4))


def test_lengths_and_ways_to_go_through(tiny_export):
    dataset = tftrt_yolo.map(_files(IMAGES[:3]), tiny_export, batch_size=2)
    counts = [int(one["num_detections"]) for one in dataset]
    assert len(dataset) == 3
    assert [int(one["num_detections"]) for one in dataset.repeat(2).skip(2).take(3)] == [counts[2], *counts[:2]]
    endless = tftrt_yolo.map(_files(IMAGES[:3]).repeat(), tiny_export, batch_size=2)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(endless.take(7))) == 7
    unknown = tftrt_yolo.map(_files(IMAGES[:3]).filter(lambda file: tf.strings.length(file) > 0), tiny_export)
    assert unknown.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert len(list(unknown)) == 3
    empty = tftrt_yolo.map(_files(IMAGES[:3]).take(0), tiny_export)
    assert list(empty) == []
    assert empty.element_spec == dataset.element_spec
    assert dataset.element_spec["boxes"] == tf.TensorSpec((300, 4), tf.float32)
    options = tf.data.Options()
    options.deterministic, options.autotune.enabled, options.threading.private_threadpool_size = False, False, 2
    loose = tftrt_yolo.map(_files(IMAGES[:3]).with_options(options), tiny_export, num_parallel_calls=tf.data.AUTOTUNE)
    assert sorted(int(one["num_detections"]) for one in loose.with_options(options)) == sorted(counts)


def test_the_model_lives_as_long_as_what_is_made_of_it(tiny_export):
    made = tftrt_yolo.map(_files(IMAGES[:3]), tiny_export).map(lambda found: found["num_detections"]).repeat(2)
    iterator = iter(made)
    first = int(next(iterator))
    del made
    gc.collect()
    rest = [int(count) for count in iterator]
    assert len(rest) == 5
    assert rest[2] == first


def test_no_python_in_the_data_path(tiny_export):
    for dataset in (_files(IMAGES[:3]), tf.data.Dataset.from_tensors(tf.zeros((4, 5, 3), tf.uint8))):
        made = tftrt_yolo.map(dataset, tiny_export)
        graph = tf.compat.v1.GraphDef.FromString(made._as_serialized_graph().numpy())
        ops = {node.op for node in graph.node} | {
            node.op for function in graph.library.function for node in function.node_def
        }
        assert "ParallelMapDatasetV2" in ops
        assert "Conv2D" in ops
        assert not [op for op in ops if "Py" in op]


def _spec(*shape, dtype=tf.uint8):
    return tf.data.Dataset.from_generator(lambda: [], output_signature=tf.TensorSpec(shape, dtype))


FILES = tf.data.Dataset.from_tensors(b"")
REFUSED = [
    # a list of paths
    (["a.jpg"], {}, TypeError, r"dataset is a list of 1; expected a tf\.data\.Dataset.*map\(tf\.io\.read_file\)"),
    # images that were scaled
    (_spec(None, None, 3, dtype=tf.float32), {}, TypeError, r"float32 of shape \(None, None, 3\).*convert_image_dtype"),
    (_spec(dtype=tf.int64), {}, TypeError, r"elements are int64 of shape \(\)\. Expected image files"),
    # decode_image without expand_animations=False
    (FILES.map(lambda file: tf.io.decode_image(file)), {}, ValueError, r"<unknown>.*ensure_shape\(image, \(None"),
    # channels first
    (_spec(3, 224, 224), {}, ValueError, r"shape \(3, 224, 224\).*transpose"),
    (_spec(None, None, None, None, 3), {}, ValueError, "Expected image files"),
    (_spec(None, None, dtype=tf.string), {}, ValueError, "Expected image files"),
    (FILES.ragged_batch(2).map(lambda one: {"image": tf.ragged.stack([one])}), {}, TypeError, "kind RaggedTensorSpec"),
    (FILES, {"image": 1}, ValueError, "image is 1, and the data set's elements have no parts"),
    (tf.data.Dataset.zip(FILES, FILES), {"image": 2}, ValueError, r"tuples of 2.*such as image=0"),
    (
        tf.data.Dataset.zip(_spec(dtype=tf.int64), FILES),
        {},
        TypeError,
        r"Part 0 .* If part 1 is the image, say image=1",
    ),
    (
        FILES.map(lambda file: {"a": file, "b": file}),
        {},
        ValueError,
        r"dictionaries with 'a', 'b'\. Expected the image's",
    ),
    (FILES.map(lambda file: {"image": file, "b": file}), {"image": "c"}, ValueError, "image is 'c'"),
    (FILES.map(lambda file: {"image": file, "detections": 1}), {}, ValueError, "given under 'detections'"),
    (FILES, {"batch_size": 0}, ValueError, "batch_size is 0"),
    (FILES, {"num_parallel_calls": 0}, ValueError, "num_parallel_calls is 0.*AUTOTUNE"),
    (FILES, {"prefetch": -2}, ValueError, "prefetch is -2"),
    (FILES, {"device": "GPU:9"}, ValueError, "device is 'GPU:9', which is not there; this machine has CPU:0"),
]


@pytest.mark.parametrize(("dataset", "options", "kind", "message"), REFUSED)
def test_what_is_refused(tiny_export, dataset, options, kind, message):
    with pytest.raises(kind, match=message):
        tftrt_yolo.map(dataset, tiny_export, **options)


def test_a_directory_that_is_none_of_ours(tmp_path):
    with pytest.raises(tftrt_yolo.SavedModelError, match="is no directory"):
        tftrt_yolo.map(FILES, tmp_path / "none")
    tf.saved_model.save(tf.Module(), str(tmp_path / "plain"))
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"has no metadata\.yaml"):
        tftrt_yolo.map(FILES, tmp_path / "plain")
