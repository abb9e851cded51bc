"""Builds the engine of a converted SavedModel as TRTEngineOp would on a GPU; run in the stand-in's environment.

Arguments: the library of route.cc, the SavedModel, precision (0 FP32, 1 FP16, 2 INT8), strategy, height, width.
"""

import ctypes
import sys
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

BATCH_SIZES = (1, 8, 32)
INT8 = 2


def segment_of(saved_model_dir: Path, shape: tf.TensorShape) -> GraphDef:
    """The engine's native segment as a graph with TF-TRT's names of inputs and outputs."""
    saved_model = SavedModel.FromString((saved_model_dir / "saved_model.pb").read_bytes())
    functions = saved_model.meta_graphs[0].graph_def.library.function
    [segment] = [function for function in functions if function.signature.name.endswith("_native_segment")]
    graph_def, tensor_names = function_def_to_graph_def(segment, [shape])
    for node in graph_def.node:
        if node.op == "Placeholder":
            dtype = node.attr["dtype"].type
            node.op = "_Arg"
            node.ClearField("attr")
            node.attr["T"].type, node.attr["index"].i = dtype, _number(node.name)
            node.attr["shape"].shape.CopyFrom(shape.as_proto())
    for output in segment.signature.output_arg:
        node = graph_def.node.add(name=output.name, op="_Retval", input=[tensor_names[segment.ret[output.name]]])
        node.attr["T"].type, node.attr["index"].i = output.type, _number(output.name)
    for node in graph_def.node:
        node.name = _as_tf_trt_names_it(node.name)
        node.input[:] = [_as_tf_trt_names_it(name) for name in node.input]
        definition = op_def_registry.get(node.op)  # defaults are left out of a file
        for attribute in definition.attr if definition else ():
            if attribute.HasField("default_value") and attribute.name not in node.attr:
                node.attr[attribute.name].CopyFrom(attribute.default_value)
    return graph_def


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _as_tf_trt_names_it(name: str) -> str:
    """A function's arguments are in small letters; TF-TRT knows its own by capitals."""
    return name.replace("tensorrtinputph_", "TensorRTInputPH_").replace("tensorrtoutputph_", "TensorRTOutputPH_")


def build(route: ctypes.CDLL, graph_def: GraphDef, precision: int, strategy: int, size_hw: tuple[int, int]) -> int:
    """Builds a segment's engine; 0 if TF-TRT is content."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(graph_def.SerializeToString())
        file.flush()
        batch_sizes = (ctypes.c_int * len(BATCH_SIZES))(*BATCH_SIZES)
        return route.build(
            file.name.encode(), precision, precision == INT8, strategy, batch_sizes, len(batch_sizes), *size_hw
        )


def main(library: str, saved_model_dir: str, precision: str, strategy: str, height: str, width: str) -> int:
    """Builds it; the stand-in writes it down."""
    size_hw = int(height), int(width)
    graph_def = segment_of(Path(saved_model_dir), tf.TensorShape((None, *size_hw, 3)))
    return build(ctypes.CDLL(library), graph_def, int(precision), int(strategy), size_hw)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
