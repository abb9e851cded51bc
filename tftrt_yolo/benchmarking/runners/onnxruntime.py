"""Ultralytics' ONNX export in ONNX Runtime; the network alone, frames and outputs on the device.

with Worker("tftrt_yolo.benchmarking.runners.onnxruntime", python=peer_python) as worker:
    worker.start(onnx_path="yolov8n.onnx", on_gpu=False, frames_path="frames.npy", batch_sizes=(1, 8), seconds=2.0)
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import DENSE


def work(
    *, onnx_path: str, on_gpu: bool, frames_path: str, batch_sizes: tuple[int, ...], seconds: float
) -> Iterator[dict]:
    """Measures an ONNX file.

    Args:
      onnx_path: What `YOLO(weights).export(format="onnx", dynamic=True)` wrote.
      on_gpu: Whether CUDA runs it.
      frames_path: As `runners.tensorflow.work`.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events.
    """
    try:
        import onnxruntime
    except ImportError as error:
        yield protocol.absent(error)
        return
    provider, device = ("CUDAExecutionProvider", "cuda") if on_gpu else ("CPUExecutionProvider", "cpu")
    available = onnxruntime.get_available_providers()
    if provider not in available:
        yield protocol.absent(f"ONNX Runtime has no {provider} here, only {', '.join(available)}")
        return
    session = onnxruntime.InferenceSession(onnx_path, providers=[provider])
    if provider not in session.get_providers():  # it falls back to the CPU with no more than a line in the log
        yield protocol.absent(f"ONNX Runtime could not start {provider}")
        return
    yield protocol.about({"onnxruntime": onnxruntime.__version__}, backend=f"ONNX Runtime, {provider}")

    [entry], images = session.get_inputs(), np.load(frames_path)
    dtype = np.float16 if entry.type == "tensor(float16)" else np.float32
    for batch_size in batch_sizes:
        binding = session.io_binding()
        resident = onnxruntime.OrtValue.ortvalue_from_numpy(
            planes(protocol.batch_of(images, batch_size)).astype(dtype), device, 0
        )
        binding.bind_ortvalue_input(entry.name, resident)
        for output in session.get_outputs():
            binding.bind_output(output.name, device)
        yield from protocol.measure(
            DENSE,
            batch_size,
            lambda binding=binding: session.run_with_iobinding(binding),
            lambda _, binding=binding: binding.synchronize_outputs(),
            seconds=seconds,
        )
    yield protocol.end()


def planes(batch: np.ndarray) -> np.ndarray:
    """Frames as ONNX takes them.

    Args:
      batch: (batch, height, width, 3) uint8.

    Returns:
      (batch, 3, height, width) float32 in [0, 1].
    """
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
