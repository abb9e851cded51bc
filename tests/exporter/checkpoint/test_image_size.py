"""At which size a checkpoint was trained; the oracle is what Ultralytics' exporter makes of the same value."""

import argparse
import re

import pytest

from tests.exporter.checkpoint import files
from tftrt_yolo.exporter.checkpoint import image_size
from tftrt_yolo.ground.errors import CheckpointError

torch = pytest.importorskip("torch")

_SIZES = {  # imgsz to height and width
    "a number": (640, (640, 640)),
    "height and width": ([480, 640], (480, 640)),
    "a tuple": ((64, 320), (64, 320)),
    "a list of one": ([320], (320, 320)),
    "a text": ("320", (320, 320)),
    "a text of two": ("[320, 640]", (320, 640)),
    "a text with a comma": ("320,640", (320, 640)),
    "no multiple of the stride": (100, (100, 100)),
    "a whole float": (640.0, (640, 640)),
    "the largest": (16_384, (16_384, 16_384)),
}
_NO_SIZES = {  # imgsz to how the note shows it
    "a word": ("large", "'large'"),
    "a long text": ("9" * 500, "'9999"),
    "other digits": ("6\u0664\u0660", r"'6"),
    "three numbers": ([1, 2, 3], r"\[1, 2, 3\]"),
    "no number": ([], r"\[\]"),
    "many": ([640] * 100, "a list of 100"),
    "lists": ([[640]], r"\[a list of 1\]"),
    "zero": (0, "0"),
    "negative": (-1, "-1"),
    "too large": (16_385, "16385"),
    "a large float": (1e9, "1000000000.0"),
    "huge": (10**200, "a whole number of 665 bits"),
    "no whole number": (640.5, "640.5"),
    "NaN": (float("nan"), "nan"),
    "infinity": (float("inf"), "inf"),
    "true": (True, "True"),
    "true in a list": ([True], r"\[True\]"),
    "a dictionary": ({"h": 1}, "a dict of 1"),
    "a tensor": (torch.tensor(640), "a tensor"),
    "control characters": ("\x1b[2J", r"'\\x1b\[2J'"),
}


@pytest.mark.parametrize("name", _SIZES)
def test_what_is_a_size(folder, network, name):
    from ultralytics.utils.checks import check_imgsz

    from tftrt_yolo.exporter.checkpoint.load import load

    value, size_hw = _SIZES[name]
    facts = load(files.save(folder / "sized.pt", model=network, train_args={"imgsz": value})).facts
    assert (facts.trained_size_hw, facts.size_note) == (size_hw, "")
    if not isinstance(value, float):  # which Ultralytics refuses
        assert list(facts.default_size_hw) == check_imgsz(value, stride=facts.stride, min_dim=2)


@pytest.mark.parametrize("name", _NO_SIZES)
def test_what_is_no_size_is_said(folder, network, name):
    from tftrt_yolo.exporter.checkpoint.load import load

    value, shown = _NO_SIZES[name]
    facts = load(files.save(folder / "strange.pt", model=network, train_args={"imgsz": value})).facts
    assert (facts.trained_size_hw, facts.default_size_hw) == (None, (640, 640))
    assert re.fullmatch(rf"the checkpoint has {shown}.* as imgsz, which is no size", facts.size_note)


_UNKNOWN = "the checkpoint does not say at which size it was trained"
_PLACES = {  # what is saved beside the network and as its args, to the size and the note
    "nowhere": ({}, None, None, _UNKNOWN),
    "without the key": ({"train_args": {"epochs": 3}}, {"box": 7.5}, None, _UNKNOWN),
    "None": ({"train_args": {"imgsz": None}}, None, None, _UNKNOWN),
    "arguments that are none": ({"train_args": [640]}, "imgsz=640", None, _UNKNOWN),
    "the network's": ({}, {"imgsz": 96}, (96, 96), ""),
    "the training's before the network's": ({"train_args": {"imgsz": 64}}, {"imgsz": 96}, (64, 64), ""),
    "a strange one before the network's": ({"train_args": {"imgsz": "x"}}, {"imgsz": 96}, (96, 96), ""),
    "a namespace": ({"train_args": argparse.Namespace(imgsz=96)}, None, (96, 96), ""),
    "the network's namespace": ({}, argparse.Namespace(imgsz=96), (96, 96), ""),
    "defaults of a network that nobody trained": ({}, {"imgsz": 640, "data": None}, None, _UNKNOWN),
}


@pytest.mark.parametrize("name", _PLACES)
def test_where_it_stands(folder, network, name):
    from tftrt_yolo.exporter.checkpoint.load import load

    beside, args, size_hw, note = _PLACES[name]
    if args is not None:
        network.args = args
    facts = load(files.save(folder / "placed.pt", model=network, **beside)).facts
    assert (facts.trained_size_hw, facts.size_note) == (size_hw, note)


@pytest.mark.parametrize(
    ("size_hw", "stride", "frame_hw"),
    [
        ((640, 640), 32, (640, 640)),
        ((75, 90), 1, (75, 90)),
        ((1, 33), 32, (32, 64)),
        ((16_384, 640), 24, (16_368, 648)),
    ],
)
def test_frames_have_the_next_multiples_of_the_stride(size_hw, stride, frame_hw):
    assert image_size.frame_size(size_hw, stride) == frame_hw


def test_a_checkpoint_that_is_written_anew_keeps_it(folder, network):
    """Peers of the benchmark unpickle it."""
    from tftrt_yolo.exporter.checkpoint import rewrite

    weights = files.save(folder / "before.pt", model=network, train_args={"imgsz": 96, "data": "x.yaml"})
    assert rewrite.work(weights=weights, path=folder / "after.pt", nms="one-to-many") == ""
    assert torch.load(folder / "after.pt", weights_only=False)["train_args"] == {"imgsz": 96}


_CHANNEL_KEYS = {
    "no key": {},
    "channels of the weights": {"channels": ...},
    "ch of the weights": {"ch": ...},
    "channels of RGB": {"channels": 3},
    "ch of RGB": {"ch": 3},
    "channels of nothing": {"channels": None},
    "a text": {"channels": "1"},
}


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
@pytest.mark.parametrize("keys", _CHANNEL_KEYS)
def test_channels_are_those_of_the_first_convolution(folder, network, channels, keys):
    from tftrt_yolo.exporter.checkpoint.load import load

    first = network.model[0].conv
    network.model[0].conv = torch.nn.Conv2d(channels, first.out_channels, 3, 2, 1, bias=False)
    given = {key: channels if value is ... else value for key, value in _CHANNEL_KEYS[keys].items()}
    network.yaml = {key: value for key, value in network.yaml.items() if key not in ("channels", "ch")} | given
    found = "1 channel" if channels == 1 else f"{channels} channels"
    message = rf"takes images of {found}\. Only RGB images, 3 channels, are supported\.$"
    with pytest.raises(CheckpointError, match=message):
        load(files.save(folder / "channels.pt", model=network))


def test_channels_that_only_the_yaml_has(folder, network):
    from tftrt_yolo.exporter.checkpoint.load import load

    network.yaml = network.yaml | {"channels": 1}
    with pytest.raises(CheckpointError, match=r"1 channel by its YAML, and of 3 by its first convolution\. Only RGB"):
        load(files.save(folder / "channels.pt", model=network))


_ANYTHING = [
    None,
    0,
    -1,
    True,
    "abc",
    [],
    [1],
    {},
    {"n": [1, 2, 3]},
    1e300,
    float("nan"),
    10**40,
    [None],
    torch.zeros(1),
]


@pytest.mark.parametrize(
    "key",
    ["nc", "scale", "scales", "kpt_shape", "reg_max", "end2end", "backbone", "head", "activation", "depth_multiple"],
)
def test_keys_that_are_missing_or_strange(folder, network, key):
    """Either it is the same network all the same, or the error is named; nothing else is raised."""
    from tftrt_yolo.exporter.checkpoint.load import load

    yaml, refused = dict(network.yaml) | ({"scales": {"n": [1, 1, 1024]}} if key == "scale" else {}), []
    for value in (..., *_ANYTHING):
        network.yaml = {name: kept for name, kept in yaml.items() if name != key} | (
            {} if value is ... else {key: value}
        )
        try:
            assert load(files.save(folder / "keys.pt", model=network)).facts.names == files.NAMES
        except CheckpointError as error:
            refused.append(str(error))
    assert refused
    assert all(refused)
