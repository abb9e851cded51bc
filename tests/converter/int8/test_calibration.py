"""Where INT8's ranges come from: images, data sets and the cache. Mostly below `convert`, which takes long.

What ranges are worth is in test_int8.py, on a trained model; here is the toy.
"""

import shutil

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo import Int8Options, TensorRTOptions
from tftrt_yolo.converter.conversion_report import ConversionReport, QuantizationReport
from tftrt_yolo.converter.int8 import calibration_cache, calibration_dataset, calibration_images, quantization
from tftrt_yolo.converter.int8.calibration import calibrate
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.histogram import Histogram
from tftrt_yolo.converter.parity import Parity
from tftrt_yolo.ground.files import directories
from tftrt_yolo.saved_model.handle import open_saved_model


@pytest.fixture(scope="module")
def source(toy_export):
    return open_saved_model(toy_export)


@pytest.fixture
def folder(tmp_path):
    """Three pictures, and one that cannot be read in between."""
    folder = tmp_path / "images"
    folder.mkdir()
    for image in IMAGES[:3]:
        shutil.copy(image, folder)
    (folder / f"{IMAGES[0].stem}_broken.jpg").write_bytes(IMAGES[0].read_bytes()[:500])
    return folder


def _options(folder, *, method="max", cache_dir=None):
    return Calibration(calibration_images.find_images(folder), method, cache_dir and str(cache_dir))


def _assert_same(found, expected):
    assert found.ranges == expected.ranges
    for before, after in zip(expected.layers, found.layers, strict=True):
        assert before.name == after.name
        np.testing.assert_array_equal(before.kernel, after.kernel)  # the maxima's factors are in there
        for known, fitted in zip(expected.filters[before.name], found.filters[before.name], strict=True):
            np.testing.assert_array_equal(known, fitted)
    assert len(found.filters) == len(found.layers)
    assert found.readable == expected.readable
    assert found.unreadable == expected.unreadable


def test_the_second_calibration_reads_what_the_first_measured(source, folder, tmp_path):
    cache_dir, progress = tmp_path / "cache", []
    first = calibrate(source, _options(folder, cache_dir=cache_dir))
    assert first.cache is None
    [path] = cache_dir.iterdir()
    moved = folder.rename(tmp_path / "moved")
    second = calibrate(source, _options(moved, cache_dir=cache_dir), on_progress=lambda *done: progress.append(done))
    assert second.cache == str(path)
    assert progress == [(8, 12), (12, 12), (12, 12)]  # the third pass alone, whose filters are not kept
    assert len(second.readable) == 3
    assert second.readable == [str(moved / image.name) for image in IMAGES[:3]]
    [reason] = second.unreadable
    assert f"{moved}/{IMAGES[0].stem}_broken.jpg cannot be decoded" in reason
    fresh = calibrate(source, _options(moved))
    _assert_same(second, fresh)
    assert [path] == list(cache_dir.iterdir())
    from_cache = calibrate(source, _options(moved, method="mse", cache_dir=cache_dir))  # histograms are kept
    assert from_cache.cache == str(path)
    assert from_cache.ranges != fresh.ranges
    _assert_same(from_cache, calibrate(source, _options(moved, method="mse")))


def test_what_the_cache_depends_on(source, folder, tmp_path):
    model = tmp_path / "a_saved_model"
    shutil.copytree(source.directory, model)
    images = calibration_images.find_images(folder)

    def path(images=images):
        return calibration_cache.path_of(open_saved_model(model), images, tmp_path)

    paths = [path()]
    assert path() == calibration_cache.path_of(source, images, tmp_path)
    paths.append(path(images[:-1]))
    paths.append(path(images[::-1]))
    [variables] = (model / "variables").glob("*.data*")
    for file, old, new in (
        (folder / IMAGES[1].name, *_flipped(IMAGES[1])),
        (variables, *_flipped(variables)),
        (model / "saved_model.pb", *_flipped(model / "saved_model.pb")),
        (model / "metadata.yaml", b"- 64\n- 64", b"- 64\n- 96"),
    ):
        before = file.read_bytes()
        assert old in before
        file.write_bytes(before.replace(old, new))
        paths.append(path())
    assert len(set(paths)) == len(paths) == 7
    (folder / IMAGES[0].name).unlink()
    assert path() not in paths


def _flipped(file):
    """A file's content, and the same with one bit changed."""
    content = file.read_bytes()
    middle = len(content) // 2
    return content, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_damaged_file_is_never_used_and_is_replaced(source, tmp_path, caplog):
    cache_dir = tmp_path / "cache"
    options = _options(IMAGES[0], cache_dir=cache_dir)
    good = calibrate(source, options)
    [path] = cache_dir.iterdir()
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"garbage", _flipped(path)[1]):
        path.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level("WARNING", logger="absl"):
            found = calibrate(source, options)
        [message] = [record.getMessage() for record in caplog.records if record.name == "absl"]
        assert f"{path} cannot be used" in message
        assert "measured again, and the file is replaced" in message
        assert found.cache is None
        _assert_same(found, good)
        assert list(cache_dir.iterdir()) == [path]
        histograms = calibration_cache.read(path).histograms.values()
        assert {histogram.range("max") for histogram in histograms} == set(good.ranges.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": np.array([{"a": 1}], object)}, "Object arrays cannot be loaded"),  # would run code if unpickled
        ({"key": np.array("calibration_0")}, "written under another name"),
        ({"maxima": np.ones(3, np.float32)}, "its maxima are not those"),
        ({"maxima": np.array([1, np.nan], np.float32)}, "maxima are out of range"),
        ({"maxima": np.zeros(2, np.float32)}, "a layer that reads zeros"),
        ({"counts": np.zeros((1, 2048), np.int64)}, "its histograms are none"),
        ({"counts": np.ones((1, 7), np.int64)}, "its histograms are none"),
        ({"widths": np.array(["a"])}, "widths is <U1"),
        ({"highs": np.ones(2)}, "different lengths"),
        ({"lows": np.ones(1)}, "lows are out of range"),
        ({"highs": np.zeros(1)}, "says nothing about a range"),
        ({"readable": np.zeros(1, bool)}, "says nothing about a range"),
        ({"counts": None}, "KeyError"),
        ({"readable": np.zeros(300 << 20, bool)}, "unpacks to 314,"),
    ],
)
def test_a_file_that_is_whole_and_wrong(tmp_path, change, message):
    path = tmp_path / "calibration_1.npz"
    histogram = Histogram()
    histogram.add(np.ones(5, np.float32))
    measured = calibration_cache.Observations({"a": np.ones(2, np.float32)}, {"a": histogram}, np.array([True, False]))
    calibration_cache.write(path, measured)
    read = calibration_cache.read(path)
    assert read.histograms["a"].range("mse") == histogram.range("mse")
    np.testing.assert_array_equal(read.readable, measured.readable)
    with np.load(path) as arrays:
        changed = {name: array for name, array in (dict(arrays) | change).items() if array is not None}
    np.savez_compressed(path, **changed)
    with pytest.raises(calibration_cache.CacheError, match=message) as error:
        calibration_cache.read(path)
    assert str(path) in str(error.value)


def test_a_cache_that_cannot_be_written_is_a_warning(source, tmp_path, caplog):
    cache_dir = tmp_path / "file"
    cache_dir.write_text("")
    with caplog.at_level("WARNING", logger="absl"):
        found = calibrate(source, _options(IMAGES[0], cache_dir=cache_dir))
    assert found.cache is None
    assert f"{cache_dir}/calibration_" in caplog.text
    assert "cannot be written" in caplog.text


def test_where_ranges_are_kept(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(directories.cache_dir()) == "/somewhere/tftrt_yolo"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert str(directories.cache_dir()) == "/home/someone/.cache/tftrt_yolo"


def test_images_that_say_nothing_are_not_kept(source, tmp_path):
    picture = tmp_path / "black.png"
    PIL.Image.fromarray(np.zeros((320, 320, 3), np.uint8)).save(picture)
    with pytest.raises(tftrt_yolo.ConversionError, match="of one colour"):
        calibrate(source, _options(picture, cache_dir=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_an_image_that_has_become_readable_is_measured(source, folder, tmp_path, monkeypatch):
    """Say, by a newer Pillow: the same bytes, another outcome."""
    half = IMAGES[0].read_bytes()
    (folder / f"{IMAGES[0].stem}_broken.jpg").write_bytes(half[: len(half) // 2])
    options = _options(folder, cache_dir=tmp_path / "cache")
    assert len(calibrate(source, options).unreadable) == 1
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    found = calibrate(source, options)
    assert found.cache is None
    assert len(found.readable) == 4


def test_progress(source, tmp_path):
    images, progress = tmp_path / "images", []
    images.mkdir()
    for image in IMAGES[:5]:
        shutil.copy(image, images)
    (images / "z.jpg").write_bytes(b"")  # the last one, unreadable
    calibrate(source, _options(images), on_progress=lambda *done: progress.append(done))
    assert {total for _, total in progress} == {18}
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert progress[0] == (4, 18)
    assert progress[-1] == (18, 18)


def test_a_conversion_reads_what_another_measured(source, toy_export, folder, tmp_path):
    """The worker's process is told of the folder by the environment; what is unreadable is listed all the same."""
    progress, cache_dir = [], directories.cache_dir()
    first = calibrate(source, _options(folder, cache_dir=cache_dir))
    report = tftrt_yolo.convert(
        toy_export,
        tmp_path / "b_saved_model",
        precision_mode="INT8",
        int8=Int8Options(calibration_data=folder),
        on_progress=lambda *done: progress.append(done),
    )
    path = calibration_cache.path_of(source, calibration_images.find_images(folder), cache_dir)
    assert report.quantization.cache == str(path)
    assert f"what the images measured was read from {path}" in str(report)
    assert progress == [(8, 12), (12, 12), (12, 12)]
    assert report.quantization.images == 3
    assert list(report.quantization.unreadable) == first.unreadable
    assert ConversionReport.read(tmp_path / "b_saved_model") == report


@pytest.fixture(scope="module")
def photos():
    """Two pictures of one size, (2, 400, 400, 3) uint8."""
    return np.stack([np.asarray(PIL.Image.open(image).convert("RGB").resize((400, 400))) for image in IMAGES[:2]])


def test_a_data_set_is_a_folder_of_png_files(source, tmp_path, photos):
    import tensorflow as tf

    expected, paths = tmp_path / "expected", []
    expected.mkdir()
    for index, photo in enumerate(photos):
        PIL.Image.fromarray(photo).save(expected / f"{index}.png")
    singly = tf.data.Dataset.from_tensor_slices(photos)
    labelled = tf.data.Dataset.from_tensor_slices((photos, [0, 1]))
    kinds = {
        "singly": singly,
        "batched": singly.batch(2),
        "labelled": labelled,
        "lists": labelled.batch(2).map(lambda images, labels: ({"images": images, "name": "a"}, labels)),
        "named": labelled.map(lambda image, label: {"image": image, "label": label}),
    }
    for name, dataset in kinds.items():
        assert calibration_dataset.is_dataset(dataset)
        calibration_dataset.write_pictures(dataset, tmp_path / name, most=500)
        paths.append(calibration_images.find_images(tmp_path / name))
        assert len(paths[-1]) == 2
        for path, photo in zip(paths[-1], photos, strict=True):
            np.testing.assert_array_equal(np.asarray(PIL.Image.open(path)), photo)
    _, *others = (calibration_cache.path_of(source, images, tmp_path) for images in paths)
    assert len(set(others)) == 1  # the same images in another dress are measured once
    assert (
        calibrate(source, Calibration(paths[0], "mse")).ranges
        == calibrate(source, _options(expected, method="mse")).ranges
    )


def test_an_endless_data_set_ends(tmp_path):
    import tensorflow as tf

    image = tf.random.stateless_uniform((3, 8, 8, 3), (0, 0), maxval=256, dtype=tf.int32)
    dataset = tf.data.Dataset.from_tensors(tf.cast(image, tf.uint8)).repeat()
    calibration_dataset.write_pictures(dataset, tmp_path / "a", most=calibration_images.MOST_IMAGES)
    assert len(calibration_images.find_images(tmp_path / "a")) == 500


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), r"Element 0 .* is float32 of shape \(8, 8, 3\).*uint8 RGB.*255 \* images"),
        (np.zeros((2, 8, 8, 3), np.int32), r"is int32 of shape .*tf\.cast\(images, tf\.uint8\)"),
        (np.zeros((2, 8, 8), np.uint8), r"is uint8 of shape \(8, 8\)\. .*batch once at most"),
        (np.zeros((2, 1, 2, 8, 8, 3), np.uint8), r"of shape \(1, 2, 8, 8, 3\)\. .*batch once at most"),
        (np.zeros((2, 8, 8, 1), np.uint8), "grayscale_to_rgb"),
        (np.zeros((2, 8, 8, 4), np.uint8), "keep three channels"),
        (np.zeros((2, 3, 8, 8), np.uint8), "bring the three channels to the last axis"),
        (np.zeros((2, 0, 8, 3), np.uint8), "leave out empty images"),
        (np.array(["a.jpg", "b.jpg"]), "is bytes.*decode files"),
        ({"picture": np.zeros((2, 8, 8, 3), np.uint8)}, "a dict with 'picture'. Expected 'image' or 'images'"),
    ],
)
def test_elements_that_are_no_images(toy_export, tmp_path, elements, message):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(elements)
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(
            toy_export,
            tmp_path / "b" / "b_saved_model",
            precision_mode="INT8",
            int8=Int8Options(calibration_data=dataset),
        )
    assert not list(tmp_path.iterdir())


def test_data_that_is_none(toy_export, tmp_path, photos):
    import tensorflow as tf

    empty = tf.data.Dataset.from_tensor_slices(photos[:0])
    nested = tf.data.Dataset.from_tensor_slices(photos).window(2)
    ragged = tf.data.Dataset.from_tensors(tf.ragged.constant([[[[1, 2, 3]]], [[[1, 2, 3], [4, 5, 6]]]], tf.uint8))
    for data, kind, message in (
        (empty, tftrt_yolo.ImageError, "a data set without images"),
        (nested, ValueError, r"elements of calibration_data are DatasetSpec.*Expected uint8"),
        (ragged, ValueError, "Element 0 .* is object of shape.*pad or resize ragged batches"),
        (photos, TypeError, "calibration_data is a ndarray; expected a path, a glob or a tf.data.Dataset"),
        ([str(IMAGES[0])], TypeError, "calibration_data is a list"),
    ):
        options = Int8Options(calibration_data=data)
        with pytest.raises(kind, match=message):
            tftrt_yolo.convert(toy_export, tmp_path / "b_saved_model", precision_mode="INT8", int8=options)
    assert not list(tmp_path.iterdir())


def test_tf_trts_own_calibrator_needs_tensorrt(toy_export, tmp_path):
    machine = tftrt_yolo.check()
    if machine.can_build_engines:
        pytest.skip("engines can be built here")
    given = {"calibration_data": IMAGES[0], "calibration": "tensorrt"}
    options = Int8Options(**given)
    with pytest.raises(
        tftrt_yolo.TensorRTUnavailableError, match=r"(?s)while TensorRT builds.*Leave it out: then"
    ) as error:
        tftrt_yolo.convert(toy_export, tmp_path / "b" / "b_saved_model", precision_mode="INT8", int8=options)
    assert machine.why_no_engines in str(error.value)
    options = Int8Options(**given, calibration_cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="calibration_cache_dir keeps what we measure"):
        tftrt_yolo.convert(toy_export, tmp_path / "b_saved_model", precision_mode="INT8", int8=options)
    assert not list(tmp_path.iterdir())


def test_tf_trts_calibrator_is_fed_batches_of_one_size(source):
    paths = tuple(map(str, IMAGES[:6]))
    images = calibration_images.Images(paths, source.metadata)
    batches, frames = list(images.full_batches()), np.concatenate(list(images.frames()))
    assert [batch.shape for batch in batches] == [(4, 64, 64, 3)] * 2
    np.testing.assert_array_equal(np.concatenate(batches), np.concatenate([frames, frames[:2]]))
    assert (frames.dtype, frames.max() <= 1) == (np.float32, True)
    one = calibration_images.Images(paths[:1], source.metadata)
    assert [batch.shape for batch in one.full_batches()] == [(1, 64, 64, 3)]


def test_tf_trts_partitioner_leaves_an_engine_to_calibrate(source, tmp_path, monkeypatch):
    """As far as it goes without TensorRT: one engine in INT8, no quantisations, and it is not taken as calibrated."""
    from tftrt_yolo.converter import partition, tensorrt
    from tftrt_yolo.saved_model import saved_model_pb

    monkeypatch.chdir(tmp_path)
    images = calibration_images.Images((str(IMAGES[0]),), source.metadata)
    with partition.offline():
        converter = partition.partitioned(
            source.directory, "INT8", TensorRTOptions(), calibration_input_fn=lambda: images.full_batches()
        )
    graph_def = converter._converted_graph_def
    [engine] = saved_model_pb.engine_nodes(graph_def).values()
    assert engine.attr["precision_mode"].s == b"INT8"
    assert engine.attr["use_calibration"].b
    assert not {node.op for node in saved_model_pb.all_nodes(graph_def)} & quantization.QUANTIZE_OPS
    assert not images.readable  # TF-TRT waits with the images for build()
    with pytest.raises(
        tftrt_yolo.ConversionError, match=r"gave no table for the engine TRTEngineOp_000_000_\w+\. Leave"
    ):
        tensorrt._check_calibration(converter)
    engine.attr["calibration_data"].s = b"TRT-8601-EntropyCalibration2\n"
    tensorrt._check_calibration(converter)


def test_a_report_does_not_say_which_layers_tensorrt_chose():
    parity = Parity(images=1, detections=2, matched=2, extra=0, differences={}, device="GPU")
    report = QuantizationReport(method="tensorrt", layers=None, images=2, unreadable=(), parity=parity, dense={})
    assert "calibrated by TF-TRT over 2 calibration images; TensorRT chose what runs in INT8" in str(report)
    assert "None" not in str(report)


@pytest.mark.tensorrt
def test_tf_trts_own_calibrator(toy_export, tmp_path):
    report = tftrt_yolo.convert(
        toy_export,
        tmp_path / "b_saved_model",
        precision_mode="INT8",
        int8=Int8Options(calibration_data=IMAGES[0].parent, calibration="tensorrt"),
        tensorrt=TensorRTOptions(batch_sizes=(1, 8)),
    )
    assert report.engines_built
    found = report.quantization
    assert (found.method, found.layers, found.images, found.cache) == ("tensorrt", None, len(IMAGES), None)
    assert "calibrated by TF-TRT" in str(report)
    assert found.parity.matched >= 0.9 * found.parity.detections > 0
    assert ConversionReport.read(tmp_path / "b_saved_model") == report
