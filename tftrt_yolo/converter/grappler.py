"""Precision baked into signature `network` by Grappler: XLA for GPUs, oneDNN for CPUs. It runs in a worker's process.

The weights become constants, so that they are cast once and laid out once; TensorFlow's own auto_mixed_precision
passes put float16 or bfloat16 into the graph, where the SavedModel keeps it. For XLA, jit_compile is stored as well.
Neither a GPU nor TensorRT is needed: the float16 pass only asks what kind of GPU there is, and a virtual one answers.

Source: tensorflow/core/grappler/optimizers/auto_mixed_precision.cc of TensorFlow 2.17, for what the passes do.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf import config_pb2, device_properties_pb2, meta_graph_pb2
from tensorflow.python.framework import tensor_util
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import cluster, tf_optimizer

from tftrt_yolo import contract, environment, saved_model
from tftrt_yolo.converter import parity
from tftrt_yolo.errors import ConversionError
from tftrt_yolo.exporter import assemble

_MIXED_PRECISION_PASS = {"FP16": "auto_mixed_precision", "BF16": "auto_mixed_precision_onednn_bfloat16"}
_DTYPE = {"FP32": tf.float32, "FP16": tf.float16, "BF16": tf.bfloat16}
_MATRIX_OPS = frozenset({"Conv2D", "MatMul"})


def work(
    *,
    saved_model_dir: str,
    output_saved_model_dir: Path,
    accelerator: str,
    precision_mode: str,
    parity_images: list[str],
) -> dict:
    """Converts a SavedModel.

    Args:
      saved_model_dir: A SavedModel of ours.
      output_saved_model_dir: An empty directory to fill.
      accelerator: "xla" or "onednn".
      precision_mode: "FP32", "FP16" or "BF16".
      parity_images: Paths of the images on which the result is compared with the export.

    Returns:
      The fields of BakedReport that are known here.

    Raises:
      ConversionError: If the pass left a convolution in float32, or the model was converted before.
      SavedModelError: If the SavedModel cannot be used.
    """
    environment.grow_gpu_memory()
    metadata = contract.read_metadata(saved_model_dir)
    saved_model.read(saved_model_dir)  # says what is damaged better than TensorFlow's loader does
    loaded = tf.saved_model.load(saved_model_dir)  # it must live as long as the signature
    signature = loaded.signatures[contract.NETWORK]
    frozen = convert_variables_to_constants_v2(signature)
    graph_def = frozen.graph.as_graph_def()
    names = sorted(signature.structured_outputs)  # a function's flat outputs are in the order of their names
    outputs = dict(zip(names, (tensor.name for tensor in frozen.outputs), strict=True))
    frames_name = frozen.inputs[0].name
    if accelerator == "xla":
        _pointwise_as_matmul(graph_def)
    if precision_mode in _MIXED_PRECISION_PASS:
        graph_def = _optimize(graph_def, frames_name, list(outputs.values()), _MIXED_PRECISION_PASS[precision_mode])
    matrix_ops = _count_matrix_ops(graph_def, precision_mode)
    is_jitted = accelerator == "xla"
    network = _as_network(graph_def, frames_name, outputs)
    assemble.save(network, metadata, output_saved_model_dir, jit_compile=is_jitted or None)
    return {
        "matrix_ops": matrix_ops,
        "is_jitted": is_jitted,
        "tensorflow_version": tf.__version__,
        "parity": parity.compare(saved_model_dir, output_saved_model_dir, parity_images),
    }


def _as_network(graph_def: GraphDef, frames_name: str, outputs: dict[str, str]) -> Callable:
    """A function of frames that puts a graph into the one that is being built.

    Args:
      graph_def: The graph; its placeholders are removed.
      frames_name: Name of its input tensor.
      outputs: Output name to tensor name.

    Returns:
      Frames (batch, S, S, 3) float32 to `boxes` and `scores`.
    """
    for index in reversed([i for i, node in enumerate(graph_def.node) if node.op == "Placeholder"]):
        del graph_def.node[index]

    def network(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = tf.graph_util.import_graph_def(
            graph_def, input_map={frames_name: frames}, return_elements=list(outputs.values()), name="baked"
        )
        return dict(zip(outputs, tensors, strict=True))

    return network


def _optimize(graph_def: GraphDef, frames_name: str, output_names: list[str], name: str) -> GraphDef:
    """Runs one mixed-precision pass and folds the casts of constants."""
    for node in graph_def.node:
        node.device = ""
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph_def, graph=graph)
    fetches = meta_graph_pb2.CollectionDef()
    fetches.node_list.value.extend([frames_name, *output_names])
    meta_graph.collection_def["train_op"].CopyFrom(fetches)
    config = config_pb2.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.optimizers.extend([name, "constfold"])
    rewrites.meta_optimizer_iterations = rewrites.ONE
    rewrites.min_graph_nodes = -1
    devices = _virtual_devices() if name == "auto_mixed_precision" else None
    return tf_optimizer.OptimizeGraph(config, meta_graph, cluster=devices, verbose=False)


def _virtual_devices() -> cluster.Cluster:
    """A machine with a GPU that multiplies float16 fast; without one the pass does nothing, and says nothing."""
    properties = device_properties_pb2.DeviceProperties
    gpu = properties(
        type="GPU",
        vendor="NVIDIA",
        num_cores=132,
        frequency=1_980,  # MHz
        memory_size=80 << 30,
        environment={"architecture": "9.0", "cuda": "12030", "cudnn": "8900"},
    )
    cpu = properties(type="CPU", num_cores=4, frequency=2_000, memory_size=8 << 30)
    names = {"/device:GPU:0": gpu, "/device:CPU:0": cpu}
    return cluster.Cluster(
        devices=[device_properties_pb2.NamedDevice(name=name, properties=device) for name, device in names.items()]
    )


def _count_matrix_ops(graph_def: GraphDef, precision_mode: str) -> int:
    """Counts the convolutions and matrix products, and checks that all have the precision that was asked for.

    Raises:
      ConversionError: If there are none, or one has another precision.
    """
    found = [tf.as_dtype(node.attr["T"].type) for node in graph_def.node if node.op in _MATRIX_OPS]
    others = [dtype.name for dtype in found if dtype != _DTYPE[precision_mode]]
    if others or not found:
        raise ConversionError(
            f"{len(others)} of {len(found)} convolutions stayed in {', '.join(sorted(set(others))) or 'no graph'}; all "
            f"were expected in {_DTYPE[precision_mode].name}. Unset TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_* and "
            "TF_ENABLE_ONEDNN_OPTS in the environment, and convert an export, not a conversion."
        )
    return len(found)


def _pointwise_as_matmul(graph_def: GraphDef) -> None:
    """Turns 1 x 1 convolutions into matrix products over the pixels, in place.

    The numbers are the same, and XLA knows better kernels for them: yolov8n at batch 64 runs 3 % more images/s.

    Args:
      graph_def: A frozen graph, channels last.
    """
    constants = saved_model.constants(graph_def)
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(graph_def, name="")
    convolutions = [node for node in graph_def.node if node.op == "Conv2D"]
    for node in convolutions:
        kernel = constants.get(node.input[1])
        if kernel is None or kernel.shape[:2] != (1, 1) or set(node.attr["strides"].list.i) != {1}:
            continue
        shape = graph.get_tensor_by_name(f"{node.name}:0").shape
        dtype, source = node.attr["T"].type, node.input[0]
        matrix = _add_constant(graph_def, f"{node.name}/matrix", kernel[0, 0])
        pixels = _add_constant(graph_def, f"{node.name}/pixels_shape", np.int32([-1, kernel.shape[2]]))
        grid = _add_constant(graph_def, f"{node.name}/grid_shape", np.int32([-1, *shape[1:]]))
        flat = graph_def.node.add(op="Reshape", name=f"{node.name}/pixels", input=[source, pixels])
        product = graph_def.node.add(op="MatMul", name=f"{node.name}/product", input=[flat.name, matrix])
        node.op = "Reshape"
        node.attr.clear()
        node.input[:] = [product.name, grid]
        for new_node in (flat, product, node):
            new_node.attr["T"].type = dtype
        for reshape in (flat, node):
            reshape.attr["Tshape"].type = tf.int32.as_datatype_enum


def _add_constant(graph_def: GraphDef, name: str, value: np.ndarray) -> str:
    """Adds a Const; returns its name."""
    node = graph_def.node.add(op="Const", name=name)
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
    return name
