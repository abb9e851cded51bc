"""The worker: TensorRT's own parser reads an ONNX file, and TensorRT builds an engine of it, which is thrown away.

TensorRT may end its process, so it has one of its own. Where TensorRT-RTX is installed that needs no GPU.
"""

import collections
import time
from pathlib import Path

from tftrt_yolo.ground.errors import OnnxError, PreflightError
from tftrt_yolo.ground.text import printable
from tftrt_yolo.onnx_twin.onnx_report import ParsedReport
from tftrt_yolo.preflighting.profiles import profiles
from tftrt_yolo.preflighting.real_builder import engine
from tftrt_yolo.preflighting.real_builder.engine import Order

_STRATEGY = "Range"  # one profile for all batch sizes


def work(*, onnx_path: Path, order: Order) -> ParsedReport:
    """Has TensorRT parse and build a file.

    Args:
      onnx_path: The file.
      order: How it is to be built.

    Returns:
      What was built.

    Raises:
      OnnxError: If TensorRT does not work here, or refuses the file: its own words.
    """
    try:
        return _built(onnx_path, order)
    except PreflightError as error:
        raise OnnxError(str(error)) from error


def _built(onnx_path: Path, order: Order) -> ParsedReport:
    """As `work`."""
    start, session = time.perf_counter(), engine.begun(order)
    strongly_typed = 1 << int(session.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = session.maker.create_network(strongly_typed)
    parser = session.trt.OnnxParser(network, session.words.logger)
    fails = not parser.parse(onnx_path.read_bytes())
    session.words.check(f"the file ({_errors(parser)})" if fails else "the file", order.remedy, fails=fails)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    by_input = {one.name: profiles(order.batch_sizes, _STRATEGY, tuple(one.shape)) for one in inputs}
    plan = engine.plan(session, network, by_input)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    types = collections.Counter(
        layer.get_output(index).dtype.name for layer in layers for index in range(layer.num_outputs)
    )
    return ParsedReport(
        builder=order.builder.name,
        version=session.trt.__version__,
        compute_capability=session.target,
        batch_sizes=order.batch_sizes,
        layers=len(layers),
        tensor_types=dict(types),
        seconds=time.perf_counter() - start,
        plan_bytes=plan.nbytes,
        warnings=session.words.warnings,
    )


def _errors(parser) -> str:
    """What the parser says against the file."""
    said = [parser.get_error(index).desc() for index in range(parser.num_errors)]
    return printable("; ".join(" ".join(one.split()) for one in said)[:600]) or "its parser says nothing"
