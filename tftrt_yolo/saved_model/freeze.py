"""Signature `network` with its weights as constants: the form in which it is converted, calibrated and measured.

What lets a SavedModel take empty batches (graph.empty_batches) is not in it.

graph_def, frames_name, outputs = freeze.freeze_network("yolov8n_saved_model")
freeze.constants(graph_def)["convolution/filter"]
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.python.framework import tensor_util
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tftrt_yolo import contract
from tftrt_yolo.graph import empty_batches
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import believed


class FrozenNetwork(NamedTuple):
    """Signature `network` with its weights as constants.

    Attributes:
      graph_def: The graph.
      frames_name: Name of its input tensor.
      outputs: Output name to tensor name.
    """

    graph_def: GraphDef
    frames_name: str
    outputs: dict[str, str]


def freeze_network(saved_model_dir: str | Path | SavedModelHandle) -> FrozenNetwork:
    """Loads a SavedModel and freezes its signature `network`.

    Args:
      saved_model_dir: A SavedModel that `export` wrote, or its handle.

    Returns:
      The frozen graph.

    Raises:
      SavedModelError: If it is damaged or not ours, or has side effects.
    """
    handle = open_saved_model(saved_model_dir)
    signature = load.load_whole(handle, believed.read(handle))[contract.NETWORK]
    frozen = convert_variables_to_constants_v2(signature)
    names = sorted(signature.structured_outputs)  # a function's flat outputs are in the order of their names
    outputs = dict(zip(names, (tensor.name for tensor in frozen.outputs), strict=True))
    graph_def, frames_name = frozen.graph.as_graph_def(), frozen.inputs[0].name
    empty_batches.without_guard(graph_def, frames_name)
    return FrozenNetwork(graph_def, frames_name, outputs)


def tensors(graph, names: Iterable[str]) -> list:
    """Finds tensors in a `tf.Graph`.

    Args:
      graph: The graph.
      names: Names of tensors, or of nodes, whose first output is meant.

    Returns:
      The tensors, in the order of the names.
    """
    return [graph.get_tensor_by_name(name if ":" in name else f"{name}:0") for name in names]


def constants(graph_def: GraphDef) -> dict[str, np.ndarray]:
    """The constants of a frozen graph: name to value, under the names of the identities behind them as well."""
    values = {
        node.name: tensor_util.MakeNdarray(node.attr["value"].tensor) for node in graph_def.node if node.op == "Const"
    }
    for node in graph_def.node:
        if node.op == "Identity" and node.input[0] in values:
            values[node.name] = values[node.input[0]]
    return values
