"""Ultralytics' ONNX export in OpenVINO on the CPU; the network alone, at a fixed batch.

with Worker("tftrt_yolo.benchmarking.runners.openvino", python=peer_python) as worker:
    worker.start(onnx_path="yolov8n.onnx", precision="BF16", frames_path="frames.npy", batch_sizes=(1,), seconds=2.0)
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import DENSE
from tftrt_yolo.benchmarking.runners.onnxruntime import planes

_HINT_OF = {"FP32": "f32", "BF16": "bf16"}


def work(
    *, onnx_path: str, precision: str, frames_path: str, batch_sizes: tuple[int, ...], seconds: float
) -> Iterator[dict]:
    """Measures an ONNX file.

    Args:
      onnx_path: As `runners.onnxruntime.work`.
      precision: "FP32" or "BF16".
      frames_path: As `runners.tensorflow.work`.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events.
    """
    try:
        import openvino
    except ImportError as error:
        yield protocol.absent(error)
        return
    core = openvino.Core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision not in capabilities:
        yield protocol.absent(f"this CPU has no {precision} for OpenVINO, only {', '.join(capabilities)}")
        return
    options = {"INFERENCE_PRECISION_HINT": _HINT_OF[precision], "PERFORMANCE_HINT": "LATENCY"}
    hints = ", ".join(f"{name} {value}" for name, value in options.items())
    yield protocol.about({"openvino": openvino.__version__}, backend=f"OpenVINO on CPU, {hints}")

    images = np.load(frames_path)
    for batch_size in batch_sizes:
        frames = planes(protocol.batch_of(images, batch_size))
        model = core.read_model(onnx_path)
        model.reshape(list(frames.shape))
        request = core.compile_model(model, "CPU", options).create_infer_request()
        request.set_input_tensor(openvino.Tensor(frames, shared_memory=True))
        yield from protocol.measure(
            DENSE, batch_size, lambda request=request: request.infer(), lambda outputs: outputs, seconds=seconds
        )
    yield protocol.end()
