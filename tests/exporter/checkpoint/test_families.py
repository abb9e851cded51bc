"""Networks of every family, narrow, as Ultralytics saves them: what is rebuilt computes what was saved, to the bit."""

import copy

import pytest

import tftrt_yolo
from tests.exporter.checkpoint import files

torch = pytest.importorskip("torch")

FAMILIES = (
    *("yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-obb", "yolov8n-cls", "yolov8n-p6", "yolov8n-ghost"),
    *("yolov3-tiny", "yolov5n", "yolov6n", "yolov9t", "yolov9c-seg", "yolov10n", "yolov10x"),
    *("yolo11n", "yolo11x-seg", "yolo11n-pose", "yolo11n-obb", "yolo11n-cls", "yolo12n", "yolo12x", "yolo12n-seg"),
    *("yolo26n", "yolo26x", "yolo26n-seg", "yolo26n-pose", "yolo26n-obb", "yolo26n-cls"),
)


def _network(name):
    """A network of one of Ultralytics' model YAMLs, a quarter as wide at most, normalised as after training."""
    from ultralytics.nn import tasks

    kinds = {"seg": "SegmentationModel", "pose": "PoseModel", "obb": "OBBModel", "cls": "ClassificationModel"}
    make = getattr(tasks, kinds.get(name.rpartition("-")[2], "DetectionModel"))
    document = tasks.yaml_model_load(f"{name}.yaml")
    for scale in (document.get("scales") or {}).values():
        scale[1:] = [min(scale[1], 0.25), 256]
    torch.manual_seed(0)
    network = make(document, ch=3, nc=files.NUM_CLASSES, verbose=False).eval()
    network.names = files.NAMES
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def _outputs(network, nms="one-to-many"):
    """What a network gives, of one branch of its head where it has both."""
    head = network.model[-1]
    if getattr(head, "one2one_cv2", None) is not None and head.cv2 is not None:
        head.end2end = nms == "one-to-one"
    with torch.inference_mode():
        found = network.fuse(verbose=False)(torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1)))
    while isinstance(found, (tuple, list)):
        found = found[0]
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(tmp_path, name):
    from tftrt_yolo.exporter.checkpoint.load import load

    network = _network(name).half()
    weights = files.save(tmp_path / "best.pt", model=None, ema=network, train_args={"imgsz": 128}, epoch=-1)
    yolo = load(weights)
    assert torch.equal(_outputs(yolo.module), _outputs(copy.deepcopy(network).float()))
    assert yolo.facts.names == files.NAMES

    has_both = getattr(network.model[-1], "one2one_cv2", None) is not None
    for nms in ("one-to-many", "one-to-one") if has_both else ("auto",):
        yolo = load(weights, nms)
        assert yolo.facts.head.is_end_to_end == (nms == "one-to-one")
        assert torch.equal(_outputs(yolo.module, nms), _outputs(copy.deepcopy(network).float(), nms))

        fused = copy.deepcopy(network).float()  # of two branches fusing drops the one that is not asked for
        if has_both:
            fused.model[-1].end2end = nms == "one-to-one"
        fused.fuse(verbose=False)
        yolo = load(files.save(tmp_path / "fused.pt", model=fused))
        assert yolo.facts.head.is_end_to_end == (nms == "one-to-one")
        assert torch.equal(_outputs(yolo.module, nms), _outputs(fused, nms))


@pytest.mark.parametrize("name", ["yolov8n", "yolo26n"])
@pytest.mark.parametrize("activation", [torch.nn.SiLU(), torch.nn.Identity(), torch.nn.ReLU()], ids=repr)
def test_a_pool_with_and_without_activation(tmp_path, name, activation):
    """Ultralytics has built SPPF in both ways, for the same YAML; what was saved counts, and nothing else is taken."""
    from tftrt_yolo.exporter.checkpoint.load import load

    network = _network(name)
    [pool] = [part for part in network.modules() if type(part).__name__ == "SPPF"]
    pool.cv1.act = activation
    weights = files.save(tmp_path / "best.pt", model=network)
    if isinstance(activation, torch.nn.ReLU):
        with pytest.raises(
            tftrt_yolo.CheckpointError, match=r"holds a torch.nn.modules.activation.ReLU as .*cv1\.act'"
        ):
            load(weights)
        return
    assert torch.equal(_outputs(load(weights).module), _outputs(copy.deepcopy(network)))
