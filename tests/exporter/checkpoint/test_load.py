"""Checkpoints of every form that Ultralytics has saved; the oracle is PyTorch's own unpickler on our own files."""

import collections
import copy
import datetime
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TINY_WEIGHTS
from tests.exporter.checkpoint import files

torch = pytest.importorskip("torch")

FRAMES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _outputs(network):
    with torch.inference_mode():
        return network(FRAMES)[0]


def _check(weights, network, tolerance=1e-5):
    """What is loaded computes what PyTorch's own copy computes, fused as ours is."""
    from tftrt_yolo.exporter.checkpoint.load import load

    yolo = load(weights)
    expected = _outputs(copy.deepcopy(network).float().eval().fuse(verbose=False))
    torch.testing.assert_close(_outputs(yolo.module), expected, atol=tolerance, rtol=1e-5)
    assert yolo.facts.names == files.NAMES
    return yolo


def _forms():
    from torch.nn.utils import prune

    def pruned(network):
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                prune.l1_unstructured(module, "weight", amount=0.3)
                prune.remove(module, "weight")
        return {"model": network}

    extras = {
        "best_fitness": np.float64(0.5),
        "train_args": {"a": np.float32(0.25), "b": np.int64(3), "c": np.bool_(True), "path": Path("data.yaml")},
        "date": datetime.datetime(2024, 1, 31, 12, 0),
        "last": collections.deque([1, 2], maxlen=3),
        "table": collections.defaultdict(list, {"loss": [1.0]}),
        "array": np.arange(3),
    }
    return {
        "model": lambda network: {"model": network},
        "half": lambda network: {"model": network.half()},
        "ema_alone": lambda network: {"model": None, "ema": network},
        "ema_first": lambda network: {"model": torch.nn.Linear(1, 1), "ema": network},
        "fused": lambda network: {"model": network.fuse(verbose=False)},
        "data_parallel": lambda network: {"model": torch.nn.DataParallel(network)},
        "pruned": pruned,
        "extras": lambda network: {"model": network, **extras},
        "optimizer": lambda network: {"model": network, "optimizer": torch.optim.SGD(network.parameters(), 0.1)},
        "in training": lambda network: {"model": network.train()},
        "without gradients": lambda network: {"model": network.requires_grad_(False)},
    }


@pytest.mark.parametrize("form", _forms())
def test_forms_that_ultralytics_saves(folder, network, form):
    document = _forms()[form](network)
    weights = files.save(folder / f"{form}.pt", **document)
    saved = document["ema"] if document.get("ema") is not None else document["model"]
    _check(weights, getattr(saved, "module", saved))


def test_distributed(folder, network):
    """As DataParallel; a process group would be needed to make one."""
    weights = files.save(folder / "ddp.pt", model=torch.nn.DataParallel(network))
    old = b"torch.nn.parallel.data_parallel\nDataParallel\n"
    _check(files.renamed(weights, old, b"torch.nn.parallel.distributed\nDistributedDataParallel\n"), network)


def test_a_bare_network(folder, network):
    torch.save(network, folder / "bare.pt")
    _check(str(folder / "bare.pt"), network)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols_of_pickle(folder, network, protocol):
    path = folder / f"protocol{protocol}.pt"
    torch.save({"model": network, "bytes": b"12", "big": 1 << 100, "set": {1, 2}}, path, pickle_protocol=protocol)
    _check(str(path), network)


def test_module_paths_of_ultralytics_8_0(folder, network):
    """Its layers stood in one file, and its namespace of settings elsewhere."""
    from ultralytics.utils import IterableSimpleNamespace

    network.args = IterableSimpleNamespace(task="detect")
    weights = files.save(folder / "old.pt", model=network)
    for new in (b"conv\nConv\n", b"block\nC2f\n", b"block\nSPPF\n", b"head\nDetect\n", b"conv\nConcat\n"):
        if b"ultralytics.nn.modules." + new in files.parts(weights)["data.pkl"]:
            old = b"ultralytics.nn.modules." + new
            files.renamed(weights, old, b"ultralytics.nn.modules\n" + new.partition(b"\n")[2])
    files.renamed(weights, b"ultralytics.utils\nIterable", b"ultralytics.yolo.utils\nIterable")
    _check(weights, network)


def test_attributes_that_older_versions_did_not_have(folder, network):
    for name in ("legacy", "np", "reg_max"):
        network.model[-1].__dict__.pop(name, None)
    for module in network.modules():
        if isinstance(module, torch.nn.Upsample):
            module.__dict__.pop("recompute_scale_factor")
    _check(files.save(folder / "older.pt", model=network), files.toy_network(folder))


@pytest.mark.parametrize("names", [list(files.NAMES.values()), {str(key): name for key, name in files.NAMES.items()}])
def test_names_as_ultralytics_takes_them(folder, network, names):
    network.names = names
    _check(files.save(folder / "names.pt", model=network), network)


def test_names_that_are_numbers(folder, network):
    from tftrt_yolo.exporter.checkpoint.load import load

    network.names = {index: index * 1.5 if index % 2 else index for index in range(files.NUM_CLASSES)}
    names = load(files.save(folder / "numbers.pt", model=network)).facts.names
    assert (names[2], names[3]) == ("2", "4.5")


def test_a_stride_that_is_missing_is_measured(folder, network):
    del network.stride
    assert _check(files.save(folder / "stride.pt", model=network), files.toy_network(folder)).facts.stride == 16


def test_a_normalisation_keeps_its_epsilon(folder, network):
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.02
    _check(files.save(folder / "eps.pt", model=network), network)


def test_an_activation_of_the_yaml_is_not_evaluated(folder):
    """Ultralytics' own default is as before, and the layers have the one that is named."""
    from ultralytics.nn.modules import Conv
    from ultralytics.nn.tasks import DetectionModel

    default = Conv.default_act
    document = files.toy_network(folder).yaml | {"activation": "torch.nn.LeakyReLU(0.1)"}
    network = DetectionModel(copy.deepcopy(document), ch=3, verbose=False).eval()
    network.names = files.NAMES
    yolo = _check(files.save(folder / "leaky.pt", model=network), network)
    assert isinstance(yolo.module.model[0].act, torch.nn.LeakyReLU)
    assert Conv.default_act is default


def test_what_is_loaded_is_the_file_and_no_copy_of_it_is_kept(tmp_path):
    """The trained one, by its bytes: every weight of the network that is rebuilt is a weight of the file."""
    from tftrt_yolo.exporter.checkpoint import contents, load

    shutil.copy(TINY_WEIGHTS, tmp_path / "a.pt")
    found = contents.read(str(tmp_path / "a.pt"))
    saved = torch.load(TINY_WEIGHTS, weights_only=False)
    saved = (saved["ema"] or saved["model"]).state_dict()
    assert found.tensors.keys() == saved.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in saved.items())
    assert load.load(str(tmp_path / "a.pt")).facts.num_parameters < sum(tensor.numel() for tensor in saved.values())
