"""Export's PyTorch half: from a checkpoint to an ONNX trunk; the only place that imports torch and ultralytics.

    yolo = load("yolov8n.pt")
    write_onnx_trunk(yolo, (640, 640), Path("trunk.onnx"))
    reference = run(yolo, frames)    # PyTorch's own dense predictions, for the parity check

It runs in a worker's process (see `tftrt_yolo.ground.worker`): importing ultralytics patches Pillow, OpenCV and
PyTorch. A checkpoint is a pickle and may come from a stranger: only the known classes of PyTorch and Ultralytics are
loaded from it, and a model YAML may only name Ultralytics' and PyTorch's layers.
"""

import ast
import dataclasses
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxslim
import torch
from ultralytics.nn import modules as ultralytics_modules
from ultralytics.nn.tasks import ClassificationModel, DetectionModel, PoseModel, torch_safe_load, yaml_model_load
from ultralytics.utils import checks

from tftrt_yolo.contract import HeadSpec, ModelFacts
from tftrt_yolo.exporter import pytorch_parity
from tftrt_yolo.ground.errors import CheckpointError, ExportError
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_TASK_OF_HEAD = {head: task for task in TASKS.values() for head in task.heads}
_MODEL_OF_TASK = {"pose": PoseModel, "classify": ClassificationModel}  # of the others, DetectionModel builds all
_OPSET = 17  # the newest that PyTorch's TorchScript exporter and onnx2tf 1.28 both know whole
_SHAPE_ARITHMETIC = {"Shape", "Gather", "Range", "ConstantOfShape", "Where", "Loop", "If"}


@dataclasses.dataclass(frozen=True)
class Yolo:
    """A model in PyTorch, fused and ready to run.

    Attributes:
      module: The network, float32, in evaluation mode.
      facts: What export needs to know of it.
    """

    module: torch.nn.Module
    facts: ModelFacts


def work(*, weights: str, size_hw: tuple[int, int] | None, onnx_path: Path) -> Iterator:
    """Does the PyTorch half of an export, step by step.

    Args:
      weights: As `load`.
      size_hw: Frame height and width in pixels; None for the task's own.
      onnx_path: Where the trunk goes.

    Yields:
      The ModelFacts, as soon as they are known; the ONNX file's path, once it is complete; and what `run` gives for
      `pytorch_parity.reference_frames`.
    """
    yolo = load(weights)
    yield yolo.facts
    size_hw = size_hw or (TASKS[yolo.facts.task].default_size,) * 2
    write_onnx_trunk(yolo, size_hw, onnx_path)
    yield onnx_path
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # the other half works now, and it takes longer
    yield run(yolo, pytorch_parity.reference_frames(size_hw))


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
    for block in module.modules():
        if isinstance(block, ultralytics_modules.C2f) and type(block).forward is ultralytics_modules.C2f.forward:
            block.forward = functools.partial(_c2f_without_split, block)
        if isinstance(block, torch.nn.ConvTranspose2d):
            block.forward = functools.partial(_upsample_as_convolution, block)
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


def _c2f_without_split(block: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """C2f's forward with a convolution for each half of its first one's output, instead of a split.

    The numbers are the same. A split copies both halves, and on a GPU it keeps the activation from being fused with
    what follows: yolov8n under XLA runs 9 % more images/s at batch 64 without it. chunk() would also export the
    channel count as shape arithmetic.

    Args:
      block: A fused C2f.
      features: (batch, channels, height, width).

    Returns:
      What C2f.forward returns.

    Source: ultralytics.nn.modules.block.C2f.
    """
    first = block.cv1.conv
    halves = zip(first.weight.split(block.c), first.bias.split(block.c), strict=True)
    parts = [block.cv1.act(torch.nn.functional.conv2d(features, weight, bias)) for weight, bias in halves]
    for bottleneck in block.m:
        parts.append(bottleneck(parts[-1]))
    return block.cv2(torch.cat(parts, dim=1))


def _upsample_as_convolution(block: torch.nn.ConvTranspose2d, features: torch.Tensor) -> torch.Tensor:
    """A transposed convolution whose windows do not overlap as a 1 x 1 convolution, and its outputs put side by side.

    The numbers are the same. TF-TRT takes a transposed convolution only if it knows the batch.

    Args:
      block: One with kernel and stride of the same size and no padding, as the heads for segmentation have.
      features: (batch, channels, height, width).

    Returns:
      What its forward returns.

    Raises:
      ExportError: If its windows overlap.
    """
    size = block.stride[0]
    if (
        {*block.kernel_size, *block.stride} != {size}
        or any((*block.padding, *block.output_padding))
        or block.groups > 1
    ):
        raise ExportError(f"The model has a {block}, and TF-TRT takes no transposed convolution whose windows overlap.")
    channels_in, channels_out = block.weight.shape[:2]
    weight = block.weight.permute(2, 3, 1, 0).reshape(size * size * channels_out, channels_in, 1, 1)
    bias = None if block.bias is None else block.bias.repeat(size * size)
    return _DepthToSpace.apply(torch.nn.functional.conv2d(features, weight, bias), size)


class _DepthToSpace(torch.autograd.Function):
    """ONNX's DepthToSpace with the channels in TensorFlow's order, which torch.nn.functional.pixel_shuffle has not."""

    @staticmethod
    def forward(_, features: torch.Tensor, size: int) -> torch.Tensor:
        """Takes (batch, size * size * channels, height, width) to (batch, channels, size * height, size * width)."""
        batch, channels, height, width = features.shape
        blocks = features.reshape(batch, size, size, channels // size**2, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // size**2, height * size, width * size)

    @staticmethod
    def symbolic(graph, features, size: int):
        """The ONNX node."""
        return graph.op("DepthToSpace", features, blocksize_i=size, mode_s="DCR")


def run(yolo: Yolo, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Runs the model in PyTorch.

    Args:
      yolo: The model.
      frames: (batch, height, width, 3) float32 in [0, 1].

    Returns:
      What signature `network` gives for the task (see `tftrt_yolo.tasks`), float32, under the same names.
    """
    images = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    with torch.inference_mode():
        outputs = [_dense_outputs(yolo, image[None]) for image in images]  # one by one: half the memory
    whole = [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]
    return TASKS[yolo.facts.task].reference(whole, yolo.facts.head)


def _dense_outputs(yolo: Yolo, image: torch.Tensor) -> list[torch.Tensor]:
    """What Ultralytics' network gives for every anchor, before a selection of its own."""
    predictions, raw = yolo.module(image)
    outputs = list(predictions) if isinstance(predictions, tuple) else [predictions]
    if yolo.facts.head.is_end_to_end:  # forward() has selected already; this is what it selected from
        outputs[0] = yolo.module.model[-1]._inference(raw["one2one"])
    return outputs


def write_onnx_trunk(yolo: Yolo, size_hw: tuple[int, int], path: Path) -> None:
    """Exports the network up to its head's decode, with a dynamic batch and no shape arithmetic.

    Args:
      yolo: The model.
      size_hw: Frame height and width in pixels.
      path: File to write; outputs in the order of `Task.part_names`.

    Raises:
      ExportError: If shape arithmetic is left over after simplification: TF-TRT would cut the network there.
    """
    layers, task = yolo.module.model, TASKS[yolo.facts.task]
    output_names = [f"{part}_{level}" for part, level in task.part_names(len(yolo.facts.head.strides))]
    head, layers[-1] = layers[-1], _RawHead(layers[-1], task)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch announces another exporter, whose files onnx2tf cannot read
            torch.onnx.export(
                yolo.module,
                torch.zeros(1, 3, *size_hw),
                str(path),
                input_names=["frames"],
                output_names=output_names,
                dynamic_axes={name: {0: "batch"} for name in ["frames", *output_names]},
                opset_version=_OPSET,
                dynamo=False,
            )
    finally:
        layers[-1] = head
    model = onnxslim.slim(str(path))
    left_over = sorted({node.op_type for node in model.graph.node} & _SHAPE_ARITHMETIC)
    if left_over:
        raise ExportError(
            f"The ONNX network still computes shapes ({', '.join(left_over)}), which TF-TRT would "
            "not take into one engine. Expected a network of Ultralytics; check the model's custom layers."
        )
    onnx.save(model, str(path))


class _RawHead(torch.nn.Module):
    """Stands in for a head and returns the raw outputs of its last layers."""

    def __init__(self, head: torch.nn.Module, task: Task):
        super().__init__()
        self.head, self._task = head, task
        self.f, self.i, self.type = head.f, head.i, head.type  # how Ultralytics' forward pass finds a layer's inputs

    def forward(self, features: list[torch.Tensor] | torch.Tensor) -> list[torch.Tensor]:
        """Takes the features to the raw outputs, in the order of `Task.part_names`."""
        parts = self._task.raw_outputs(self.head, features)
        names = self._task.level_parts + self._task.whole_parts
        return [tensor for name in names for tensor in parts[name]]


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
