"""Loading what Ultralytics saved: a checkpoint, a model YAML or an official name to a network that is ready to run.

    yolo = load("yolov8n.pt")
    yolo.module(images), yolo.facts.task

It runs in a worker's process (see `tftrt_yolo.ground.workers.worker`): importing ultralytics patches Pillow, OpenCV and
PyTorch. A checkpoint is a pickle and may come from a stranger: only the known classes of PyTorch and Ultralytics are
loaded from it, and a model YAML may only name Ultralytics' and PyTorch's layers.
"""

import ast
import dataclasses
from pathlib import Path

import torch
from ultralytics.nn import modules as ultralytics_modules
from ultralytics.nn.tasks import ClassificationModel, DetectionModel, PoseModel, torch_safe_load, yaml_model_load
from ultralytics.utils import checks

from tftrt_yolo.contract import CLASSIFY, POSE, HeadSpec, ModelFacts
from tftrt_yolo.exporter import surgery
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_TASK_OF_HEAD = {head: task for task in TASKS.values() for head in task.heads}
_MODEL_OF_TASK = {POSE: PoseModel, CLASSIFY: ClassificationModel}  # of the others, DetectionModel builds all


@dataclasses.dataclass(frozen=True)
class Yolo:
    """A model in PyTorch, fused and ready to run.

    Attributes:
      module: The network, float32, in evaluation mode.
      facts: What export needs to know of it.
    """

    module: torch.nn.Module
    facts: ModelFacts


def load(weights: str) -> Yolo:
    """Loads a checkpoint, builds a model YAML with random weights, or fetches an official model.

    Args:
      weights: Path of a .pt checkpoint; path or official name of a model YAML ("yolov8n.yaml"); or an official name
        ("yolov8n"), which Ultralytics downloads where it can.

    Returns:
      The model.

    Raises:
      CheckpointError: If the file is missing, damaged, no YOLO, or of a task or head that is not supported.
    """
    module = _build_from_yaml(weights) if Path(weights).suffix in {".yaml", ".yml"} else _load_checkpoint(weights)
    head = module.model[-1]
    task = _task_of(type(head).__name__, weights)
    channels = module.yaml.get("channels", 3)
    if channels != 3:
        raise CheckpointError(
            f"{weights} takes images of {channels} channels. Only RGB images, 3 channels, are supported."
        )
    if getattr(head, "one2one_cv2", None) is not None:
        head.end2end = True  # of two branches the one that needs no suppression; fuse() drops the other
    module = module.float().eval().fuse(verbose=False)
    surgery.replace_blocks(module)
    facts = ModelFacts(
        task=task.name,
        names={int(index): str(name) for index, name in module.names.items()},
        head=_head_spec(head, len(module.names)),
        stride=int(max(module.stride)),
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
    )
    return Yolo(module, facts)


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


def _load_checkpoint(weights: str) -> torch.nn.Module:
    """Unpickles a checkpoint with known classes only and returns its network."""
    file = checks.check_model_file_from_stem(weights)
    try:
        checkpoint, _ = torch_safe_load(str(file), safe_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{weights} does not exist, and it is no official name that could be downloaded from here. "
            "Expected a .pt checkpoint, a model YAML or an official name such as yolov8n."
        ) from error
    except Exception as error:
        raise CheckpointError(
            f"{weights} cannot be loaded: {_plain(error)} Expected a YOLOv8 checkpoint that Ultralytics saved; copy "
            "or download the file again."
        ) from error
    module = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(module, torch.nn.Module) or not isinstance(getattr(module, "model", None), torch.nn.Sequential):
        raise CheckpointError(
            f"{weights} holds {_describe(module, checkpoint)}. Expected a YOLOv8 checkpoint that Ultralytics saved, "
            "with the network under 'model' or 'ema'."
        )
    return module


def _build_from_yaml(weights: str) -> torch.nn.Module:
    """Builds a model YAML with random weights, after a look at what it would run."""
    try:
        document = yaml_model_load(weights)
        _check_layers(document)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{weights} is neither a file nor an official model YAML. Expected for example yolov8n.yaml."
        ) from error
    except Exception as error:
        raise CheckpointError(f"{weights} does not describe a YOLO model: {_plain(error)}") from error
    task = _task_of(document["head"][-1][2], weights)
    try:
        model = _MODEL_OF_TASK.get(task.name, DetectionModel)
        return model(document, ch=document.get("channels", 3), verbose=False)
    except Exception as error:
        raise CheckpointError(f"{weights} does not describe a YOLO model: {_plain(error)}") from error


def _task_of(head: str, weights: str) -> Task:
    """The task of a head by the name of its class; refuses one that is not known."""
    if head not in _TASK_OF_HEAD:
        raise CheckpointError(
            f"{weights} ends in the head {head}, which is not supported. Supported are {', '.join(_TASK_OF_HEAD)}: "
            "the heads of YOLOv8 and its family. Train or choose a model with one of these."
        )
    return _TASK_OF_HEAD[head]


def _check_layers(document: dict) -> None:
    """Refuses a model YAML that names anything but layers: Ultralytics evaluates `activation` and looks names up."""
    activation = document.get("activation")
    if activation is not None:
        call = ast.parse(str(activation), mode="eval").body
        name = ast.unparse(call.func).removeprefix("torch.") if isinstance(call, ast.Call) else ""
        literal = isinstance(call, ast.Call) and all(
            isinstance(value, ast.Constant) for value in [*call.args, *(keyword.value for keyword in call.keywords)]
        )
        if not literal or not name.startswith("nn.") or not hasattr(torch.nn, name[3:]):
            raise ValueError(f"activation {activation!r} is not a torch.nn layer with constant arguments.")
    for _, _, layer, _ in document["backbone"] + document["head"]:
        known = hasattr(torch.nn, layer[3:]) if layer.startswith("nn.") else layer in ultralytics_modules.__all__
        if not known:
            raise ValueError(f"{layer!r} is not a layer of Ultralytics or torch.nn.")
    if not document["head"]:
        raise ValueError("it has no head.")


def _describe(module, checkpoint: dict) -> str:
    """Says what a checkpoint holds that is no network."""
    if module is None:
        return f"a dictionary with the keys {', '.join(map(str, list(checkpoint)[:5])) or '(none)'} and no network"
    return f"a {type(module).__name__} and no YOLO network"


def _plain(error: Exception) -> str:
    """An error's first line, without emphasis marks."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.removeprefix("ERROR ❌️ ").removeprefix("ERROR ").rstrip(".") + "."
