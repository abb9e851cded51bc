"""Ultralytics' network in PyTorch, eager or compiled; the network alone, decoded boxes and scores left on the device.

    with Worker("tftrt_yolo.benchmarking.runners.pytorch", python=peer_python) as worker:
        worker.start(weights="yolov8n.pt", precision="FP16", compile_mode="reduce-overhead", ...)

The frames are uint8 (batch, height, width, 3) on the device, and the scaling to [0, 1] is part of what is compiled.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import DENSE


def work(
    *,
    weights: str,
    precision: str,
    compile_mode: str | None,
    frames_path: str,
    batch_sizes: tuple[int, ...],
    seconds: float,
) -> Iterator[dict]:
    """Measures a checkpoint in PyTorch.

    Args:
      weights: A .pt checkpoint that this package wrote: it is unpickled.
      precision: "FP32" on the CPU, "FP16" on the GPU.
      compile_mode: torch.compile's mode; None for eager.
      frames_path: As `runners.tensorflow.work`.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events.
    """
    try:
        import torch
        import ultralytics
    except (ImportError, RuntimeError, OSError) as error:
        yield protocol.absent(error)
        return
    if precision == "FP16" and not torch.cuda.is_available():
        yield protocol.absent("PyTorch sees no GPU here")
        return
    on_gpu = precision == "FP16"
    model = placed(load(weights), precision)
    mode = compile_mode or "eager"
    backend = f"PyTorch {mode} on {torch.cuda.get_device_name() if on_gpu else 'CPU'}, channels_last, fused"
    yield protocol.about(versions(torch, ultralytics), backend=backend)

    images = np.load(frames_path)
    for batch_size in batch_sizes:
        frames = torch.from_numpy(protocol.batch_of(images, batch_size)).to(device_of(model))
        yield from protocol.measure(
            DENSE,
            batch_size,
            functools.partial(inference(model, frames, compile_mode), frames),
            lambda _: torch.cuda.synchronize() if on_gpu else None,
            seconds=seconds,
        )
    yield protocol.end()


def load(weights: str):
    """The network that `YOLO(weights)` has, float32, in evaluation mode.

    Args:
      weights: A .pt checkpoint that this package wrote: it is unpickled.

    Returns:
      The network.
    """
    from ultralytics import YOLO

    return YOLO(weights).model.float().eval()


def versions(torch, ultralytics) -> dict[str, str]:
    """Versions of PyTorch and Ultralytics and of the CUDA and cuDNN below."""
    # torch's own is a class of torch, which the process that reads the events may not have.
    found = {"torch": str(torch.__version__), "ultralytics": ultralytics.__version__}
    if torch.cuda.is_available():
        found |= {"CUDA": torch.version.cuda, "cuDNN": str(torch.backends.cudnn.version())}
    return found


def placed(network, precision: str):
    """A network as it is measured.

    Args:
      network: Of `load`.
      precision: "FP32" on the CPU, "FP16" on the GPU.

    Returns:
      The same one, its normalisations folded, with its channels last.
    """
    import torch

    device, dtype = ("cuda", torch.float16) if precision == "FP16" else ("cpu", torch.float32)
    return network.fuse(verbose=False).to(device=device, dtype=dtype, memory_format=torch.channels_last)


def device_of(network):
    """Where a network lies."""
    return next(network.parameters()).device


def inference(network, frames, compile_mode: str | None) -> Callable:
    """A call of a network, compiled for the shape of some frames alone.

    Args:
      network: Of `placed`.
      frames: (batch, height, width, 3) uint8 on its device, of any content.
      compile_mode: torch.compile's mode; None for eager.

    Returns:
      A function of such frames that gives the network's first output.
    """
    import torch

    dtype = next(network.parameters()).dtype

    def predict(frames):
        found = network(frames.permute(0, 3, 1, 2).to(dtype) / 255)
        return found[0] if isinstance(found, (tuple, list)) else found  # a map comes as it is

    def infer(frames):
        with torch.inference_mode():
            return function(frames)

    function = predict
    if compile_mode:
        infer(frames)  # the head computes its anchors when it meets a new shape, and keeps them: not a thing to compile
        torch._dynamo.reset()
        function = torch.compile(predict, mode=compile_mode, dynamic=False)
    return infer
