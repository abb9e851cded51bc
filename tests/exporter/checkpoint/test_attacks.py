"""Files that would run code, take all memory or never end, if they were unpickled or believed."""

import os
import pickle
import pickletools
import socket
import struct
import zipfile

import pytest

from tests import toy
from tests.calls import Calls
from tests.exporter.checkpoint import files
from tftrt_yolo.ground.errors import CheckpointError

torch = pytest.importorskip("torch")


@pytest.fixture
def refuses(tmp_path, monkeypatch):
    """Loads weights, which must be refused, and checks that nothing ran: no file, no connection."""
    monkeypatch.chdir(tmp_path)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)

    def check(weights, message):
        from tftrt_yolo.exporter.checkpoint.load import load

        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(CheckpointError, match=message) as caught:
            load(weights)
        assert sorted(tmp_path.rglob("*")) == before
        with pytest.raises(BlockingIOError):
            server.accept()
        assert len(str(caught.value)) < 1_500
        assert str(caught.value).isprintable()

    check.url = f"http://127.0.0.1:{server.getsockname()[1]}/evil.pt"
    yield check
    server.close()


CALLS = {
    "os.mkdir": (os.mkdir, "harm"),
    "eval": (eval, "__import__('os').mkdir('harm')"),
    "torch.load": (torch.load, "second.pt"),
    "torch.hub": (torch.hub.load, "a/b", "c"),
    "socket": (socket.create_connection, ("127.0.0.1", 9)),
}


@pytest.mark.parametrize("place", ["model", "ema", "train_args", "attribute", "key"])
@pytest.mark.parametrize("call", CALLS)
def test_calls_wherever_they_stand(network, refuses, tmp_path, call, place):
    evil = Calls(*CALLS[call])
    document = {"model": network}
    if place == "attribute":
        network.model[0].extra = evil
    elif place == "key":
        document["extra"] = {evil: 1}
    else:
        document[place] = evil
    message = r"holds the name '.*', which is none of PyTorch's or Ultralytics' classes, so it was not loaded"
    refuses(files.save(tmp_path / "a.pt", **document), message)


METHODS = (
    *("float", "eval", "modules", "named_modules", "state_dict", "forward", "load_state_dict", "to", "half"),
    *("train", "apply", "parameters"),
)


@pytest.mark.parametrize("name", METHODS)
def test_attributes_that_shadow_methods(network, refuses, tmp_path, name):
    """What ran code before: a Sequential in place of a method that the loader calls."""
    network.__dict__[name] = torch.nn.Sequential(torch.nn.Identity())
    refuses(files.save(tmp_path / "a.pt", model=network), rf"holds a Sequential as the method '{name}' of the network")


@pytest.mark.parametrize("name", METHODS)
def test_attributes_that_shadow_methods_of_layers(network, refuses, tmp_path, name):
    network.model[0].__dict__[name] = torch.nn.Sequential(torch.nn.Identity())
    refuses(files.save(tmp_path / "a.pt", model=network), rf"holds a Sequential as the method '{name}' of 'model.0'")


@pytest.mark.parametrize("name", ["_call_impl", "__class__", "__call__", "_apply", "register_buffer", "predict"])
def test_attributes_that_shadow_what_is_called_underneath(network, refuses, tmp_path, name):
    weights = files.save(tmp_path / "a.pt", model=network)
    entries = files.parts(weights)
    data = entries["data.pkl"]
    # The network's attribute "names" gets the method's name.
    old, new = (struct.pack("<I", len(text)) + text.encode() for text in ("names", name))
    files.pack(tmp_path / "a.pt", entries | {"data.pkl": data.replace(old, new)})
    refuses(weights, rf"holds a dict as the method '{name}' of the network")


def test_a_constructor_that_loads_a_second_file(network, refuses, tmp_path):
    """Ultralytics' DistillationModel loads its teacher, from a path or an address, without restriction."""
    (tmp_path / "second.pt").write_bytes(pickle.dumps(Calls(os.mkdir, "harm")))
    for teacher in (str(tmp_path / "second.pt"), refuses.url):
        call = b"cultralytics.nn.distill_model\nDistillationModel\n" + _text(teacher) + _text("yolov8n.pt") + b"\x86R"
        weights = files.with_pickle(tmp_path / "a.pt", b"\x80\x02}" + _text("model") + call + b"s.")
        refuses(weights, "a call of ultralytics.nn.distill_model.DistillationModel and no YOLO network")


@pytest.mark.parametrize("change", ["class", "wrapped"])
def test_networks_of_other_classes(network, refuses, tmp_path, change):
    weights = files.save(tmp_path / "a.pt", model=network)
    if change == "class":
        files.renamed(
            weights, b"ultralytics.nn.tasks\nDetectionModel\n", b"ultralytics.nn.distill_model\nDistillation\n"
        )
        refuses(weights, "holds a 'Distillation', which is not supported. Supported are ClassificationModel")
    else:
        files.renamed(weights, b"head\nDetect\n", b"head\nWorldDetect\n")
        refuses(weights, "ends in the head WorldDetect, which is not supported")


YAMLS = {
    "activation": (
        {"activation": "__import__('os').mkdir('harm')"},
        "activation is .* not a torch.nn layer",
    ),
    "activation by keyword": ({"activation": "nn.SiLU(inplace=__import__('os').mkdir('harm'))"}, "its activation is"),
    "activation that is a class of torch": ({"activation": "nn.Module()"}, "its activation is"),
    "activation of many": ({"activation": "nn." + "a." * 10_000}, "its activation is"),
    "layer": ({"backbone": [[-1, 1, "torch_safe_load", ["second.pt"]]]}, "'torch_safe_load', is not a layer"),
    "torchvision": (
        {"backbone": [[-1, 1, "TorchVision", [8, "resnet18", "DEFAULT"]]]},
        "'TorchVision', is not",
    ),
    "operators": ({"backbone": [[-1, 1, "torchvision.ops.nms", [8]]]}, "'torchvision.ops.nms', is not a layer"),
    "utilities": ({"backbone": [[-1, 1, "nn.utils", [8]]]}, "'nn.utils', is not a layer"),
    "variables": ({"backbone": [[-1, 1, "Conv", ["layers", 3]]]}, "has the argument 'layers'"),
    "repeats": ({"backbone": [[-1, 10**9, "Conv", [8, 3, 2]]]}, "is repeated 1000000000 times; expected 1 to 100"),
    "repeats of nothing": ({"backbone": [[-1, 10**9, "nn.Identity", []]]}, "is repeated 1000000000 times"),
    "deep": ({"scales": {"n": [1e9, 1.0, 1024]}}, "its scale 'n' is a list of 3; expected depth, width"),
    "wide": ({"width_multiple": 1e9}, "its width_multiple is 1000000000.0; expected a number up to 16"),
    "classes": ({"nc": 10**9}, "its nc is 1000000000; expected a whole number from 1 to 100,000"),
    "more classes": ({"nc": 100_000}, "describes a network of more numbers than the file holds"),
    "channels": ({"scales": {"n": [1.0, 16.0, 16_384]}, "scale": "n"}, "more numbers than"),
    "nan": ({"depth_multiple": float("nan")}, "its depth_multiple is nan"),
    "sources": ({"backbone": [[7, 1, "Conv", [8, 3, 2]]]}, "takes its input from layer 7, which is none before it"),
    "two heads": ({"backbone": [[-1, 1, "Detect", ["nc"]]]}, "is Detect; a head stands at the end"),
    "bins": ({"reg_max": 10**6}, "its reg_max is 1000000; expected a whole number from 1 to 256"),
}


@pytest.mark.parametrize("name", YAMLS)
def test_model_yamls_in_checkpoints(network, refuses, tmp_path, name):
    change, message = YAMLS[name]
    network.yaml = network.yaml | change
    refuses(files.save(tmp_path / "a.pt", model=network), message)


@pytest.mark.parametrize(
    "name", [name for name in YAMLS if name not in ("more classes", "channels", "activation of many")]
)
def test_model_yamls_of_users(refuses, tmp_path, name):
    import yaml

    change, message = YAMLS[name]
    document = yaml.safe_load(toy.MODEL_YAML.read_text()) | change
    (tmp_path / "yolov8n-evil.yaml").write_text(yaml.safe_dump(document))
    refuses(str(tmp_path / "yolov8n-evil.yaml"), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", "refers to an anchor in line 2"),
        ("[" * 200_000, "is nested more than 32 levels deep"),
        ("!!python/object/apply:os.mkdir [harm]", "is no YAML"),
        ("nc: \x1b[31m", "is no YAML"),
        ("", "holds None in place of its keys"),
        ("backbone: [[-1, 1, Conv]]\nhead: [[-1, 1, Detect, [nc]]]\nnc: 1", r"its layer 0 is a list of 3; expected \["),
    ],
)
def test_yaml_that_is_none(refuses, tmp_path, text, message):
    (tmp_path / "yolov8n-evil.yaml").write_text(text)
    refuses(str(tmp_path / "yolov8n-evil.yaml"), message)


NAMES = [
    "*.yaml",
    "[a-z]*.yaml",
    "http://127.0.0.1:9/a.yaml",
    "ul://a/b/c.yaml",
    "a" * 5_000 + ".yaml",
    "\0.yaml",
    "..yaml",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_model_yamls_that_are_none(name):
    """Ultralytics would look for a pattern, and fetch from an address."""
    from tftrt_yolo.exporter.checkpoint.load import load

    with pytest.raises(CheckpointError, match="is neither a file nor an official model YAML"):
        load(name)


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


PICKLES = {
    "no end": (b"\x80\x02}", "holds a damaged pickle|without an end"),
    "empty stack": (b"\x80\x02.", "holds a damaged pickle"),
    "unknown opcode": (b"\x80\x02\xff.", "holds a damaged pickle"),
    "persistent name": (b"\x80\x02Pos.system\n.", "the pickle opcode PERSID, which torch.save does not write"),
    "old instances": (b"(ios\nmkdir\n.", "the pickle opcode INST"),
    "extensions": (b"\x80\x02\x82\x01.", "the pickle opcode EXT1"),
    "builds on a class": (b"\x80\x02ctorch.nn\nModule\n}" + _text("x") + b"K\x01sb.", "gives attributes to the name"),
    "calls a text": (b"\x80\x02" + _text("x") + b")R.", "calls a str"),
    "makes of a number": (b"\x80\x02K\x01)\x81.", "makes an object of an int"),
    "colliding keys": (b"\x80\x02}\x8a\x09" + (1 << 64).to_bytes(9, "little") + b"K\x01s.", "dictionary with the key"),
    "lists as keys": (b"\x80\x02}]K\x01s.", "dictionary with the key a list of 0"),
    "odd items": (b"\x80\x02}(K\x01u.", "sets items of a dict"),
    "controls in a name": (b"\x80\x02cos\x1b[31m\nsystem\n.", r"holds the name 'os\\x1b\[31m.system'"),
    "long name": (b"\x80\x02c" + b"a" * 100_000 + b"\nb\n.", r"holds the name 'aaa.*' \.\.\., which is none"),
    "endless": (b"\x80\x02" + b"N" * 3_000_010 + b".", "holds more than 3,000,000 steps"),
    "yolov5": (b"\x80\x02cmodels.yolo\nModel\n.", "it is of the first YOLOv5, which Ultralytics no longer loads"),
    "a number": (b"\x80\x02K\x01.", "holds an int and no YOLO network"),
    "nested": (b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "holds a list and no YOLO network"),
    "circle": (b"\x80\x02]q\x00h\x00a.", "holds a list and no YOLO network"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_by_hand(refuses, tmp_path, name):
    data, message = PICKLES[name]
    refuses(files.with_pickle(tmp_path / "a.pt", data), message)


def test_tensors_that_reach_beyond_their_numbers(network, refuses, tmp_path):
    """Sides of the first weight, in the pickle: 10^9 of them on one number, and more than there are."""
    weights = files.save(tmp_path / "a.pt", model=network)
    entries = files.parts(weights)
    data, shape = entries["data.pkl"], tuple(network.model[0].conv.weight.shape)
    old = b"(" + b"".join(b"K" + bytes([side]) for side in shape) + b"t"
    assert old in data
    for side in (255, 1 << 30):
        new = b"(J" + struct.pack("<i", side) + b"".join(b"K" + bytes([side]) for side in shape[1:]) + b"t"
        files.pack(tmp_path / "a.pt", entries | {"data.pkl": data.replace(old, new, 1)})
        refuses(weights, r"holds a tensor 'model.0.conv.weight' that reaches beyond its numbers")


def _circle(network):
    network.model[0]._modules["inner"] = network


def _branching(network):
    module = torch.nn.Identity()
    for _ in range(20):
        outer = torch.nn.Module()
        outer._modules.update(a=module, b=module)
        module = outer
    network._modules["tree"] = module


def _deep(network):
    module = torch.nn.Identity()
    for _ in range(100):
        outer = torch.nn.Module()
        outer._modules["inner"] = module
        module = outer
    network._modules["tree"] = module


@pytest.mark.parametrize("change", [_circle, _branching, _deep])
def test_modules_that_contain_each_other(network, refuses, tmp_path, change):
    change(network)
    refuses(files.save(tmp_path / "a.pt", model=network), "modules contain each other, or more than 50,000 of them")


def _damaged(weights, how, path):
    data = bytearray(open(weights, "rb").read())  # noqa: SIM115
    with zipfile.ZipFile(weights) as file:
        entries = {entry.filename.partition("/")[2]: entry for entry in file.infolist()}
    if how == "bit":
        entry = entries["data/0"]
        data[entry.header_offset + 200] ^= 4
    elif how == "cut":
        del data[len(data) // 2 :]
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("how", ["bit", "cut"])
def test_damage_of_the_file(network, refuses, tmp_path, how):
    weights = files.save(tmp_path / "a.pt", model=network)
    refuses(_damaged(weights, how, tmp_path / "a.pt"), r"is damaged or cut short \(.*(CRC-32|zip).*copy or download it")


def test_every_bit_of_a_tensor_counts(network, refuses, tmp_path):
    """Of 25 flips in weights and pickle not one passes."""
    weights = files.save(tmp_path / "a.pt", model=network)
    entries, data = files.parts(weights), open(weights, "rb").read()  # noqa: SIM115
    biggest = max((name for name in entries if name.startswith("data/")), key=lambda name: len(entries[name]))
    starts = [data.index(entries[biggest]), data.index(entries["data.pkl"])]
    for index in range(25):
        flipped = bytearray(data)
        flipped[starts[index % 2] + 37 * index] ^= 1 << index % 8
        (tmp_path / "a.pt").write_bytes(flipped)
        refuses(weights, "CRC-32")


def test_archives_that_grow(network, refuses, tmp_path):
    weights = files.save(tmp_path / "a.pt", model=network)
    entries = files.parts(weights)
    files.pack(tmp_path / "a.pt", entries | {"data/x": bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    refuses(weights, "is a ZIP archive that is compressed")
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("archive/data.pkl", entries["data.pkl"])
        file.writestr("archive/data/0", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("archive/data/0", b"")
    refuses(weights, "has two entries of one name")


def test_archives_whose_table_fills_the_memory(network, refuses, tmp_path):
    """Two hundred thousand entries of nothing, and a record that claims a table of gigabytes."""
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        for index in range(200_000):
            file.writestr(zipfile.ZipInfo(f"archive/data/{index:0200}"), b"")
    refuses(str(tmp_path / "a.pt"), r"has a table of [\d,]+ bytes; at most 16,777,216 are read")
    weights = files.save(tmp_path / "a.pt", model=network)
    data = open(weights, "rb").read()  # noqa: SIM115
    at = data.rindex(b"PK\x06\x06") + 40
    (tmp_path / "a.pt").write_bytes(data[:at] + struct.pack("<Q", 1 << 40) + data[at + 8 :])
    refuses(weights, "has a table of 1,099,511,627,776 bytes")


def test_what_is_not_the_network_is_verified_and_not_kept(network, tmp_path):
    """An optimiser's numbers are read past; a bit of them counts all the same."""
    from tftrt_yolo.exporter.checkpoint import archive

    weights = files.save(tmp_path / "a.pt", model=network, optimizer={"state": torch.ones(1 << 20)})
    assert archive.read_storages(weights, {"0"}).keys() == {"0"}
    data = bytearray(open(weights, "rb").read())  # noqa: SIM115
    data[data.index(struct.pack("<4f", 1, 1, 1, 1) * 1000) + 50_000] ^= 1
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="CRC-32"):
        archive.read_storages(weights, {"0"})


def test_text_of_a_file_is_escaped(network, refuses, tmp_path):
    network.names = {0: "\x1b[2J\u202eevil"}
    weights = files.save(tmp_path / "a.pt", model=network)
    refuses(weights, r"names 1 class \(0\), and its head has 10")
    network.yaml = network.yaml | {"scale": "\x1b]0;x\x07", "scales": {"n": [1, 1, 1024]}}
    refuses(files.save(tmp_path / "a.pt", model=network), r"its scale is '\\x1b\]0;x\\x07'; expected one of those")


def test_the_opcodes_that_are_run_are_those_of_python():
    """The machine knows every opcode by pickletools' name; a newer Python's are refused."""
    from tftrt_yolo.exporter.checkpoint import pickle_machine

    known = {opcode.name for opcode in pickletools.opcodes}
    methods = {name[1:].upper() for name in vars(pickle_machine._Machine) if name[0] == "_" and name[1] != "_"}
    assert methods - {"TAKE_MARK"} <= known
    assert len(methods) >= 30
    assert known >= pickle_machine._DATA
