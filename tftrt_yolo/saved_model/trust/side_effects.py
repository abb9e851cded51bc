"""Ops of a graph that touch more than tensors: files, the network, the process, Python.

    side_effects.find(meta_graph)             # {"WriteFile": 1}
    side_effects.refuse("yolov8n_saved_model", meta_graph)

What `export` and `convert` write has none. An op counts wherever it stands in saved_model.pb: in a signature, in a
function that nothing seems to call, in one that runs while the model is loaded. An op counts if it is not known to be
harmless, and so does one that this TensorFlow does not know. Only the ops with which TensorFlow itself saves and
restores variables are let be, where nothing but the saver calls them; loading a SavedModel runs none of these.
"""

import functools
from collections import Counter
from collections.abc import Iterator

from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.python.framework import op_def_registry

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.text import printable
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.trust import op_lists

_SAVER_OPS = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})
_SHOWN = 8  # ops, in a message


def find(meta_graph: MetaGraphDef) -> dict[str, int]:
    """Finds the ops with side effects.

    Args:
      meta_graph: A SavedModel's graph.

    Returns:
      Op type to count, sorted; empty for what `export` and `convert` write.
    """
    savers = _functions_of_the_saver_alone(meta_graph)
    found = Counter(node.op for node in meta_graph.graph_def.node if has_side_effects(node.op))
    for function in meta_graph.graph_def.library.function:
        harmless = _SAVER_OPS if function.signature.name in savers else ()
        found.update(node.op for node in function.node_def if node.op not in harmless and has_side_effects(node.op))
    return dict(sorted(found.items()))


def refuse(saved_model_dir: str, meta_graph: MetaGraphDef) -> None:
    """Refuses a graph with side effects.

    Args:
      saved_model_dir: Its directory as the caller wrote it.
      meta_graph: The graph.

    Raises:
      SavedModelError: If it has any.
    """
    found = find(meta_graph)
    if found:
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        shown = ", ".join(f"{printable(op)} x {count}" for op, count in list(found.items())[:_SHOWN])
        raise SavedModelError(
            f"{saved_model_dir} holds operations that may touch files, the network or the process: {shown}{more}. "
            "Expected none, as `tftrt-yolo export` and `tftrt-yolo convert` write none. Ask whoever made it what they "
            f"are for; if you trust them with this machine, pass {setting('allow_side_effects')} to Predictor or "
            "predict, which alone take it."
        )


@functools.lru_cache(4_096)  # names in a graph are the strangers' own
def has_side_effects(op: str) -> bool:
    """Whether an op may touch more than tensors, or is not known here."""
    if op in op_lists.HARMLESS:
        return False
    definition = op_def_registry.get(op)
    return definition is None or definition.is_stateful or op in op_lists.SIDE_EFFECTS


def _functions_of_the_saver_alone(meta_graph: MetaGraphDef) -> frozenset[str]:
    """Names of the functions that the saver's nodes call, and nothing else in the graph or in the object graph."""
    functions = {function.signature.name: function.node_def for function in meta_graph.graph_def.library.function}
    saver = meta_graph.saver_def
    names = {
        name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name, saver.filename_tensor_name)
    }
    nodes = meta_graph.graph_def.node
    of_saver = saved_model_pb.reached(functions, saved_model_pb.called(node for node in nodes if node.name in names))
    others = [*saved_model_pb.called(node for node in nodes if node.name not in names), *_of_objects(meta_graph)]
    for name, node_defs in functions.items():
        if name not in of_saver:
            others += [name, *saved_model_pb.called(node_defs)]
    return of_saver - saved_model_pb.reached(functions, others)


def _of_objects(meta_graph: MetaGraphDef) -> Iterator[str]:
    """Names of the functions that belong to objects, some of which run while a SavedModel is loaded."""
    graph = meta_graph.object_graph_def
    yield from graph.concrete_functions
    for node in graph.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name
