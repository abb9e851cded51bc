"""Which images are predicted on, how they are read and divided, and what is done about those that cannot be read."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, number, whole_number
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.saved_model import devices


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Which images are predicted on, how they are read, and by which of the machine's devices.

    Attributes:
      source: An image or a video; a folder or a glob of these, such as 'photos/**/*.jpg'; a list of these in a file
        .txt or .csv; the URL of an image, a video or a stream (http, https, rtsp, rtmp, tcp, udp); several streams in a
        file .streams; the number of a webcam, such as 0; or - for JPEGs, one image or a video on standard input.
      skip_unreadable: Whether to go on without an image or a video that cannot be read, and without entries of a list
        that are not there; each is listed in the report.
      recursive: Whether a folder's subfolders count, too.
      vid_stride: Of videos and streams, every n-th frame is taken.
      stream_buffer: Whether every frame of a live stream is dealt with, in order, which falls behind where frames
        come faster than the network takes them. Without it frames are left out, and each result is of the newest.
      max_retries: How often a live stream that ends, stalls or breaks is opened anew, after 1, 2, 4, 8, 16 and then
        each time 30 s; the count begins anew after a minute without a fault.
      timeout_s: Seconds without anything from a stream or a URL after which it counts as broken.
      tracker: Who tells which objects are those of the frame before: "bytetrack"; "botsort", which also follows the
        camera's motion; or a YAML file of either, as Ultralytics takes it. Each video has ids of its own, from 1;
        detections then score above 0.1 unless `score_threshold` says otherwise.
      devices: What runs the model, for `predict` alone: GPUs by their numbers, "CPU", or names as a Predictor's
        `device` has them. Of several each has a process of its own, and the files are divided between them; what is
        written is what one writes. CPUs share the cores. None for the first GPU, and where there is none the CPU.
    """

    source: str | Path | int
    skip_unreadable: bool = False
    recursive: bool = False
    vid_stride: int = 1
    stream_buffer: bool = False
    max_retries: int = 5
    timeout_s: float = 10.0
    tracker: str | Path | None = None
    devices: tuple[int | str, ...] | None = None

    def __post_init__(self):
        """Refuses what is out of range."""
        check_at_least_one("vid_stride", self.vid_stride)
        retries, seconds = whole_number(self.max_retries), number(self.timeout_s)
        if retries is None or retries < 0:
            raise ValueError(
                f"{argument('max_retries')} is {quoted(self.max_retries)}; it must be a whole number of at least 0."
            )
        if seconds is None or not 0 < seconds <= 86_400:
            raise ValueError(
                f"{argument('timeout_s')} is {quoted(self.timeout_s)}; it must be a number of seconds above 0 and of "
                "at most a day."
            )
        for name in ("skip_unreadable", "recursive", "stream_buffer"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{argument(name)} is {quoted(getattr(self, name))}; it must be True or False.")
        if self.devices is not None:
            object.__setattr__(self, "devices", devices.parse_all(self.devices))  # the dataclass is frozen
