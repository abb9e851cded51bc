"""Evaluation: how accurate a SavedModel is on labelled images, and how it compares to the weights it came from.

    report = tftrt_yolo.evaluate("yolov8n_saved_model", "coco8.yaml", compare_to="yolov8n.pt")
    print(report)
    report.value("box mAP50-95"), report.difference("box mAP50-95")

Beside the flow of export, convert and predict.

How its figures differ from those of Ultralytics' validator, although both select alike:

- Frames are letterboxed as the SavedModel and Ultralytics' predict do it; its validator rounds the sides of the scaled
  image up where these round to the nearest pixel. On 40 images that is worth up to 0.008.
- COCO's rules take the mean precision at 101 recalls, Ultralytics the area under lines between them: up to 0.002.
- Masks are compared at the image's resolution and not at a quarter of the frame's, and labelled polygons are drawn by
  COCO's rule and not by OpenCV's, which counts the outline in. For objects of 30 pixels the first is worth 0.04 to 0.06
  more and the second as much less; what is left of both depends on the data (docs/pages/accuracy.md).
- For depth it resizes images twice, to the size at which data sets are loaded and to the frame: up to 0.001 of delta1.
- Boxes are clipped to the image. Objects without a visible keypoint are ignored, as COCO does, and not counted as
  missed.

Oriented boxes are compared by probabilistic IoU as Ultralytics does, and beside it by the exact IoU of the rectangles,
which is far stricter.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.evaluation import charts
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.evaluation_report import FILE, EvaluationReport
from tftrt_yolo.ground import stages
from tftrt_yolo.ground.arguments import argument, check_at_least_one
from tftrt_yolo.ground.errors import EvaluationError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import counted, shown, sides
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.tasks.table import TASKS, in_words

_CONTENTS = directories.Contents(FILE, (charts.CURVES_FILE, charts.CONFUSION_FILE))


def evaluate(
    saved_model_dir: str | Path,
    data: str | Path,
    *,
    data_options: DataOptions | None = None,
    output_dir: str | Path | None = None,
    compare_to: str | Path | None = None,
    batch_size: int = 16,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """Measures a SavedModel's accuracy on labelled images, as Ultralytics' validator and COCO do.

    Signature `network` gives every anchor's predictions, and what scores above 0.001 is selected: all classes of an
    anchor, IoU 0.7, at most 300 an image. The thresholds that the SavedModel was exported with do not matter.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      data: An Ultralytics data.yaml; a COCO JSON of instances or person keypoints; for classify a folder of class
        folders. Paths in a data.yaml count from its own folder; what Ultralytics and pycocotools take is taken.
      data_options: What of the data is measured on.
      output_dir: Directory to write: evaluation.json, precision_recall.png and confusion_matrix.png; none to write
        nothing.
      compare_to: What is run beside it on the very same frames: the .pt checkpoint that was exported, in PyTorch and
        with the branch of its head that was exported; or another SavedModel of ours with frames of the same size, such
        as the export of the other branch.
      batch_size: Images a call of the network.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      overwrite: Replace the output of an earlier evaluation.
      on_progress: Called with the images that are done and the number of images.

    Returns:
      The figures, over all and class by class, with the time an image; None where no label says what is right. Of ten
      images or more each has its 95 % interval, and so has its difference to what it is compared to, beside which the
      report says how far scores shift. Its notes say how the data was taken, and what a model computed where that is
      not what it was converted for.

    Raises:
      ValueError: If an argument is out of its range, or compare_to is of another task, other classes or frames.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir, or a directory as compare_to, is no SavedModel of ours.
      DatasetError: If the data set is missing, damaged or empty, does not fit the model, has missing images or bad
        labels that are not to be skipped, or if all its images were skipped.
      ImageError: If an image cannot be read, and such are not to be skipped.
      CheckpointError: If compare_to cannot be used, or has not the branch that was exported.
      EvaluationError: If faster-coco-eval is missing, or PyTorch's process ends.
    """
    batch_size = check_at_least_one("batch_size", batch_size)
    if output_dir is not None:
        directories.check_free(Path(output_dir), _CONTENTS, overwrite=overwrite)
    handle = open_saved_model(saved_model_dir)
    other = None if compare_to is None else _other(Path(compare_to), handle)
    check_library(handle.metadata.task)

    from tftrt_yolo.evaluation import measurement, networks  # with TensorFlow, which a command's help need not wait for

    spec = networks.describe(handle)
    stages.enter("reading the labels")
    DataOptions.check_is("data_options", data_options)
    data_options = data_options or DataOptions()
    dataset = open_dataset(data, spec, data_options)
    stages.enter("running the network")
    measured = measurement.measure(
        handle,
        dataset,
        spec,
        data_options=data_options,
        compare_to=other,
        batch_size=batch_size,
        strict=strict,
        on_progress=on_progress,
    )
    if output_dir is not None:
        with directories.written_whole(Path(output_dir), _CONTENTS, overwrite=overwrite) as partial_dir:
            measured.write(partial_dir)
    return measured.report


def _other(compare_to: Path, handle: SavedModelHandle) -> Path | SavedModelHandle:
    """What a SavedModel is compared to: a checkpoint as it is, or a SavedModel that fits it."""
    if compare_to.is_file():
        return compare_to
    if not compare_to.is_dir():
        raise ValueError(
            f"{argument('compare_to')} is {shown(compare_to)}, which is no file. Expected the .pt checkpoint that was "
            "exported, or the directory of another SavedModel."
        )
    other = open_saved_model(compare_to)
    first, second = handle.metadata, other.metadata
    named = f"{argument('compare_to')} is {other.given}"
    if (first.task, first.names, first.keypoint_shape) != (second.task, second.names, second.keypoint_shape):
        models = [
            f"for {in_words(one.task, len(one.names), ' of ')}"
            + (f" and {counted(one.keypoint_shape[0], 'key point')}" if one.keypoint_shape else "")
            for one in (second, first)
        ]
        raise ValueError(
            f"{named}, a model {models[0]}; the SavedModel is {models[1]}, and task, names and key points must be the "
            "same. Give another export of the checkpoint."
        )
    if first.image_size_hw != second.image_size_hw:
        raise ValueError(
            f"{named}, whose frames are of {sides(second.image_size_hw)} px; the SavedModel's are of "
            f"{sides(first.image_size_hw)} px, and both run on the very same. Export one of them anew with the other's "
            "image_size."
        )
    return other


def check_library(task: str) -> None:
    """Says early that the library of the metrics is missing.

    Args:
      task: The model's.

    Raises:
      EvaluationError: If it is, and the task needs it.
    """
    if TASKS[task].finds_objects and importlib.util.find_spec("faster_coco_eval") is None:
        raise EvaluationError(
            "faster-coco-eval cannot be imported; it computes average precision. Install it with "
            "`pip install tftrt_yolo[evaluate]`."
        )
