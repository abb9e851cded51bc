"""Export's PyTorch half: checkpoint in, ONNX out. It runs in a worker's process; see `ground.workers.worker`."""

from collections.abc import Iterator
from pathlib import Path

import torch

from tftrt_yolo.exporter import onnx_trunk, pytorch_parity, reference
from tftrt_yolo.exporter.checkpoint.load import load


def work(*, weights: str, nms: str, size_hw: tuple[int, int] | None, onnx_path: Path) -> Iterator:
    """Does the PyTorch half of an export, step by step.

    Args:
      weights: As `checkpoint.load.load`.
      nms: See there.
      size_hw: Frame height and width in pixels; None for the model's own.
      onnx_path: Where the trunk goes.

    Yields:
      The ModelFacts, as soon as they are known; the ONNX file's path, once it is complete; and what `reference.run`
      gives for `pytorch_parity.reference_frames`.
    """
    yolo = load(weights, nms)
    yield yolo.facts
    size_hw = size_hw or yolo.facts.default_size_hw
    onnx_trunk.write_onnx_trunk(yolo, size_hw, onnx_path)
    yield onnx_path
    torch.set_num_threads(max(1, torch.get_num_threads() // 2))  # the other half works now, and it takes longer
    yield reference.run(yolo, pytorch_parity.reference_frames(size_hw))
