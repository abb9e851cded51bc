"""TensorFlow's side: the graph that TF-TRT is to convert, and what TensorFlow computes with it. A worker's process.

It freezes the graph for the recording's process, which is better off without: Grappler's copies of the weights are all
that fits beside them. And it compares, with the same graph, when the recording is there.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.converter import parts
from tftrt_yolo.converter.int8 import calibration
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.parts import Part
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import TensorRTUnavailableError
from tftrt_yolo.ground.workers.progress import Progress, Remark
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.numbers import compare_numbers
from tftrt_yolo.preflighting.numbers_report import Numbers
from tftrt_yolo.preflighting.recorder.graph import Frozen, Graph
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished
from tftrt_yolo.saved_model.trust import believed


def work(
    *,
    source: SavedModelHandle,
    graph_dir: Path,
    calibration_images: Calibration | None,
    precision_mode: str,
    images: list[str],
    requests: Iterator[Path],
) -> Iterator[Progress | Remark | Frozen | Numbers]:
    """Freezes `network`, and compares recordings of it.

    Args:
      source: An export.
      graph_dir: Where to write the frozen graph, or its parts, serialised.
      calibration_images: For INT8, what to calibrate with; None for other precisions.
      precision_mode: As `tftrt_yolo.convert`.
      images: Paths of the images to compare on.
      requests: Directories of recordings.

    Yields:
      Progress of the calibration, remarks; then what `record` needs of the graph, and for each recording a comparison.

    Raises:
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT.
      PreflightError: If it was built against another TensorRT than the stand-in stands in for.
      ConversionError: If the network cannot be quantised, or the calibration images say nothing about its ranges.
      ImageError: If an image cannot be read.
      SavedModelError: If the SavedModel cannot be used.
    """
    environment.compute_in_full_float32()
    machine = environment.look()
    if not machine.built_with_tensorrt:
        raise TensorRTUnavailableError(f"{environment.no_tensorrt_in_tensorflow(machine.tensorflow_version)}.")
    library.check_linked(machine.tensorflow_version, machine.linked_tensorrt)
    believed.read(source)
    divided = []
    if calibration_images:
        made = yield from calibration.calibrating(source, calibration_images)
        if made.float_layers:
            divided = parts.divide(made)
            frozen = freeze.FrozenNetwork(made.quantized(), made.frames_name, made.outputs)
        else:
            quantized_dir = Path("quantized")
            calibration.write_quantized(source, quantized_dir, made)
            source = open_unfinished(quantized_dir)
        del made
    if not divided:
        frozen = freeze.freeze_network(source)
    graphs = tuple(_written(frozen, divided, precision_mode, graph_dir))
    del divided
    gc.collect()  # freezing leaves copies of the weights in reference cycles
    yield Frozen(graphs, tuple(sorted(frozen.outputs)))
    for recording_dir in requests:
        networks = recorded_network.read(recording_dir)
        yield compare_numbers(source, networks, images, frozen=frozen)


def _written(
    frozen: freeze.FrozenNetwork, divided: list[Part], precision_mode: str, graph_dir: Path
) -> Iterator[Graph]:
    """Writes the graphs that TF-TRT is to convert: the network, or its parts."""
    if not divided:
        file = graph_dir / "graph.pb"
        file.write_bytes(frozen.graph_def.SerializeToString())
        yield Graph(file, precision_mode, {parts.FRAMES: frozen.frames_name}, frozen.outputs)
    for number, part in enumerate(divided, 1):
        file = graph_dir / f"graph_{number}.pb"
        file.write_bytes(part.graph_def.SerializeToString())
        yield Graph(file, part.precision_mode, part.inputs, part.outputs, part.convolutions, part.shapes)
