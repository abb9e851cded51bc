"""Ultralytics' own `YOLO(weights).predict`: pictures on the host, or JPEG files, in, detections on the host out.

with Worker("tftrt_yolo.benchmarking.runners.ultralytics", python=peer_python) as worker:
    worker.start(weights="yolov8n.pt", precision="FP16", score_threshold=0.25, iou_threshold=0.7, ...)
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import END_TO_END, FROM_JPEG

_PARTS = ("boxes", "obb", "probs", "semantic_mask", "depth")


def work(
    *,
    weights: str,
    precision: str,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    frames_path: str,
    jpeg_paths: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    seconds: float,
) -> Iterator[dict]:
    """Measures `predict`.

    Args:
      weights: A .pt checkpoint that this package wrote: it is unpickled.
      precision: "FP32" on the CPU, "FP16" on the GPU.
      score_threshold: Ultralytics' `conf`.
      iou_threshold: Ultralytics' `iou`.
      max_detections: Ultralytics' `max_det`.
      frames_path: As `runners.tensorflow.work`; nothing is left to letterbox.
      jpeg_paths: As `runners.tensorflow.work`.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events.
    """
    try:
        import torch
        import torchvision
        import ultralytics
        from ultralytics.cfg import DEFAULT_CFG_DICT
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: a torchvision of another build than torch
        yield protocol.absent(error)
        return
    from tftrt_yolo.benchmarking.runners import pytorch

    on_gpu = precision == "FP16"
    if on_gpu and not torch.cuda.is_available():
        yield protocol.absent("PyTorch sees no GPU here")
        return
    model = ultralytics.YOLO(weights)
    images = np.load(frames_path)
    half = {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}  # renamed; the old name warns
    options = {
        "imgsz": list(images.shape[1:3]),
        "conf": score_threshold,
        "iou": iou_threshold,
        "max_det": max_detections,
        "rect": False,
        "verbose": False,
        "device": 0 if on_gpu else "cpu",
        **(half if on_gpu else {}),
    }
    found = pytorch.versions(torch, ultralytics) | {"torchvision": str(torchvision.__version__)}
    yield protocol.about(found, backend=f"YOLO.predict on {torch.cuda.get_device_name() if on_gpu else 'CPU'}")
    pictures = [np.ascontiguousarray(image[..., ::-1]) for image in images]  # BGR
    for mode, items in ((END_TO_END, pictures), (FROM_JPEG, jpeg_paths)):
        if not items:
            yield protocol.absent(protocol.WHY_NO_JPEG, mode=mode)
            continue
        for batch_size in batch_sizes:
            batch = protocol.list_of(items, batch_size)
            yield from protocol.measure(
                mode,
                batch_size,
                lambda batch=batch: [
                    _found(result).data.cpu().numpy() for result in model.predict(batch, batch=len(batch), **options)
                ],
                lambda detections: detections,  # they are on the host already
                seconds=seconds,
            )
    yield protocol.end()


def _found(result):
    """What a result has of its task; a mask and key points come with boxes."""
    parts = (getattr(result, name, None) for name in _PARTS)  # older versions have not all
    return next(part for part in parts if part is not None)
