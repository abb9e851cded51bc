"""The recording: TF-TRT converts a frozen graph and gives its networks to the stand-in. A worker's process.

It is the product's own conversion but for two things. Engines are to be built at once (TF-TRT's static mode), and not
when the first batch comes, for that needs a GPU. And the graph is brought to channels first before it is divided:
where an engine is built as it runs, TF-TRT does that to the engine's segment (GenericLayoutOptimizer("NCHW") in
ConvertGraphDefToEngine, which static mode leaves out).

The process has the stand-in's environment (`stand_in.library.environment_for`).
"""

import ctypes
import gc
import os
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.compiler.tensorrt import trt_convert
from tensorflow.python.grappler import tf_optimizer

from tftrt_yolo.converter import partition
from tftrt_yolo.converter.baked import virtual_devices
from tftrt_yolo.converter.conversion_report import NetworkPart
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.recorder.graph import Frozen, Graph
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model import saved_model_pb


def work(*, given: str, frozen: Frozen, options: TensorRTOptions) -> dict:
    """Records the networks into the folder that the environment names.

    Args:
      given: The SavedModel, for messages.
      frozen: Its `network`, or the parts that it is divided into.
      options: TF-TRT's.

    Returns:
      What is known of the conversion.

    Raises:
      ConversionError: If no engine was made, or too much is left over.
      PreflightError: If TF-TRT could not build an engine's network.
    """
    _check_stand_in()
    told, signature_outputs, links = [], {}, {}
    for graph in frozen.graphs:
        graph_def = _converted(graph, options)
        told.append(NetworkPart(graph.precision_mode, graph.convolutions, graph.shapes, **partition.count(graph_def)))
        for engine, names in _named_outputs(graph_def, graph.outputs).items():
            signature_outputs[engine] = {port: name for port, name in names.items() if name in frozen.outputs}
            if len(frozen.graphs) > 1:
                links[engine] = {port: name for port, name in names.items() if name not in frozen.outputs}
                links[engine] |= _named_inputs(graph_def, engine, graph.inputs)
    counts = partition.together(told)
    partition.check_coverage(counts, given, options.minimum_coverage)
    recorded = recorded_network.join(Path(os.environ[library.RECORDING_DIR]), signature_outputs, links)
    engines = counts.pop("engines")
    if recorded != engines:
        raise PreflightError(
            f"TF-TRT made {counted(engines, 'engine')} of {given} and gave {counted(recorded, 'network')} to the "
            "builder. Set "
            "TF_CPP_VMODULE=convert_graph=2,convert_nodes=2 to see what it says, and report it."
        )
    return counts | {"tensorflow_version": tf.__version__}


def _converted(graph: Graph, options: TensorRTOptions) -> GraphDef:
    """What TF-TRT makes of a graph; it gives the stand-in each engine's network meanwhile."""
    with partition.reasons_written():
        optimized = tf_optimizer.tf_opt.TF_OptimizeGraphSerialized(
            # A machine with a GPU of a kind for which Grappler chooses channels first.
            virtual_devices.cluster_with(has_gpu=True, architecture=virtual_devices.PASCAL).tf_cluster,
            _config(graph.precision_mode, options).SerializeToString(),
            _meta_graph(graph.file, [*graph.inputs.values(), *graph.outputs.values()]),
            False,  # verbose
            b"tf_graph",  # TF-TRT leaves graphs of other names alone
            False,  # strip_default_attributes
        )
    return GraphDef.FromString(optimized)


def _check_stand_in() -> None:
    """Refuses to go on with another library than the stand-in.

    Raises:
      PreflightError: If TensorFlow would open a real TensorRT, or what passes for one.
    """
    for name in library.TENSORRT_LIBRARIES:
        if not _is_stand_in(name):
            raise PreflightError(
                f"{name} in this process is not the stand-in, which alone can record. Unset LD_PRELOAD, and run the "
                "preflight again."
            )


def _is_stand_in(name: str) -> bool:
    """Whether a library that is opened by this name is ours."""
    try:
        return hasattr(ctypes.CDLL(name), environment.STAND_IN_MARK)
    except OSError:
        return False


def _meta_graph(graph_file: Path, fetches: list[str]) -> bytes:
    """The graph on a GPU, serialised; nothing else holds the weights, of which Grappler makes a dozen copies."""
    meta_graph = meta_graph_pb2.MetaGraphDef()
    meta_graph.graph_def.ParseFromString(graph_file.read_bytes())
    for node in meta_graph.graph_def.node:
        node.device = "/device:GPU:0"
    meta_graph.collection_def["train_op"].node_list.value.extend(fetches)
    serialized = meta_graph.SerializeToString()
    del meta_graph
    gc.collect()
    return serialized


def _config(precision_mode: str, options: TensorRTOptions) -> config_pb2.ConfigProto:
    """TF-TRT's own passes, with engines that are built at once."""
    rewriter = trt_convert._get_tensorrt_rewriter_config(
        conversion_params=trt_convert.TrtConversionParams(
            max_workspace_size_bytes=options.max_workspace_size_bytes or partition.UNLIMITED_WORKSPACE_BYTES,
            precision_mode=precision_mode,
            minimum_segment_size=options.minimum_segment_size,
            maximum_cached_engines=1,
            use_calibration=False,
            allow_build_at_runtime=True,
        ),
        is_dynamic_op=True,
        use_implicit_batch=False,
        profile_strategy=options.strategy,
    )
    # False as an argument would want a batch size that is fixed.
    rewriter.custom_optimizers[0].parameter_map["is_dynamic_op"].b = False
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.CopyFrom(rewriter)
    return config


def _named_outputs(graph_def: GraphDef, outputs: dict[str, str]) -> dict[str, dict[str, str]]:
    """Name of each engine to its outputs' names in the network, each to the output of the graph that it is."""
    nodes = {node.name: node for node in graph_def.node}
    found = {name: {} for name, node in nodes.items() if node.op == saved_model_pb.ENGINE_OP}
    for output, tensor in outputs.items():
        name, _, index = tensor.partition(":")
        while name in nodes and nodes[name].op == "Identity":
            name, _, index = nodes[name].input[0].partition(":")
        if name in found:
            found[name][f"TensorRTOutputPH_{index or 0}"] = output
    return found


def _named_inputs(graph_def: GraphDef, engine: str, inputs: dict[str, str]) -> dict[str, str]:
    """Names of an engine's inputs in the network, each to the input of the graph that it is."""
    nodes, names = {node.name: node for node in graph_def.node}, {}
    by_node = {tensor.partition(":")[0]: name for name, tensor in inputs.items()}
    for index, reference in enumerate(one for one in nodes[engine].input if not one.startswith("^")):
        name = reference.partition(":")[0]
        while name in nodes and nodes[name].op == "Identity":
            name = nodes[name].input[0].partition(":")[0]
        if name in by_node:
            names[f"TensorRTInputPH_{index}"] = by_node[name]
    return names
