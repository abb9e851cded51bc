"""The worker: has TensorRT build a recorded network in Ultralytics' layout, and writes the engine's file.

TensorRT may end its process. The plan, which can have hundreds of megabytes, goes into the file and not through a pipe.
"""

import dataclasses
import hashlib
from pathlib import Path

from tftrt_yolo.contract import Metadata
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.engine_file import EngineFacts
from tftrt_yolo.engines.running import device_memory
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.errors import EngineError, PreflightError, TensorRTUnavailableError
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.real_builder import engine, target
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.preflighting.real_builder.engine import Order
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork


def work(
    *, recording_dir: Path, order: Order, metadata: Metadata, precision_mode: str, engine_path: Path
) -> BuilderReport:
    """Builds the recording's one network.

    Args:
      recording_dir: Where network.json and weights.bin lie.
      order: How it is to be built.
      metadata: Of the SavedModel that it was recorded of.
      precision_mode: "FP32", "FP16" or "INT8", for the header.
      engine_path: The file to write.

    Returns:
      What was built.

    Raises:
      EngineError: If the network is not all that the task needs, or TensorRT does not take it or does not work here.
    """
    [network] = recorded_network.read(recording_dir)
    finished = []

    def finish(changed: RecordedNetwork) -> RecordedNetwork:
        sizes = set(order.batch_sizes)
        batch_size = sizes.pop() if len(sizes) == 1 else None
        finished.append(with_ultralytics_layout(changed, metadata, batch_size=batch_size))
        return finished[0]

    try:
        report, plan = engine.built(network, engine.begun(order), finish)
    except PreflightError as error:
        raise EngineError(str(error)) from error
    content = memoryview(plan)
    facts = EngineFacts(
        weights=metadata.weights,
        weights_sha256=metadata.weights_sha256,
        selection=metadata.selection,
        builder=report.builder,
        builder_version=report.version,
        compute_capability=_compute_capability(report.compute_capability),
        precision_mode=precision_mode,
        batch_sizes=order.batch_sizes,
        tensors=_tensors(finished[0]),
        profiles={name: profiles for name, profiles in report.profiles.items() if profiles},
        plan_bytes=content.nbytes,
        plan_sha256=hashlib.sha256(content).hexdigest(),
    )
    engine_file.write(engine_path, metadata, facts, content)
    return dataclasses.replace(report, profiles=facts.profiles)


def _compute_capability(built_for: str) -> str:
    """What the header says of the GPU; TensorRT, which builds for the one that is here, does not say which that is."""
    if built_for != target.HERE:
        return built_for
    try:
        return device_memory.open_memory().compute_capability
    except TensorRTUnavailableError:  # neither PyTorch nor cuda-python sees it
        return engine_file.UNTOLD_GPU


def _tensors(network: RecordedNetwork) -> tuple[IOTensor, ...]:
    """Inputs and outputs."""
    rows = [(index, True) for index in network.inputs] + [(index, False) for index in network.outputs]
    named = ((network.tensors[index], is_input) for index, is_input in rows)
    return tuple(IOTensor(tensor.name, tensor.type, tensor.dims, is_input) for tensor, is_input in named)
