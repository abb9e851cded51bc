"""Which branch of a head is run, of checkpoints with both, with one, and with one left after fusing."""

import copy

import pytest

import tftrt_yolo
from tests.exporter.checkpoint import files
from tests.exporter.checkpoint.test_families import _network

torch = pytest.importorskip("torch")

MANY, ONE = "one-to-many", "one-to-one"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Checkpoints of narrow networks by name; fused after ":", to the branch that is named there."""
    folder, networks = tmp_path_factory.mktemp("branches"), {}

    def make(name):
        name, _, left = name.partition(":")
        if name not in networks:
            networks[name] = _network(name)
        network = copy.deepcopy(networks[name])
        if left:
            network.model[-1].end2end = left == ONE
            network.fuse(verbose=False)
        return files.save(folder / f"{name}.pt", model=network)

    return make


@pytest.mark.parametrize(
    ("name", "there", "chosen"),
    [
        ("yolo26n", (MANY, ONE), MANY),
        ("yolov10n", (MANY, ONE), MANY),
        ("yolov8n", (MANY,), MANY),
        (f"yolo26n:{MANY}", (MANY,), MANY),
        (f"yolo26n:{ONE}", (ONE,), ONE),  # nothing else is left, and Ultralytics takes it too
        ("yolov8n-cls", (), ""),
    ],
)
def test_what_is_taken_unless_it_is_said(checkpoints, name, there, chosen):
    from tftrt_yolo.exporter.checkpoint.load import load

    facts = load(checkpoints(name)).facts
    assert facts.branches == there
    assert facts.head.is_end_to_end == (chosen == ONE)
    for nms in there:  # what there is can be named
        assert load(checkpoints(name), nms).facts.head.is_end_to_end == (nms == ONE)


@pytest.mark.parametrize(
    ("name", "nms", "message"),
    [
        ("yolov8n", ONE, r"yolov8n\.pt has no one-to-one branch: its head, Detect, was built with the one-to-many one"),
        ("yolov8n-cls", ONE, "ends in the head Classify, which finds no boxes and has no one-to-one branch"),
        ("yolov8n-cls", MANY, r"which finds no boxes and has no one-to-many branch\. Leave nms out"),
        (f"yolo26n:{MANY}", ONE, r"has no one-to-one branch any more: .* after fusing, .* here the one-to-many one"),
        (f"yolo26n:{ONE}", MANY, r"has no one-to-many branch any more: .* after fusing, .* here the one-to-one one"),
    ],
)
def test_a_branch_that_is_not_there(checkpoints, name, nms, message):
    from tftrt_yolo.exporter.checkpoint.load import load

    with pytest.raises(tftrt_yolo.CheckpointError, match=message):
        load(checkpoints(name), nms)


@pytest.mark.parametrize("nms", [MANY, ONE])
def test_what_is_written_anew_has_one_branch(checkpoints, tmp_path, nms):
    """Ultralytics then computes this branch, whatever its own default is."""
    from ultralytics.nn.tasks import load_checkpoint

    from tftrt_yolo.exporter.checkpoint import rewrite
    from tftrt_yolo.exporter.checkpoint.load import load

    weights, path = checkpoints("yolo26n"), tmp_path / "after.pt"
    assert rewrite.work(weights=weights, path=path, nms=nms) == ""
    network, _ = load_checkpoint(str(path))
    network.end2end = nms != ONE  # as its predict does, by its own nms
    expected = load(weights, nms).module
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network.fuse(verbose=False)(images)[0], expected(images)[0])


def test_a_network_is_counted_without_the_other_branch(checkpoints):
    """The two branches are alike, so either network has as many weights, and what both had is more."""
    from tftrt_yolo.exporter.checkpoint.load import load

    one, many = (load(checkpoints("yolo26n"), nms).facts.num_parameters for nms in (ONE, MANY))
    assert one == many < sum(weight.numel() for weight in _network("yolo26n").parameters())
