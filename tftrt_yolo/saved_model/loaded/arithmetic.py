"""In which arithmetic a converted model is computed, where that is not the one that it was converted for.

    native = of_native_segments(meta_graph.graph_def, engines)      # "computed in FP32, and not by TensorRT in FP16"
    baked = of_baked(handle.conversion, "CPU")                      # empty where it is as it was converted for

Whoever gives figures of a model, accuracy or time, says this beside them.
"""

from collections.abc import Mapping

from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.ground import environment
from tftrt_yolo.ground.text import shown
from tftrt_yolo.saved_model import saved_model_pb

OF_STAND_IN = "computed on the host by the stand-in, in a rehearsal, and not by TensorRT"
_QUANTIZING = ("FakeQuant", "QuantizeAndDequantize")  # how the names of ops begin that round as INT8 does


def of_native_segments(graph_def: GraphDef, engines: Mapping[str, NodeDef]) -> str:
    """What TensorFlow computes in place of engines.

    Args:
      graph_def: A conversion's graph, with its engines.
      engines: Name to node of each engine.

    Returns:
      Half a sentence.
    """
    modes = {saved_model_pb.attribute(node, "precision_mode").s.decode(errors="replace") for node in engines.values()}
    wanted = f"and not by TensorRT in {shown('/'.join(sorted(modes)), 40)}"
    if "INT8" not in modes:
        return f"computed in FP32, {wanted}"
    if any(node.op.startswith(_QUANTIZING) for node in saved_model_pb.all_nodes(graph_def)):
        return f"computed in FP32 with the quantisations that are in the graph, {wanted}"
    return f"computed in FP32 without any quantisation, which TensorRT alone would apply, {wanted}"


def of_baked(conversion: Mapping, device: str) -> str:
    """What is computed of a precision that is in the graph itself.

    Args:
      conversion: conversion.json of a model for XLA or oneDNN.
      device: "GPU" or "CPU", where it runs.

    Returns:
      Half a sentence; empty where it runs on what it was converted for.
    """
    accelerator, precision_mode = conversion["accelerator"], conversion["precision_mode"]
    if accelerator == "xla":
        if device == "GPU" or precision_mode == "FP32":
            return ""
        return f"computed in {precision_mode} by XLA on a CPU, which rounds at other places than a GPU"
    if device == "GPU":
        if precision_mode == "INT8":
            return "computed on a GPU in FP32, and its convolutions in INT8 on the CPU beside it"
        return f"computed in {precision_mode} on a GPU, and not by oneDNN on a CPU"
    if precision_mode in environment.CPU_FLAGS and not environment.cpu_flags(precision_mode):
        return (
            f"computed in {precision_mode} without instructions for it, which this CPU lacks: slower, and rounded at "
            "other places"
        )
    return ""


def of_batch(conversion: Mapping | None, batch_size: int) -> str:
    """What TF-TRT computes of batches that its built engines have no profile for.

    Args:
      conversion: conversion.json; None of an export.
      batch_size: Images a batch.

    Returns:
      Half a sentence; empty where the engines take it, or none were built.
    """
    sizes = (conversion or {}).get("batch_sizes")
    is_list = isinstance(sizes, (list, tuple)) and sizes and all(isinstance(size, int) for size in sizes)
    if not is_list or not conversion.get("engines_built"):
        return ""
    is_exact = conversion.get("dynamic_shape_profile_strategy") == "Optimal"
    if batch_size in sizes or (not is_exact and min(sizes) <= batch_size <= max(sizes)):
        return ""
    return (
        f"computed in native segments, in FP32, for batches of {batch_size}: the engines are built for batch sizes "
        f"{', '.join(map(str, sizes))}"
    )
