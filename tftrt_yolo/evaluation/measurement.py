"""Runs a SavedModel, and a checkpoint beside it, over a data set, and adds up what was found.

measured = measure(handle, dataset, spec, batch_size=16)
measured.report, measured.write(Path("runs/evaluation"))
"""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import CLASSIFY, Metadata
from tftrt_yolo.evaluation import charts, networks
from tftrt_yolo.evaluation.average_precision import Curves
from tftrt_yolo.evaluation.datasets.examples import Dataset, Example, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.evaluation.evaluation_report import ClassCount, EvaluationReport, ModelResult, Speed
from tftrt_yolo.evaluation.scoring import ClassificationScores, DetectionScores
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import shown, sides
from tftrt_yolo.saved_model import arithmetic
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.load import Backend
from tftrt_yolo.saved_model.network import SavedModelNetwork, prepare_ahead


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
            charts.write_confusion(self.confusion, self.names, output_dir / charts.CONFUSION_FILE)


def measure(
    handle: SavedModelHandle,
    dataset: Dataset,
    spec: LabelSpec,
    *,
    compare_to: str | Path | None = None,
    batch_size: int = 16,
    strict: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measures on every image of a data set.

    Args:
      handle: The SavedModel.
      dataset: Images with labels.
      spec: What they fit.
      compare_to: As `evaluate`; so are the others.
      batch_size: See there.
      strict: See there.
      on_progress: See there.

    Returns:
      The figures, and what the pictures need.
    """
    loaded = [SavedModelNetwork(handle, strict=strict)]
    if compare_to is not None:
        loaded.append(networks.PyTorchNetwork(compare_to, spec))
    with contextlib.ExitStack() as resources:
        runs = [_Run(resources.enter_context(network), spec) for network in loaded]
        waiting = _run_all(runs, dataset, handle.metadata, batch_size, on_progress or (lambda done, total: None))
    report = _report(runs, dataset, spec, handle.metadata, waiting)
    notes = (*report.notes, *_notes(handle, runs[0].network.backend, batch_size))
    report = dataclasses.replace(report, notes=notes)
    return Measured(report, spec.names, runs[0].curves, runs[0].scores.confusion)


class _Run:
    """A network and what was found of it so far."""

    def __init__(self, network, spec: LabelSpec):
        self.network = network
        self.scores = (ClassificationScores if spec.task == CLASSIFY else DetectionScores)(spec)
        self.batches = []  # images and seconds of each batch

    def network_ms(self) -> float:
        """Milliseconds an image, without the first batch where there are more."""
        counted = self.batches[1:] or self.batches
        return 1e3 * sum(seconds for _, seconds in counted) / sum(images for images, _ in counted)


def _run_all(
    runs: list[_Run],
    dataset: Dataset,
    metadata: Metadata,
    batch_size: int,
    on_progress: Callable[[int, int], None],
) -> float:
    """Runs every network on every image, batch by batch, each on the same frames; returns the seconds of waiting."""
    prepared = prepare_ahead([example.path for example in dataset.examples], metadata, batch_size)
    waiting, done, total = 0.0, 0, len(dataset.examples)
    while done < total:
        start = time.perf_counter()
        batch = list(itertools.islice(prepared, batch_size))
        frames = np.stack([frame for frame, _ in batch])
        waiting += time.perf_counter() - start
        places = [place for _, place in batch]
        examples = dataset.examples[done : done + len(batch)]
        truths = [_in_pixels(example, place.size_hw) for example, place in zip(examples, places, strict=True)]
        for run in runs:
            dense, seconds = run.network.run(frames)
            run.batches.append((len(frames), seconds))
            run.scores.add(dense, truths, places)
        done += len(batch)
        on_progress(done, total)
    return waiting


def _in_pixels(example: Example, size_hw) -> Truth:
    """What is on an image, in its pixels."""
    size_hw = tuple(map(int, size_hw))
    if not example.is_in_pixels:
        return example.truth.in_pixels(size_hw)
    if example.size_hw is not None and tuple(example.size_hw) != size_hw:
        raise DatasetError(
            f"{example.path} is of {list(size_hw)}, height and width, and its labels say {list(example.size_hw)}. Give "
            "the images that were labelled."
        )
    return example.truth


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
        results.append(ModelResult(run.network.name, str(run.network.backend), metrics, speed))
    return EvaluationReport(
        data=dataset.name,
        split=dataset.split,
        task=spec.task,
        image_size_hw=metadata.image_size_hw,
        num_images=total,
        num_objects=sum(example.truth.num_objects for example in dataset.examples),
        num_backgrounds=sum(not len(example.truth) for example in dataset.examples),
        num_crowds=sum(len(example.truth) - example.truth.num_objects for example in dataset.examples),
        missing_images=dataset.missing,
        skipped_labels=dataset.skipped_labels,
        notes=(*dataset.notes, *_size_notes(metadata)),
        classes=_count_classes(dataset, spec),
        models=tuple(results),
    )


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
    images, objects = {}, {}
    for example in dataset.examples:
        truth = example.truth
        classes = truth.classes if truth.are_crowds is None else truth.classes[~truth.are_crowds]
        for index in classes.tolist():
            objects[index] = objects.get(index, 0) + 1
        for index in set(classes.tolist()):
            images[index] = images.get(index, 0) + 1
    return tuple(ClassCount(index, spec.names[index], images[index], objects[index]) for index in sorted(objects))
