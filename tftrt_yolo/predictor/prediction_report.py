"""What a run of `predict` did, for readers and programs."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.text import counted, listed, printable
from tftrt_yolo.predictor.output.contents import DETECTIONS
from tftrt_yolo.tasks.table import TASKS

INTERRUPTED = "interrupted"


@dataclasses.dataclass(frozen=True)
class PredictionReport:
    """What `predict` did.

    Attributes:
      output_dir: Where the pictures and detections.jsonl are.
      task: Ultralytics' name of the task.
      backend: What ran the network and why.
      num_images: Images that were read; frames of videos and streams do not count.
      num_detections: Detections on all images and frames; of a classifier each of these counts as one, and of a map
        each class on each of them.
      class_counts: Class name to detections; to images and frames, of a classifier or a map.
      unreadable: Images and videos that were skipped, each with the reason.
      seconds: Wall time without loading the model.
      left_out: What of the folder looks like pictures and is not taken from folders, a line for each ending, and why.
      selection: What was asked for in place of the model's own thresholds: name of each field of `SelectionOptions`
        that was given, and its value, classes as indices. Empty where the model's own alone count.
      num_frames: Frames of videos and streams.
      num_videos: Videos and streams that these are of.
      num_dropped: Frames of live streams that were left out, because newer ones were there.
      num_retries: How often a live stream was opened anew.
      forms: What was written beside pictures and detections.jsonl: names of `OutputOptions.save`.
      pictures: Whether annotated pictures and videos were written.
      notes: What else is to be known: a video that is cut short, sound that is damaged, images without an id.
      ended: How the run ended: empty for as it should, "interrupted" for an interrupt of a live stream.
      tracker: Who told which objects are those of the frame before: the name or the YAML file that was given; None for
        nobody.
    """

    output_dir: Path
    task: str
    backend: str
    num_images: int
    num_detections: int
    class_counts: dict[str, int]
    unreadable: tuple[str, ...]
    seconds: float
    left_out: tuple[str, ...] = ()
    selection: dict[str, object] = dataclasses.field(default_factory=dict)
    num_frames: int = 0
    num_videos: int = 0
    num_dropped: int = 0
    num_retries: int = 0
    forms: tuple[str, ...] = ()
    pictures: bool = True
    notes: tuple[str, ...] = ()
    ended: str = ""
    tracker: str | None = None

    def __str__(self) -> str:
        """The report for a reader."""
        counts = ", ".join(f"{count} x {name}" for name, count in sorted(self.class_counts.items())) or "none"
        found = TASKS[self.task].verb or f"Found {counted(self.num_detections, 'object')} on"
        lines = [
            f"{found} {self._images()} in {self.seconds:.1f} s",
            *([f"  classes      {counts}"] if self.class_counts or not TASKS[self.task].gives_map else []),
            *self._selection_lines(),
            *([f"  tracker      {self.tracker}"] if self.tracker is not None else []),
            f"  backend      {self.backend}",
            f"  written      {self.output_dir} ({self._files()})",
        ]
        if self.num_dropped or self.num_retries:
            dropped = f"{counted(self.num_dropped, 'frame')} left out for newer ones"
            lines.append(f"  live         {dropped}, opened anew {counted(self.num_retries, 'time')}")
        lines += [f"  ended        {self.ended}; what was found until then is kept"] if self.ended else []
        lines += [f"  skipped      {reason}" for reason in self.unreadable]
        lines += [f"  note         {note}" for note in self.notes]
        lines += [f"  left out     {line}" for line in self.left_out]
        return printable("\n".join(lines))

    def _images(self) -> str:
        """How many images and frames were read."""
        parts = [counted(self.num_images, "image")] if self.num_images or not self.num_frames else []
        if self.num_frames:
            parts.append(f"{counted(self.num_frames, 'frame')} of {counted(self.num_videos, 'video')}")
        return listed(parts)

    def _files(self) -> str:
        """What was written."""
        pictures = ["pictures"] if self.num_images or not self.num_frames else []
        pictures += ["videos"] if self.num_frames else []
        kinds = [*(pictures if self.pictures else ()), DETECTIONS, *self.forms]
        return listed(kinds)

    def _selection_lines(self) -> list[str]:
        """What was asked for, in a line; none where nothing was."""
        asked = {
            name: " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            for name, value in self.selection.items()
        }
        return [f"  selection    {', '.join(f'{name} {value}' for name, value in asked.items())}"] if asked else []
