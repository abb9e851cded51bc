"""Reading saved_model.pb without running it: signatures, engines, native segments.

    message = saved_model_pb.read("yolov8n_tensorrt_saved_model")
    saved_model_pb.engine_nodes(message.meta_graphs[0].graph_def)          # the TRTEngineOps, one for YOLOv8

It needs TensorFlow for the message types only, so it also reads a converted model where TensorFlow has no TensorRT.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.framework.attr_value_pb2 import AttrValue
from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import counted, first_line, printable, quoted

ENGINE_OP = "TRTEngineOp"
INTEGER_OP = "_FusedQuantizedConv2D"  # a convolution of oneDNN's in INT8
_MOST_BYTES = (2 << 30) - 1  # protobuf cannot take more
_SHOWN = 20  # signatures, in a message
# What names the operation that a server runs first: tensorflow/python/saved_model/constants.py
_MAIN_OP, _INIT_SIGNATURE = "saved_model_main_op", "__saved_model_init_op"


def read(saved_model_dir: str | Path) -> SavedModel:
    """Parses saved_model.pb and checks that it has one graph of TensorFlow 2's with our signatures.

    Args:
      saved_model_dir: Directory of the SavedModel.

    Returns:
      The message.

    Raises:
      SavedModelError: If the file is missing, no file, too large, cut short or damaged, a signature of the contract is
        missing, or there is more or less than one graph.
    """
    path = Path(saved_model_dir) / contract.SAVED_MODEL.marker
    try:
        data = reading.read_bytes(path, _MOST_BYTES)
        message = SavedModel.FromString(data)
    except FileNotFoundError as error:
        raise SavedModelError(f"{path} does not exist. Expected a SavedModel directory.") from error
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read: {error.strerror}. Copy or export it again.") from error
    except reading.UnreadableError as error:
        raise SavedModelError(f"{path} {error}. Expected what `export` wrote; copy or export it again.") from error
    except (DecodeError, RecursionError) as error:
        raise SavedModelError(
            f"{path} is damaged or cut short ({len(data):,} bytes; {first_line(error)}). Copy or export it again."
        ) from error
    found = sorted(message.meta_graphs[0].signature_def) if message.meta_graphs else []
    missing = [signature for signature in contract.SIGNATURES if signature not in found]
    if missing:
        shown = ", ".join(map(printable, found[:_SHOWN])) or "(none)"
        raise SavedModelError(
            f"{saved_model_dir} has the signatures {shown} and lacks {', '.join(missing)}. "
            "Expected a SavedModel that `tftrt-yolo export` or `tftrt-yolo convert` wrote."
        )
    _check_form(message, path)
    return message


def _check_form(message: SavedModel, path: Path) -> None:
    """Refuses what TensorFlow's loader would take in another way than as a module of TensorFlow 2's.

    Raises:
      SavedModelError: If there is more than one graph, no object graph, or no operation to begin with.
    """
    remedy = "Expected what `tftrt-yolo export` or `tftrt-yolo convert` wrote; copy or export it again."
    if len(message.meta_graphs) != 1:
        raise SavedModelError(
            f"{path} holds {counted(len(message.meta_graphs), 'graph')}, and one was expected. {remedy}"
        )
    [meta_graph] = message.meta_graphs
    if not meta_graph.object_graph_def.nodes:
        raise SavedModelError(f"{path} has no object graph, so TensorFlow 1 wrote it. {remedy}")
    started = []
    if _MAIN_OP in meta_graph.collection_def:
        started += meta_graph.collection_def[_MAIN_OP].node_list.value
    if _INIT_SIGNATURE in meta_graph.signature_def:
        started += [tensor.name for tensor in meta_graph.signature_def[_INIT_SIGNATURE].outputs.values()]
    nodes = {node.name for node in meta_graph.graph_def.node}
    lost = [name for name in started if name.partition(":")[0] not in nodes]
    if lost or not started:
        found = f"begins with {quoted(lost[0])}, which is not in it" if lost else "has nothing to begin with"
        raise SavedModelError(f"{path} {found}. {remedy}")


def all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Every node of a graph and of the functions in its library."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def called(nodes: Iterable[NodeDef]) -> Iterator[str]:
    """Names of the functions that nodes call, or hand on to what they call; those of ops are among them."""
    for node in nodes:
        yield node.op  # a function's name may stand in an op's place
        for attribute in node.attr.values():
            kind = attribute.WhichOneof("value")
            if kind == "func":
                yield attribute.func.name
            elif kind == "list":
                yield from (func.name for func in attribute.list.func)


def reached(functions: dict[str, Iterable[NodeDef]], names: Iterable[str]) -> frozenset[str]:
    """The functions of these names, and all that they call.

    Args:
      functions: Name to nodes, of the whole library.
      names: Where to start; those that are no function are passed over.

    Returns:
      Names.
    """
    seen, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in functions and name not in seen:
            seen.add(name)
            waiting += called(functions[name])
    return frozenset(seen)


def nodes_behind(meta_graph: MetaGraphDef, signature: str) -> Iterator[NodeDef]:
    """The nodes of the graph that a signature's outputs are computed from, and those of the functions they call."""
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    functions = {function.signature.name: function.node_def for function in meta_graph.graph_def.library.function}
    names = {output.name.partition(":")[0] for output in meta_graph.signature_def[signature].outputs.values()}
    waiting = [nodes[name] for name in names if name in nodes]
    found = {node.name: node for node in waiting}
    while waiting:
        for reference in waiting.pop().input:
            name = reference.lstrip("^").partition(":")[0]
            if name in nodes and name not in found:
                found[name] = nodes[name]
                waiting.append(nodes[name])
    yield from found.values()
    for name in sorted(reached(functions, called(found.values()))):
        yield from functions[name]


def attribute(node: NodeDef | FunctionDef, name: str) -> AttrValue:
    """An attribute of a node or a function; an empty one if it has none, and unlike `node.attr[name]` adds none."""
    return node.attr[name] if name in node.attr else AttrValue()


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
                f"The engine {printable(node.name)} has no native segment, so only TensorRT can run it. Convert "
                "without the experimental feature remove_native_segments, or run it where TensorRT is."
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
