"""A detector as PyTorch's own libraries run it: JPEG files in, detections on the host out, all between on the device.

    with Worker("tftrt_yolo.benchmarking.runners.torchvision", python=peer_python) as worker:
        worker.start(weights="yolov8n.pt", precision="FP16", ...)

torchvision decodes (with nvJPEG on a GPU) and suppresses, torch.compile has the network. Ultralytics' own way, which
decodes on the host, is the runner `ultralytics`.
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import FROM_JPEG
from tftrt_yolo.ground.placement import PADDING_VALUE, letterboxed, scaled_size

_MODE = "reduce-overhead"  # of torch.compile


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
    """Measures the pipeline.

    Args:
      weights: A .pt checkpoint of a detector that this package wrote: it is unpickled.
      precision: "FP32" on the CPU, where the network runs eagerly; "FP16" on the GPU, where torch.compile has it.
      score_threshold: Detections score above this.
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays.
      max_detections: At most this many an image.
      frames_path: As `runners.tensorflow.work`; its size is that of the network's frames.
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
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: a torchvision of another build than torch
        yield protocol.absent(error)
        return
    from tftrt_yolo.benchmarking.runners import pytorch

    on_gpu = precision == "FP16"
    if on_gpu and not torch.cuda.is_available():
        yield protocol.absent("PyTorch sees no GPU here")
        return
    network = pytorch.load(weights)
    if type(network).__name__ != "DetectionModel" or getattr(network.model[-1], "end2end", False):
        yield protocol.absent("it suppresses the boxes of detectors alone, of heads that need that")
        return
    network = pytorch.placed(network, precision)
    device = pytorch.device_of(network)
    found = pytorch.versions(torch, ultralytics) | {"torchvision": str(torchvision.__version__)}
    way = f"{_MODE} on {torch.cuda.get_device_name()}" if on_gpu else "eager on CPU"
    yield protocol.about(found, backend=f"torchvision and PyTorch {way}")
    if not jpeg_paths:
        yield protocol.absent(protocol.WHY_NO_JPEG, mode=FROM_JPEG)
    size_hw = np.load(frames_path, mmap_mode="r").shape[1:3]
    for batch_size in batch_sizes if jpeg_paths else ():
        paths = protocol.list_of(jpeg_paths, batch_size)
        infer = pytorch.inference(network, _frames(paths, size_hw, device), _MODE if on_gpu else None)

        def call(paths=paths, infer=infer) -> list[np.ndarray]:
            with torch.inference_mode():
                outputs = infer(_frames(paths, size_hw, device)).float()
                return [
                    _select(one, score_threshold, iou_threshold, max_detections).cpu().numpy() for one in outputs.mT
                ]

        yield from protocol.measure(
            FROM_JPEG,
            batch_size,
            call,
            lambda detections: detections,  # they are on the host already
            seconds=seconds,
        )
    yield protocol.end()


def _frames(paths: list[str], size_hw: tuple[int, int], device: str):
    """Letterboxed frames (batch, height, width, 3) uint8 of files, on the device."""
    import torch
    from torchvision import io
    from torchvision.transforms.v2 import functional

    files = [io.read_file(path) for path in paths]
    pictures = io.decode_jpeg(files, mode=io.ImageReadMode.RGB, device=device)
    frames = torch.full((len(paths), *size_hw, 3), PADDING_VALUE, dtype=torch.uint8, device=device)
    for frame, picture in zip(frames, pictures, strict=True):
        height, width = scaled_size(tuple(picture.shape[1:]), size_hw)
        left, top = letterboxed(tuple(picture.shape[1:]), size_hw).padding_xy.astype(int)
        scaled = functional.resize(picture, [height, width], antialias=False)
        frame[top : top + height, left : left + width] = scaled.permute(1, 2, 0)
    return frames


def _select(outputs, score_threshold: float, iou_threshold: float, max_detections: int):
    """Detections (N, 6) of one image: corners, score and class, the best first.

    Args:
      outputs: (anchors, 4 + classes): centre, size and scores.
      score_threshold: As `work`.
      iou_threshold: As `work`.
      max_detections: As `work`.
    """
    import torch
    from torchvision import ops

    scores, classes = outputs[:, 4:].max(dim=1)
    kept = scores > score_threshold
    boxes, scores, classes = ops.box_convert(outputs[kept, :4], "cxcywh", "xyxy"), scores[kept], classes[kept]
    best = ops.batched_nms(boxes, scores, classes, iou_threshold)[:max_detections]
    return torch.cat((boxes[best], scores[best, None], classes[best, None].to(boxes.dtype)), dim=1)
