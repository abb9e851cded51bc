"""Loading what Ultralytics saved: a checkpoint or a model YAML to a network that is ready to run.

    yolo = load("yolov8n.pt")
    yolo.module(images), yolo.facts.task

It runs in a worker's process (see `ground.workers.worker`): importing ultralytics patches Pillow, OpenCV and PyTorch. A
checkpoint may come from a stranger, so nothing of it is unpickled: it is read as records, and Ultralytics builds the
network anew from the YAML in it.
"""

import dataclasses
import os
import re
from pathlib import Path

import torch
from ultralytics.nn.tasks import guess_model_scale
from ultralytics.utils import ROOT

from tftrt_yolo.contract import AUTO, HeadSpec, ModelFacts
from tftrt_yolo.exporter import official, surgery
from tftrt_yolo.exporter.checkpoint import contents, fake_quantization, image_size, model_yaml, rebuild
from tftrt_yolo.exporter.checkpoint.fake_quantization import Trained
from tftrt_yolo.exporter.checkpoint.image_size import TrainedSize
from tftrt_yolo.exporter.ranges import trained_ranges
from tftrt_yolo.exporter.ranges.trained_ranges import TrainedLayer, TrainedRanges
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import clause, counted, quoted
from tftrt_yolo.tasks import branches
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_TASK_OF_HEAD = {head: task for task in TASKS.values() for head in task.heads}
_CHANNELS = 3  # of the images
_MOST_YAML_BYTES = 1 << 20
_MOST_HEAD = 40  # characters of a head's name that is shown as it is
# As ultralytics.nn.tasks.yaml_model_load: yolov8x.yaml is yolov8.yaml, of scale x.
_FORMER_P6 = re.compile(r"(yolov[58])([nslmx])6(\.ya?ml)$")
_SCALE = re.compile(r"(\d+)([nslmx])(.+)?$")
# Ultralytics' classes of networks that are built by DetectionModel and its sisters.
_NETWORKS = frozenset(
    (
        *("ClassificationModel", "DepthModel", "DetectionModel", "OBBModel", "PoseModel", "SegmentationModel"),
        *("SemanticSegmentationModel", "YOLOv10DetectionModel"),
    )
)


@dataclasses.dataclass(frozen=True)
class Yolo:
    """A model in PyTorch, fused and ready to run.

    Attributes:
      module: The network, float32, in evaluation mode.
      facts: What export needs to know of it.
    """

    module: torch.nn.Module
    facts: ModelFacts


def load(weights: str, nms: str = AUTO) -> Yolo:
    """Loads a checkpoint, or builds a model YAML with random weights.

    Args:
      weights: Path of a .pt checkpoint; or path or official name of a model YAML ("yolov8n.yaml"), which is built with
        random weights.
      nms: Which branch of the head is to run, as `export` takes it.

    Returns:
      The model.

    Raises:
      CheckpointError: If the file is missing, damaged, no YOLO, of a task or head that is not supported, not what
        Ultralytics builds from its YAML, or without the branch that is asked for.
    """
    module, names, trained, quantized = _read(weights)
    quantized = fake_quantization.scaled(quantized, module)
    head = module.model[-1]
    there = branches.Branches.of(head)
    chosen = there.choose(nms, weights)
    branches.keep_only(head, chosen)
    module = module.float().eval().fuse(verbose=False)
    ranges = _trained_ranges(module, quantized, weights)
    surgery.replace_blocks(module)
    task, stride = _TASK_OF_HEAD[type(head).__name__], int(max(module.stride))
    facts = ModelFacts(
        task=task.name,
        names=names,
        head=_head_spec(head, len(names)),
        stride=stride,
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
        default_size_hw=image_size.frame_size(trained.size_hw or (task.default_size,) * 2, stride),
        trained_size_hw=trained.size_hw,
        size_note=trained.note,
        trained_ranges=ranges,
        branches=there.there,
    )
    return Yolo(module, facts)


def read(weights: str) -> tuple[torch.nn.Module, dict[int, str], TrainedSize]:
    """As `load`, but neither fused nor changed: the network, float32, its classes' names, and its training's size."""
    module, names, trained, _ = _read(weights)
    return module, names, trained


def _read(weights: str) -> tuple[torch.nn.Module, dict[int, str], TrainedSize, dict[str, Trained]]:
    """As `read`, with the ranges of the convolutions that were trained with fake quantisation, by their paths."""
    is_yaml = Path(weights).suffix.lower() in official.YAML_SUFFIXES
    return (*_build_from_yaml(weights), {}) if is_yaml else _load_checkpoint(weights)


def _trained_ranges(module: torch.nn.Module, trained: dict[str, Trained], weights: str) -> TrainedRanges | None:
    """The ranges of a fused network with the hashes of its filters; None where it has none."""
    if not trained:
        return None
    layers = []
    for path, one in trained.items():
        convolution = module.get_submodule(path) if path in dict(module.named_modules()) else None
        if convolution is None:  # a branch that fuse() dropped
            continue
        weight = convolution.weight.detach()
        if isinstance(convolution, torch.nn.ConvTranspose2d):
            raise CheckpointError(
                f"{weights} was trained with fake quantisation of {quoted(path)}, a transposed convolution, whose "
                "ranges have no place in TensorRT. Leave it in float."
            )
        layers.append(
            TrainedLayer(
                name=path,
                step=one.step,
                first=one.first,
                last=one.last,
                filter_steps=tuple(one.filter_steps.tolist()),
                channels=tuple(trained_ranges.digests(weight.permute(2, 3, 1, 0).numpy())),
            )
        )
    return TrainedRanges(tuple(layers))


def _head_spec(head: torch.nn.Module, num_classes: int) -> HeadSpec:
    """What a decode needs to know of a head."""
    shape = getattr(head, "kpt_shape", None)
    return HeadSpec(
        strides=tuple(int(stride) for stride in getattr(head, "stride", ())),
        reg_max=int(getattr(head, "reg_max", 1)),
        kind=type(head).__name__,
        num_classes=num_classes,
        keypoint_shape=None if shape is None else tuple(shape),
        is_end_to_end=bool(getattr(head, "end2end", False)),
    )


def _load_checkpoint(weights: str) -> tuple[torch.nn.Module, dict[int, str], TrainedSize, dict[str, Trained]]:
    """The network of a checkpoint, built anew, its classes' names, its training's size, and ranges if it has any."""
    if not os.path.exists(weights):
        raise official.missing(weights)
    found, quantized = fake_quantization.split(contents.read(weights))
    task = _task_of(found.head.kind, weights)
    if found.network.kind not in _NETWORKS:
        raise CheckpointError(
            f"{weights} holds a {quoted(found.network.kind)}, which is not supported. Supported are "
            f"{', '.join(sorted(_NETWORKS))}."
        )
    document = _checked(found.model_yaml, weights, found.input_channels)
    module = rebuild.rebuild(found, document, task.name)
    trained = image_size.read(found.train_args, found.network.attributes.get("args"))
    return module, contents.names_of(found, document["nc"]), trained, quantized


def _build_from_yaml(weights: str) -> tuple[torch.nn.Module, dict[int, str], TrainedSize]:
    """A network with random weights, and numbers for names."""
    document = _checked(_read_yaml(weights), weights)
    module = rebuild.build(document, weights, _TASK_OF_HEAD[model_yaml.head_of(document)].name)
    return module, {index: str(index) for index in range(document["nc"])}, image_size.UNTRAINED


def _read_yaml(weights: str) -> dict:
    """A model YAML of the user's, or Ultralytics' own of that name; the name says the scale: n, s, m, l or x."""
    name = re.sub(_FORMER_P6, r"\1\2-p6\3", weights)
    path = next(filter(None, map(_find_yaml, (name, re.sub(_SCALE, r"\1\3", name)))), None)
    if path is None:
        raise CheckpointError(
            f"{weights} is neither a file nor an official model YAML. Expected for example yolov8n.yaml."
        )
    try:
        document = reading.parse_yaml(reading.read_text(path, _MOST_YAML_BYTES))
    except (OSError, reading.UnreadableError) as error:
        raise CheckpointError(f"{weights} cannot be read: it {clause(error)}. Expected a model YAML.") from error
    return {**document, "scale": guess_model_scale(name)} if isinstance(document, dict) else document


def _find_yaml(name: str) -> Path | None:
    """A file, or the one of that name among Ultralytics' own; a pattern or an address is none."""
    path = Path(name)
    if os.path.exists(name):  # as above
        return path
    is_plain = path.name == name and re.fullmatch(r"[\w.-]{1,100}", name)
    return next((ROOT / "cfg" / "models").rglob(name), None) if is_plain else None


def _checked(document: object, weights: str, input_channels: int | None = None) -> dict:
    """A model YAML that can be built, of a head that is supported and for RGB images, by its weights too."""
    head = model_yaml.head_of(document)
    if head is not None:
        _task_of(head, weights)
    if input_channels not in (None, _CHANNELS):
        _refuse_channels(weights, input_channels)
    document = model_yaml.check(document, weights, frozenset(_TASK_OF_HEAD))
    if document["channels"] != _CHANNELS:
        what = "" if input_channels is None else f" by its YAML, and of {input_channels} by its first convolution"
        _refuse_channels(weights, document["channels"], what)
    return document


def _refuse_channels(weights: str, channels: int, what: str = "") -> None:
    raise CheckpointError(
        f"{weights} takes images of {counted(channels, 'channel')}{what}. Only RGB images, 3 channels, are supported."
    )


def _task_of(head: str, weights: str) -> Task:
    """The task of a head by the name of its class; refuses one that is not known."""
    if head not in _TASK_OF_HEAD:
        shown = head if head.isidentifier() and len(head) <= _MOST_HEAD else quoted(head)
        raise CheckpointError(
            f"{weights} ends in the head {shown}, which is not supported. Supported are {', '.join(_TASK_OF_HEAD)}: "
            "the heads of YOLOv8 and its family. Train or choose a model with one of these."
        )
    return _TASK_OF_HEAD[head]
