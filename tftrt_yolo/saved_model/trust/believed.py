"""A SavedModel's graph, read to be believed: nothing of TensorFlow's sees it before.

    meta_graph = believed.read(open_saved_model("yolov8n_saved_model"))

Whoever loads a graph, or says what is in it, reads it here first.
"""

from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.trust import agreement, digests, side_effects


def read(handle: SavedModelHandle, *, allow_side_effects: bool = False) -> MetaGraphDef:
    """Reads the graph of a SavedModel that is whole and agrees with itself.

    Args:
      handle: A SavedModel that `export` or `convert` wrote.
      allow_side_effects: Whether it may hold ops that touch more than tensors.

    Returns:
      Its only graph, with signatures.

    Raises:
      SavedModelError: If its files are not as they were written, it is damaged or not ours, metadata.yaml or
        conversion.json say something else than the graph, or it has side effects and must have none.
    """
    digests.check(handle)
    meta_graph = saved_model_pb.read(handle.directory).meta_graphs[0]
    agreement.check(handle, meta_graph)
    if not allow_side_effects:
        side_effects.refuse(handle.given, meta_graph)
    return meta_graph
