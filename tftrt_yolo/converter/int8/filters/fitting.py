"""Fits filters to what their convolutions read of the calibration images.

    filters = yield from fitting(graph_def, frames_name, layers, ranges, images)
    quantization.quantize(graph_def, layers, ranges, filters)

One pass over the images, through the network in floating point, takes a sample of places of each convolution's input
(`reading`). Its filter is then rounded so that the output stays (`rounding`), and what is still too much on average, by
clipping and rounding of input and filter, is taken off each output channel: a constant, exact in the graph.
"""

from collections.abc import Generator

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.calibration_images import Images
from tftrt_yolo.converter.int8.filters import rounding
from tftrt_yolo.converter.int8.filters.reading import Sample
from tftrt_yolo.converter.int8.histogram import Range
from tftrt_yolo.converter.int8.quantization import Filter, Layer
from tftrt_yolo.ground.workers.progress import Progress
from tftrt_yolo.saved_model import freeze

_PLACES = 4_096  # of a convolution, over all images: yolov8n's largest filter has 2,304 inputs


def fitting(
    graph_def: GraphDef, frames_name: str, layers: list[Layer], ranges: dict[str, Range], images: Images
) -> Generator[Progress, None, dict[str, Filter]]:
    """Runs the calibration images for the third time; yields progress.

    Args:
      graph_def: Frozen, float32, its channels equalised.
      frames_name: Name of its input tensor.
      layers: Its convolutions.
      ranges: What each of them reads to the values that are kept.
      images: The images.

    Returns:
      Name of each convolution to its filter; without those that cannot be sampled, whose weights are rounded each for
      itself. The same images give the same filters.
    """
    nodes = {node.name: node for node in graph_def.node}
    samples = []
    for layer in layers:
        threshold, offset = quantization.shift(nodes[layer.name], layer, ranges[layer.source])
        samples.append(Sample(nodes[layer.name], layer, threshold=threshold, offset=offset))
    samples = [sample for sample in samples if sample.is_product]
    sources = sorted({sample.layer.source for sample in samples})
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    run = whole.prune(frames_name, freeze.tensors(whole.graph, sources))
    count = len(images.paths)
    places, rng = -(-_PLACES // max(len(images.readable), 1)), np.random.default_rng(0)
    for frames in images.frames():
        activations = dict(zip(sources, (values.numpy() for values in run(tf.constant(frames))), strict=True))
        for sample in samples:
            sample.add(activations[sample.layer.source], places=places, rng=rng)
        yield Progress(2 * count + images.num_done, 3 * count)
    yield Progress(3 * count, 3 * count)  # the last ones may have been unreadable
    return {sample.layer.name: fit(nodes[sample.layer.name].op, sample) for sample in samples}


def fit(op: str, sample: Sample) -> Filter:
    """Fits a filter to a sample of what its convolution reads.

    Args:
      op: The convolution's.
      sample: At least one place.
    """
    layer, weights = sample.layer, sample.weights()
    factors = quantization.channel_thresholds(op, layer.kernel)
    outputs = len(factors)
    widths = np.tile(factors.astype(np.float64), weights.shape[1] // outputs) / quantization.LEVELS
    steps = rounding.round_filter(weights, widths, sample.moments())
    # A transposed convolution has several columns an output channel, and one constant.
    too_much = sample.mean_error(steps * widths).reshape(-1, outputs).mean(axis=0)
    kernel = sample.filter_of(steps).astype(np.float32) / np.float32(quantization.LEVELS)
    return Filter(kernel, 1.0, factors, -too_much)
