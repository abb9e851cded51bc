"""Reading saved_model.pb without running it: signatures, engines, native segments.

    message = saved_model_pb.read("yolov8n_tensorrt_saved_model")
    saved_model_pb.engine_nodes(message.meta_graphs[0].graph_def)          # the TRTEngineOps, one for YOLOv8

It needs TensorFlow for the message types only, so it also reads a converted model where TensorFlow has no TensorRT.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError

ENGINE_OP = "TRTEngineOp"


def read(saved_model_dir: str | Path) -> SavedModel:
    """Parses saved_model.pb and checks that it has our signatures.

    Args:
      saved_model_dir: Directory of the SavedModel.

    Returns:
      The message.

    Raises:
      SavedModelError: If the file is missing, cut short or damaged, or a signature of the contract is missing.
    """
    path = Path(saved_model_dir) / "saved_model.pb"
    try:
        message = SavedModel.FromString(path.read_bytes())
    except FileNotFoundError as error:
        raise SavedModelError(f"{path} does not exist. Expected a SavedModel directory.") from error
    except DecodeError as error:
        raise SavedModelError(
            f"{path} is damaged or cut short ({path.stat().st_size:,} bytes; {error}). Copy or export it again."
        ) from error
    found = sorted(message.meta_graphs[0].signature_def) if message.meta_graphs else []
    missing = [signature for signature in contract.SIGNATURES if signature not in found]
    if missing:
        raise SavedModelError(
            f"{saved_model_dir} has the signatures {', '.join(found) or '(none)'} and lacks {', '.join(missing)}. "
            "Expected a SavedModel that `tftrt-yolo export` or `tftrt-yolo convert` wrote."
        )
    return message


def all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Every node of a graph and of the functions in its library."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def engine_nodes(graph_def: GraphDef) -> dict[str, NodeDef]:
    """The TensorRT engines of a graph: name to node; the same engine in several functions counts once."""
    return {node.name: node for node in all_nodes(graph_def) if node.op == ENGINE_OP}


def built_engine_bytes(saved_model_dir: Path) -> dict[str, int]:
    """Sizes of the engines in a SavedModel's assets: engine name to bytes; an empty file counts as no engine.

    TF-TRT writes each as a TFRecord file with one record per built engine.
    """
    sizes = {}
    for path in sorted((saved_model_dir / "assets").glob("trt-serialized-engine.*")):
        with open(path, "rb") as file:
            header = file.read(8)
        if len(header) == 8:
            sizes[path.name.partition(".")[2]] = struct.unpack("<Q", header)[0]
    return sizes


def replace_engines(graph_def: GraphDef) -> None:
    """Turns every TRTEngineOp into a call of its native segment, in place.

    What runs then is plain TensorFlow: the very nodes that TensorRT would have taken.

    Args:
      graph_def: A SavedModel's graph.

    Raises:
      SavedModelError: If an engine has no native segment.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    engines = [node for node in all_nodes(graph_def) if node.op == ENGINE_OP]
    for node in engines:
        segment = node.attr["segment_func"].func.name
        if segment not in functions:
            raise SavedModelError(
                f"The engine {node.name} has no native segment, so only TensorRT can run it. Convert without the "
                "experimental feature remove_native_segments, or run it where TensorRT is."
            )
        input_types, output_types = list(node.attr["InT"].list.type), list(node.attr["OutT"].list.type)
        node.attr.clear()
        node.op = "PartitionedCall"
        node.attr["f"].func.name = segment
        node.attr["Tin"].list.type.extend(input_types)
        node.attr["Tout"].list.type.extend(output_types)
    names = {node.name for node in engines}
    for function in graph_def.library.function:
        # Inside a function an output is "node:argument:index", and the argument's name is the op's.
        for references in (*(node.input for node in function.node_def), function.ret):
            for key, reference in list(references.items() if references is function.ret else enumerate(references)):
                if reference.partition(":")[0] in names:
                    references[key] = reference.replace(":out_tensor:", ":output:")


def rename_functions(graph_def: GraphDef, suffix: str) -> None:
    """Gives every function of a graph's library a name of its own, in place.

    TensorFlow keeps one table of functions per process, and two converted models share names in it.

    Args:
      graph_def: A graph.
      suffix: Put behind each name.
    """
    names = {function.signature.name for function in graph_def.library.function}
    for function in graph_def.library.function:
        function.signature.name += suffix
    for node in all_nodes(graph_def):
        for attribute in node.attr.values():
            for reference in (attribute.func, *attribute.list.func):
                if reference.name in names:
                    reference.name += suffix
