"""Videos as items of a job: each is read from its beginning, on one node, and every frame is an image.

for index, content in clips.frames("s3://films/clip.mp4", vid_stride=1):
    index, content                                      # 12, (height, width, 3) uint8
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.pipelines.ray_data.sources import stores
from tftrt_yolo.predictor.sources import videos
from tftrt_yolo.predictor.sources.source import Tally


def frames(name: str, *, vid_stride: int) -> Iterator[tuple[int | None, np.ndarray | ImageError]]:
    """Reads a video's frames in order.

    Args:
      name: Its path or URL; one behind a URL is brought to a temporary file first.
      vid_stride: Every n-th frame is given.

    Yields:
      A frame's number and pixels; None and the reason for the video itself, where it cannot be read, and behind its
      frames where some are missing.

    Raises:
      BatchError: If it is in a store that does not answer any more.
    """
    tally = Tally()
    try:
        with (
            _local(name) as path,
            contextlib.closing(videos.frames(videos.of_file(path, name), vid_stride=vid_stride, tally=tally)) as found,
        ):
            for frame in found:
                yield frame.index, frame.image
    except ImageError as error:
        yield None, error
        return
    if tally.notes:
        yield None, ImageError(" ".join(tally.notes))


def _local(name: str) -> contextlib.AbstractContextManager[Path]:
    """A video's file on this machine."""
    return stores.copied(name) if stores.is_url(name) else contextlib.nullcontext(Path(name))
