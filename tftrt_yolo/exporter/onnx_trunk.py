"""From PyTorch to ONNX: the network up to its head's decode, with a dynamic batch.

    write_onnx_trunk(yolo, (640, 640), Path("trunk.onnx"))

It runs in a worker's process, as `checkpoint` does.
"""

import warnings
from pathlib import Path

import onnx
import onnxslim
import torch

from tftrt_yolo.exporter.checkpoint.load import Yolo
from tftrt_yolo.ground.errors import ExportError
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_OPSET = 17  # the newest that PyTorch's TorchScript exporter and onnx2tf 1.28 both know whole
_SHAPE_ARITHMETIC = {"Shape", "Gather", "Range", "ConstantOfShape", "Where", "Loop", "If"}


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
