"""The pictures that every contestant gets: letterboxed once, here, so that all do the same work.

    frames = read_frames("photos", (640, 640))       # (N, 640, 640, 3) uint8

Pictures of exactly the frame's size need no letterboxing; whoever letterboxes anyway, in a pipeline, has nothing to do.
"""

from pathlib import Path

import numpy as np

MAX_IMAGES = 64  # 79 MB at 640 x 640; a batch that is larger repeats them
_PADDING = 114  # Ultralytics' grey


def read_frames(images: str | Path, size_hw: tuple[int, int]) -> np.ndarray:
    """Reads pictures and letterboxes them.

    Args:
      images: An image, a folder of images or a glob; the first `MAX_IMAGES` are taken.
      size_hw: Height and width of the frames, in pixels.

    Returns:
      (N, height, width, 3) uint8, RGB, the pictures in the middle and grey around them.

    Raises:
      ImageError: If there is no image or one cannot be read.
    """
    from tftrt_yolo.predictor import sources

    paths = sources.find_images(images)[:MAX_IMAGES]
    return np.stack([_letterbox(sources.read_image(path), size_hw) for path in paths])


def _letterbox(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """One picture in a frame, with Pillow."""
    import PIL.Image

    (frame_height, frame_width), (height, width) = size_hw, image.shape[:2]
    scale = min(frame_height / height, frame_width / width)
    height, width = (max(1, round(side * scale)) for side in (height, width))
    frame = PIL.Image.new("RGB", (frame_width, frame_height), (_PADDING,) * 3)
    resized = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR)
    frame.paste(resized, ((frame_width - width) // 2, (frame_height - height) // 2))
    return np.asarray(frame)
