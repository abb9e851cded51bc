"""A draft as an ONNX file: names, types and shapes checked, with Ultralytics' metadata and ours.

model = model_of(drawn, opset=19, properties=metadata_texts(metadata, "FP32", "FP32"))
model_bytes = checked(model)
is_ours(Path("digits.onnx"))             # whether it begins as what this writes does; ONNX is not imported for it
"""

import collections
import json
from collections.abc import Mapping
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import clause
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.onnx_twin.drafting.draft import Drawn, Port

SUFFIX = ".onnx"
_PRODUCER = "tftrt_yolo"
_FIRST_BYTES = 64
_MOST_BYTES = (1 << 31) - 1  # of a message of protobuf's


def metadata_texts(metadata: Metadata, precision_mode: str, float_type: str) -> dict[str, str]:
    """What a file says of its model: Ultralytics' keys as its exporter writes them, and a section of ours as JSON.

    Args:
      metadata: Of the SavedModel.
      precision_mode: "FP32", "FP16" or "INT8".
      float_type: In which type is computed what is not quantised.

    Source: ultralytics.utils.export.onnx; ultralytics.nn.backends.base.BaseBackend.apply_metadata reads texts as
      Python's literals.
    """
    is_half, is_int8 = float_type == "FP16", precision_mode == "INT8"
    document = {
        "description": f"{Path(metadata.weights).stem} as ONNX",
        **contract.common_document(metadata),
        "batch": 1,
        "args": {"batch": 1, "half": is_half, "int8": is_int8, "dynamic": True, "nms": False},
    }
    ours = {
        "weights": metadata.weights,
        "weights_sha256": metadata.weights_sha256,
        "selection": metadata.selection,
        "precision_mode": precision_mode,
        "float_type": float_type,
    }
    return {key: str(value) for key, value in document.items()} | {
        contract.OUR_SECTION: json.dumps(documents.plain(ours), ensure_ascii=True, allow_nan=False)
    }


def model_of(drawn: Drawn, opset: int, properties: Mapping[str, str]):
    """A draft as ONNX's message.

    Args:
      drawn: A network.
      opset: Version of the operators.
      properties: Its metadata.

    Returns:
      An `onnx.ModelProto`, checked, with the type and shape of every tensor in it.

    Raises:
      OnnxError: If ONNX's checker refuses it: its own words.
    """
    import onnx
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **node.attributes)
        for node in drawn.draft.nodes
    ]
    constants = [numpy_helper.from_array(values, name) for name, values in drawn.draft.constants.items()]
    graph = helper.make_graph(
        nodes, contract.NETWORK, _infos(drawn.inputs), _infos(drawn.outputs), initializer=constants
    )
    version = helper.make_opsetid("", opset)
    model = helper.make_model(
        graph,
        opset_imports=[version],
        ir_version=helper.find_min_ir_version_for([version]),  # a newer one keeps older readers out
        producer_name=_PRODUCER,
        producer_version=__version__,
    )
    helper.set_model_props(model, dict(properties))
    if model.ByteSize() > _MOST_BYTES:
        raise OnnxError(
            f"The model has {model.ByteSize():,} bytes; expected at most {_MOST_BYTES:,}, which is what one file of "
            "ONNX can hold. Write it in FP16, or take a smaller model."
        )
    try:
        onnx.checker.check_model(model, full_check=True)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise OnnxError(
            f"ONNX's checker refuses what was written: {clause(error)}. File an issue with the model's architecture."
        ) from error


def operators(drawn: Drawn) -> dict[str, int]:
    """Name of each operator to how many there are."""
    return dict(sorted(collections.Counter(node.op for node in drawn.draft.nodes).items()))


def inner_transposes(drawn: Drawn) -> int:
    """How many transposes neither give an output nor read an input."""
    outer = {port.name for port in (*drawn.inputs, *drawn.outputs)}
    transposes = [node for node in drawn.draft.nodes if node.op == "Transpose"]
    return sum(outer.isdisjoint((*node.inputs, *node.outputs)) for node in transposes)


def is_ours(path: Path) -> bool:
    """Whether a file begins as those that this package writes: with ONNX's version, and who made it."""
    try:
        with open(path, "rb") as file:
            start = file.read(_FIRST_BYTES)
    except OSError:
        return False
    name = _PRODUCER.encode()
    return start[:1] == b"\x08" and start[2:].startswith(bytes([0x12, len(name)]) + name)


def _infos(ports: tuple[Port, ...]) -> list:
    """Inputs or outputs as ONNX has them."""
    from onnx import TensorProto, helper

    return [
        helper.make_tensor_value_info(
            port.name, TensorProto.DataType.Value(port.type), ["batch" if size is None else size for size in port.dims]
        )
        for port in ports
    ]
