"""The worker: freezes `network`, calibrated and quantised for INT8, and writes it as ONNX, which it runs."""

import collections
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import Metadata
from tftrt_yolo.converter.int8 import calibration
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.exporter import pytorch_parity
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.workers.progress import Progress, Remark, Stage
from tftrt_yolo.onnx_twin import folding, halves, layouts, onnx_file, twin_parity
from tftrt_yolo.onnx_twin.drafting.draft import Drawn
from tftrt_yolo.onnx_twin.drafting.draw import draw
from tftrt_yolo.onnx_twin.onnx_options import ULTRALYTICS, OnnxOptions
from tftrt_yolo.onnx_twin.onnx_report import Integers
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.freeze import FrozenNetwork
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished
from tftrt_yolo.saved_model.network import frames_ahead, in_unit_range
from tftrt_yolo.saved_model.trust import believed
from tftrt_yolo.tasks.table import TASKS

_PICTURES = 2  # that a quantised network is compared on


def work(
    *,
    source: SavedModelHandle,
    onnx_path: Path,
    precision_mode: str,
    options: OnnxOptions,
    calibration_images: Calibration | None,
) -> Iterator[Progress | Stage | Remark | dict]:
    """Writes a network as ONNX.

    Args:
      source: An export.
      onnx_path: The file to write.
      precision_mode: "FP32", "FP16" or "INT8".
      options: The file's form.
      calibration_images: For INT8, what to calibrate with; None for other precisions.

    Yields:
      Progress of the calibration, stages, remarks, and last the fields of OnnxReport that are known here.

    Raises:
      OnnxError: If the network holds what is not translated, or ONNX or ONNX Runtime refuses the file.
      ParityError: If FP32 differs from TensorFlow.
      ConversionError: If the network cannot be quantised, or the calibration images say nothing about its ranges.
      ImageError: If no calibration image can be read.
      SavedModelError: If the SavedModel cannot be used.
    """
    environment.compute_in_full_float32()
    yield Stage("reading the SavedModel")
    believed.read(source)
    quantized, frames = source, pytorch_parity.reference_frames(source.metadata.image_size_hw)
    if calibration_images:
        quantized_dir = Path("quantized")
        made = yield from calibration.calibrating(source, calibration_images)
        calibration.write_quantized(source, quantized_dir, made)
        quantized = open_unfinished(quantized_dir)
        pictures = [Path(path) for path in made.readable[:_PICTURES]]
        frames = in_unit_range(np.concatenate(list(frames_ahead(pictures, source.metadata, _PICTURES))))
    frozen = freeze.freeze_network(quantized)
    if options.layout == ULTRALYTICS:
        frozen = layouts.with_ultralytics_outputs(frozen, source.metadata)
    yield Stage("writing ONNX")
    floats = options.floats(precision_mode)
    drawn = drawn_as(frozen, options.opset, floats)
    model = onnx_file.model_of(drawn, options.opset, onnx_file.metadata_texts(source.metadata, precision_mode, floats))
    onnx_path.write_bytes(model.SerializeToString())
    yield Stage("comparing with TensorFlow")
    yield {
        "float_type": floats,
        "tensors": _tensors(drawn),
        "operators": onnx_file.operators(drawn),
        "inner_transposes": onnx_file.inner_transposes(drawn),
        "versions": {name: environment.installed(name) for name in ("onnx", "onnxruntime")},
        **_compared(onnx_path, drawn, frozen, frames, source.metadata, options, floats),
    }


def drawn_as(frozen: FrozenNetwork, opset: int, floats: str) -> Drawn:
    """A frozen network as a draft that is ready to be written.

    Args:
      frozen: The network.
      opset: Version of ONNX's operators.
      floats: "FP32" or "FP16", for what is not quantised.
    """
    drawn = draw(frozen, opset)
    inputs, outputs = ({port.name for port in ports} for ports in (drawn.inputs, drawn.outputs))
    folding.fold(drawn.draft, outputs)
    if floats == "FP16":
        halves.halve(drawn.draft, inputs, outputs)
    drawn.draft.keep_needed(tuple(outputs))
    return drawn


def _tensors(drawn: Drawn) -> tuple[IOTensor, ...]:
    """Inputs and outputs."""
    rows = [(port, True) for port in drawn.inputs] + [(port, False) for port in drawn.outputs]
    return tuple(
        IOTensor(port.name, "FLOAT", tuple(-1 if size is None else size for size in port.dims), is_input)
        for port, is_input in rows
    )


def _compared(
    onnx_path: Path,
    drawn: Drawn,
    frozen: FrozenNetwork,
    frames: np.ndarray,
    metadata: Metadata,
    options: OnnxOptions,
    floats: str,
) -> dict:
    """How far the file is from TensorFlow, as fields of OnnxReport."""
    quantities = TASKS[metadata.task].quantities
    in_words = functools.partial(layouts.in_words_of_network, layout=options.layout, metadata=metadata)
    free = twin_parity.largest_differences(onnx_path, frozen, frames, quantities, in_words)
    kinds = collections.Counter(node.op for node in drawn.draft.nodes)
    tensors = kinds["QuantizeLinear"]
    filters = kinds["DequantizeLinear"] - tensors
    if floats == "FP16":
        return {"parity": free, "free_parity": None, "integers": Integers(tensors, filters) if tensors else None}
    if not tensors:
        twin_parity.check(free, quantities)
        return {"parity": free, "free_parity": None, "integers": None}
    found, expected, ties = twin_parity.with_their_integers(drawn, options.opset, frozen, frames[:1])
    parity = twin_parity.differences(in_words(found), in_words(expected), quantities)
    twin_parity.check(parity, quantities)
    compared = twin_parity.different_integers(drawn, frozen, frames[:1])
    return {"parity": parity, "free_parity": free, "integers": Integers(tensors, filters, *compared, ties)}
