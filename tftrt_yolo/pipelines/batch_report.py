"""What a job did, for readers and programs."""

import dataclasses
import math
from pathlib import Path

from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.tasks.table import TASKS

_MOST_CLASSES = 20  # in the text


@dataclasses.dataclass(frozen=True)
class BatchReport:
    """What `batch` did.

    Attributes:
      output_dir: Where the shards and manifest.json are.
      form: "parquet" or "jsonl".
      task: Ultralytics' name of the task.
      model_sha256: Digest of the model's files and of what its metadata say.
      backend: What ran the network and why, each that there was; empty where nothing was left to do.
      num_images: Rows of all shards, those of images that cannot be read among them.
      num_unreadable: Rows of images that cannot be read, each with the reason.
      num_detections: Detections of all rows; of a classifier each image counts as one, of a map each class on it.
      class_counts: Class name to detections; to images, of a classifier or a map.
      num_shards: Files.
      num_shards_before: Those of them that were there when this run began.
      num_computed: Rows that this run added.
      num_bytes: Size of all shards.
      seconds: Wall time from the first images that came to the last; without starting Ray and loading the model.
      starting_seconds: Wall time before that.
      images_per_second: Rows of this run that came after the first ones, a second; NaN where that took
        less than a second.
      predictors: Processes that held the model; 0 where nothing was left to do.
      num_repeated: Entries of the source that were named more than once, and count once.
      selection: What was asked for in place of the model's own thresholds.
    """

    output_dir: Path
    form: str
    task: str
    model_sha256: str
    backend: tuple[str, ...]
    num_images: int
    num_unreadable: int
    num_detections: int
    class_counts: dict[str, int]
    num_shards: int
    num_shards_before: int
    num_computed: int
    num_bytes: int
    seconds: float
    starting_seconds: float
    images_per_second: float
    predictors: int
    num_repeated: int = 0
    selection: dict[str, object] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """The report for a reader."""
        counts = sorted(self.class_counts.items(), key=lambda pair: (-pair[1], pair[0]))
        classes = ", ".join(f"{count:,} x {name}" for name, count in counts[:_MOST_CLASSES]) or "none"
        more = f", ... of {counted(len(counts), 'class', 'classes')}" if counts[_MOST_CLASSES:] else ""
        is_map = TASKS[self.task].gives_map  # whose classes are counted by images, and have no sum
        detections = "" if is_map else f", {counted(self.num_detections, 'detection')}"
        lines = [
            f"{counted(self.num_images, 'image')} in {counted(self.num_shards, 'shard')}{detections}",
            *([f"  classes      {classes}{more}"] if counts or not is_map else []),
            f"  unreadable   {counted(self.num_unreadable, 'image')}, each a row with the reason",
        ]
        if self.num_computed:
            lines += [
                f"  computed     {counted(self.num_computed, 'image')} in {self._time}",
                *(f"  backend      {backend}" for backend in self.backend),
            ]
        if self.num_shards_before:
            lines.append(f"  continued    {counted(self.num_shards_before, 'shard')} had been written before")
        if self.num_repeated:
            lines.append(f"  repeated     {counted(self.num_repeated, 'entry', 'entries')} named again, and taken once")
        lines.append(f"  written      {self.output_dir} ({self.form}, {self.num_bytes / 1e6:,.1f} MB, manifest.json)")
        return printable("\n".join(lines))

    @property
    def _time(self) -> str:
        """How long it took, and who did it."""
        by = f"by {counted(self.predictors, 'predictor')}"
        if math.isnan(self.images_per_second):  # all came at once: it has no rate, and the start is most of the time
            return f"{self.starting_seconds + self.seconds:.1f} s, {by}"
        rate = f"{self.images_per_second:,.1f} a second"
        return f"{self.seconds:.1f} s, {rate}, {by}; {self.starting_seconds:.1f} s until the first came"
