"""Precision baked into signature `network`: XLA for GPUs, oneDNN for CPUs. It runs in a worker's process.

The weights become constants, so that they are cast once and laid out once; TensorFlow's own auto_mixed_precision
passes put float16 or bfloat16 into the graph, where the SavedModel keeps it; INT8 is put there by integer_convolutions.
For XLA, jit_compile is stored as well.
Neither a GPU nor TensorRT is needed: the passes only ask what devices there are, and virtual ones answer.

Source: tensorflow/core/grappler/optimizers/auto_mixed_precision.cc of TensorFlow 2.17, for what the passes do.
"""

import functools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework import tensor_util
from tensorflow.python.grappler import tf_optimizer

from tftrt_yolo.contract import Metadata
from tftrt_yolo.converter.baked import baked_parity, virtual_devices, xla_forms
from tftrt_yolo.converter.int8 import accuracy, depthwise, integer_convolutions
from tftrt_yolo.converter.int8.accuracy import Quantization, Ranges
from tftrt_yolo.converter.int8.calibration_images import Images
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.converter.int8.in_float.float_layers import FloatLayers
from tftrt_yolo.converter.int8.quantization import Layer, find_layers
from tftrt_yolo.graph import biases
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.ground.workers.progress import Progress, Stage
from tftrt_yolo.saved_model import freeze, write
from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished

_MIXED_PRECISION_PASS = {"FP16": "auto_mixed_precision", "BF16": "auto_mixed_precision_onednn_bfloat16"}
_DTYPE = {"FP32": tf.float32, "FP16": tf.float16, "BF16": tf.bfloat16}
# For batches of up to so many images: how many numbers the matrix product of a convolution may have an image; 0, the
# last, is for larger ones. Measured with yolov8n on an H200: all as products at batch 1 0.47 ms, with cuDNN 1.2 to 1.7;
# 0.69 against 1.37 at 2; 0.99 against 1.46 at 4; 1.21 against 1.46 at 8.
_MOST_PRODUCT_VALUES = {2: 8_000_000, 4: 1_000_000, 8: 500_000, 0: 0}
_SHARED_BYTES = 1 << 10  # larger constants are stored once for all variants
_MATRIX_OPS = frozenset({"Conv2D", "MatMul"})


def work(
    *,
    source: SavedModelHandle,
    output_dir: Path,
    accelerator: str,
    precision_mode: str,
    parity_images: list[str] | None,
    batch_sizes: tuple[int, ...],
    quantization: Quantization | None = None,
) -> Iterator[Progress | Stage | dict]:
    """Converts a SavedModel.

    Args:
      source: An export.
      output_dir: An empty directory to fill.
      accelerator: "xla" or "onednn".
      precision_mode: "FP32", "FP16", "BF16" or "INT8".
      parity_images: Paths of the images on which the result is compared with the export; None for packaged ones.
      batch_sizes: Those that XLA compiles, in rising order; empty for every power of two, and with onednn.
      quantization: For INT8 what to calibrate with, and how accurate the result must be.

    Yields:
      Progress of the calibration, stages, and last the fields of BakedReport that are known here.

    Raises:
      ConversionError: If the pass left a convolution in float32, or the model was converted before; or, of INT8, no
        convolution gains, the images say nothing about a range, or too much is lost.
      SavedModelError: If the SavedModel cannot be used.
    """
    environment.grow_gpu_memory()
    yield Stage("reading the SavedModel")
    dataset = accuracy.read_labels(source, quantization)
    graph_def, frames_name, outputs = freeze.freeze_network(source)
    if accelerator == "onednn":
        biases.say_bias_add(_as_graph(graph_def), graph_def)
    yield Stage(f"converting to {precision_mode}")
    if precision_mode in _MIXED_PRECISION_PASS:
        graph_def = _optimize(graph_def, frames_name, list(outputs.values()), _MIXED_PRECISION_PASS[precision_mode])
    graph_def = _pruned(graph_def, list(outputs.values()))
    matrix_ops = _count_matrix_ops(graph_def, "FP32" if quantization else precision_mode)
    if quantization:
        images = Images(quantization.calibration.images, source.metadata)
        in_float = _in_float(graph_def, outputs, quantization.calibration.float_layers, source.metadata)
        layers = yield from _in_integers(
            graph_def, frames_name, images, quantization.calibration.method, in_float=in_float
        )
        graph_def = _pruned(graph_def, list(outputs.values()))
    is_jitted = accelerator == "xla"
    variants = _variants(graph_def, list(outputs.values())) if is_jitted else [(0, graph_def)]
    network = _as_network(variants, frames_name, outputs)
    yield Stage("writing the SavedModel")
    write.save(network, source.metadata, output_dir, compiled_sizes=CompiledSizes(batch_sizes) if is_jitted else None)
    yield Stage("comparing with the export")
    found = {}
    if quantization:
        names = tuple(choosing.short_name(layer) for layer in in_float)
        ranges = Ranges(layers, images.readable, images.unreadable, float_layers=names)
        found["quantization"] = accuracy.measure(source, open_unfinished(output_dir), quantization, ranges, dataset)
    yield found | {
        "matrix_ops": matrix_ops,
        "is_jitted": is_jitted,
        "tensorflow_version": tf.__version__,
        "batch_sizes": batch_sizes if is_jitted else None,
        **baked_parity.measure(
            source, open_unfinished(output_dir), parity_images, batch_size=min(batch_sizes, default=1)
        ),
    }


def _in_float(
    graph_def: GraphDef, outputs: dict[str, str], wanted: FloatLayers | None, metadata: Metadata
) -> list[Layer]:
    """The convolutions that were asked to stay in float; a sensitivity report knows depthwise ones as ordinary."""
    layers = find_layers(depthwise.as_ordinary(graph_def)) if wanted else []
    chosen = choosing.choose(wanted, graph_def, layers, outputs, metadata)
    return [layer for layer in layers if layer.name in chosen]


def _in_integers(
    graph_def: GraphDef, frames_name: str, images: Images, method: str, *, in_float: list[Layer]
) -> Generator[Progress | Stage, None, int]:
    """Calibrates, and puts convolutions in INT8 into a graph, in place; yields events, returns how many they are."""
    yield Stage("measuring the calibration images")
    convolutions = integer_convolutions.find(graph_def, in_float={layer.name for layer in in_float})
    histograms = yield from integer_convolutions.observing(graph_def, frames_name, convolutions, images)
    ranges = {name: histogram.range(method) for name, histogram in histograms.items()}
    integer_convolutions.replace(graph_def, convolutions, ranges)
    return len(convolutions)


def _pruned(graph_def: GraphDef, output_names: list[str]) -> GraphDef:
    """What the outputs need: no weights in the old precision, and no order, for nothing has side effects."""
    for node in graph_def.node:
        node.input[:] = [name for name in node.input if not name.startswith("^")]
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, [name.partition(":")[0] for name in output_names])


def _variants(graph_def: GraphDef, output_names: list[str]) -> list[tuple[int, GraphDef]]:
    """The same network for batches of different sizes: the largest batch of each, and its graph."""
    xla_forms.rewrite(graph_def)
    variants = []
    for most_images, most_values in _MOST_PRODUCT_VALUES.items():
        variant = GraphDef()
        variant.CopyFrom(graph_def)
        xla_forms.convolutions_as_products(variant, most_values)
        variants.append((most_images, _pruned(variant, output_names)))
    return variants


def _as_network(
    variants: list[tuple[int, GraphDef]], frames_name: str, outputs: dict[str, str]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """A function of frames that puts graphs into the one that is being built, and chooses among them by the batch.

    XLA knows the batch when it compiles and keeps one of them.

    Args:
      variants: Graphs that compute the same, each with the largest batch that it is for; the last serves any. Their
        placeholders are removed, and so are the larger constants, which are then there once for all.
      frames_name: Name of the input tensor.
      outputs: Output name to tensor name.

    Returns:
      Frames (batch, S, S, 3) float32 to the outputs.
    """
    shared = _take_shared([graph_def for _, graph_def in variants])

    def network(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        names = [f"{node.name}:0" for node in shared.node]
        constants = tf.graph_util.import_graph_def(shared, return_elements=names, name="weights") if names else []

        def run(graph_def: GraphDef) -> list[tf.Tensor]:
            given = dict(zip([frames_name, *names], map(tf.identity, [frames, *constants]), strict=True))
            return tf.graph_util.import_graph_def(
                graph_def, input_map=given, return_elements=list(outputs.values()), name="baked"
            )

        branches = [functools.partial(run, graph_def) for _, graph_def in variants]
        if len(branches) == 1:
            return dict(zip(outputs, branches[0](), strict=True))
        # A case and not conditions: of a case with a known index XLA takes one branch, of a condition it compiles both.
        most_images = [most for most, _ in variants[:-1]]
        index = tf.reduce_sum(tf.cast(tf.shape(frames)[0] > most_images, tf.int32))
        return dict(zip(outputs, tf.switch_case(index, branches), strict=True))

    return network


def _take_shared(graph_defs: list[GraphDef]) -> GraphDef:
    """Takes placeholders out of graphs, and the larger constants that are in all of them if there are several.

    Returns:
      A graph of the constants, as plain bytes: TensorFlow itself writes float16 as varints of up to three.
    """
    shared = GraphDef(versions=graph_defs[0].versions)
    if len(graph_defs) > 1:
        large = [
            {n.name: n for n in graph_def.node if n.op == "Const" and n.attr["value"].tensor.ByteSize() > _SHARED_BYTES}
            for graph_def in graph_defs
        ]
        shared.node.extend(large[0][name] for name in large[0] if all(name in others for others in large[1:]))
    for node in shared.node:
        tensor = node.attr["value"].tensor
        content = tensor_util.MakeNdarray(tensor).tobytes()
        node.attr["value"].tensor.CopyFrom(
            TensorProto(dtype=tensor.dtype, tensor_shape=tensor.tensor_shape, tensor_content=content)
        )
    names = {node.name for node in shared.node}
    for graph_def in graph_defs:
        for index in reversed(range(len(graph_def.node))):
            node = graph_def.node[index]
            if node.op == "Placeholder" or node.name in names:
                del graph_def.node[index]
    return shared


def _optimize(graph_def: GraphDef, frames_name: str, output_names: list[str], name: str) -> GraphDef:
    """Runs one mixed-precision pass and folds the casts of constants."""
    for node in graph_def.node:
        node.device = ""
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph_def, graph=_as_graph(graph_def))
    fetches = meta_graph_pb2.CollectionDef()
    fetches.node_list.value.extend([frames_name, *output_names])
    meta_graph.collection_def["train_op"].CopyFrom(fetches)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.extend([name, "constfold"])
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.min_graph_nodes = -1
    devices = virtual_devices.cluster_with(has_gpu=name == "auto_mixed_precision")
    return tf_optimizer.OptimizeGraph(config, meta_graph, cluster=devices, verbose=False)


def _as_graph(graph_def: GraphDef) -> tf.Graph:
    """The graph of some nodes, in which types and shapes are known."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    return graph


def _count_matrix_ops(graph_def: GraphDef, precision_mode: str) -> int:
    """Counts the convolutions and matrix products, and checks that all have the precision that was asked for.

    Raises:
      ConversionError: If there are none, or one has another precision.
    """
    found = [tf.as_dtype(node.attr["T"].type) for node in graph_def.node if node.op in _MATRIX_OPS]
    others = [dtype.name for dtype in found if dtype != _DTYPE[precision_mode]]
    if others or not found:
        raise ConversionError(
            f"{len(others)} of {counted(len(found), 'convolution')} stayed in "
            f"{', '.join(sorted(set(others))) or 'no graph'}; all "
            f"were expected in {_DTYPE[precision_mode].name}. Unset TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_* and "
            "TF_ENABLE_ONEDNN_OPTS in the environment, and convert an export, not a conversion."
        )
    return len(found)
