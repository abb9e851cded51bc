"""A network that was trained with fake quantisation, ready to be quantised by its own ranges; no image is run.

    found = prepare(source, Calibration((), "trained"))
    found.grids[found.layers[0].name].threshold

What it reads is rounded as in the training: the multiples of a step, shifted where the training had a zero point, which
the graph takes off before and adds again behind. So are the filters, each output channel by its own step.
"""

import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.converter.comparison import packaged_images
from tftrt_yolo.converter.int8 import depthwise, quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.filters import padding
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.exporter.ranges import trained_ranges
from tftrt_yolo.exporter.ranges.trained_ranges import TrainedRanges
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.handle import SavedModelHandle

_LAST = 127  # of 8 bits
_SHOWN = 3


def prepare(source: SavedModelHandle, calibration: Calibration) -> Calibrated:
    """Finds the trained range of every convolution.

    Args:
      source: An export.
      calibration: Its images are those to compare on, the packaged ones if there are none; its layers that stay in
        float need no range.

    Returns:
      The network as it is, and the grid of each convolution.

    Raises:
      ConversionError: If the export has no trained ranges, they are not of all convolutions that are to be quantised,
        or layers that are to stay in float are unknown or leave nothing to quantise.
      SavedModelError: If they are damaged.
    """
    ranges = trained_ranges.read(source)
    if ranges is None:
        raise ConversionError(
            f"{source.given} has no ranges that it was trained with: {quoted(source.metadata.weights)} was not trained "
            "with fake quantisation, or was exported by an older version. Export such a checkpoint, or leave "
            f"{argument('calibration')} out and give {argument('calibration_data')}."
        )
    frozen, frames_name, outputs = freeze.freeze_network(source)
    graph_def = depthwise.as_ordinary(frozen)
    layers = quantization.find_layers(graph_def)
    in_float = choosing.choose(calibration.float_layers, graph_def, layers, outputs, source.metadata)
    kept = tuple(layer for layer in layers if layer.name in in_float)
    graph_def = padding.pad_before(depthwise.as_ordinary(frozen, kept=in_float), kept=in_float)
    in_int8 = [layer for layer in quantization.find_layers(graph_def) if layer.name not in in_float]
    images = calibration.images or tuple(packaged_images(source.metadata.task))
    grids = _grids(in_int8, ranges, source)
    _check_padding(graph_def, in_int8, grids)
    return Calibrated(
        graph_def,
        frames_name,
        outputs,
        in_int8,
        ranges={},
        readable=list(images),
        unreadable=[],
        grids=grids,
        float_layers=kept,
    )


def _check_padding(graph_def: GraphDef, layers: list, grids: dict[str, quantization.Grid]) -> None:
    """Refuses a convolution whose own zeros could not be shifted with what it reads."""
    nodes = {node.name: node for node in graph_def.node}
    for layer in layers:
        node = nodes[layer.name]
        if grids[layer.name].offset and (node.op != "Conv2D" or quantization.pads(node, layer)):
            raise ConversionError(
                f"Layer {layer.label} ({node.op}) pads what it reads with {node.attr['padding'].s.decode()} and "
                f"strides {list(node.attr['strides'].list.i)}, and was trained with a zero point there, which needs "
                "padding that is the same for every size. Export the checkpoint anew, or train with symmetric ranges."
            )


def _grids(layers: list, ranges: TrainedRanges, source: SavedModelHandle) -> dict[str, quantization.Grid]:
    """Name of each convolution to its grid."""
    grids, missing = {}, []
    for layer in layers:
        found = ranges.find(layer.kernel)
        if found is None:
            missing.append(layer)
            continue
        trained, filter_steps = found
        # All that the training kept are kept; where it kept fewer than 256 numbers, some below them are too.
        offset = (trained.last - _LAST) * np.float32(trained.step)
        grids[layer.name] = quantization.Grid(_LAST * trained.step, float(offset), filter_steps)
    if missing:
        named = ", ".join(f"{layer.label} {list(layer.kernel.shape)}" for layer in missing[:_SHOWN])
        theirs = ", ".join(f"{quoted(layer.name)} of {len(layer.channels)}" for layer in ranges.layers[:_SHOWN])
        raise ConversionError(
            f"{counted(len(missing), 'convolution')} of {len(layers)} in {source.given} ({named}) have no range among "
            f"the {counted(len(ranges.layers), 'layer')} that were trained with one ({theirs} output channels, ...): "
            "they were left in float, or the ranges are of another network. TF-TRT builds an INT8 engine only where "
            f"every convolution has one. Name those that stay in float ({argument('float_layers')}; 'head' is what "
            f"gives the outputs), leave {argument('calibration')} out and give {argument('calibration_data')}, or "
            "train all of them."
        )
    return grids
