"""Whether metadata.yaml and conversion.json say of a graph what is in it.

    agreement.check(handle, meta_graph)
    agreement.check_functions(handle, signatures)     # when TensorFlow has loaded them

Everything that runs a SavedModel goes by its metadata: the frames' size, how many classes there are and what they are
called, how long the outputs are. One whose metadata fit another graph gives wrong answers, and no error.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.text import counted, listed, printable, quoted, shown
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_SHOWN = 12  # names, in a message
_TYPE_OF = {"Conv2D": "T", "MatMul": "T", saved_model_pb.INTEGER_OP: "Tinput"}  # op to its attribute
_TYPES = {  # in TensorFlow's messages; INT8 is for the convolutions that gain by it
    "FP32": ({"float"},),
    "FP16": ({"half"},),
    "BF16": ({"bfloat16"},),
    "INT8": ({"float", "qint8"}, {"qint8"}),
}
_REMEDY = "its files are of different models, or were edited; copy the directory again, or export or convert again."


class Spec(NamedTuple):
    """A tensor of a signature.

    Attributes:
      dtype: As TensorFlow's enumeration names it, in lower case: "float", "uint8".
      axes: Sizes; None for one that is not fixed. A letter stands for a size that is the same wherever it is found.
        None for a tensor of unknown rank.
    """

    dtype: str
    axes: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        """As `inspect` shows it."""
        axes = "?" if self.axes is None else ", ".join("?" if axis is None else str(axis) for axis in self.axes)
        return f"{self.dtype} ({axes})"


# Axes: A anchors, N max_detections, C classes, K key points, M coefficients of a mask, P and Q the sides of prototypes
# or of logits, H and W the frame's.
_INPUTS = {
    contract.SERVING: {"images": Spec("uint8", (None, None, None, 3))},
    contract.ENCODED: {"image_bytes": Spec("string", (None,))},
    contract.PADDED: {"images": Spec("uint8", (None, None, None, 3)), "sizes": Spec("int32", (None, 2))},
    contract.FRAMED: {"frames": Spec("uint8", (None, "H", "W", 3)), "sizes": Spec("int32", (None, 2))},
    contract.NETWORK: {"frames": Spec("float", (None, "H", "W", 3))},
}
_ROWS = {"boxes": (4,), "keypoints": ("K", 3), "boxes_xywhr": (5,), "mask_coefficients": ("M",)}  # of each object
_WHOLE = {
    "prototypes": Spec("float", (None, "P", "Q", "M")),
    "probabilities": Spec("float", (None, "C")),
    "logits": Spec("float", (None, "P", "Q", "C")),
    "depth": Spec("float", (None, "H/4", "W/4")),
}
_COUNTS = {
    "num_detections": Spec("int32", (None,)),
    "scores": Spec("float", (None, "N")),
    "classes": Spec("int32", (None, "N")),
}
_STATUS = {contract.STATUS: Spec("string", (None,))}
_PACKED = {  # by `Task.packing`
    "masks": Spec("string", (None, "N")),
    "mask_corners": Spec("int32", (None, "N", 2)),
    "class_maps": Spec("string", (None,)),
}
_SAID_BY = {
    "H": "the height in imgsz",
    "W": "the width in imgsz",
    "H/4": "a quarter of the height in imgsz",
    "W/4": "a quarter of the width in imgsz",
    "C": "the number of names",
    "N": "max_detections",
    "K": "the number of key points in kpt_shape",
}


def check(handle: SavedModelHandle, meta_graph: MetaGraphDef) -> None:
    """Compares what a SavedModel says of itself with its graph.

    Args:
      handle: The SavedModel.
      meta_graph: Its graph.

    Raises:
      SavedModelError: If they disagree; the message has both values.
    """
    sizes = _sizes(handle.metadata)
    for key in contract.ALL_SIGNATURES:
        if key not in meta_graph.signature_def:  # `framed`, of an earlier version
            continue
        signature = meta_graph.signature_def[key]
        for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
            found = {name: _spec(tensor) for name, tensor in tensors.items()}
            expected = _expected(handle.metadata, key, kind, found)
            _compare(handle, f"{kind}{{}} of signature `{key}`", found, expected, sizes)
    if handle.is_complete:
        _check_conversion(handle, meta_graph)


def check_functions(handle: SavedModelHandle, signatures: Mapping) -> None:
    """Compares the functions that TensorFlow loaded with the metadata, as far as their shapes are known.

    Args:
      handle: The SavedModel.
      signatures: Signature key to function.

    Raises:
      SavedModelError: If they disagree; the message has both values.
    """
    sizes = _sizes(handle.metadata)
    for key, function in signatures.items():
        found = {
            name: Spec(
                _type_name(tensor.dtype.as_datatype_enum),
                None if tensor.shape.rank is None else tuple(tensor.shape.as_list()),
            )
            for name, tensor in function.structured_outputs.items()
        }
        expected = _expected(handle.metadata, key, "output", found)
        known = {name: _filled(spec, expected.get(name, spec)) for name, spec in found.items()}
        _compare(handle, f"output{{}} of the function behind signature `{key}`", known, expected, sizes)


def _sizes(metadata: contract.Metadata) -> dict[str, int]:
    """What metadata.yaml says of the axes."""
    height, width = metadata.image_size_hw
    sizes = {"H": height, "W": width, "C": len(metadata.names), "N": metadata.selection.max_detections}
    sizes |= {"H/4": height // 4, "W/4": width // 4}
    return sizes | ({"K": metadata.keypoint_shape[0]} if metadata.keypoint_shape else {})


def _expected(metadata: contract.Metadata, key: str, kind: str, found: dict[str, Spec]) -> dict[str, Spec]:
    """The inputs or outputs of a signature, by what the task has."""
    if kind == "input":
        return _INPUTS[key]
    task = TASKS[metadata.task]
    expected = _unpacked(metadata, task, is_network=key == contract.NETWORK)
    if key != contract.ENCODED:
        return expected
    if task.packing and set(task.packing.given) & set(found):
        expected = {name: spec for name, spec in expected.items() if name not in task.packing.replaced}
        expected |= {name: _PACKED[name] for name in task.packing.given}
    return expected | (_STATUS if contract.STATUS in found else {})  # older versions' had none of these


def _unpacked(metadata: contract.Metadata, task: Task, *, is_network: bool) -> dict[str, Spec]:
    """The outputs of `network`, or of the signatures that take images."""
    if not task.finds_objects:
        return {name: _WHOLE[name] for name in task.dense}
    axis = "A" if is_network else "N"
    of_objects = {name: Spec("float", (None, axis, *_ROWS[name])) for name in task.per_anchor}
    of_objects |= {name: _WHOLE[name] for name in task.per_image}
    return of_objects | ({"scores": Spec("float", (None, "A", "C"))} if is_network else _COUNTS)


def _spec(tensor) -> Spec:
    """A tensor of a signature's message."""
    shape = tensor.tensor_shape
    axes = None if shape.unknown_rank else tuple(None if axis.size < 0 else axis.size for axis in shape.dim)
    return Spec(_type_name(tensor.dtype), axes)


def _type_name(number: int) -> str:
    """TensorFlow's name of a type; the number of one that it does not know."""
    known = types_pb2.DataType.values()
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower() if number in known else str(number)


def _filled(found: Spec, expected: Spec) -> Spec:
    """What is known of a shape, and for the rest what is expected."""
    if found.axes is None:
        return Spec(found.dtype, expected.axes)
    if len(found.axes) != len(expected.axes):
        return found
    pairs = zip(found.axes, expected.axes, strict=True)
    return Spec(found.dtype, tuple(wanted if axis is None else axis for axis, wanted in pairs))


def _compare(
    handle: SavedModelHandle, where: str, found: dict[str, Spec], expected: dict[str, Spec], sizes: dict[str, int]
) -> None:
    """Compares the inputs or outputs of one signature.

    Args:
      handle: The SavedModel.
      where: What they are, for the message, with "{}" for a blank and the name.
      found: Name to what is there.
      expected: Name to what is expected.
      sizes: Letter to the size that is known of it; what is learnt is added.
    """
    if set(found) != set(expected):
        names = ", ".join(printable(name) for name in sorted(found)[:_SHOWN]) or "none"
        missing = sorted(set(expected) - set(found))
        lacks = f", without {', '.join(missing)}" if missing else ""
        _refuse(
            handle,
            f"is a model for {handle.metadata.task}, and the {where.format('s')} are {names}{lacks}",
            f"Expected {', '.join(sorted(expected))}",
        )
    for name, wanted in expected.items():  # in an order that is always the same
        spec = found[name]
        if spec.dtype != wanted.dtype or spec.axes is None or len(spec.axes) != len(wanted.axes):
            _refuse(handle, f"has {where.format(f' {name}')} {spec}", f"Expected {wanted}")
        for at, (size, symbol) in enumerate(zip(spec.axes, wanted.axes, strict=True)):
            if isinstance(size, str):
                continue
            known = sizes.setdefault(symbol, size) if isinstance(symbol, str) else symbol
            if size != known:
                _refuse_size(
                    handle,
                    f"{where.format(f' {name}')} is {spec}, whose axis {at} is {'?' if size is None else size}",
                    symbol,
                    known,
                )


def _refuse_size(handle: SavedModelHandle, found: str, symbol: int | str | None, known: int | None) -> None:
    if symbol in _SAID_BY:
        _refuse(handle, f"disagrees with itself: {found}", f"In metadata.yaml {_SAID_BY[symbol]} is {known:,}")
    of_others = ", as of the other outputs" if isinstance(symbol, str) else ""
    _refuse(handle, f"disagrees with itself: {found}", f"Expected {'?' if known is None else known}{of_others}")


def _refuse(handle: SavedModelHandle, found: str, expected: str) -> None:
    raise SavedModelError(f"{handle.given} {found}. {expected}: {_REMEDY}")


def _check_conversion(handle: SavedModelHandle, meta_graph: MetaGraphDef) -> None:
    """Compares conversion.json with what a conversion leaves in the graph."""
    conversion, graph_def = handle.conversion, meta_graph.graph_def
    engines = saved_model_pb.engine_nodes(graph_def)
    jitted = [f for f in graph_def.library.function if saved_model_pb.attribute(f, "_XlaMustCompile").b]
    if conversion is None:
        if engines or jitted:
            what = f"{counted(len(engines), 'TensorRT engine')}" if engines else "functions for XLA"
            _refuse(handle, f"holds {what} and no {contract.CONVERSION_FILE}", "Expected the report of its conversion")
        return
    claims = functools.partial(_check_claim, handle)
    accelerator, precision = conversion["accelerator"], conversion["precision_mode"]
    named = f"Its conversion.json says {accelerator}"
    claims(named, "engines of TensorRT", bool(engines), accelerator == "tensorrt")
    claims(named, "functions that XLA compiles", bool(jitted), accelerator == "xla")
    variables = [node for node in saved_model_pb.all_nodes(graph_def) if node.op == "VarHandleOp"]
    if engines and saved_model_pb.built_engine_bytes(handle.directory):  # TensorFlow keeps their files' paths so
        variables = [node for node in variables if node.attr["dtype"].type != types_pb2.DT_STRING]
    claims(named, "variables of an export", bool(variables), False)
    if engines:
        _check_engines(handle, engines)
        return
    found = {
        _type_name(saved_model_pb.attribute(node, _TYPE_OF[node.op]).type)
        for node in saved_model_pb.nodes_behind(meta_graph, contract.NETWORK)  # `encoded` has products of its own
        if node.op in _TYPE_OF
    }
    if found not in _TYPES[precision]:
        _refuse(
            handle,
            f"has convolutions and products in {', '.join(sorted(found)) or 'no type'}",
            f"Its conversion.json says {precision}, which is {listed(sorted(_TYPES[precision][0]))}",
        )


def precision_mode(engine: NodeDef) -> str:
    """The precision of a TRTEngineOp."""
    return saved_model_pb.attribute(engine, "precision_mode").s.decode(errors="replace")


def _check_claim(handle: SavedModelHandle, named: str, what: str, found: bool, expected: bool) -> None:
    """Refuses what is there and should not be, and the other way round."""
    if found != expected:
        _refuse(handle, f"has {'' if found else 'no '}{what} in its graph", named)


def _precisions(handle: SavedModelHandle) -> set[str]:
    """The engines' precisions by conversion.json: those of the parts, where the network was divided into some."""
    parts = handle.conversion.get("parts")
    if parts in (None, []):
        return {handle.conversion["precision_mode"]}
    try:
        return {row["precision_mode"] for row in parts if row["engines"]}
    except (TypeError, KeyError):
        _refuse(
            handle,
            f"has 'parts': {quoted(parts)} in its {contract.CONVERSION_FILE}",
            "Expected a list of the network's parts with their precision_mode and engines",
        )


def _check_engines(handle: SavedModelHandle, engines: dict) -> None:
    """Compares the engines with what conversion.json says of them, as far as it does."""
    conversion = handle.conversion
    precisions, said = {precision_mode(node) for node in engines.values()}, _precisions(handle)
    if precisions != said:
        found = ", ".join(sorted(map(quoted, precisions)))
        _refuse(
            handle,
            f"has engines in {found}",
            f"Its conversion.json says {', '.join(sorted(shown(mode, 40) for mode in said))}",
        )
    if conversion.get("engines", len(engines)) != len(engines):
        _refuse(
            handle,
            f"has {counted(len(engines), 'engine')}",
            f"Its conversion.json says {quoted(conversion['engines'])}",
        )
    built = saved_model_pb.built_engine_bytes(handle.directory)
    strange = sorted(set(built) - set(engines))
    if strange:
        _refuse(handle, f"has a built engine {quoted(strange[0])}", f"Its graph has {', '.join(map(quoted, engines))}")
    if conversion.get("engines_built", bool(built)) != bool(built):
        is_built = "built" if built else "not built"
        _refuse(handle, f"has engines that are {is_built}", "Its conversion.json says the contrary")
