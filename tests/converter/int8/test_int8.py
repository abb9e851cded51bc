"""INT8: the arithmetic against NumPy, the graph against TF-TRT's partitioner, the accuracy against the export's."""

import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tftrt_yolo import Int8Options
from tftrt_yolo.converter.conversion_report import ConversionReport
from tftrt_yolo.converter.int8 import calibration, calibration_cache, calibration_images, quantization
from tftrt_yolo.converter.int8.histogram import Histogram, Range
from tftrt_yolo.ground.files import directories
from tftrt_yolo.saved_model.handle import open_saved_model

CALIBRATION = str(DATA / "images" / "*[02468].jpg")  # half of what is evaluated on
CROPS = str(DATA / "classify" / "*" / "*_[0-4].jpg")


def _convert(source, output, *, on_progress=None, **options):
    int8 = Int8Options(**{"calibration_data": CALIBRATION} | options)
    return tftrt_yolo.convert(source, output, precision_mode="INT8", int8=int8, on_progress=on_progress)


@pytest.fixture(scope="module")
def tiny_int8(tiny_export, tmp_path_factory):
    output = tmp_path_factory.mktemp("int8") / "tiny_int8_saved_model"
    report = _convert(tiny_export, output, evaluation_data=DATA / "detect" / "data.yaml", maximum_map_drop=0.01)
    return output, report


@pytest.mark.parametrize("threshold", [1e-6, 0.1, 1.0, 2.7182817, 6.0, 3e4])
def test_the_arithmetic_is_numpys_bit_for_bit(threshold):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    values = (rng.normal(size=(3, 17, 19, 5)) * threshold).astype(np.float32)
    halves = (np.arange(-140, 140, dtype=np.float32) + np.float32(0.5)) * np.float32(threshold / 127)
    for given in (values, halves, np.zeros(3, np.float32)):
        got = tf.raw_ops.QuantizeAndDequantizeV2(
            input=given,
            input_min=np.float32(-threshold),
            input_max=np.float32(threshold),
            signed_input=True,
            num_bits=8,
            range_given=True,
            narrow_range=False,
            round_mode="HALF_TO_EVEN",
            axis=-1,
        ).numpy()
        np.testing.assert_array_equal(got, quantization.quantize_dequantize(given, threshold))
    assert len(np.unique(quantization.quantize_dequantize(values, threshold))) <= 256


def test_a_histogram_grows_and_loses_nothing():
    rng, histogram = np.random.default_rng(0), Histogram()
    parts = [rng.normal(size=10_000).astype(np.float32) * scale for scale in (0.0, 0.01, 1.0, 30.0)]
    for part in parts:
        histogram.add(part)
    values = np.concatenate(parts)
    magnitudes = np.abs(values)
    assert histogram.range("max") == (values.min(), values.max())
    assert histogram.counts.sum() == 30_000  # a part of zeros alone says nothing
    expected = np.histogram(magnitudes[10_000:], bins=2048, range=(0, histogram.width * 2048))[0]
    assert np.abs(histogram.counts - expected).sum() <= 20  # values on an edge
    kept = np.quantile(magnitudes[10_000:], 0.9999)
    assert abs(histogram.range("percentile").threshold - kept) < 2 + 2 * histogram.width


def test_the_mse_range_is_the_best_of_a_naive_search():
    rng, histogram = np.random.default_rng(1), Histogram()
    values = (rng.standard_t(3, size=40_000)).astype(np.float32)
    histogram.add(values)

    def error(kept):
        threshold, offset = quantization.shift(_convolution(b"VALID"), _layer((1, 1)), kept)
        shifted = values - np.float32(offset)
        return np.mean((quantization.quantize_dequantize(shifted, threshold) - shifted) ** 2)

    low, high = histogram.range("max")
    shares = [share * histogram.largest for share in np.linspace(0.05, 1, 96)]
    best = min(error(Range(max(low, -share), min(high, share))) for share in shares)
    assert error(histogram.range("mse")) < 1.05 * best
    assert error(histogram.range("mse")) < error(histogram.range("max"))


def _graph(tiny_export):
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(tiny_export))
    frozen = convert_variables_to_constants_v2(loaded.signatures["network"])
    return frozen.graph.as_graph_def(), frozen.inputs[0].name, [tensor.name for tensor in frozen.outputs]


def _run(graph_def, frames_name, outputs, frames):
    import tensorflow as tf

    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    return [tensor.numpy() for tensor in whole.prune(frames_name, outputs)(tf.constant(frames))]


def test_equalising_changes_nothing(tiny_export):
    """Factors are powers of two: every product is the same; only the order in which TensorFlow adds them is its own."""
    graph_def, frames_name, outputs = _graph(tiny_export)
    layers = quantization.find_layers(graph_def)
    rng = np.random.default_rng(0)
    maxima = {layer.source: rng.lognormal(sigma=3, size=layer.kernel.shape[2]).astype(np.float32) for layer in layers}
    equalized = quantization.equalize(graph_def, layers, maxima)
    for before, after in zip(layers, quantization.find_layers(equalized), strict=True):
        assert (after.kernel != before.kernel).any()
    frames = rng.random((2, 320, 320, 3), np.float32)
    before, after = (_run(graph, frames_name, outputs, frames) for graph in (graph_def, equalized))
    for expected, got in zip(before, after, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-3)


def test_values_on_one_side_of_zero_get_all_steps():
    """What SiLU gives: as a range around 0 almost half of the steps would be for values that are not there."""
    rng, histogram = np.random.default_rng(2), Histogram()
    inputs = 3 * rng.normal(size=50_000).astype(np.float32)
    values = inputs / (1 + np.exp(-inputs))
    histogram.add(values)
    kept = histogram.range("max")
    assert kept == (values.min(), values.max())
    threshold, offset = quantization.shift(_convolution(b"VALID"), _layer((3, 3)), kept)
    shifted = values - np.float32(offset)
    assert np.abs(shifted).max() <= threshold
    errors = quantization.quantize_dequantize(shifted, threshold) - shifted
    symmetric = quantization.quantize_dequantize(values, kept.threshold) - values
    assert np.square(errors).mean() < 0.35 * np.square(symmetric).mean()  # 5 dB
    zero = np.zeros(1, np.float32) - np.float32(offset)
    assert quantization.quantize_dequantize(zero, threshold) == zero  # so that pads stay what they are


@pytest.mark.parametrize(
    ("padding", "sides", "is_shifted"), [(b"VALID", (3, 3), True), (b"SAME", (1, 1), True), (b"SAME", (3, 3), False)]
)
def test_a_convolution_that_pads_by_itself_is_not_shifted(padding, sides, is_shifted):
    kept = Range(-0.3, 6.0)
    threshold, offset = quantization.shift(_convolution(padding), _layer(sides), kept)
    assert (offset != 0) == is_shifted
    assert threshold == 6.0 or is_shifted
    if is_shifted:
        assert 3.1 < threshold < 3.2
        assert offset == pytest.approx(2.85, abs=threshold / 127)
        assert quantization.shift(_convolution(padding), _layer(sides), Range(-6.0, 6.0))[1] == 0


def _convolution(padding: bytes):
    import tensorflow as tf

    node = tf.compat.v1.NodeDef(name="a", op="Conv2D", input=["x", "w"])
    node.attr["padding"].s = padding
    return node


def _layer(sides):
    return quantization.Layer("a", "x", np.ones((*sides, 2, 2), np.float32))


def test_a_convolution_that_reads_a_convolution():
    """No bias and no activation between: the second must read what the first's factors and shift have made of it."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(1, 1, 4, 4)).astype(np.float32) * (1, 10, 100, 1000) for _ in range(2)]

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 4), tf.float32)])
    def network(frames):
        first = tf.nn.conv2d(frames, tf.constant(kernels[0], tf.float32), 1, "VALID", name="first")
        return tf.nn.conv2d(first, tf.constant(kernels[1], tf.float32), 1, "VALID", name="second")

    graph = network.get_concrete_function().graph
    frames = rng.random((1, 8, 8, 4), np.float32)
    layers = quantization.find_layers(graph.as_graph_def())
    first = np.tensordot(frames, kernels[0][0, 0], 1)
    ranges = {"frames": Range(0.0, 1.0), "first": Range(float(first.min()), float(first.max()))}
    assert [layer.source for layer in layers] == list(ranges)
    quantized = quantization.quantize(graph.as_graph_def(), layers, ranges)
    last = quantization.output_of(layers[1], {node.name for node in quantized.node})
    [got] = _run(quantized, "frames:0", [f"{last}:0"], frames)
    expected = np.tensordot(first, kernels[1][0, 0], 1)
    assert np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def test_a_shift_is_taken_off_again(tiny_export):
    """With as many steps as a range that hardly quantises, shifted and unshifted convolutions give the same."""
    graph_def, frames_name, _ = _graph(tiny_export)
    layers = quantization.find_layers(graph_def)
    nodes = {node.name: node for node in graph_def.node}
    frames = np.random.default_rng(0).random((2, 320, 320, 3), np.float32)
    shifted = [layer for layer in layers if quantization.shift(nodes[layer.name], layer, Range(-1.0, 8.0))[1]]
    assert 30 < len(shifted) < len(layers)
    padded = next(layer for layer in shifted if layer.kernel.shape[:2] == (3, 3))
    plain = next(layer for layer in shifted if layer.kernel.shape[:2] == (1, 1))
    for layer in (padded, plain):
        quantized = quantization.quantize(graph_def, [layer], {layer.source: Range(-1.0, 40.0)})
        names = {node.name for node in quantized.node}
        fetched = quantization.output_of(layer, names)
        assert fetched.endswith("/unshifted")
        source, got = _run(quantized, frames_name, [f"{layer.source}:0", f"{fetched}:0"], frames)
        [expected] = _run(graph_def, frames_name, [f"{layer.name}:0"], frames)
        step = 41 / 253
        assert source.max() < 40
        bound = (step / 2 + 0.01 * np.abs(source).max()) * np.abs(layer.kernel).sum(axis=(0, 1, 2))
        assert (np.abs(got - expected).max(axis=(0, 1, 2)) < bound).all()
        border = np.abs(got - expected)[:, [0, -1]].mean() / np.abs(got - expected).mean()
        assert border < 2  # a shift that a pad does not have would show there


def test_one_quantised_convolution_is_numpys(tiny_export):
    """Filter and input of the last 1 x 1 convolution of a class branch, against a product in NumPy."""
    graph_def, frames_name, _ = _graph(tiny_export)
    layer = next(each for each in quantization.find_layers(graph_def) if each.kernel.shape == (1, 1, 32, 10))
    kept = Range(-0.25, 2.0)
    quantized = quantization.quantize(graph_def, [layer], {layer.source: kept})
    frames = np.random.default_rng(0).random((1, 320, 320, 3), np.float32)
    source, got = _run(quantized, frames_name, [f"{layer.source}:0", f"{layer.name}/unshifted:0"], frames)
    kernel = layer.kernel[0, 0]
    factors = np.array([quantization.best_threshold(channel) for channel in kernel.T], np.float32)
    kernel = np.clip(kernel / factors, -1, 1)
    kernel = quantization.quantize_dequantize(kernel, quantization.best_threshold(kernel)) * factors
    [node] = [node for node in graph_def.node if node.name == layer.name]
    threshold, offset = quantization.shift(node, layer, kept)
    rounded = quantization.quantize_dequantize(source - np.float32(offset), threshold).astype(np.float64) + offset
    expected = rounded @ kernel.astype(np.float64)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def _assert_dense(dense, saved_model_dir, converted_dir):
    """Image by image and in float64, on the pictures that are compared."""
    from tftrt_yolo import contract
    from tftrt_yolo.ground.files.image_files import read_image
    from tftrt_yolo.saved_model.network import Framer, SavedModelNetwork

    framer = Framer(contract.read_metadata(saved_model_dir))
    networks = [SavedModelNetwork(directory, strict=False) for directory in (saved_model_dir, converted_dir)]
    images = IMAGES[::2]
    chosen = [images[index] for index in np.linspace(0, len(images) - 1, 16).round().astype(int)]
    runs = [[network.run(framer(read_image(path))[0][np.newaxis])[0] for path in chosen] for network in networks]
    assert list(dense) == ["boxes", "scores"]
    for label, unit in (("boxes", "px"), ("scores", "")):
        expected, found = (np.concatenate([dense[label] for dense in run]).astype(np.float64) for run in runs)
        noise = found - expected
        assert dense[label].mean == pytest.approx(np.abs(noise).mean(), rel=1e-3)
        assert dense[label].largest == pytest.approx(np.abs(noise).max(), rel=1e-3)
        assert dense[label].sqnr_db == pytest.approx(10 * np.log10((expected**2).sum() / (noise**2).sum()), abs=0.01)
        assert dense[label].unit == unit
        assert 5 < dense[label].sqnr_db < 60


def _assert_scores(found, saved_model_dir, converted_dir):
    """What users get at the model's threshold, and an interval that says that 40 pictures are few.

    `Predictor` scales pictures with OpenCV, so a score beside the threshold may lie on its other side.
    """
    counts = [sum(map(len, tftrt_yolo.Predictor(path).stream(IMAGES))) for path in (saved_model_dir, converted_dir)]
    shift, interval = found.score_shift, found.intervals["box mAP50-95"]
    assert (shift.images, shift.score_threshold) == (40, 0.25)
    assert shift.detections == pytest.approx(counts[0], abs=2)
    assert shift.detections - shift.lost + shift.new == pytest.approx(counts[1], abs=2)
    assert shift.pairs >= shift.detections - shift.lost > 0.8 * shift.detections
    assert abs(shift.mean) < 0.05
    assert shift.p5 < shift.interval.low < shift.mean < shift.interval.high < shift.p95
    before, after = found.accuracy["box mAP50-95"]
    assert interval.low < after - before < interval.high
    assert 0.005 < interval.high - interval.low < 0.1
    assert 0.2 < found.best_f1.after.score_threshold < 0.6
    assert found.best_f1.after.f1 == pytest.approx(found.best_f1.before.f1, abs=0.05)


def test_accuracy_and_report(tiny_export, tiny_int8):
    output, report = tiny_int8
    assert ConversionReport.read(output) == report
    found = report.quantization
    assert (found.layers, found.images, found.unreadable, found.method) == (71, 20, (), "max")
    before, after = found.accuracy["box mAP50-95"]
    assert before - after <= 0.01
    assert after != before  # it is quantised
    evaluated = tftrt_yolo.evaluate(output, DATA / "detect" / "data.yaml", compare_to=tiny_export)
    assert (evaluated.value("box mAP50-95"), evaluated.value("box mAP50-95", model=1)) == (after, before)
    assert evaluated.score_shift == found.score_shift
    assert evaluated.difference_intervals["box mAP50-95"] == found.intervals["box mAP50-95"]
    assert (found.resamples, found.evaluation_images, found.shared_images) == (1_000, 40, 20)
    _assert_scores(found, tiny_export, output)
    assert found.parity.images == 16
    assert found.parity.matched >= 0.85 * found.parity.detections
    _assert_dense(found.dense, tiny_export, output)
    for line in (
        "1 TensorRT engine, INT8",
        "71 convolutions in INT8, ranges by max over 20",
        "box mAP50-95       FP32 0.",
        "note: 20 of the 40 labelled images served for calibration too",
    ):
        assert line in str(report)


def test_one_engine_holds_every_quantisation(tiny_int8):
    from tftrt_yolo.saved_model import saved_model_pb

    output, report = tiny_int8
    assert (report.engines, report.nodes_outside, report.left_to_tensorflow) == (1, 0, ())
    graph_def = saved_model_pb.read(output).meta_graphs[0].graph_def
    [engine] = saved_model_pb.engine_nodes(graph_def).values()
    assert engine.attr["precision_mode"].s == b"INT8"
    assert not engine.attr["use_calibration"].b
    assert not [node for node in graph_def.node if node.op in quantization.QUANTIZE_OPS]
    [segment] = [
        function
        for function in graph_def.library.function
        if function.signature.name == engine.attr["segment_func"].func.name
    ]
    nodes = {node.name: node for node in segment.node_def}
    convolutions = [node for node in segment.node_def if node.op == "Conv2D"]
    assert len(convolutions) == 71
    for node in convolutions:  # both straight from a quantisation, as TF-TRT and TensorRT need it
        producers = [nodes[reference.partition(":")[0]] for reference in node.input[:2]]
        assert [producer.op for producer in producers] == ["QuantizeAndDequantizeV2"] * 2
        assert nodes[producers[1].input[0].partition(":")[0]].op == "Const"
        assert not producers[0].attr["narrow_range"].b
    assert tftrt_yolo.inspect(output).signatures["network"][0] == {"frames": "float32 (?, 320, 320, 3)"}


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        pytest.param("segment", 2, marks=pytest.mark.slow),
        pytest.param("pose", 2, marks=pytest.mark.slow),
        pytest.param("obb", 2, marks=pytest.mark.slow),
        ("classify", 1),
    ],
)
def test_other_tasks(models, tmp_path, task, metrics):
    data = DATA / "classify" if task == "classify" else DATA / task / "data.yaml"
    calibration_data = CROPS if task == "classify" else CALIBRATION
    report = _convert(
        models.exported(task), tmp_path / "b_saved_model", calibration_data=calibration_data, evaluation_data=data
    )
    assert (report.engines, report.nodes_outside) == (1, 0)
    assert len(report.quantization.accuracy) == metrics
    for name, (before, after) in report.quantization.accuracy.items():
        assert before - after <= 0.01, name


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("classify", "classify", r"INT8 loses 0\.\d+ of top-1: 0\.\d+ in FP32, .* at most 0\.01 was"),
        pytest.param(
            "tiny",
            "detect/data.yaml",
            r"INT8 loses 0\.\d+ of box mAP50-95: 0\.6.* at most 0\.01 was",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_drop_that_is_too_large_writes_nothing(models, tmp_path, name, data, message):
    """Calibrated on a part of the brightness, the ranges are far too small."""
    picture = tmp_path / "a.png"
    dark = (np.asarray(PIL.Image.open(IMAGES[0]).convert("RGB")) // 16).astype(np.uint8)
    PIL.Image.fromarray(dark).save(picture)
    with pytest.raises(tftrt_yolo.ConversionError, match=message):
        _convert(
            models.exported(name),
            tmp_path / "b_saved_model",
            calibration_data=picture,
            evaluation_data=DATA / data,
            maximum_map_drop=0.01,
        )
    assert list(tmp_path.iterdir()) == [picture]


def test_unreadable_images_are_listed_and_counted(toy_export, tmp_path, caplog):
    folder, progress = tmp_path / "images", []
    folder.mkdir()
    for image in IMAGES[:4]:
        shutil.copy(image, folder)
    (folder / "broken.jpg").write_bytes(IMAGES[0].read_bytes()[:500])
    with caplog.at_level("WARNING", logger="absl"):
        report = _convert(
            toy_export,
            tmp_path / "b_saved_model",
            calibration_data=folder,
            on_progress=lambda *done: progress.append(done),
        )
    assert "5 calibration images are few for INT8; 100 or more give steadier ranges" in caplog.text
    assert progress == [(4, 15), (9, 15), (10, 15), (14, 15), (15, 15)]
    assert report.quantization.images == 4
    assert report.quantization.cache is None
    images = calibration_images.find_images(folder)
    assert calibration_cache.path_of(open_saved_model(toy_export), images, directories.cache_dir()).is_file()
    assert "was read from" not in str(report)
    [reason] = report.quantization.unreadable
    assert "broken.jpg cannot be decoded" in reason
    assert "1 could not be read" in str(report)
    assert report.quantization.accuracy == {}
    assert ConversionReport.read(tmp_path / "b_saved_model") == report


def _write(folder: Path, images) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        PIL.Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def test_images_that_say_nothing(toy_export, tmp_path):
    photo = np.asarray(PIL.Image.open(IMAGES[0]).convert("RGB"))
    black, alike = np.zeros((320, 320, 3), np.uint8), [photo, photo]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"GIF89a")
    for data, kind, message in (
        (_write(tmp_path / "black", [black]), tftrt_yolo.ConversionError, "layer tf.nn.convolution,.* of one colour"),
        (_write(tmp_path / "alike", alike), tftrt_yolo.ConversionError, "layer tf.nn.convolution,.*2 .*are all alike"),
        (broken, tftrt_yolo.ImageError, "None of 1 calibration image can be read"),
    ):
        chosen = calibration_images.Calibration(calibration_images.find_images(data), "max")
        with pytest.raises(kind, match=f"(?s){message}"):
            calibration.calibrate(open_saved_model(toy_export), chosen)
    with pytest.raises(tftrt_yolo.ConversionError, match="of one colour"):
        _convert(toy_export, tmp_path / "b_saved_model", calibration_data=tmp_path / "black")
    assert not (tmp_path / "b_saved_model").exists()


def test_a_layer_that_reads_zeros_is_named(toy_export):
    graph_def, _, _ = _graph(toy_export)
    layers = quantization.find_layers(graph_def)
    maxima = {layer.source: np.ones(3, np.float32) for layer in layers} | {layers[2].source: np.zeros(3, np.float32)}
    with pytest.raises(
        tftrt_yolo.ConversionError, match=r"input of layer \S*convolution_2 is 0.0 over all calibration"
    ):
        calibration._check_ranges(layers, maxima)


def test_a_model_that_is_quantised_already(toy_export, tmp_path):
    quantized = tmp_path / "a_saved_model"
    source = open_saved_model(toy_export)
    chosen = calibration_images.Calibration(tuple(map(str, IMAGES[:2])), "max")
    calibration.write_quantized(source, quantized, calibration.calibrate(source, chosen))
    with pytest.raises(tftrt_yolo.ConversionError, match="holds QuantizeAndDequantizeV2 already"):
        calibration.calibrate(open_saved_model(quantized), chosen)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"calibration_data": None}, {}, "INT8, which needs calibration_data: images like those"),
        ({"calibration": "entropy"}, {}, "calibration is 'entropy'; known are max, percentile, mse, trained, tensorrt"),
        ({"maximum_map_drop": 0.01}, {}, "maximum_map_drop needs evaluation_data"),
        ({"maximum_map_drop": 5}, {}, "maximum_map_drop is 5; it must be a number between 0 and 1"),
        ({"evaluation_data": "nowhere.yaml"}, {}, "evaluation_data is nowhere.yaml, which does not exist"),
        ({}, {"precision_mode": "FP16"}, "calibration_data is for INT8, and precision_mode is FP16. Leave it out."),
        ({}, {"accelerator": "xla"}, "with xla known are FP32, FP16 and BF16: XLA has no INT8 convolutions"),
    ],
)
def test_arguments_out_of_range(tiny_export, tmp_path, options, arguments, message):
    int8 = Int8Options(**{"calibration_data": CALIBRATION} | options)
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", **{"precision_mode": "INT8"} | arguments, int8=int8)
    assert not list(tmp_path.iterdir())


def test_int8_without_its_options(tiny_export, tmp_path):
    with pytest.raises(ValueError, match="precision_mode is INT8, which needs calibration_data: images like those"):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", precision_mode="int8")
    assert not list(tmp_path.iterdir())


def test_where_calibration_images_come_from(tmp_path):
    assert len(calibration_images.find_images(DATA / "detect" / "data.yaml")) == 40  # no train: val
    assert len(calibration_images.find_images(DATA / "classify")) == len(list((DATA / "classify").glob("*/*.jpg")))
    assert calibration_images.find_images(IMAGES[0]) == (str(IMAGES[0].resolve()),)
    with pytest.raises(tftrt_yolo.ImageError, match="holds no image"):
        calibration_images.find_images(tmp_path)
    with pytest.raises(tftrt_yolo.ImageError, match="There is no file or folder nowhere"):
        calibration_images.find_images("nowhere")
    (tmp_path / "a.yaml").write_text("path: .\ntest: images\n")
    with pytest.raises(tftrt_yolo.DatasetError, match="has none of the splits train, val"):
        calibration_images.find_images(tmp_path / "a.yaml")
    many = tmp_path / "many"
    many.mkdir()
    for index in range(501):
        (many / f"{index:04d}.jpg").touch()
    assert len(calibration_images.find_images(many)) == 500
