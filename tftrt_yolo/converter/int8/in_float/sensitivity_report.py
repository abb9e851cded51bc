"""What quantising each convolution alone costs; printed as a table, written as JSON and CSV, and read back.

report = SensitivityReport.read("runs/sensitivity")
report.costliest(3), report.all_layers["scores"].mean
"""

import csv
import dataclasses
import math
from pathlib import Path

from tftrt_yolo.ground.errors import SensitivityError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted

FILE = "sensitivity.json"
CSV_FILE = "sensitivity.csv"
ALL_LAYERS = "all layers"
SHOWN = 10  # layers that the table and the picture name
_COLUMNS = ("index", "name", "part", "kernel", "output", "weights", "low", "high", "input_sqnr_db", "output_sqnr_db")


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a quantity moves from what the unquantised network gives.

    Of several numbers at a place, the four edges of a box or the scores of the classes, the one counts that moves most.

    Attributes:
      mean: Mean of the absolute differences over the places, in the quantity's unit.
      largest: The largest.
    """

    mean: float
    largest: float


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """A convolution, and what quantising it alone, filter and input, costs.

    Attributes:
      index: Its place in the graph, from 1.
      name: The end of its name in the graph, such as "convolution_12".
      part: "head: ..." with the outputs of `network` that it serves, unless it serves all that anchors have: then it is
        "neck" behind an upsampling and "backbone" before the first. A classifier is all backbone.
      kernel_shape: Height, width, channels in and channels out of the filter; a depthwise one is an ordinary one with
        zeros in INT8.
      output_size_hw: Height and width of what it gives, in cells.
      low: The least value of its input that is kept.
      high: The largest. Of a 3 x 3 convolution that pads by itself, the range reaches as far below 0 as above.
      input_sqnr_db: Signal-to-quantisation-noise ratio of its input in dB: the sum of squares of the input over that of
        what rounding and clipping it change. None if there is no noise.
      output_sqnr_db: The same of its output, with input and filter quantised. Where it is far lower than the input's,
        the noise comes from the filter, on which calibration has no influence.
      differences: Label of each of the task's quantities to how far the network's outputs move.
      cost: Mean over the quantities of the layer's mean difference divided by that of all layers together.
    """

    index: int
    name: str
    part: str
    kernel_shape: tuple[int, int, int, int]
    output_size_hw: tuple[int, int]
    low: float
    high: float
    input_sqnr_db: float | None
    output_sqnr_db: float | None
    differences: dict[str, Difference]
    cost: float

    @property
    def weights(self) -> int:
        """How many weights its filter has."""
        return math.prod(self.kernel_shape)

    @property
    def kernel(self) -> str:
        """Its filter for a reader, such as "3x3 64>128"."""
        height, width, channels_in, channels_out = self.kernel_shape
        return f"{height}x{width} {channels_in}>{channels_out}"

    @property
    def output(self) -> str:
        """The size of what it gives for a reader, width first."""
        return "{1}x{0}".format(*self.output_size_hw)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SensitivityReport:
    """What quantising each convolution alone costs, and all together.

    A layer's cost is a share of what all layers cost together. The quantities are averaged because a layer of the box
    branch moves no score and one of the class branch no box, and a ranking by either would call half of the head
    innocent; the mean difference counts rather than the largest or the square, because these hang on a few anchors. The
    shares add up to more than 1: errors of different layers cancel in part. A layer that serves none of the anchors
    that count, such as those of a level at which nothing is found, costs 0. mAP says nothing about single layers: all
    together cost a few thousandths of it, less than a small labelled set can tell apart.

    Attributes:
      saved_model_dir: The export.
      task: Ultralytics' name of the task.
      image_size_hw: Height and width of the network's frames in pixels.
      calibration: How ranges were chosen: "max", "percentile" or "mse".
      calibration_images: Images that they were chosen with.
      unreadable: Why other images could not be read.
      images: Images that were measured on, some of the former.
      places: Anchors on these for which the unquantised network gives a best score above score_threshold, before
        suppression; they are what is compared. Of a classifier, the images. Outputs that an image has once are compared
        everywhere, on images with such an anchor.
      score_threshold: The export's; None for a classifier.
      units: Label of each quantity to its unit: "px", "rad", "" for a plain number, "relative" for a share of the
        largest magnitude.
      layers: The convolutions, in the order of the graph.
      all_layers: Label of each quantity to how far it moves when all are quantised, as `convert` does it.
      seconds: Wall time, calibration included.
      weights_sha256: Of the checkpoint that was exported, by which `convert` knows whose layers these are; None if the
        export does not say.
    """

    saved_model_dir: str
    task: str
    image_size_hw: tuple[int, int]
    calibration: str
    calibration_images: int
    unreadable: tuple[str, ...]
    images: int
    places: int
    score_threshold: float | None
    units: dict[str, str]
    layers: tuple[LayerCost, ...]
    all_layers: dict[str, Difference]
    seconds: float
    weights_sha256: str | None = None

    def costliest(self, count: int = SHOWN) -> tuple[LayerCost, ...]:
        """The layers of the highest cost, the highest first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.cost)[:count])

    def with_unit(self, label: str) -> str:
        """A quantity's label with its unit, for a heading."""
        return f"{label} ({self.units[label]})" if self.units[label] else label

    def write(self, output_dir: Path) -> None:
        """Writes sensitivity.json and sensitivity.csv into a directory."""
        documents.write(self, output_dir / FILE)
        with open(output_dir / CSV_FILE, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            figures = [f"{self.with_unit(label)} {kind}" for label in self.units for kind in ("mean", "largest")]
            table.writerow([*_COLUMNS, *figures, "cost"])
            for layer in self.layers:
                facts = [getattr(layer, column) for column in _COLUMNS]
                table.writerow([*facts, *_figures(layer.differences), layer.cost])
            blank = [""] * (len(_COLUMNS) - 2)
            table.writerow(["", ALL_LAYERS, *blank, *_figures(self.all_layers), 1.0])

    @classmethod
    def read(cls, path: str | Path) -> "SensitivityReport":
        """Reads sensitivity.json back.

        Args:
          path: The file, or the directory that `sensitivity` wrote.

        Returns:
          The report.

        Raises:
          SensitivityError: If the file is missing or damaged.
        """
        return documents.read(path, FILE, cls, SensitivityError, origin="a sensitivity report", remedy="measure again")

    def __str__(self) -> str:
        """What was measured, and the costliest layers."""
        console = documents.text_console()
        height, width = self.image_size_hw
        scoring = counted(self.places, "anchor that scores", "anchors that score")
        anchors = f", at {scoring} above {self.score_threshold}"
        lines = [
            f"Sensitivity of {self.saved_model_dir} to INT8, measured in {self.seconds:.0f} s",
            f"  {self.task}, {width} x {height} px; {counted(len(self.layers), 'convolution')}, ranges by "
            f"{self.calibration} "
            f"over {counted(self.calibration_images, 'image')}",
            f"  compared on {counted(self.images, 'image')}{'' if self.score_threshold is None else anchors}",
            *(["  could not be read:", *(f"    {reason}" for reason in self.unreadable)] if self.unreadable else []),
        ]
        for line in lines:
            console.print(line, soft_wrap=True)
        console.print(_table(self))
        console.print(
            "SQNR: signal to quantisation noise of a layer's input and output, in dB. Cost: its mean differences as\n"
            "a share of those of all layers. Calibration with more images or another method may help: compare the\n"
            "last row. `convert` leaves layers in float by their names (float_layers), in an engine of their own."
        )
        return documents.text_of(console)


def _figures(differences: dict[str, Difference]) -> list[float]:
    """The differences in the order of the file's columns."""
    return [figure for difference in differences.values() for figure in (difference.mean, difference.largest)]


def _table(report: SensitivityReport):
    """The costliest layers and all together; differences are means."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for header in ("#", "layer", "part", "filter", "output"):
        justify = "right" if header in ("#", "output") else "left"
        table.add_column(header, justify=justify, no_wrap=header != "part", vertical="bottom")
    for header in ("SQNR in", "SQNR out", *map(report.with_unit, report.units), "cost"):
        width = 5 if header.startswith("SQNR") else None
        table.add_column(header, justify="right", width=width, vertical="bottom")
    for layer in report.costliest():
        ratios = ["-" if ratio is None else f"{ratio:.1f}" for ratio in (layer.input_sqnr_db, layer.output_sqnr_db)]
        means = [f"{difference.mean:.2g}" for difference in layer.differences.values()]
        facts = (str(layer.index), layer.name, layer.part, layer.kernel, layer.output)
        table.add_row(*facts, *ratios, *means, f"{layer.cost:.1%}")
    if len(report.layers) > SHOWN:
        table.add_row("", f"... {len(report.layers) - SHOWN} more")
    means = [f"{difference.mean:.2g}" for difference in report.all_layers.values()]
    table.add_row("", ALL_LAYERS, "", "", "", "", "", *means, "100%")
    return table
