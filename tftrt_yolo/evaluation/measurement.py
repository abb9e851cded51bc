"""Runs a SavedModel, and a checkpoint beside it, over a data set, and adds up what was found.

measured = measure(handle, dataset, spec, data_options=DataOptions(), batch_size=16)
measured.report, measured.write(Path("runs/evaluation"))
"""

import collections
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import CLASSIFY, DEPTH, SEMANTIC, Metadata
from tftrt_yolo.evaluation import charts, networks
from tftrt_yolo.evaluation.average_precision import Curves
from tftrt_yolo.evaluation.certainty import resampling, score_shift
from tftrt_yolo.evaluation.certainty.figures import Interval
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import Dataset, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.evaluation.evaluation_report import ClassCount, EvaluationReport, ModelResult, Speed
from tftrt_yolo.evaluation.maps.depth_scores import DepthScores
from tftrt_yolo.evaluation.maps.semantic_scores import SemanticScores
from tftrt_yolo.evaluation.scoring import ClassificationScores, DetectionScores
from tftrt_yolo.evaluation.usable_images import UsableImages
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.ground.text import shown, sides
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.loaded import arithmetic
from tftrt_yolo.saved_model.loaded.backend import Backend
from tftrt_yolo.saved_model.network import SavedModelNetwork
from tftrt_yolo.tasks.table import TASKS

# Of tasks that find objects, DetectionScores.
_SCORES = {CLASSIFY: ClassificationScores, SEMANTIC: SemanticScores, DEPTH: DepthScores}


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was found, with what its pictures are drawn from.

    Attributes:
      report: The figures.
      names: Class index to name.
      curves: What a report calls the kind to the SavedModel's precision and recall; empty for a classifier.
      confusion: Its confusion matrix, as `charts.write_confusion` takes it.
    """

    report: EvaluationReport
    names: dict[int, str]
    curves: dict[str, Curves]
    confusion: np.ndarray

    def write(self, output_dir: Path) -> None:
        """Writes the report and the SavedModel's pictures into a directory."""
        self.report.write(output_dir)
        curves = {kind: curve for kind, curve in self.curves.items() if len(curve.classes)}
        if curves:  # without a label there is none
            charts.write_precision_recall(curves, self.names, output_dir / charts.CURVES_FILE)
        if self.confusion.any():
            is_of_pixels = TASKS[self.report.task].gives_map
            path = output_dir / charts.CONFUSION_FILE
            charts.write_confusion(self.confusion, self.names, path, is_of_pixels=is_of_pixels)


def measure(
    handle: SavedModelHandle,
    dataset: Dataset,
    spec: LabelSpec,
    *,
    data_options: DataOptions,
    compare_to: Path | SavedModelHandle | None = None,
    batch_size: int = 16,
    strict: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measures on every image of a data set.

    Args:
      handle: The SavedModel.
      dataset: Images with labels.
      spec: What they fit.
      data_options: What may be left out.
      compare_to: A checkpoint, or another SavedModel of the same task, classes and frames.
      batch_size: As `evaluate`; so are the others.
      strict: See there.
      on_progress: See there.

    Returns:
      The figures, and what the pictures need.

    Raises:
      ImageError: If an image cannot be read, and such are not to be skipped.
      DatasetError: If an image is of another size than its labels say, and such are not to be skipped, or if nothing
        is left.
    """
    images = UsableImages(dataset, data_options)
    handles, loaded = [handle], [(SavedModelNetwork(handle, strict=strict), spec)]
    if isinstance(compare_to, SavedModelHandle):
        handles.append(compare_to)
        own = networks.describe(compare_to)  # of its own branch, and what the graph lacks shows before it is run
        loaded.append((SavedModelNetwork(compare_to, strict=strict), own))
    elif compare_to is not None:
        loaded.append((networks.PyTorchNetwork(compare_to, spec), spec))
    # Two branches select in two ways, and their scores are not meant to be alike.
    shift = score_shift.gather(handle.metadata) if len(loaded) > 1 and loaded[1][1] == spec else None
    with contextlib.ExitStack() as resources:
        runs = [_Run(resources.enter_context(network), own) for network, own in loaded]
        waiting = _run_all(runs, shift, images, handle.metadata, batch_size, on_progress or (lambda done, total: None))
    report = _with_intervals(_report(runs, images.measured(), spec, handle.metadata, waiting), runs)
    noted = zip(handles, runs, strict=False)  # a checkpoint has no handle
    of_labels = runs[0].scores.notes()  # the same for all
    notes = (
        *report.notes,
        *of_labels,
        *(note for one, run in noted for note in _notes(one, run.network.backend, batch_size)),
    )
    report = dataclasses.replace(report, notes=notes, score_shift=shift.result() if shift else None)
    return Measured(report, spec.names, runs[0].curves, runs[0].scores.confusion)


class _Run:
    """A network and what was found of it so far."""

    def __init__(self, network, spec: LabelSpec):
        self.network, self.nms = network, spec.nms
        self.scores = _SCORES.get(spec.task, DetectionScores)(spec)
        self.batches = []  # images and seconds of each batch

    def network_ms(self) -> float:
        """Milliseconds an image, without the first batch where there are more."""
        counted = self.batches[1:] or self.batches
        return 1e3 * sum(seconds for _, seconds in counted) / sum(images for images, _ in counted)


def _run_all(
    runs: list[_Run],
    shift: score_shift.ShiftOfDetections | score_shift.ShiftOfClasses | None,
    images: UsableImages,
    metadata: Metadata,
    batch_size: int,
    on_progress: Callable[[int, int], None],
) -> float:
    """Runs every network on every image, batch by batch, each on the same frames; returns the seconds of waiting."""
    waiting, done = 0.0, 0
    with contextlib.closing(images.framed(metadata, batch_size)) as framed:
        while done < images.total:
            start = time.perf_counter()
            batch = list(itertools.islice(framed, batch_size))
            frames = np.stack([frame for frame, _, _ in batch]) if batch else ()
            waiting += time.perf_counter() - start
            if batch:
                found = _run_batch(runs, frames, [truth for _, truth, _ in batch], [place for _, _, place in batch])
                if shift:
                    shift.add(found[1], found[0])
            done = images.seen
            on_progress(done, images.total)
    return waiting


def _run_batch(
    runs: list[_Run], frames: np.ndarray, truths: list[Truth], places: list[Placement]
) -> list[dict[str, np.ndarray]]:
    """Runs every network on a batch, and gives the dense outputs of each."""
    found = []
    for run in runs:
        dense, seconds = run.network.run(frames)
        run.batches.append((len(frames), seconds))
        run.scores.add(dense, truths, places)
        found.append(dense)
    return found


def _report(
    runs: list[_Run], dataset: Dataset, spec: LabelSpec, metadata: Metadata, waiting: float
) -> EvaluationReport:
    """Adds everything up."""
    total = len(dataset.examples)
    results = []
    for run in runs:
        metrics, run.curves = run.scores.metrics()
        speed = Speed(
            waiting_ms=1e3 * waiting / total,
            network_ms=run.network_ms(),
            selection_ms=1e3 * run.scores.selection_seconds / total,
        )
        best_f1 = run.scores.best_f1()
        results.append(ModelResult(run.network.name, str(run.network.backend), metrics, speed, best_f1, run.nms))
    return EvaluationReport(
        data=dataset.name,
        split=dataset.split,
        task=spec.task,
        image_size_hw=metadata.image_size_hw,
        num_images=total,
        num_objects=sum(example.truth.num_objects for example in dataset.examples),
        num_backgrounds=sum(not len(example.truth) for example in dataset.examples),
        num_crowds=sum(example.truth.num_crowds for example in dataset.examples),
        missing_images=dataset.missing,
        skipped_labels=dataset.skipped_labels,
        notes=(*dataset.notes, *_size_notes(metadata)),
        unreadable_images=dataset.unreadable,
        classes=_count_classes(dataset, spec),
        models=tuple(results),
    )


def _with_intervals(report: EvaluationReport, runs: list[_Run]) -> EvaluationReport:
    """The report with what its figures would be of other images, the same draws for both models."""
    weights = resampling.draw(report.num_images)
    if weights is None:
        return report
    drawn = [run.scores.resampled(weights) for run in runs]
    models = []
    for model, values in zip(report.models, drawn, strict=True):
        metrics = (
            dataclasses.replace(metric, interval=resampling.interval(values[metric.name])) for metric in model.metrics
        )
        models.append(dataclasses.replace(model, metrics=tuple(metrics)))
    differences: dict[str, Interval] = {}
    if len(drawn) > 1:
        found = {name: resampling.interval(values - drawn[1][name]) for name, values in drawn[0].items()}
        differences = {name: value for name, value in found.items() if value is not None}
    return dataclasses.replace(report, models=tuple(models), resamples=len(weights), difference_intervals=differences)


def _size_notes(metadata: Metadata) -> list[str]:
    """That the frames are of another size than the model was trained at, if they are."""
    trained, taken = metadata.trained_size_hw, metadata.image_size_hw
    if trained in (None, taken):
        return []
    return [
        f"the frames are of {sides(taken)} px, and {shown(metadata.weights)} was trained at {sides(trained)}: what "
        "objects measure in a frame is another, and so may the accuracy be"
    ]


def _notes(handle: SavedModelHandle, backend: Backend, batch_size: int) -> list[str]:
    """What must be known of figures whose model computed otherwise than it was converted for."""
    computed = backend.arithmetic
    if not computed and handle.conversion is not None and "TensorRT" in backend.name:
        computed = arithmetic.of_batch(handle.conversion, batch_size)
    return [f"{handle.directory.name} was {computed}; there accuracy and time may be others"] if computed else []


def _count_classes(dataset: Dataset, spec: LabelSpec) -> tuple[ClassCount, ...]:
    """How often each class is labelled that is labelled at all; a crowd is no object."""
    images, objects = collections.Counter(), collections.Counter()
    for example in dataset.examples:
        counts = example.truth.class_counts()
        objects.update(counts)
        images.update(counts.keys())
    return tuple(ClassCount(index, spec.names[index], images[index], objects[index]) for index in sorted(objects))
