"""Checkpoints that are no attack and no network either: each is refused with what was found and what to do."""

import zipfile

import pytest

import tftrt_yolo
from tests.conftest import DATA
from tests.exporter.checkpoint import files
from tftrt_yolo.ground.errors import CheckpointError

torch = pytest.importorskip("torch")


def _refused(weights, message):
    from tftrt_yolo.exporter.checkpoint.load import load

    with pytest.raises(CheckpointError, match=message) as caught:
        load(weights)
    assert str(caught.value).isprintable()


def _set(**attributes):
    return lambda network: vars(network).update(attributes)


def _delete(name):
    return lambda network: vars(network).pop(name)


def _meta(network):
    network.model[0].to("meta")


def _in_head(**attributes):
    return lambda network: vars(network.model[-1]).update(attributes)


def _pruned(network):
    from torch.nn.utils import prune

    prune.l1_unstructured(network.model[0].conv, "weight", amount=0.3)


def _narrower(network):
    network.model[0].conv = torch.nn.Conv2d(3, 4, 3, 2, 1, bias=False)


def _nan(network):
    network.model[0].conv.weight.data[0, 0, 0, 0] = float("nan")


def _quantised(network):
    network.model[0].conv.weight.data = torch.zeros(1)
    vars(network.model[0].conv)["_parameters"]["weight"] = torch.quantize_per_tensor(
        torch.zeros(2, 3), 0.1, 0, torch.qint8
    )


def _other_activation(network):
    network.model[0].act = torch.nn.ReLU()


def _other_stride(network):
    network.model[1].conv.stride = (1, 1)


def _other_source(network):
    network.model[2].f = 0


def _more(network):
    network.model.add_module("99", torch.nn.Identity())


CHANGES = {
    "names None": (
        _set(names=None),
        r"holds nothing in place of the classes' names. Expected a dictionary or a",
    ),
    "names missing": (_delete("names"), "holds nothing in place of the classes' names"),
    "names a text": (_set(names="abc"), "holds a str in place of the classes' names"),
    "names longer": (_set(names=dict.fromkeys(range(1_000), "x")), r"names 1,000 classes \(0, .*, and its head has 10"),
    "names shorter": (_set(names=["a"]), "names 1 class .*, and its head has 10. Expected a name for each of 0 to 9"),
    "names with a gap": (
        _set(names={**dict.fromkeys(range(9), "x"), 10: "x"}),
        "names 10 classes .*, and its head",
    ),
    "names of other types": (_set(names=[["x"]] * 10), "has a list of 1 as the name of a class. Expected a text"),
    "names that no file holds": (_set(names=["\ud800"] * 10), r"has '\\ud800' as the name of a class"),
    "names that are long": (
        _set(names=["x" * 300] * 10),
        r"has 'xxx.*' \.\.\. as the name of a class. Expected a text of",
    ),
    "yaml missing": (_delete("yaml"), "does not describe a YOLO model: it holds None in place of its keys"),
    "yaml a path": (_set(yaml="yolov8n.yaml"), "it holds 'yolov8n.yaml' in place of its keys"),
    "yaml without classes": (_set(yaml={"backbone": [], "head": [[-1, 1, "Detect", ["nc"]]]}), "its nc is None"),
    "stride NaN": (_set(stride=torch.tensor([float("nan")])), "has the strides nan|strides a"),
    "stride empty": (_set(stride=torch.tensor([])), "has the strides"),
    "stride of another": (_set(stride=torch.tensor([8.0, 16.0, 32.0])), "has the strides 8, 16, 32; the network that"),
    "stride of the head": (_in_head(stride=torch.tensor([1.0, 2.0])), "has the head's strides 1, 2; the network that"),
    "more classes in the head": (_in_head(nc=80), "holds 'model.5' with 'nc' 80, and .* has 10|with 'nc' 80"),
    "meta": (_meta, r"holds a tensor without values \(of the meta device\) as 'model.0.conv.weight'"),
    "no table of modules": (_delete("_modules"), "no YOLO network"),
    "no parameters": (lambda network: vars(network.model[0]).pop("_parameters"), "without its _parameters"),
    "transient buffers that are a number": (
        lambda network: vars(network.model[0]).update(_non_persistent_buffers_set=3, _parameters=3),
        "without its _parameters",
    ),
    "a module that is a number": (
        lambda network: network.model[0]._modules.update(conv=3),
        "holds an int where the",
    ),
    "no layers": (lambda network: network._modules.clear(), "no YOLO network"),
    "pruned": (_pruned, r"has a hook \(a L1Unstructured\) on the module 'model.0.conv'.*prune.remove"),
    "narrower": (
        _narrower,
        r"holds other weights than .* 1 of \d+ tensors differ \('model.0.conv.weight' \(4, 3",
    ),
    "NaN": (_nan, "holds NaN or infinity in model.0.conv.weight and 0 other tensors: its training diverged"),
    "quantised": (_quantised, "holds the name 'torch.QInt8Storage', which is none"),
    "activation": (
        _other_activation,
        r"holds a torch.nn.modules.activation.ReLU as 'model.0.act', and the network",
    ),
    "stride of a convolution": (_other_stride, r"holds 'model.1.conv' with 'stride' \(1, 1\), and .* has \(2, 2\)"),
    "source": (_other_source, "holds 'model.2' with 'f' 0, and the network that its YAML describes has -1"),
    "one module more": (_more, "ends in the head Identity|holds a module"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_networks_that_do_not_rebuild(network, tmp_path, name):
    change, message = CHANGES[name]
    change(network)
    _refused(files.save(tmp_path / "a.pt", model=network), message)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"ema": torch.zeros(3), "model": None}, "holds a tensor and no YOLO network"),
        ({"ema": {"a": 1}}, "holds a dict and no YOLO network"),
        ({"ema": None, "model": None}, "holds a dictionary with the keys 'ema', 'model' and no network"),
        ({}, r"holds a dictionary with the keys \(none\) and no network"),
        ({"model": 3}, "holds an int and no YOLO network"),
        ({"model": torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))}, "holds a Sequential and no YOLO network"),
        ({"model": torch.nn.DataParallel(torch.nn.Linear(1, 1))}, "holds a Linear and no YOLO network"),
        ({"model": torch.nn.Linear(1, 1), "modelopt": {"x": 1}}, "holds a Linear and no YOLO network"),
    ],
)
def test_documents_without_a_network(tmp_path, document, message):
    _refused(files.save(tmp_path / "a.pt", **document), message)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "is no checkpoint: it is empty"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "is a pickle of PyTorch's format before 1.6; load it there"),
        (b"\x89PNG\r\n", "is no checkpoint: it is a PNG image"),
        (b"<!DOCTYPE html>", "is a web page or XML; the download failed"),
        (b"version https://git-lfs.github.com/spec/v1", "is a pointer of Git LFS"),
        (b"\x1b[31mred", r"it starts with b'\\x1b\[31mred'"),
        (b"PK\x03\x04" + bytes(100), "is damaged or cut short"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, start, message):
    (tmp_path / "a.pt").write_bytes(start)
    _refused(str(tmp_path / "a.pt"), message)


def test_archives_of_others(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("readme.txt", "x")
    _refused(str(tmp_path / "a.pt"), "is a ZIP archive with 0 data.pkl")
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        for folder in "ab":
            file.writestr(f"{folder}/data.pkl", b"")
    _refused(str(tmp_path / "a.pt"), "is a ZIP archive with 2 data.pkl")


def test_tensors_without_their_bytes(network, tmp_path):
    weights = files.save(tmp_path / "a.pt", model=network)
    entries = files.parts(weights)
    files.pack(tmp_path / "a.pt", {name: data for name, data in entries.items() if name != "data/0"})
    _refused(weights, "has no bytes for 'model.0.conv.weight', a 'FloatStorage' of 216 numbers|has no bytes for")
    files.pack(tmp_path / "a.pt", entries | {"data/0": entries["data/0"][:-4]})
    _refused(weights, r"has \d+ bytes for 'model")


def test_big_endian(network, tmp_path):
    weights = files.save(tmp_path / "a.pt", model=network)
    files.pack(tmp_path / "a.pt", files.parts(weights) | {"byteorder": b"big"})
    _refused(weights, "was saved on a big-endian machine")


@pytest.mark.parametrize("kind", ["folder", "fifo", "device", "missing"])
def test_what_is_no_file(tmp_path, kind):
    import os

    path = tmp_path / "a.pt"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    _refused(str(path), "does not exist" if kind == "missing" else "is no file")


def test_export_and_evaluate_say_the_same(network, tmp_path, models):
    """Both doors lead to the loader, and both give its words, not a traceback."""
    network.names = ["a"]
    weights = files.save(tmp_path / "a.pt", model=network)
    message = "names 1 class .*, and its head has 10"
    with pytest.raises(CheckpointError, match=message):
        tftrt_yolo.export(weights, tmp_path / "x_saved_model")
    data = DATA / "detect" / "data.yaml"
    with pytest.raises(CheckpointError, match=message):
        tftrt_yolo.evaluate(models.exported("toy"), data, output_dir=tmp_path / "runs", compare_to=weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt"]
