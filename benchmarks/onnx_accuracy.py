"""Measures mAP of ONNX files in ONNX Runtime beside TensorFlow's, in every precision, and prints it.

    python benchmarks/onnx_accuracy.py runs/tiny_saved_model labelled/data.yaml 'tests/data/images/*.jpg'

The third argument is what INT8 is calibrated with, by the largest magnitude. Each line is an evaluation of `evaluate`,
whose network is replaced by a file's, or by the graph that it was drawn of, with the same quantisations.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf

import tftrt_yolo
from tftrt_yolo.converter.int8 import calibration
from tftrt_yolo.converter.int8.calibration_images import Calibration, find_images
from tftrt_yolo.onnx_twin import onnx_file, twin_worker
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.freeze import FrozenNetwork
from tftrt_yolo.saved_model.handle import open_saved_model, open_unfinished
from tftrt_yolo.saved_model.network import SavedModelNetwork, in_unit_range

OPSET = 19
Run = Callable[[np.ndarray], dict[str, np.ndarray]]


def in_tensorflow(frozen: FrozenNetwork) -> Run:
    """A frozen network as TensorFlow runs it."""
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph_def, name=""), [])
    run = whole.prune(frozen.frames_name, freeze.tensors(whole.graph, frozen.outputs.values()))

    def computed(frames: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(frozen.outputs, (values.numpy() for values in run(tf.constant(frames))), strict=True))

    return computed


def in_onnxruntime(frozen: FrozenNetwork, floats: str) -> Run:
    """The same as an ONNX file, as ONNX Runtime runs it."""
    model = onnx_file.model_of(twin_worker.drawn_as(frozen, OPSET, floats), OPSET, {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def computed(frames: np.ndarray) -> dict[str, np.ndarray]:
        images = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    return computed


def main(saved_model_dir: str, data: str, calibration_data: str) -> None:
    """Prints a line for each."""
    source = open_saved_model(saved_model_dir)
    with tempfile.TemporaryDirectory() as folder:
        quantized_dir = Path(folder, "quantized")
        images = Calibration(find_images(calibration_data), "max", None)
        calibration.write_quantized(source, quantized_dir, calibration.calibrate(source, images))
        plain, quantized = freeze.freeze_network(source), freeze.freeze_network(open_unfinished(quantized_dir))
    rows = {
        "TensorFlow, FP32": in_tensorflow(plain),
        "ONNX, FP32": in_onnxruntime(plain, "FP32"),
        "ONNX, FP16": in_onnxruntime(plain, "FP16"),
        "TensorFlow, INT8": in_tensorflow(quantized),
        "ONNX, INT8": in_onnxruntime(quantized, "FP32"),
        "ONNX, INT8 with FP16 between": in_onnxruntime(quantized, "FP16"),
    }
    for name, run in rows.items():

        def timed(_self, frames: np.ndarray, run: Run = run) -> tuple[dict[str, np.ndarray], float]:
            start = time.perf_counter()
            return run(in_unit_range(frames)), time.perf_counter() - start

        SavedModelNetwork.run = timed  # `evaluate` runs SavedModels alone
        report = tftrt_yolo.evaluate(source, data)
        figures = [" ".join(line.split()) for line in str(report).splitlines() if "mAP50" in line]
        print(name, *figures[:2], sep="; ", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:4])
