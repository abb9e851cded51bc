"""TF-TRT's partitioner: which part of signature `network` goes into engines. It needs neither TensorRT nor a GPU.

    with partition.offline():                                           # where these are missing
        converter = partition.partitioned(directory, "FP16", options)   # after convert()
    partition.count(converter._converted_graph_def)["engines"]          # 1

Source: tensorflow/python/compiler/tensorrt/trt_convert.py of TensorFlow 2.17.
"""

import contextlib
import gc
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from tensorflow.python.compiler.tensorrt import trt_convert

from tftrt_yolo import contract
from tftrt_yolo.converter import conversion_report
from tftrt_yolo.converter.conversion_report import NetworkPart
from tftrt_yolo.converter.parts import Piece
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.graph import empty_batches
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.saved_model import saved_model_pb

GPU = "/job:localhost/replica:0/task:0/device:GPU:0"
# TF-TRT's own default with TensorRT 8.4 and newer: as much as TensorRT likes. Without TensorRT it would put 1 GiB.
UNLIMITED_WORKSPACE_BYTES = sys.maxsize - 512
_REASONS_FILE = Path("reasons.csv")


def all_partitioned(
    pieces: list[Piece], options: TensorRTOptions, *, calibration_input_fn: Callable[[], Iterator] | None = None
) -> tuple[list["Converter"], list[NetworkPart]]:
    """Has TF-TRT divide a network, or each of its parts, into engines and the rest.

    Args:
      pieces: What to convert.
      options: TF-TRT's.
      calibration_input_fn: As `partitioned`.

    Returns:
      The converters, after convert(), and what is inside and outside the engines of each.
    """
    converters, told = [], []
    for piece in pieces:
        converters.append(
            partitioned(piece.directory, piece.precision_mode, options, calibration_input_fn=calibration_input_fn)
        )
        counts = count(converters[-1]._converted_graph_def)  # its reasons are gone with the next conversion
        told.append(NetworkPart(piece.precision_mode, piece.convolutions, inputs=piece.inputs, **counts))
    return converters, told


def together(told: list[NetworkPart]) -> dict:
    """Counts what is inside and outside the engines of all parts.

    Args:
      told: What is known of each; one of a network that is not divided.

    Returns:
      As `count`; with the parts, if there are several.
    """
    sums = {name: sum(getattr(part, name) for part in told) for name in ("engines", "nodes_inside", "nodes_outside")}
    left = tuple(row for part in told for row in part.left_to_tensorflow)
    return sums | {"left_to_tensorflow": left} | ({"parts": tuple(told)} if len(told) > 1 else {})


def partitioned(
    saved_model_dir: Path,
    precision_mode: str,
    options: TensorRTOptions,
    *,
    calibration_input_fn: Callable[[], Iterator] | None = None,
) -> "Converter":
    """Has TF-TRT divide `network` into engines and the rest.

    Args:
      saved_model_dir: What to convert.
      precision_mode: "FP32", "FP16" or "INT8".
      options: TF-TRT's.
      calibration_input_fn: Gives what TF-TRT's own calibrator is to see when the engines are built; None if nothing is
        left to calibrate.

    Returns:
      The converter, after convert().
    """
    converter = Converter(
        input_saved_model_dir=str(saved_model_dir),
        input_saved_model_signature_key=contract.NETWORK,
        precision_mode=precision_mode,
        minimum_segment_size=options.minimum_segment_size,
        max_workspace_size_bytes=options.max_workspace_size_bytes or UNLIMITED_WORKSPACE_BYTES,
        use_dynamic_shape=True,  # a batch that is not fixed needs explicit-batch engines
        dynamic_shape_profile_strategy=options.strategy,
        use_calibration=calibration_input_fn is not None,  # otherwise scales are in the graph, if it is INT8
        allow_build_at_runtime=True,  # build() needs it; it is taken away later
    )
    with reasons_written():
        # The function is called in build(): a batch that is not fixed has to wait for its profiles.
        converter.convert(calibration_input_fn=calibration_input_fn)
    return converter


@contextlib.contextmanager
def reasons_written() -> Iterator[None]:
    """Has TF-TRT write its reasons for what stays outside, where `count` looks for them."""
    os.environ["TF_TRT_SHOW_DETAILED_REPORT"] = str(_REASONS_FILE)
    try:
        yield
    finally:
        del os.environ["TF_TRT_SHOW_DETAILED_REPORT"]


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Answers the two checks in TF-TRT's Python front that ask for TensorRT's library and for a GPU.

    Neither is used by convert(): the partitioner runs its validators without both. The rest of TF-TRT is untouched.
    """
    check_version, array_ops = trt_convert._check_trt_version_compatibility, trt_convert.array_ops
    trt_convert._check_trt_version_compatibility = lambda: None
    trt_convert.array_ops = SimpleNamespace(zeros=lambda _: SimpleNamespace(device=GPU))
    try:
        yield
    finally:
        trt_convert._check_trt_version_compatibility, trt_convert.array_ops = check_version, array_ops


class Converter(trt_convert.TrtGraphConverterV2):
    """TrtGraphConverterV2, whose engines get names that no other model has.

    A process keeps its engines in one table by the op's name, and every conversion calls its first TRTEngineOp_000_000:
    of two models in one server, the second would run the first one's engine.
    """

    def _run_conversion(self, meta_graph_def):
        gc.collect()  # freezing leaves copies of the weights in reference cycles
        fetches = meta_graph_def.collection_def["train_op"].node_list.value  # as TF-TRT puts them: the input is first
        empty_batches.without_guard(meta_graph_def.graph_def, fetches[0].partition(":")[0])
        graph_def, suffix = super()._run_conversion(meta_graph_def), f"_{uuid.uuid4().hex[:8]}"
        names = {node.name for node in graph_def.node if node.op == saved_model_pb.ENGINE_OP}
        for node in graph_def.node:
            if node.name in names:
                node.name += suffix
            for index, reference in enumerate(node.input):
                control, name, output = re.fullmatch(r"(\^?)([^:]*)(:?\d*)", reference).groups()
                if name in names:
                    node.input[index] = f"{control}{name}{suffix}{output}"
        return graph_def


def count(graph_def) -> dict:
    """Counts what is inside and outside the engines of a converted `network`."""
    engines = saved_model_pb.engine_nodes(graph_def)
    segments = {node.attr["segment_func"].func.name for node in engines.values()}
    inside = sum(
        conversion_report.count_inside(function.node_def)
        for function in graph_def.library.function
        if function.signature.name in segments
    )
    outside = conversion_report.count_nodes(node for node in graph_def.node if node.op != saved_model_pb.ENGINE_OP)
    return {
        "engines": len(engines),
        "nodes_inside": inside,
        "nodes_outside": outside.total(),
        "left_to_tensorflow": conversion_report.left_over(outside, _REASONS_FILE),
    }


def check_coverage(counts: dict, saved_model_dir: str, minimum_coverage: float) -> None:
    """Refuses a conversion that left too much to TensorFlow, before engines are built.

    Raises:
      ConversionError: If there is no engine, or less than minimum_coverage of the nodes is inside.
    """
    inside, outside = counts["nodes_inside"], counts["nodes_outside"]
    coverage = inside / max(inside + outside, 1)
    rows = "\n  ".join(map(str, counts["left_to_tensorflow"]))
    if not counts["engines"]:
        raise ConversionError(
            f"TF-TRT made no engine of {saved_model_dir}. Expected at least one; lower "
            f"{argument('minimum_segment_size')}, and look for TF_TRT_OP_DENYLIST in the environment. Left to "
            f"TensorFlow:\n  {rows}"
        )
    if coverage < minimum_coverage:
        raise ConversionError(
            f"{counted(counts['engines'], 'engine holds', 'engines hold')} {coverage:.1%} of the nodes; at least "
            f"{minimum_coverage:.1%} "
            f"was asked for. Lower {argument('minimum_coverage')} to accept it. Left to TensorFlow:\n  {rows}"
        )
