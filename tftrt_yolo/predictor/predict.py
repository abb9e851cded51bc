"""Prediction on images, videos and streams: annotated pictures and videos, and a line of JSON for each image.

report = tftrt_yolo.predict("yolov8n_saved_model", "photos/*.jpg", "runs/pictures")
print(report.class_counts)
report = tftrt_yolo.predict(
    "yolov8n_saved_model",
    SourceOptions(source="clip.mp4", vid_stride=2),
    OutputOptions(output_dir="runs/people", save=("txt", "csv")),
    selection=SelectionOptions(score_threshold=0.5, classes="person"),
)
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import check_at_least_one
from tftrt_yolo.ground.files import directories
from tftrt_yolo.predictor.devices.divided import Divided
from tftrt_yolo.predictor.devices.here import Here
from tftrt_yolo.predictor.devices.run import Run
from tftrt_yolo.predictor.output.contents import CONTENTS
from tftrt_yolo.predictor.output.finding import Finding, scene_of
from tftrt_yolo.predictor.output.output_options import OutputOptions
from tftrt_yolo.predictor.output.run_writer import Counts, RunWriter
from tftrt_yolo.predictor.prediction_report import INTERRUPTED, PredictionReport
from tftrt_yolo.predictor.predictor import BATCH_SIZE
from tftrt_yolo.predictor.sources.opening import divided, open_source
from tftrt_yolo.predictor.sources.source import Source
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.tracking import by_source
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.table import TASKS

_VALIDATORS_SCORE = 0.01  # the highest that validators ask for: Ultralytics' own of oriented boxes


def predict(
    saved_model_dir: str | Path,
    source: str | Path | SourceOptions,
    output_dir: str | Path | OutputOptions,
    *,
    batch_size: int = BATCH_SIZE,
    strict: bool = False,
    allow_side_effects: bool = False,
    selection: SelectionOptions | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> PredictionReport:
    """Predicts on images, videos and streams, and writes annotated pictures, videos and detections.jsonl.

    An interrupt ends a run on a live stream as its normal end; on anything else nothing is kept after one.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      source: An image, a video, a folder of these, or a glob; with `SourceOptions` also how they are read.
      output_dir: Directory to write: a picture for each image, of its size, an H.264 mp4 for each video, and a line of
        JSON for each image or frame in detections.jsonl; with `OutputOptions` also other forms, and what is drawn.
      batch_size: At most this many images a call of the network.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether to run a model that holds operations which may touch files, the network or the
        process, as nothing does that `export` or `convert` wrote. `inspect` lists them.
      selection: Thresholds, limits and classes for this run; None for what the model was exported with.
      overwrite: Replace the output of an earlier run.
      on_progress: Called with the images that are done and the number of images, None where that is not known.

    Returns:
      Counts, and what ran.

    Raises:
      ValueError: If batch_size is less than 1, the selection asks for classes that the model does not have, or for
        anything of a classifier, or a form is asked for that the task does not have; or a device is not there, or the
        source cannot be divided between several.
      TypeError: If selection is something else than SelectionOptions.
      ImageError: If there is no image, or one cannot be read and skip_unreadable is false. Nothing is written then.
      DatasetError: If coco_annotations cannot be read, or are of other classes or images.
      FileExistsError: If output_dir exists and overwrite is false.
      OSError: If a picture or a video cannot be written, such as on a full disk; the message names it. Nothing is kept
        then.
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects that are not allowed.
      ForkedProcessError: If this process was forked after TensorFlow ran.
      DeviceError: If the process of a device ends again and again.
    """
    batch_size = check_at_least_one("batch_size", batch_size)
    SelectionOptions.check_is("selection", selection)
    output = output_dir if isinstance(output_dir, OutputOptions) else OutputOptions(output_dir=output_dir)
    path = Path(output.output_dir)
    directories.check_free(path, CONTENTS, overwrite=overwrite)
    sources = source if isinstance(source, SourceOptions) else SourceOptions(source=source)
    options = {"strict": strict, "allow_side_effects": allow_side_effects}
    is_divided = len(sources.devices or ()) > 1
    opened = divided(sources) if is_divided else open_source(sources)
    with contextlib.closing(opened), contextlib.ExitStack() as resources:
        directories.check_apart(path, [*opened.paths, *filter(None, [output.coco_annotations])])
        runner = (Divided if is_divided else Here)(saved_model_dir, options, sources)
        output.check_task(runner.metadata.task, str(saved_model_dir))
        selection = _as_validators(selection, output)
        asked = selection.asked() if selection else {}
        run = Run(opened, output, batch_size, asked)
        run.check_selection(TASKS[runner.metadata.task], str(saved_model_dir))
        indices = {"classes": selection.class_indices(runner.metadata.names)} if "classes" in asked else {}
        resources.enter_context(runner.begun(run))

        start = time.perf_counter()
        with directories.written_whole(path, CONTENTS, overwrite=overwrite) as partial_dir:
            scene = scene_of(runner.metadata, partial_dir, output)
            with RunWriter(scene, vid_stride=sources.vid_stride) as writer:
                ended = _written(runner.findings(scene), writer, run, on_progress)
        return PredictionReport(
            output_dir=path,
            task=runner.metadata.task,
            backend=runner.backend,
            unreadable=tuple(run.unreadable),
            seconds=time.perf_counter() - start,
            selection=asked | indices,
            forms=output.save,
            pictures=output.pictures,
            ended=ended,
            tracker=by_source.name_of(sources.tracker),
            **_counted(writer.counts, opened),
        )


def _as_validators(selection: SelectionOptions | None, output: OutputOptions) -> SelectionOptions | None:
    """The selection; where COCO's results are written of nearly all that there is, with each class of a box."""
    if selection is None or selection.multi_label is not None or "coco" not in output.save:
        return selection
    is_of_validators = selection.score_threshold is not None and selection.score_threshold <= _VALIDATORS_SCORE
    return dataclasses.replace(selection, multi_label=True) if is_of_validators else selection


def _written(
    findings: Iterator[Callable[[], Finding]],
    writer: RunWriter,
    run: Run,
    on_progress: Callable[[int, int | None], None] | None,
) -> str:
    """Has all findings written; says how that ended: "" as it should, or by an interrupt of a live source."""
    source, num_done = run.source, 0
    try:
        with contextlib.closing(findings):
            for num_done, finding in enumerate(findings, start=1):
                writer.put(finding)
                if on_progress:
                    done = num_done + len(run.unreadable)
                    on_progress(done, None if source.count is None else max(source.count, done))
    except KeyboardInterrupt:
        if not source.is_live or not num_done:
            raise
        return INTERRUPTED
    return ""


def _counted(counts: Counts, source: Source) -> dict[str, object]:
    """What was counted, by the names of the report's fields."""
    return {
        "num_images": counts.num_images,
        "num_frames": counts.num_frames,
        "num_videos": counts.num_videos,
        "num_detections": counts.classes.total(),
        "class_counts": dict(counts.classes),
        "num_dropped": source.tally.num_dropped,
        "num_retries": source.tally.num_retries,
        "notes": (*source.tally.notes, *counts.notes),
        "left_out": source.left_out,
    }
