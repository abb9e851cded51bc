"""Prediction on files: annotated pictures, and a line of JSON for each image.

report = tftrt_yolo.predict("yolov8n_saved_model", "photos/*.jpg", "runs/pictures")
print(report.class_counts)
report = tftrt_yolo.predict(
    "yolov8n_saved_model", "photos", "runs/people", selection=SelectionOptions(score_threshold=0.5, classes="person")
)
"""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.ground.arguments import check_at_least_one
from tftrt_yolo.ground.files import directories, image_files, image_formats
from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.predictor import BATCH_SIZE, Predictor
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.table import TASKS

_DETECTIONS_FILE = "detections.jsonl"


def _listed_pictures(output_dir: Path) -> list[str]:
    """The pictures that detections.jsonl names; none if it is damaged, and then every picture is a stranger's."""
    try:
        lines = (output_dir / _DETECTIONS_FILE).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["picture"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


CONTENTS = directories.Contents(_DETECTIONS_FILE, listed=_listed_pictures)


@dataclasses.dataclass(frozen=True)
class PredictionReport:
    """What `predict` did.

    Attributes:
      output_dir: Where the pictures and detections.jsonl are.
      task: Ultralytics' name of the task.
      backend: What ran the network and why.
      num_images: Images that were read.
      num_detections: Detections on all of them; a classifier's images count as one each.
      class_counts: Class name to detections; to images, of a classifier.
      unreadable: Images that were skipped, each with the reason.
      seconds: Wall time without loading the model.
      left_out: What of the folder looks like pictures and is not taken from folders, a line for each ending, and why.
      selection: What was asked for in place of the model's own thresholds: name of each field of `SelectionOptions`
        that was given, and its value, classes as indices. Empty where the model's own alone count.
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

    def __str__(self) -> str:
        """The report for a reader."""
        counts = ", ".join(f"{count} x {name}" for name, count in sorted(self.class_counts.items())) or "none"
        found = f"Found {counted(self.num_detections, 'object')} on" if TASKS[self.task].select else "Classified"
        lines = [
            f"{found} {counted(self.num_images, 'image')} in {self.seconds:.1f} s",
            f"  classes      {counts}",
            *self._selection_lines(),
            f"  backend      {self.backend}",
            f"  written      {self.output_dir} (pictures and {_DETECTIONS_FILE})",
        ]
        lines += [f"  skipped      {reason}" for reason in self.unreadable]
        lines += [f"  left out     {line}" for line in self.left_out]
        return printable("\n".join(lines))

    def _selection_lines(self) -> list[str]:
        """What was asked for, in a line; none where nothing was."""
        asked = {
            name: " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            for name, value in self.selection.items()
        }
        return [f"  selection    {', '.join(f'{name} {value}' for name, value in asked.items())}"] if asked else []


def predict(
    saved_model_dir: str | Path,
    source: str | Path | SourceOptions,
    output_dir: str | Path,
    *,
    batch_size: int = BATCH_SIZE,
    strict: bool = False,
    allow_side_effects: bool = False,
    selection: SelectionOptions | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictionReport:
    """Predicts on files and writes annotated pictures and detections.jsonl.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      source: An image, a folder of images, or a glob; with `SourceOptions` also how they are read.
      output_dir: Directory to write: a picture for each image, of its size, and a line of JSON for each image in
        detections.jsonl.
      batch_size: At most this many images a call of the network.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether to run a model that holds operations which may touch files, the network or the
        process, as nothing does that `export` or `convert` wrote. `inspect` lists them.
      selection: Thresholds, limits and classes for this run; None for what the model was exported with.
      overwrite: Replace the output of an earlier run.
      on_progress: Called with the images that are done and the number of images.

    Returns:
      Counts, and what ran.

    Raises:
      ValueError: If batch_size is less than 1, or the selection asks for classes that the model does not have, or for
        anything of a classifier.
      TypeError: If selection is something else than SelectionOptions.
      ImageError: If there is no image, or one cannot be read and skip_unreadable is false. Nothing is written then.
      FileExistsError: If output_dir exists and overwrite is false.
      OSError: If a picture cannot be written, such as on a full disk; the message names it. Nothing is kept then.
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects that are not allowed.
      ForkedProcessError: If this process was forked after TensorFlow ran.
    """
    batch_size = check_at_least_one("batch_size", batch_size)
    SelectionOptions.check_is("selection", selection)
    output_dir = Path(output_dir)
    directories.check_free(output_dir, CONTENTS, overwrite=overwrite)
    sources = source if isinstance(source, SourceOptions) else SourceOptions(source=source)
    paths = image_files.find_images(sources.source, warns=False)
    directories.check_apart(output_dir, paths)
    predictor = Predictor(saved_model_dir, strict=strict, allow_side_effects=allow_side_effects)
    asked = selection.asked() if selection else {}
    indices = {"classes": selection.class_indices(predictor.metadata.names)} if "classes" in asked else {}

    start = time.perf_counter()
    unreadable, class_counts, num_images = [], Counter(), 0
    with (
        directories.written_whole(output_dir, CONTENTS, overwrite=overwrite) as partial_dir,
        open(partial_dir / _DETECTIONS_FILE, "w", encoding="utf-8") as lines,
    ):
        task, names, picture_names = predictor.task, predictor.names, pictures.Names(partial_dir)
        on_unreadable = (lambda _, error: unreadable.append(str(error))) if sources.skip_unreadable else "raise"
        results = predictor.with_images(
            paths, batch_size=batch_size, on_unreadable=on_unreadable, tracker=sources.tracker, **asked
        )
        for path, image, result in results:
            rows = task.rows(result, names)
            drawn = task.draw(image, result, names)
            picture_path = picture_names.path_for(path, drawn.shape[:2])
            pictures.write(drawn, picture_path)
            header = {
                "image": str(path),
                "picture": picture_path.name,
                "height": image.shape[0],
                "width": image.shape[1],
            }
            lines.write(json.dumps({**header, task.row_label: rows}) + "\n")
            class_counts.update(row["name"] for row in (rows if task.select else rows[:1]))
            num_images += 1
            if on_progress:
                on_progress(num_images + len(unreadable), len(paths))
    return PredictionReport(
        output_dir=output_dir,
        task=task.name,
        backend=str(predictor.backend),
        num_images=num_images,
        num_detections=class_counts.total(),
        class_counts=dict(class_counts),
        unreadable=tuple(unreadable),
        seconds=time.perf_counter() - start,
        left_out=image_formats.left_out(sources.source),
        selection=asked | indices,
    )
