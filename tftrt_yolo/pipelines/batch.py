"""A job over many images on Ray Data, on this machine or on a cluster, which is continued where it was interrupted.

report = tftrt_yolo.batch("yolov8n_saved_model", "photos", "runs/detections")
print(report.class_counts)
report = tftrt_yolo.batch(
    "yolov8n_saved_model",
    BatchSourceOptions(source="photos", recursive=True),
    BatchOutputOptions(output_dir="runs/detections", form="jsonl"),
    workers=WorkerOptions(address="10.0.0.1:6379", batch_size=32),
)
"""

from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.pipelines.batch_options import BatchOutputOptions, WorkerOptions
from tftrt_yolo.pipelines.batch_report import BatchReport
from tftrt_yolo.pipelines.ray_data import library
from tftrt_yolo.pipelines.ray_data.job import check_place
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.selection import SelectionOptions


def batch(
    saved_model_dir: str | Path,
    source: str | Path | BatchSourceOptions,
    output_dir: str | Path | BatchOutputOptions,
    *,
    workers: WorkerOptions | None = None,
    selection: SelectionOptions | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> BatchReport:
    """Predicts on many images with Ray Data, and writes a row for each as Parquet or JSON.

    Whatever ends it, the same call goes on: with the shards that are not written yet. In the end there is one row for
    each image, also for one that cannot be read.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote, on every node.
      source: An image, a folder of images, a glob or a list of these; with `BatchSourceOptions` also how they are
        found.
      output_dir: Directory to write; with `BatchOutputOptions` also in which form.
      workers: What it runs on; None for this machine.
      selection: Thresholds, limits and classes for this job; None for what the model was exported with.
      overwrite: Replace the output of another job, or of this one if it is complete. The earlier one is gone when this
        one begins.
      on_progress: Called with the images that are done and the number of images, None where that is not known.

    Returns:
      Counts, and how long it took.

    Raises:
      ValueError: If the selection asks for classes that the model does not have, or for anything of a classifier.
      TypeError: If workers or selection is something else than its options.
      ImageError: If there is no image.
      BatchError: If Ray is not installed or cannot be started or reached, a node has other versions or another model,
        the output of another job is in the way, or another process writes there.
      FileExistsError: If output_dir exists and is no job's output.
      OSError: If a shard cannot be written, such as on a full disk; those before it stay.
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects that are not allowed.
      KeyboardInterrupt: If it is interrupted, with what is written and how to go on as its text.
    """
    WorkerOptions.check_is("workers", workers)
    SelectionOptions.check_is("selection", selection)
    workers = workers or WorkerOptions()
    output = output_dir if isinstance(output_dir, BatchOutputOptions) else BatchOutputOptions(output_dir=output_dir)
    source = source if isinstance(source, BatchSourceOptions) else BatchSourceOptions(source=source)
    check_place(Path(output.output_dir), overwrite=overwrite)
    handle = open_saved_model(saved_model_dir)
    library.load()  # whose absence is told before anything is listed
    from tftrt_yolo.pipelines.batch_run import run  # with pyarrow, which comes with Ray Data

    return run(handle, source, output, workers, selection, overwrite=overwrite, on_progress=on_progress)
