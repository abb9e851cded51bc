"""Checkpoints that were trained with fake quantisation, by PyTorch's modules and by modelopt's table, good and bad."""

import copy

import pytest

import tftrt_yolo
from tests.exporter.checkpoint import qat

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "a.pt"
    return path, qat.train(path)


def _load(network, path, **more):
    from tftrt_yolo.exporter.checkpoint.load import load

    torch.save({"model": network, **more}, path)
    return load(str(path))


def test_the_network_is_the_plain_one_and_its_ranges_are_beside_it(trained, tmp_path):
    """Fused; each step is multiplied by what the normalisation does to its channel."""
    _, network = trained
    yolo = _load(network, tmp_path / "a.pt")
    ranges = {layer.name: layer for layer in yolo.facts.trained_ranges.layers}
    assert len(ranges) == 26
    assert not any("quant" in type(part).__module__ for part in yolo.module.modules())
    parts = dict(network.named_modules())
    for name, layer in ranges.items():
        fake, convolution = parts[name]
        zero, steps = int(fake.zero_point), convolution.weight_fake_quant.scale.double()
        assert layer.step == float(fake.scale)
        assert (layer.first, layer.last) == (-zero, 255 - zero)
        if name.endswith(".conv"):
            normalisation = parts[name.removesuffix(".conv")].bn
            deviation = (normalisation.running_var.double() + normalisation.eps).sqrt()
            steps = steps * normalisation.weight.double().abs() / deviation
        assert layer.filter_steps == pytest.approx(steps.tolist(), rel=1e-6)
        assert len(layer.channels) == len(convolution.weight)


def test_a_wrapper_of_pytorchs_own_preparation(tmp_path):
    network = qat.train(tmp_path / "a.pt", wrapped=True, steps=1)
    from tftrt_yolo.exporter.checkpoint.load import load

    layers = load(str(tmp_path / "a.pt")).facts.trained_ranges.layers
    assert len(layers) == 26
    wrapper = network.get_submodule(layers[3].name)
    assert layers[3].step == float(wrapper.quant.activation_post_process.scale)


def _fake(network, kind, place):
    """The fake quantisation number `place` of the filters, or of what they meet."""
    names = [name for name, part in network.named_modules() if type(part).__name__ == "FakeQuantize"]
    return network.get_submodule([name for name in names if ("weight" in name) == (kind == "filter")][place])


def _unobserved(network):
    fake = _fake(network, "input", 2)
    fake.activation_post_process.min_val.fill_(float("inf"))
    fake.activation_post_process.max_val.fill_(-float("inf"))


def _of_other_channels(network):
    fake = _fake(network, "filter", 1)
    fake.scale = fake.scale[:3].clone()
    fake.zero_point = fake.zero_point[:3].clone()
    for name in ("min_val", "max_val"):
        setattr(fake.activation_post_process, name, getattr(fake.activation_post_process, name)[:3].clone())


def _of_outputs(network):
    block = network.model[0]
    block.act = torch.nn.Sequential(block.act, copy.deepcopy(_fake(network, "input", 0)))


def _without_input(network):
    network.model[0].conv = network.model[0].conv[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_unobserved, r"no range for 'model.2.cv1.conv.0': it has never observed anything; .* save it again"),
        (_of_other_channels, r"3 ranges for the 16 output channels of 'model.1.conv.1'; they are of another network"),
        (_of_outputs, r"a fake quantisation 'model.0.act.1' that is neither of a convolution's filter nor of what"),
        (_without_input, r"the convolution 'model.0.conv' with a fake quantisation of its filter and none of what it"),
        (lambda network: _fake(network, "input", 0).scale.fill_(float("nan")), "no range for 'model.0.conv.0'"),
        (lambda network: _fake(network, "input", 0).scale.fill_(-1), "a step or a zero point of 'model.0.conv.0' that"),
        (
            lambda network: setattr(_fake(network, "input", 0), "quant_max", 65_535),
            "'model.0.conv.0' with numbers from '?0'? to '?65535'?; INT8 has 8 bits",
        ),
        (
            lambda network: _fake(network, "filter", 0).zero_point.fill_(3),
            r"a filter of 'model.0.conv.1' whose numbers go from -127 to 127 around 3; TensorRT's go from -128",
        ),
    ],
)
def test_what_has_no_ranges_is_refused(trained, tmp_path, change, message):
    network = copy.deepcopy(trained[1])
    change(network)
    with pytest.raises(tftrt_yolo.CheckpointError, match=rf"a\.pt has {message}"):
        _load(network, tmp_path / "a.pt")


def test_nothing_was_ever_observed(tmp_path):
    qat.train(tmp_path / "a.pt", observed=False)
    from tftrt_yolo.exporter.checkpoint.load import load

    with pytest.raises(tftrt_yolo.CheckpointError, match=r"no range for 'model\.0\.conv\.0': it has never observed"):
        load(str(tmp_path / "a.pt"))


def _table(network):
    """The largest magnitudes, as modelopt measures them and Ultralytics saves them beside the plain network."""
    table = {}
    for name, part in network.named_modules():
        if isinstance(part, torch.nn.Conv2d):
            table[f"{name}.input_quantizer._amax"] = torch.tensor(2.54)
            table[f"{name}.weight_quantizer._amax"] = part.weight.detach().abs().amax((1, 2, 3), keepdim=True)
    table["model.5.m.input_quantizer._amax"] = torch.tensor(1.0)  # of a pool
    return table


def test_the_table_of_modelopt(tmp_path):
    from tests import toy

    toy.write_weights(tmp_path / "plain.pt")
    network = torch.load(tmp_path / "plain.pt", weights_only=False)["model"]
    table = _table(network)
    yolo = _load(network, tmp_path / "a.pt", modelopt={"modelopt": {}, "ranges": table})
    layers = {layer.name: layer for layer in yolo.facts.trained_ranges.layers}
    assert len(layers) == 27
    first = layers["model.0.conv"]
    assert (first.step, first.first, first.last) == (pytest.approx(0.02), -128, 127)
    fused = yolo.module.model[0].conv.weight.abs().amax((1, 2, 3)) / 127
    assert first.filter_steps == pytest.approx(fused.tolist(), rel=1e-5)
    for change, message in (
        (
            {"model.99.conv.input_quantizer._amax": torch.tensor(1.0)},
            r"ranges for 'model.99.conv', none .* no layer of",
        ),
        (
            {"model.0.conv.weight_quantizer._amax": torch.ones(9, 1, 1, 1)},
            r"ranges for .*, those of \[9, 1, 1, 1\] .* a filter of \[8, 3",
        ),
        ({"model.0.conv.input_quantizer._amax": torch.tensor(float("inf"))}, "no range for 'model.0.conv'"),
    ):
        with pytest.raises(tftrt_yolo.CheckpointError, match=rf"a\.pt has {message}"):
            _load(network, tmp_path / "a.pt", modelopt={"ranges": table | change})
    with pytest.raises(tftrt_yolo.CheckpointError, match=r"by modelopt and holds 0 ranges\. Expected the ranges"):
        _load(network, tmp_path / "a.pt", modelopt={"ranges": {}, "modelopt": {"version": 1}})
