"""Sensitivity: each layer's row against a graph of its own, all layers against what `convert` quantises."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import CROPS, DATA
from tftrt_yolo.converter.int8 import calibration, quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.in_float import sensitivity_report
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.layer_sensitivity import layer_costs, sensitivity_chart
from tftrt_yolo.saved_model.handle import open_saved_model

FOLDER = DATA / "images"
CALIBRATION = sorted(FOLDER.glob("*[02468].jpg"))
COMPARED = 6  # images: a whole batch and a part of one


@pytest.fixture(scope="module")
def measured(tiny_export, tmp_path_factory):
    """A report, what was written of it, and the progress that was told."""
    output_dir, progress = tmp_path_factory.mktemp("sensitivity") / "report", []
    report = tftrt_yolo.sensitivity(
        tiny_export,
        str(FOLDER / "*[02468].jpg"),
        calibration="percentile",
        images=COMPARED,
        output_dir=output_dir,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    return report, output_dir, progress


@pytest.fixture(scope="module")
def quantized(tiny_export, tmp_path_factory):
    """The SavedModel that `convert` hands to TF-TRT."""
    output_dir = tmp_path_factory.mktemp("quantized") / "saved_model"
    options = Calibration(tuple(map(str, CALIBRATION)), "percentile")
    source = open_saved_model(tiny_export)
    calibration.write_quantized(source, output_dir, calibration.calibrate(source, options))
    return output_dir


@pytest.fixture(scope="module")
def calibrated(tiny_export):
    return calibration.calibrate(open_saved_model(tiny_export), Calibration(tuple(map(str, CALIBRATION)), "percentile"))


def _compared(directory):
    """The frames that are measured on: every so many of the pictures."""
    from tftrt_yolo import contract
    from tftrt_yolo.ground.files.image_files import read_image
    from tftrt_yolo.saved_model.network import Framer

    chosen = np.linspace(0, len(CALIBRATION) - 1, COMPARED).round().astype(int)
    framer = Framer(contract.read_metadata(directory))
    return np.stack([framer(read_image(CALIBRATION[index]))[0] for index in chosen]).astype(np.float32) / np.float32(
        255
    )


def _run(graph_def, calibrated, frames, fetched):
    import tensorflow as tf

    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    names = [name if ":" in name else f"{name}:0" for name in fetched]
    return [value.numpy() for value in whole.prune(calibrated.frames_name, names)(tf.constant(frames))]


def _differences(dense, reference, threshold=0.25):
    """By a loop over images and anchors: mean and largest of the edge that moves most, and of the score."""
    moved = {"boxes": [], "scores": []}
    for image in range(len(reference["scores"])):
        for anchor in range(reference["scores"].shape[1]):
            if max(reference["scores"][image, anchor]) > threshold:
                for name, values in moved.items():
                    values.append(np.abs(dense[name][image, anchor] - reference[name][image, anchor]).max())
    return {name: (float(np.mean(values)), float(np.max(values))) for name, values in moved.items()}, len(values)


def _assert_close(found, expected, *, mean_within=1e-3, largest_within=1e-3):
    assert list(found) == list(expected)
    for label, (mean, largest) in expected.items():
        assert found[label].mean == pytest.approx(mean, rel=mean_within, abs=1e-7)
        assert found[label].largest == pytest.approx(largest, rel=largest_within, abs=1e-6)


def test_a_layers_row_is_that_of_a_graph_in_which_it_alone_is_quantised(tiny_export, measured, calibrated):
    """One of the backbone whose input others read too, and one of a box branch."""
    report, _, _ = measured
    frames, names = _compared(tiny_export), list(calibrated.outputs)
    reference = dict(
        zip(names, _run(calibrated.graph_def, calibrated, frames, calibrated.outputs.values()), strict=True)
    )
    readers = [layer.source for layer in calibrated.layers]
    shared = next(place for place, source in enumerate(readers) if readers.count(source) > 1)
    in_head = next(place for place, row in enumerate(report.layers) if row.part == "head: boxes")
    for place in (shared, in_head):
        layer, row = calibrated.layers[place], report.layers[place]
        quantized = quantization.quantize(calibrated.graph_def, [layer], calibrated.ranges, calibrated.filters)
        last = quantization.output_of(layer, {node.name for node in quantized.node})
        fetched = [*calibrated.outputs.values(), layer.source, last]
        *dense, source, output = _run(quantized, calibrated, frames, fetched)
        expected, places = _differences(dict(zip(names, dense, strict=True)), reference)
        _assert_close(row.differences, expected)
        assert report.places == places
        assert expected["boxes"][0] > 1e-4
        assert (row.low, row.high) == calibrated.ranges[layer.source]
        [node] = [node for node in calibrated.graph_def.node if node.name == layer.name]
        threshold, offset = quantization.shift(node, layer, calibrated.ranges[layer.source])
        shifted = source - np.float32(offset)
        noise = quantization.quantize_dequantize(shifted, threshold).astype(np.float64) - shifted
        assert row.input_sqnr_db == pytest.approx(10 * np.log10((source**2).sum() / (noise**2).sum()), abs=0.01)
        [plain] = _run(calibrated.graph_def, calibrated, frames, [layer.name])
        noise = output.astype(np.float64) - plain
        assert row.output_sqnr_db == pytest.approx(10 * np.log10((plain**2).sum() / (noise**2).sum()), abs=0.01)
        assert (row.index, row.kernel_shape) == (place + 1, layer.kernel.shape)
        assert row.output_size_hw == plain.shape[1:3]
    assert report.layers[in_head].differences["scores"].largest == 0


def test_all_layers_are_what_convert_quantises(tiny_export, measured, quantized):
    import tensorflow as tf

    report, _, _ = measured
    frames, dense = tf.constant(_compared(tiny_export)), []
    for directory in (quantized, tiny_export):
        network = tf.saved_model.load(str(directory)).signatures["network"]
        dense.append({name: value.numpy() for name, value in network(frames=frames).items()})
    expected, _ = _differences(*dense)
    # The last digit of a sum decides some roundings, 71 times in a row: the graphs agree but for those.
    _assert_close(report.all_layers, expected, mean_within=0.03, largest_within=0.3)
    for row in report.layers:
        shares = [row.differences[label].mean / report.all_layers[label].mean for label in expected]
        assert row.cost == pytest.approx(np.mean(shares), rel=1e-3)


def test_the_report(measured):
    report, _, progress = measured
    assert (report.task, report.image_size_hw, report.calibration) == ("detect", (320, 320), "percentile")
    assert (report.calibration_images, report.images, report.score_threshold) == (20, COMPARED, 0.25)
    assert len(report.layers) == 71
    assert [row.index for row in report.layers] == list(range(1, 72))
    assert len({row.name for row in report.layers}) == 71
    parts = [row.part for row in report.layers]  # YOLOv8: 3 levels of 3 convolutions in each branch
    assert (parts.count("head: boxes"), parts.count("head: scores")) == (9, 9)
    assert parts[:31] == ["backbone"] * 31
    assert parts.count("neck") == 22
    costs = [row.cost for row in report.costliest()]
    assert costs == sorted((row.cost for row in report.layers), reverse=True)[:10]
    calibrating, measuring = progress[:-144], progress[-144:]
    assert {total for _, total in calibrating} == {3 * 20}  # images, run three times
    assert measuring == [(done, 144) for done in range(1, 145)]  # two batches of 71 layers and all together
    text = str(report)
    for part in ("71 convolutions, ranges by percentile over 20 images", "boxes (px)", "... 61 more", "all layers"):
        assert part in text
    assert report.costliest()[0].name in text
    assert max(map(len, text.splitlines())) <= 120


def test_parts_of_a_network_whose_outputs_start_at_different_levels(models):
    """Prototypes come from the finest level alone; what the coarser ones read is neck all the same."""
    from tftrt_yolo.saved_model import freeze
    from tftrt_yolo.tasks.table import TASKS

    graph_def, frames_name, outputs = freeze.freeze_network(models.exported("segment"))
    layers = quantization.find_layers(graph_def)
    parts = layer_costs._parts(Calibrated(graph_def, frames_name, outputs, layers, {}, [], []), TASKS["segment"])
    counts = {part: parts.count(part) for part in parts}
    branches = {"head: boxes": 9, "head: mask_coefficients": 9, "head: prototypes": 4, "head: scores": 9}
    assert counts == {"backbone": 31, "neck": 22} | branches


def test_what_is_written_can_be_read_back(measured):
    report, output_dir, _ = measured
    assert {path.name for path in output_dir.iterdir()} == {"sensitivity.json", "sensitivity.csv", "sensitivity.png"}
    assert tftrt_yolo.SensitivityReport.read(output_dir) == report
    assert tftrt_yolo.SensitivityReport.read(output_dir / "sensitivity.json") == report
    with open(output_dir / "sensitivity.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 72
    for row, layer in zip(rows, report.layers, strict=False):
        assert (int(row["index"]), row["name"], row["part"]) == (layer.index, layer.name, layer.part)
        assert int(row["weights"]) == np.prod(layer.kernel_shape)
        assert float(row["boxes (px) mean"]) == layer.differences["boxes"].mean
        assert float(row["scores largest"]) == layer.differences["scores"].largest
        assert float(row["cost"]) == layer.cost
    assert (rows[-1]["name"], rows[-1]["index"]) == ("all layers", "")
    assert float(rows[-1]["scores mean"]) == report.all_layers["scores"].mean


def test_the_picture_shows_the_layers(measured):
    """A column of the costliest layer's colour where that layer's bar is, and text beside."""
    report, output_dir, _ = measured
    picture = np.asarray(PIL.Image.open(output_dir / "sensitivity.png").convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    assert 1500 < width < 2500
    assert 800 < height < 1500
    orange = np.array([int(sensitivity_chart._COSTLY_COLOUR[i : i + 2], 16) for i in (1, 3, 5)])
    columns = (np.abs(picture - orange).max(axis=-1) < 8)[: height // 2].sum(axis=0) > 20
    starts = np.nonzero(np.diff(columns.astype(int)) == 1)[0]
    assert len(starts) == 10
    indices = sorted(row.index for row in report.costliest())
    assert np.corrcoef(starts, indices)[0, 1] > 0.9999  # bars stand in the order of the graph


def test_a_wide_network_and_one_without_any_cost(measured, tmp_path):
    report, _, _ = measured
    still = {label: sensitivity_report.Difference(0.0, 0.0) for label in report.units}
    layers = [
        dataclasses.replace(row, index=index + 1, cost=0.0, differences=still, output_sqnr_db=None)
        for index, row in enumerate(report.layers + report.layers[:39])
    ]
    other = dataclasses.replace(report, layers=tuple(layers), all_layers=still)
    other.write(tmp_path)
    sensitivity_chart.write(other, tmp_path / "sensitivity.png")
    assert tftrt_yolo.SensitivityReport.read(tmp_path) == other
    assert PIL.Image.open(tmp_path / "sensitivity.png").size[0] > 2400
    assert "... 100 more" in str(other)


def test_a_classifier_compares_probabilities(models, tmp_path):
    export = models.exported("classify")
    report = tftrt_yolo.sensitivity(export, DATA / "classify", images=5)
    assert (report.calibration, report.score_threshold, report.images, report.places) == ("max", None, 5, 5)
    assert list(report.all_layers) == ["probabilities"]
    assert {row.part for row in report.layers} == {"backbone"}
    assert "compared on 5 images\n" in str(report)
    assert report.calibration_images == len(CROPS)
    assert (
        0 < report.layers[0].differences["probabilities"].mean <= report.layers[0].differences["probabilities"].largest
    )


def test_the_command(models, tmp_path):
    folder, output_dir = tmp_path / "crops", tmp_path / "report"
    folder.mkdir()
    for index, path in enumerate(CROPS[::5]):
        shutil.copy(path, folder / f"{index}.jpg")
    (folder / "broken.jpg").write_bytes(CROPS[0].read_bytes()[:300])
    flags = [f"--saved_model_dir={models.exported('classify')}", f"--calibration_data={folder}"]
    flags += ["--calibration=mse", "--images=4", f"--output_dir={output_dir}"]
    command = [sys.executable, "-m", "tftrt_yolo", "sensitivity", *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    report = tftrt_yolo.SensitivityReport.read(output_dir)
    assert result.stdout.strip() == str(report)
    assert (report.calibration, report.calibration_images, report.images) == ("mse", len(CROPS[::5]), 4)
    [reason] = report.unreadable
    assert "broken.jpg cannot be decoded" in reason
    assert reason in result.stdout
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "report exists already. Choose another directory" in again.stderr
    assert tftrt_yolo.SensitivityReport.read(output_dir) == report


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"calibration": "entropy"}, ValueError, "calibration is 'entropy'; known are max, percentile, mse"),
        ({"images": 0}, ValueError, "images is 0; it must be a whole number of at least 1"),
        ({"images": 2.5}, ValueError, "images is 2.5; it must be a whole number"),
        ({"calibration_data": "nowhere"}, tftrt_yolo.ImageError, "There is no file or folder nowhere"),
        ({"saved_model_dir": "nowhere"}, tftrt_yolo.SavedModelError, "nowhere is no directory"),
    ],
)
def test_arguments_out_of_range(tiny_export, tmp_path, arguments, kind, message):
    given = {"saved_model_dir": tiny_export, "calibration_data": FOLDER, "output_dir": tmp_path / "a"} | arguments
    with pytest.raises(kind, match=message):
        tftrt_yolo.sensitivity(**given)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_is_taken(tiny_export, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"is not what this writes \(it has no sensitivity\.json"):
            tftrt_yolo.sensitivity(tiny_export, FOLDER, output_dir=tmp_path, overwrite=overwrite)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_models_that_cannot_be_measured(tiny_export, quantized, tmp_path):
    converted = tmp_path / "converted"
    shutil.copytree(tiny_export, converted)
    (converted / "conversion.json").write_text(json.dumps({"accelerator": "xla", "precision_mode": "FP16"}))
    with pytest.raises(tftrt_yolo.NotAnExportError, match=r"is a conversion already\. Measure the export that it came"):
        tftrt_yolo.sensitivity(converted, FOLDER)
    with pytest.raises(tftrt_yolo.ConversionError, match="holds QuantizeAndDequantizeV2 already"):
        tftrt_yolo.sensitivity(quantized, FOLDER)


def test_images_without_anything_to_find(toy_export):
    """The toy finds something anywhere, so it is told to look for what scores above 1."""
    source = open_saved_model(toy_export)
    selection = dataclasses.replace(source.metadata.selection, score_threshold=1.0)
    source = dataclasses.replace(source, metadata=dataclasses.replace(source.metadata, selection=selection))
    chosen = Calibration(tuple(map(str, CALIBRATION[:2])), "max")
    steps = layer_costs.work(source=source, calibration=chosen, images=8)
    with pytest.raises(tftrt_yolo.SensitivityError, match=r"above its score_threshold of 1\.0 on the 2 images"):
        list(steps)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file.*Expected a sensitivity.json of a sensitivity report"),
        ("{}", "was written by an older version.*lacks 'saved_model_dir'.*measure again"),
        ("[", "is damaged .*is no JSON"),
    ],
)
def test_a_report_that_is_damaged(tmp_path, text, message):
    if text is not None:
        (tmp_path / "sensitivity.json").write_text(text)
    with pytest.raises(tftrt_yolo.SensitivityError, match=message):
        tftrt_yolo.SensitivityReport.read(tmp_path)


@pytest.mark.parametrize(
    ("count", "wanted", "indices"), [(40, 8, [0, 6, 11, 17, 22, 28, 33, 39]), (3, 8, [0, 1, 2]), (5, 1, [0])]
)
def test_images_are_spread(count, wanted, indices):
    assert image_files.spread(range(count), wanted) == indices
