"""Prediction on files: annotated pictures, and a line of JSON for each image.

report = tftrt_yolo.predict("yolov8n_saved_model", "photos/*.jpg", "runs/pictures")
print(report.class_counts)
"""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.ground.arguments import check_at_least_one
from tftrt_yolo.ground.files import directories, image_files
from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.predictor import BATCH_SIZE, Predictor
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
    """

    output_dir: Path
    task: str
    backend: str
    num_images: int
    num_detections: int
    class_counts: dict[str, int]
    unreadable: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """The report for a reader."""
        counts = ", ".join(f"{count} x {name}" for name, count in sorted(self.class_counts.items())) or "none"
        found = f"Found {counted(self.num_detections, 'object')} on" if TASKS[self.task].select else "Classified"
        lines = [
            f"{found} {counted(self.num_images, 'image')} in {self.seconds:.1f} s",
            f"  classes      {counts}",
            f"  backend      {self.backend}",
            f"  written      {self.output_dir} (pictures and {_DETECTIONS_FILE})",
        ]
        lines += [f"  skipped      {reason}" for reason in self.unreadable]
        return printable("\n".join(lines))


def predict(
    saved_model_dir: str | Path,
    source: str | Path,
    output_dir: str | Path,
    *,
    batch_size: int = BATCH_SIZE,
    strict: bool = False,
    allow_side_effects: bool = False,
    skip_unreadable: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PredictionReport:
    """Predicts on files and writes annotated pictures and detections.jsonl.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      source: An image, a folder of images, or a glob.
      output_dir: Directory to write: a picture for each image, and a line of JSON for each image in detections.jsonl.
      batch_size: At most this many images a call of the network.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether to run a model that holds operations which may touch files, the network or the
        process, as nothing does that `export` or `convert` wrote. `inspect` lists them.
      skip_unreadable: Whether to go on without an image that cannot be read; it is listed in the report.
      overwrite: Replace the output of an earlier run.
      on_progress: Called with the images that are done and the number of images.

    Returns:
      Counts, and what ran.

    Raises:
      ValueError: If batch_size is less than 1.
      ImageError: If there is no image, or one cannot be read and skip_unreadable is false. Nothing is written then.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects that are not allowed.
      ForkedProcessError: If this process was forked after TensorFlow ran.
    """
    batch_size = check_at_least_one("batch_size", batch_size)
    output_dir = Path(output_dir)
    directories.check_free(output_dir, CONTENTS, overwrite=overwrite)
    paths = image_files.find_images(source)
    directories.check_apart(output_dir, paths)
    predictor = Predictor(saved_model_dir, strict=strict, allow_side_effects=allow_side_effects)

    start = time.perf_counter()
    unreadable, class_counts, num_images = [], Counter(), 0
    with (
        directories.written_whole(output_dir, CONTENTS, overwrite=overwrite) as partial_dir,
        open(partial_dir / _DETECTIONS_FILE, "w", encoding="utf-8") as lines,
    ):
        task, names = predictor.task, predictor.names
        on_unreadable = (lambda _, error: unreadable.append(str(error))) if skip_unreadable else "raise"
        for path, image, result in predictor.with_images(paths, batch_size=batch_size, on_unreadable=on_unreadable):
            picture_path = pictures.free_path(partial_dir / pictures.name_for(path, image.shape[:2]))
            rows = task.rows(result, names)
            pictures.write(task.draw(image, result, names), picture_path)
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
    )
