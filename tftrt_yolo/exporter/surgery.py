"""Blocks of a network in forms that TF-TRT takes and that run faster; the numbers stay the same.

    replace_blocks(module)        # in place

It runs in a worker's process, as `checkpoint` does.
"""

import functools

import torch
from ultralytics.nn.modules import C2f

from tftrt_yolo.ground.errors import ExportError


def replace_blocks(module: torch.nn.Module) -> None:
    """Replaces the forward passes of blocks, in place.

    A head for depth gets what it enlarges its levels by as a module, `enlarge`: its own pass calls a function of
    PyTorch's, which the tasks, that know the head and not PyTorch, cannot.

    Args:
      module: A fused network of Ultralytics.
    """
    for block in list(module.modules()):
        if type(block).__name__ == "Depth":  # by its name, for older versions of Ultralytics have none
            block.enlarge = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        if isinstance(block, C2f) and type(block).forward is C2f.forward:
            block.forward = functools.partial(_c2f_without_split, block)
        if isinstance(block, torch.nn.ConvTranspose2d):
            block.forward = functools.partial(_upsample_as_convolution, block)


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
    if {*block.kernel_size, *block.stride} != {size} or any((*block.padding, *block.output_padding)):
        raise ExportError(f"The model has a {block}, and TF-TRT takes no transposed convolution whose windows overlap.")
    channels_in, channels_out = block.in_channels, block.out_channels
    weight = _without_groups(block).permute(2, 3, 1, 0).reshape(size * size * channels_out, channels_in, 1, 1)
    bias = None if block.bias is None else block.bias.repeat(size * size)
    return _DepthToSpace.apply(torch.nn.functional.conv2d(features, weight, bias), size)


def _without_groups(block: torch.nn.ConvTranspose2d) -> torch.Tensor:
    """The weight of a transposed convolution, with zeros between its groups: (channels in, channels out, *kernel)."""
    if block.groups == 1:
        return block.weight
    width = block.out_channels // block.groups
    parts = enumerate(block.weight.chunk(block.groups))
    margins = ((index * width, (block.groups - 1 - index) * width, part) for index, part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, 0, 0, 0, left, right)) for left, right, part in margins])


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
