"""What a benchmark's report is made of: what was run, who ran, the numbers, and who is missing."""

import dataclasses
import statistics
from typing import ClassVar

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.machine import Clock
from tftrt_yolo.tasks.table import in_words


@dataclasses.dataclass(frozen=True)
class BenchmarkedModel:
    """What was run.

    Attributes:
      name: Stem of the checkpoint's or model YAML's name.
      task: Ultralytics' name of the task.
      image_size_hw: Height and width of the frames in pixels.
      num_classes: Classes.
      has_random_weights: Whether it was built from a model YAML. Speed does not care, the number of detections does.
    """

    name: str
    task: str
    image_size_hw: tuple[int, int]
    num_classes: int
    has_random_weights: bool

    def __str__(self) -> str:
        """One line for a reader."""
        height, width = self.image_size_hw
        random = ", random weights" if self.has_random_weights else ""
        classes = in_words(self.task, self.num_classes).removeprefix(self.task)
        return f"{self.name}, {self.task}, {width} x {height} px{classes}{random}"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One contestant in one mode at one batch size.

    Attributes:
      contestant: Its name.
      mode: "dense", "selected", "end_to_end" or "from_jpeg".
      batch_size: Images a call.
      first_call_seconds: The first call, with whatever is compiled then.
      p50_ms: Median of single calls, each waited for, in milliseconds.
      p90_ms: 90th percentile.
      p99_ms: 99th percentile.
      num_calls: Calls that these come from.
      windows_images_per_second: Calls without waiting, in each window.
    """

    contestant: str
    mode: str
    batch_size: int
    first_call_seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    num_calls: int
    windows_images_per_second: tuple[float, ...]

    DERIVED: ClassVar = ("images_per_second", "batch_ms", "is_unstable")

    def __post_init__(self):
        """Raises ValueError for numbers that no measurement gives: a file may be damaged."""
        numbers = (self.batch_size, self.first_call_seconds, self.p50_ms, self.p90_ms, self.p99_ms, self.num_calls)
        numbers += self.windows_images_per_second
        if not self.windows_images_per_second or not all(isinstance(n, (int, float)) and n > 0 for n in numbers):
            raise ValueError(f"{numbers} are not the numbers of a measurement.")

    @property
    def images_per_second(self) -> float:
        """The figure: the median of the windows."""
        return statistics.median(self.windows_images_per_second)

    @property
    def is_unstable(self) -> bool:
        """Whether the windows differ by more than 10 %."""
        return protocol.spread(self.windows_images_per_second) > protocol.UNSTABLE_SPREAD

    @property
    def batch_ms(self) -> float:
        """Time of a batch at the rate of `images_per_second`, in milliseconds."""
        return 1e3 * self.batch_size / self.images_per_second


@dataclasses.dataclass(frozen=True)
class ContestantRun:
    """What a contestant was.

    Attributes:
      name: Its name.
      precision: "FP32", "FP16", "BF16" or "INT8".
      is_ours: Whether it is this package.
      backend: What ran the network, in its own words.
      versions: Package to version.
      preparation_seconds: Conversion or export; None where nothing was made or it was there already.
      peak_host_bytes: Most main memory of its process.
      peak_device_bytes: Most memory of the GPU beyond what was in use before; None without a GPU.
      clock: The GPU's clock while it was timed; None without a GPU.
    """

    name: str
    precision: str
    is_ours: bool
    backend: str
    versions: dict[str, str]
    preparation_seconds: float | None
    peak_host_bytes: int
    peak_device_bytes: int | None
    clock: Clock | None


@dataclasses.dataclass(frozen=True)
class Budget:
    """Where the time of one JPEG file goes, of one contestant; medians of single calls, in milliseconds.

    Attributes:
      contestant: Its name.
      num_files: Different files.
      file_ms: A call with a file.
      array_ms: A call with the file's pixels.
      parts_ms: Part to its time alone, in the order in which they run: decode, letterbox, up (with a GPU), network,
        selection, back. Selection and back are differences, and can be below 0 where they cost less than times vary.
    """

    contestant: str
    num_files: int
    file_ms: float
    array_ms: float
    parts_ms: dict[str, float]

    DERIVED: ClassVar = ("rest_ms",)

    @property
    def rest_ms(self) -> float:
        """What the call with a file takes beyond its parts: Python."""
        return self.file_ms - sum(self.parts_ms.values())


@dataclasses.dataclass(frozen=True)
class Absence:
    """What was not measured, and why.

    Attributes:
      contestant: Its name.
      mode: The mode that is missing; None for all.
      batch_size: The batch size that is missing; None for all.
      reason: Why.
    """

    contestant: str
    mode: str | None
    batch_size: int | None
    reason: str

    def __str__(self) -> str:
        """One line for a reader."""
        batch = f" batch {self.batch_size}" if self.batch_size else ""
        return f"{self.contestant}{f' {self.mode}' if self.mode else ''}{batch}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Crash:
    """A contestant that did not come to its end.

    Attributes:
      contestant: Its name.
      during: What it was doing.
      last_words: What its process printed last.
    """

    contestant: str
    during: str
    last_words: str

    def __str__(self) -> str:
        """One line for a reader: the last of the last words."""
        lines = [line.strip() for line in self.last_words.splitlines() if line.strip()]
        return f"{self.contestant} ({self.during}): {lines[-1] if lines else 'no last words'}"
