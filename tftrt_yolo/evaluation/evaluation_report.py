"""What an evaluation found; printed as tables, written as evaluation.json and read back.

report = EvaluationReport.read("runs/evaluation")
report.value("box mAP50-95"), report.difference("box mAP50-95")
"""

import dataclasses
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.evaluation.certainty.figures import BestF1, Interval, ScoreShift
from tftrt_yolo.ground.errors import EvaluationError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, rounded, shown
from tftrt_yolo.tasks.table import TASKS

FILE = "evaluation.json"
_ROWS = 100  # classes that a table shows
_MOST_NAME = 40  # characters of a class's name in a table


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure of one model.

    Attributes:
      name: "box mAP50-95", "mask mAP50", "keypoint ...", "oriented ...", "top-1" and so on; for depth Ultralytics' own.
      value: The figure, between 0 and 1: for average precision the mean over the classes that have a label. None where
        no class has one: then there is nothing to be found, and COCO's tools say -1. For depth "rmse" is in metres and
        "silog" in hundredths.
      per_class: Class index to the class's own figure, of the classes that have a label.
      interval: Where the figure lies with 95 % confidence, had other images been drawn; None of fewer than ten images.
    """

    name: str
    value: float | None
    per_class: dict[int, float]
    interval: Interval | None = None


@dataclasses.dataclass(frozen=True)
class Speed:
    """Wall time an image, in milliseconds, of what happened one after the other.

    Attributes:
      waiting_ms: Waiting for frames, which threads decode and letterbox while the rest works.
      network_ms: Signature `network`, from frames to dense outputs in the host's memory; for PyTorch with the way to
        its process and back. The first batch, which warms up, is left out where there are more. On a CPU the threads
        that prepare frames slow it down; `benchmark` measures it alone.
      selection_ms: From dense outputs to matches: selection, masks, comparison with the labels.
    """

    waiting_ms: float
    network_ms: float
    selection_ms: float


@dataclasses.dataclass(frozen=True)
class ModelResult:
    """One model on the data.

    Attributes:
      name: The SavedModel's directory or the checkpoint's file, without folders.
      backend: What ran its network and why.
      metrics: The figures.
      speed: Time an image.
      best_f1: The score threshold at which F1 is best; None of a classifier, and where there is no label.
      nms: The branch of its head, "one-to-many" or "one-to-one", which nothing is suppressed of; empty for a
        classifier, and in reports of older versions.
    """

    name: str
    backend: str
    metrics: tuple[Metric, ...]
    speed: Speed
    best_f1: BestF1 | None = None
    nms: str = ""


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """How often a class is labelled.

    Attributes:
      index: Class index.
      name: Class name.
      num_images: Images with at least one object of it.
      num_objects: Objects; a crowd is none; of a map pixels.
    """

    index: int
    name: str
    num_images: int
    num_objects: int


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """What an evaluation found.

    Attributes:
      data: What the data set was read from.
      split: Which part of it; empty where there is one only.
      task: Ultralytics' name of the task.
      image_size_hw: Height and width of the network's frames in pixels.
      num_images: Images that were measured on.
      num_objects: Labelled objects on them, without crowds; for classify, one an image; of a map labelled pixels.
      num_backgrounds: Images without any label; whatever is found on them is wrong.
      missing_images: Paths of the images that were skipped because they are not there, or in a format that is not read.
      classes: The classes that have a label.
      models: The SavedModel, and what it was compared to.
      num_crowds: COCO's crowds on the images, regions where a detection is neither right nor wrong.
      skipped_labels: The bad labels for which images were left out, the first of each image, with its place and fault;
        among them those of images of another size than a COCO JSON says.
      notes: What a reader must know of the figures: how the data set was taken, and what a model computed where that is
        not what it was converted for.
      unreadable_images: The images that were left out because they cannot be read, each with the reason.
      resamples: How many data sets of as many images were drawn for the intervals; 0 where there are none.
      difference_intervals: Name of each figure, and "best-F1 threshold", to the interval of the difference between the
        two models, both measured on the same draws.
      score_shift: How far the SavedModel's scores are from those of what it was compared to; None without.
    """

    data: str
    split: str
    task: str
    image_size_hw: tuple[int, int]
    num_images: int
    num_objects: int
    num_backgrounds: int
    missing_images: tuple[str, ...]
    classes: tuple[ClassCount, ...]
    models: tuple[ModelResult, ...]
    num_crowds: int = 0
    skipped_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable_images: tuple[str, ...] = ()
    resamples: int = 0
    difference_intervals: dict[str, Interval] = dataclasses.field(default_factory=dict)
    score_shift: ScoreShift | None = None

    def value(self, name: str, *, model: int = 0) -> float | None:
        """A figure.

        Args:
          name: A metric's name.
          model: 0 for the SavedModel, 1 for what it was compared to.

        Returns:
          Its value; None where no label says what is right.

        Raises:
          KeyError: If there is no such metric.
        """
        values = {metric.name: metric.value for metric in self.models[model].metrics}
        if name not in values:
            raise KeyError(f"{name!r} is no metric of {self.task}; known are {', '.join(values)}")
        return values[name]

    def difference(self, name: str) -> float | None:
        """The SavedModel's figure less the other's; None where nothing was compared, or there is no figure."""
        if len(self.models) < 2 or self.value(name) is None:
            return None
        return self.value(name) - self.value(name, model=1)

    def write(self, output_dir: Path) -> None:
        """Writes evaluation.json into a directory."""
        documents.write(self, output_dir / FILE)

    @classmethod
    def read(cls, path: str | Path) -> "EvaluationReport":
        """Reads evaluation.json back.

        Args:
          path: The file, or the directory that `evaluate` wrote.

        Returns:
          The report.

        Raises:
          EvaluationError: If the file is missing or damaged.
        """
        return documents.read(path, FILE, cls, EvaluationError, origin="an evaluation", remedy="evaluate again")

    def __str__(self) -> str:
        """The tables."""
        console = documents.text_console()
        for line in _heading(self):
            console.print(line, soft_wrap=True)
        console.print(_summary(self))
        if self.resamples:
            console.print(_intervals(self))
        for line in _confidence(self):
            console.print(line, soft_wrap=True)
        console.print(_speeds(self))
        if self.classes:
            console.print(_classes(self))
        return documents.text_of(console)


def _heading(report: EvaluationReport) -> list[str]:
    """What was measured on what, and what to know of it."""
    height, width = report.image_size_hw
    split = f" ({report.split})" if report.split else ""
    crowds = f"{counted(report.num_crowds, 'crowd')}, " if report.num_crowds else ""
    what = "labelled pixel" if TASKS[report.task].gives_map else "object"
    lines = [
        f"Evaluated on {report.data}{split}: {counted(report.num_images, 'image')}, "
        f"{counted(report.num_objects, what)}, {crowds}{report.num_backgrounds:,} without any; {report.task}, "
        f"{width} x {height} px"
    ]
    if report.missing_images:
        missing = counted(len(report.missing_images), "missing image was", "missing images were")
        lines.append(f"  {missing} skipped, {report.missing_images[0]} first")
    if report.unreadable_images:
        unreadable = counted(len(report.unreadable_images), "unreadable image was", "unreadable images were")
        lines.append(f"  {unreadable} skipped, first {report.unreadable_images[0]}")
    if report.skipped_labels:
        one, several = "bad label was skipped with its image", "bad labels were skipped with their images"
        lines.append(f"  {counted(len(report.skipped_labels), one, several)}, first {report.skipped_labels[0]}")
    once = {contract.ONE_TO_ONE: ", one-to-one: each object once, nothing is suppressed"}
    lines += [f"  {model.name}: {model.backend}{once.get(model.nms, '')}" for model in report.models]
    return lines + [f"  note: {note}" for note in report.notes]


def _figure(value: float | None, form: str = ".4f") -> str:
    """A figure for a table; none where there is none."""
    return "-" if value is None else rounded(value, form)


def _table(*headers: str):
    """A table whose first column is text and whose others are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index else "left", overflow="fold")
    return table


def _summary(report: EvaluationReport):
    """Metrics by model, and the difference."""
    names = [model.name for model in report.models]
    table = _table("metric", *names, *(["difference"] if len(names) > 1 else []))
    for metric in report.models[0].metrics:
        values = [_figure(report.value(metric.name, model=place)) for place in range(len(names))]
        difference = [_figure(report.difference(metric.name), "+.4f")] if len(names) > 1 else []
        table.add_row(metric.name, *values, *difference)
    return table


def _intervals(report: EvaluationReport):
    """95 % intervals of every figure by model, and of the differences."""
    names = [model.name for model in report.models]
    heading = f"95 %, {report.resamples:,} draws"
    table = _table(heading, *names, *(["difference"] if len(names) > 1 else []))
    for place, metric in enumerate(report.models[0].metrics):
        cells = [model.metrics[place].interval for model in report.models]
        shown_cells = [cell.show() if cell else "-" for cell in cells]
        if len(names) > 1:
            difference = report.difference_intervals.get(metric.name)
            shown_cells.append(difference.show("+.4f") if difference else "-")
        table.add_row(metric.name, *shown_cells)
    return table


def _confidence(report: EvaluationReport) -> list[str]:
    """At which score F1 is best, and how far scores shift."""
    lines = [
        f"  best F1 of {model.name}: {model.best_f1.f1:.4f}, above score {model.best_f1.score_threshold:.3f}"
        for model in report.models
        if model.best_f1
    ]
    if report.score_shift:
        first, *more = str(report.score_shift).splitlines()
        lines += [f"  scores, less {report.models[1].name}'s: {first}", *(f"    {line}" for line in more)]
    return lines


def _speeds(report: EvaluationReport):
    """Milliseconds an image, step by step."""
    steps = ("waiting", "network", "selection")
    table = _table("ms an image", *steps)
    for model in report.models:
        table.add_row(model.name, *(f"{getattr(model.speed, f'{step}_ms'):.1f}" for step in steps))
    return table


def _classes(report: EvaluationReport):
    """The first model's metrics, class by class."""
    metrics = report.models[0].metrics
    table = _table(
        "class", "images", "pixels" if TASKS[report.task].gives_map else "objects", *(metric.name for metric in metrics)
    )
    for one in report.classes[:_ROWS]:
        values = (_figure(metric.per_class.get(one.index)) for metric in metrics)  # none if no object has a keypoint
        table.add_row(shown(one.name, _MOST_NAME), f"{one.num_images:,}", f"{one.num_objects:,}", *values)
    if len(report.classes) > _ROWS:
        table.add_row(f"... {len(report.classes) - _ROWS} more in {FILE}")
    return table
