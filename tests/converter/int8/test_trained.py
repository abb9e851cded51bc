"""INT8 by trained ranges: the oracle is PyTorch's own forward pass with its fake quantisation."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import tftrt_yolo
from tests import toy
from tests.conftest import DATA
from tests.exporter.checkpoint import qat
from tftrt_yolo import Int8Options, contract
from tftrt_yolo.converter.int8 import calibration, quantization
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.trained import trained_network
from tftrt_yolo.exporter.ranges import trained_ranges
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.tasks.table import TASKS

TRAINED = Calibration((), "trained")


def _decibels(found, expected):
    noise = np.square(found.astype(np.float64) - expected).sum()
    return 10 * np.log10(np.square(expected.astype(np.float64)).sum() / noise)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The export of a network that was trained for a few steps, and what PyTorch gives, quantised and not."""
    torch = pytest.importorskip("torch")
    from tftrt_yolo.exporter import pytorch_parity
    from tftrt_yolo.exporter.checkpoint.load import load

    folder = tmp_path_factory.mktemp("trained")
    oracle = qat.train(folder / "a.pt")
    yolo = load(str(folder / "a.pt"))
    frames = pytorch_parity.reference_frames((toy.SIZE, toy.SIZE))
    images, head = torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()), yolo.facts.head
    with torch.no_grad():
        quantized, plain = (
            TASKS["detect"].reference([network(images)[0].numpy()], head) for network in (oracle, yolo.module)
        )
    export = folder / "a_saved_model"
    report = tftrt_yolo.export(folder / "a.pt", export, image_size=toy.SIZE)
    return export, report, oracle, frames, quantized, plain


def test_it_computes_what_pytorch_does(trained, tmp_path):
    """Nearer to PyTorch's quantised network than that is to its float one by far, without a calibration image."""
    import tensorflow as tf

    from tftrt_yolo.saved_model.network import SavedModelNetwork

    export, exported, _, frames, quantized, plain = trained
    assert exported.trained_ranges == 26
    assert "trained ranges     of 26 convolutions" in str(exported)
    output = tmp_path / "b_saved_model"
    report = tftrt_yolo.convert(export, output, precision_mode="INT8", int8=Int8Options(calibration="trained"))
    assert (report.engines, report.nodes_outside) == (1, 0)
    found = report.quantization
    assert (found.layers, found.method, found.score_shift.images) == (toy.CONVOLUTIONS, "trained", 5)
    assert "28 convolutions in INT8, ranges of the training; compared on 5 images" in str(report)
    assert "these have no labels" in str(tftrt_yolo.inspect(output))
    network = SavedModelNetwork(output, strict=False)
    dense = {name: value.numpy() for name, value in network._network(frames=tf.constant(frames)).items()}
    for name in ("boxes", "scores"):
        assert _decibels(quantized[name], plain[name]) < 55
        assert _decibels(dense[name], quantized[name]) > _decibels(quantized[name], plain[name]) + 20


def test_the_integers_are_pytorchs(trained):
    """Of every filter that fuse() leaves in one piece; and the grid of what it reads."""
    import torch

    export, _, oracle, *_ = trained
    ready = trained_network.prepare(open_saved_model(export), TRAINED)
    ranges = trained_ranges.read(open_saved_model(export))
    modules, whole = dict(oracle.named_modules()), 0
    for layer in ready.layers:
        one, steps = ranges.find(layer.kernel)
        around, grid = modules[one.name], ready.grids[layer.name]
        fake, convolution = around[0], around[1]
        assert grid.threshold / 127 == pytest.approx(float(fake.scale), rel=1e-6)
        first = round(grid.offset / float(fake.scale)) - 128
        assert (first, first + 255) == (one.first, one.last) == (-int(fake.zero_point), 255 - int(fake.zero_point))
        if layer.kernel.shape[-1] != len(one.channels):
            continue
        whole += 1
        ready_filter = quantization._trained(layer.kernel, grid)
        got = np.round(ready_filter.kernel * 127).astype(int)
        weights = convolution.weight_fake_quant
        with torch.no_grad():
            integers = torch.round(weights(convolution.weight) / weights.scale.reshape(-1, 1, 1, 1))
        expected = integers.permute(2, 3, 1, 0).numpy().astype(int)
        signs = np.ones(len(steps)) if one.name.endswith(".2") else np.sign(_gamma(modules, one.name))
        assert np.mean(got == expected * signs) > 0.999  # a product may be rounded the other way
        assert np.abs(got - expected * signs).max() <= 1
        np.testing.assert_allclose(ready_filter.factors, 127 * steps, rtol=1e-6)
    assert whole == 24


def test_what_the_training_left_in_float_stays_so(trained, tmp_path):
    """As Ultralytics' does with the head's last convolutions."""
    export, *_ = trained
    other = tmp_path / "a_saved_model"
    shutil.copytree(export, other)
    document = json.loads((other / contract.RANGES_FILE).read_text())
    last = [layer for layer in document["layers"] if layer["name"].endswith(".2")]
    document["layers"] = [layer for layer in document["layers"] if layer not in last]
    (other / contract.RANGES_FILE).write_text(json.dumps(document))
    digests.seal(other, open_saved_model(other).metadata)
    assert len(last) == 4  # two levels, two branches
    message = r"4 convolutions of 28 .*stay in float \(float_layers; 'head'"
    with pytest.raises(tftrt_yolo.ConversionError, match=message):
        trained_network.prepare(open_saved_model(other), TRAINED)
    output = tmp_path / "b_saved_model"
    options = Int8Options(calibration="trained", float_layers=("head",))
    report = tftrt_yolo.convert(other, output, precision_mode="INT8", int8=options)
    assert (report.quantization.layers, len(report.quantization.float_layers)) == (24, 4)
    assert [part.precision_mode for part in report.parts] == ["INT8", "FP16"]
    assert report.quantization.parity.matched > 0


def _gamma(modules, name):
    return modules[name.removesuffix(".conv")].bn.weight.detach().numpy()


def test_ranges_of_another_network(trained, toy_export, models, tmp_path):
    export, *_ = trained
    with pytest.raises(tftrt_yolo.ConversionError, match=r"has no ranges .*'yolov8-toy.pt' was not trained with fake"):
        trained_network.prepare(open_saved_model(toy_export), TRAINED)
    other = tmp_path / "a_saved_model"
    shutil.copytree(toy_export, other)
    shutil.copy(export / contract.RANGES_FILE, other)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"holds 'trained_ranges\.json', which its metadata.yaml does"):
        calibration.calibrate(open_saved_model(other), TRAINED)
    digests.seal(other, open_saved_model(other).metadata)
    with pytest.raises(
        tftrt_yolo.ConversionError,
        match=r"28 convolutions of 28 in .* \(tf.nn.convolution.* \[3, 3, 3, 8\], .*\) have no range among the 26 "
        r"layers .*\('model.0.conv' of 8, .*ranges are of another network",
    ):
        trained_network.prepare(open_saved_model(other), TRAINED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": 0.0}, "has the step 0.0; expected a finite number above 0"),
        ({"step": None}, "has the step nan"),
        ({"first": 1}, "keeps multiples from 1 to 255; expected 0 among them"),
        ({"last": 300}, "keeps multiples from 0 to 300; expected 0 among them and at most 255 steps"),
        ({"filter_steps": [0.1]}, "has 1 step for 8 output channels; expected one for each"),
    ],
)
def test_a_damaged_file(trained, tmp_path, change, message):
    export, *_ = trained
    other = tmp_path / "a_saved_model"
    shutil.copytree(export, other)
    document = json.loads((other / contract.RANGES_FILE).read_text())
    document["layers"][0] |= change
    (other / contract.RANGES_FILE).write_text(json.dumps(document))
    with pytest.raises(tftrt_yolo.SavedModelError, match=rf"trained_ranges\.json is damaged .*{message}"):
        trained_ranges.read(open_saved_model(other))


def test_filters_that_are_alike(trained):
    """Of two layers with the same filter, or a part of it, one is as good as the other only with the same ranges."""
    ranges = trained_ranges.read(open_saved_model(trained[0]))
    kernel = np.random.default_rng(0).normal(size=(1, 1, 4, 3)).astype(np.float32)
    layer = trained_ranges.TrainedLayer("a", 0.1, 0, 255, (0.1, 0.2, 0.3), tuple(trained_ranges.digests(kernel)))
    others = (layer, dataclasses.replace(layer, name="b")), (layer, dataclasses.replace(layer, name="b", step=0.2))
    same, differing = (dataclasses.replace(ranges, layers=(*ranges.layers, *pair)) for pair in others)
    found, steps = same.find(kernel[..., ::-2])
    assert (found.name, steps.tolist()) == ("a", pytest.approx([0.3, 0.1]))
    assert differing.find(kernel) is None
    assert same.find(kernel + 1) is None


def test_a_depthwise_filter_has_the_same_hashes_as_an_ordinary_one():
    from tftrt_yolo.converter.int8 import depthwise

    kernel = np.random.default_rng(0).normal(size=(3, 3, 6, 1)).astype(np.float32)
    ordinary = depthwise.spread(kernel)
    assert ordinary.shape == (3, 3, 6, 6)
    assert trained_ranges.digests(ordinary) == trained_ranges.digests(kernel.transpose(0, 1, 3, 2))
    assert len(set(trained_ranges.digests(ordinary))) == 6


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, {"accelerator": "onednn"}, "calibration is 'trained', whose ranges .* for TensorRT, and accelerator is"),
        ({"calibration_cache_dir": "a"}, {}, "calibration_cache_dir keeps what images measured, and with calibration="),
        ({"rounding": "nearest"}, {}, "rounding is 'nearest', and with calibration='trained' the training has chosen"),
        ({"evaluation_data": "no.yaml"}, {}, "evaluation_data is no.yaml, which does not exist"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, arguments, message):
    int8 = Int8Options(calibration="trained", **options)
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(DATA, tmp_path / "b_saved_model", precision_mode="INT8", **arguments, int8=int8)
