"""What a conversion did, and what is inside a SavedModel.

report = ConversionReport.read("yolov8n_tensorrt_saved_model")
report.engines, report.coverage, report.left_to_tensorflow
"""

import csv
import dataclasses
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import ClassVar

from tftrt_yolo import contract
from tftrt_yolo.converter.parity import DenseDifference, Parity
from tftrt_yolo.evaluation.certainty.figures import BestF1Change, Interval, ScoreShift
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, printable, rounded
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model

# Nodes that compute nothing: values, and the edges by which they enter and leave. They count on neither side.
PLUMBING_OPS = frozenset({"Const", "Identity", "IdentityN", "NoOp", "Placeholder", "_Arg", "_Retval"})
# What Grappler's layout pass calls the transposes that it adds. Source: kOptimizedSuffix of TensorFlow 2.17's
# grappler/optimizers/generic_layout_optimizer_transposer.cc.
_LAYOUT_SUFFIX = "LayoutOptimizer"


@dataclasses.dataclass(frozen=True)
class LeftOver:
    """An op type that stays in TensorFlow.

    Attributes:
      op: Type of the op.
      count: How many nodes.
      reasons: What TF-TRT says about them.
    """

    op: str
    count: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """The op, its count and the reasons."""
        return f"{self.op} x {self.count}: {'; '.join(self.reasons)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a conversion did; also written as conversion.json into the SavedModel.

    Attributes:
      saved_model_dir: The SavedModel that was converted.
      output_saved_model_dir: The converted SavedModel.
      accelerator: "tensorrt", "xla" or "onednn".
      precision_mode: "FP32", "FP16", "BF16" or "INT8".
      tensorflow_version: Version of TensorFlow.
      seconds: Wall time.
    """

    saved_model_dir: str
    output_saved_model_dir: str
    accelerator: str
    precision_mode: str
    tensorflow_version: str
    seconds: float

    def write(self, saved_model_dir: Path) -> None:
        """Writes conversion.json into a directory."""
        documents.write(self, saved_model_dir / contract.CONVERSION_FILE)

    @staticmethod
    def read(saved_model_dir: str | Path | SavedModelHandle) -> "ConversionReport":
        """Reads conversion.json back.

        Args:
          saved_model_dir: A converted SavedModel, or its handle.

        Returns:
          An EngineReport or a BakedReport.

        Raises:
          SavedModelError: If the file is missing or damaged.
        """
        handle = open_saved_model(saved_model_dir)
        document, path = handle.conversion, f"{handle.given}/{contract.CONVERSION_FILE}"
        if document is None:
            raise SavedModelError(f"{handle.given} has no {contract.CONVERSION_FILE}: it was not converted.")
        kind = EngineReport if document["accelerator"] == "tensorrt" else BakedReport
        try:
            return documents.parse(document, kind)
        except documents.FAULTS as error:
            raise SavedModelError(
                f"{path} {documents.fault(document, kind, error)}. Convert the model again."
            ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizationReport:
    """How `network` was quantised and what it cost.

    Attributes:
      method: "max", "percentile", "mse", "trained" or "tensorrt".
      layers: Convolutions that were quantised, for TensorRT all; None with "tensorrt", where TensorRT chooses what runs
        in INT8.
      images: Calibration images that could be read; with "trained" those to compare on.
      unreadable: Why others could not.
      cache: The file that the ranges were read from; None if the images were run.
      parity: The INT8 model's detections against the export's, on some of the calibration images.
      dense: Label of each quantity of the dense outputs to how far INT8 moves it, at every anchor of the same images.
      evaluation_data: The labelled images; None without.
      accuracy: Name of each figure, such as "box mAP50-95", to its value for the export and for INT8.
      intervals: Name of each figure to the 95 % interval of its difference, INT8's less the export's, over images that
        are drawn from the labelled ones; empty of fewer than ten, and without labels.
      resamples: How many draws the intervals are from; 0 without.
      best_f1: How the score threshold moves at which F1 is best; None without labels, and of a classifier.
      score_shift: How far INT8's scores are from the export's: on the labelled images, or without labels on the
        calibration images of `parity`; None in files of older versions.
      evaluation_images: Labelled images that were measured on; 0 without.
      shared_images: How many of them are calibration images too, the same file or the same content.
      float_layers: Names of the convolutions that were asked to stay in float, as `sensitivity` prints them.
      rounding: How filters were rounded: "calibrated" or "nearest"; None where TensorRT quantises them, and in files of
        older versions, which took the nearest steps.
    """

    method: str
    layers: int | None
    images: int
    unreadable: tuple[str, ...]
    parity: Parity
    dense: dict[str, DenseDifference]
    cache: str | None = None
    evaluation_data: str | None = None
    accuracy: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    intervals: dict[str, Interval] = dataclasses.field(default_factory=dict)
    resamples: int = 0
    best_f1: BestF1Change | None = None
    score_shift: ScoreShift | None = None
    evaluation_images: int = 0
    shared_images: int = 0
    float_layers: tuple[str, ...] = ()
    rounding: str | None = None

    def __str__(self) -> str:
        """The report for a reader."""
        images = f"{counted(self.images, 'calibration image')}"
        if self.layers is None:
            lines = [f"  calibrated by TF-TRT over {images}; TensorRT chose what runs in INT8"]
        elif self.method == "trained":
            images = counted(self.images, "image")
            lines = [f"  {counted(self.layers, 'convolution')} in INT8, ranges of the training; compared on {images}"]
        else:
            lines = [f"  {counted(self.layers, 'convolution')} in INT8, ranges by {self.method} over {images}"]
        if self.float_layers:
            lines.append(f"  {len(self.float_layers)} in float: {', '.join(self.float_layers)}")
        if self.rounding:
            how = {"calibrated": "so that outputs stay on these images", "nearest": "to the nearest steps"}
            lines.append(f"  filters rounded {how.get(self.rounding, printable(self.rounding))}")
        if self.cache:
            lines.append(f"  what the images measured was read from {self.cache}")
        if self.unreadable:
            lines += [f"  {len(self.unreadable)} could not be read:", *(f"    {reason}" for reason in self.unreadable)]
        lines.append(f"  parity, export     {self.parity}")
        lines += [f"  dense, {label:<11} {difference}" for label, difference in self.dense.items()]
        for name, (before, after) in self.accuracy.items():
            interval = f" (95 %: {self.intervals[name].show('+.4f')})" if name in self.intervals else ""
            figures = f"FP32 {before:.4f}, INT8 {after:.4f}, difference {rounded(after - before, '+.4f')}"
            lines.append(f"  {name:<18} {figures}{interval}")
        return "\n".join([*lines, *self._confidence()])

    @property
    def image_noun(self) -> str:
        """What the images are called that the shift of scores is of."""
        if self.evaluation_images:
            return "labelled image"
        return "image" if self.method == "trained" else "calibration image"

    def _confidence(self) -> list[str]:
        """What became of scores and thresholds, and what to know of the images."""
        lines = [f"  best F1            {self.best_f1}"] if self.best_f1 else []
        if self.score_shift:
            first, *more = self.score_shift.show(self.image_noun).splitlines()
            lines += [f"  scores             {first}", *(f"                     {line}" for line in more)]
            if not self.evaluation_images:
                lines.append(
                    "                     these have no labels; give labelled ones for mAP and the best threshold"
                )
        if self.resamples:
            images = counted(self.evaluation_images, "image")
            lines.append(f"  95 % intervals     of {self.resamples:,} draws of {images} from the labelled ones")
        if self.shared_images:
            lines.append(
                f"  note: {self.shared_images:,} of the {counted(self.evaluation_images, 'labelled image')} served for "
                "calibration too; on others INT8 may lose more"
            )
        return lines


@dataclasses.dataclass(frozen=True)
class NetworkPart:
    """A part of a network of which some convolutions are in INT8 and others in float: TF-TRT converts each by itself.

    Attributes:
      precision_mode: "INT8" or "FP16".
      convolutions: How many it has.
      inputs: Name of each input to its shape without the batch: "frames", or what an earlier part gives it.
      engines: TRTEngineOps in it.
      nodes_inside: Nodes that went into engines.
      nodes_outside: Nodes that stay in TensorFlow.
      left_to_tensorflow: The same by op type, with TF-TRT's reasons.
    """

    precision_mode: str
    convolutions: int | None
    inputs: dict[str, tuple[int, ...]]
    engines: int
    nodes_inside: int
    nodes_outside: int
    left_to_tensorflow: tuple[LeftOver, ...]

    DERIVED: ClassVar = ("input_bytes",)

    @property
    def input_bytes(self) -> int:
        """Bytes an image of what earlier parts give it, in float32 as TF-TRT's engines exchange it."""
        return sum(4 * math.prod(shape) for name, shape in self.inputs.items() if name != "frames")

    def __str__(self) -> str:
        """One line for a reader."""
        taken = f"; takes {self.input_bytes / 1e6:.3g} MB an image from before" if self.input_bytes else ""
        return (
            f"{self.precision_mode}: {counted(self.convolutions, 'convolution')}, {counted(self.engines, 'engine')}, "
            f"{self.nodes_inside} of {self.nodes_inside + self.nodes_outside} nodes inside{taken}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineReport(ConversionReport):
    """What TF-TRT did.

    Attributes:
      engines: TRTEngineOps in signature `network`.
      engines_built: Whether they were built here and lie in the SavedModel. If not, TensorRT builds them at first use.
      why_not_built: What is missing here; empty if they were built.
      batch_sizes: Batch sizes that were asked for. Engines that were not built here are built for the first batch
        that they meet, and other sizes run in TensorFlow.
      dynamic_shape_profile_strategy: How engines are tuned for these sizes; None in files of older versions.
      engine_bytes: Size of the built engines.
      nodes_inside: Nodes that went into engines, as `count_inside` counts them.
      nodes_outside: Nodes of `network` that stay in TensorFlow.
      left_to_tensorflow: The same by op type, with TF-TRT's reasons.
      linked_tensorrt: TensorRT that TensorFlow was built against.
      loaded_tensorrt: TensorRT that was found here; None if there is none.
      has_stand_in: Whether this package's stand-in took TensorRT's place: then the engines are a rehearsal's, and no
        TensorRT can load them.
      quantization: How it was quantised; None unless the precision is INT8.
      parts: Where some convolutions of INT8 stay in float, the parts that the network is divided into, in their order.
    """

    engines: int
    engines_built: bool
    why_not_built: str
    batch_sizes: tuple[int, ...]
    engine_bytes: int
    nodes_inside: int
    nodes_outside: int
    left_to_tensorflow: tuple[LeftOver, ...]
    linked_tensorrt: str
    loaded_tensorrt: str | None
    quantization: QuantizationReport | None = None
    dynamic_shape_profile_strategy: str | None = None
    has_stand_in: bool = False
    parts: tuple[NetworkPart, ...] = ()

    DERIVED: ClassVar = ("coverage",)

    @property
    def coverage(self) -> float:
        """Share of the nodes of `network` that are inside engines, in [0, 1]."""
        total = self.nodes_inside + self.nodes_outside
        return self.nodes_inside / total if total else 0.0

    @property
    def _precisions(self) -> str:
        """The engines' precisions, for a reader."""
        return "/".join(dict.fromkeys(part.precision_mode for part in self.parts)) or self.precision_mode

    def __str__(self) -> str:
        """The report for a reader."""
        if self.engines_built:
            sizes = f"batch sizes {', '.join(map(str, self.batch_sizes))}, {self.dynamic_shape_profile_strategy}"
            by = " by the stand-in, not by TensorRT," if self.has_stand_in else ""
            built = f"built{by} for {sizes} ({self.engine_bytes / 1e6:.1f} MB)"
        else:
            built = f"not built here: {self.why_not_built}"
        left = "\n".join(f"    {left_over}" for left_over in self.left_to_tensorflow) or "    nothing"
        return (
            f"Converted {self.saved_model_dir} to {self.output_saved_model_dir} in {self.seconds:.1f} s\n"
            f"  {counted(self.engines, 'TensorRT engine')}, {self._precisions}, {built}\n"
            f"  {self.nodes_inside} of {self.nodes_inside + self.nodes_outside} nodes inside "
            f"({self.coverage:.1%}); left to TensorFlow inside `network`:\n{left}\n"
            + "".join(f"  part {number}, {part}\n" for number, part in enumerate(self.parts, 1))
            + (f"{self.quantization}\n" if self.quantization else "")
            + f"  TensorFlow {self.tensorflow_version}, linked TensorRT {self.linked_tensorrt}, "
            f"loaded TensorRT {self.loaded_tensorrt or 'none'}{' (stand-in)' if self.has_stand_in else ''}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BakedReport(ConversionReport):
    """What Grappler baked into the graph.

    Attributes:
      matrix_ops: Convolutions and matrix products of `network`, all in the precision that was asked for; of INT8 those
        that gain by it, as `quantization` says, and the others in FP32.
      is_jitted: Whether the SavedModel says that XLA compiles the network and the selection.
      parity: The conversion's detections against the export's.
      dense: Label of each quantity of the dense outputs to how far it moves, at every anchor of the same images; empty
        where there were at least ten detections, and in files of older versions.
      batch_sizes: The batch sizes to which the SavedModel itself fills batches up for XLA; empty for every power of
        two. None with onednn, and in files of older versions, which leave that to `Predictor`.
      quantization: How it was quantised; None unless the precision is INT8.
    """

    matrix_ops: int
    is_jitted: bool
    parity: Parity
    dense: dict[str, DenseDifference] = dataclasses.field(default_factory=dict)
    batch_sizes: tuple[int, ...] | None = None
    quantization: QuantizationReport | None = None

    def __str__(self) -> str:
        """The report for a reader."""
        which = f"{self.quantization.layers} of" if self.quantization else "all"
        dense = "".join(f"  dense, {label:<11} {difference}\n" for label, difference in self.dense.items())
        return (
            f"Converted {self.saved_model_dir} to {self.output_saved_model_dir} in {self.seconds:.1f} s\n"
            f"  {self.accelerator}, {self.precision_mode} in {which} {self.matrix_ops} convolutions and products; "
            f"{self._how}\n"
            + (f"{self.quantization}\n" if self.quantization else f"  parity, export     {self.parity}\n{dense}")
            + f"  TensorFlow {self.tensorflow_version}"
        )

    @property
    def _how(self) -> str:
        """What runs it, for a reader."""
        if not self.is_jitted:
            return "plain TensorFlow ops"
        if self.batch_sizes is None:
            return "XLA compiles it, once for each batch size"
        sizes = "every power of two"
        if self.batch_sizes:
            sizes = f"batch size{'s' if len(self.batch_sizes) > 1 else ''} {', '.join(map(str, self.batch_sizes))}"
        return f"XLA compiles it for {sizes}; other batches are filled up"


def count_nodes(nodes) -> Counter:
    """Counts nodes by op type, plumbing left out."""
    return Counter(node.op for node in nodes if node.op not in PLUMBING_OPS)


def count_inside(segment) -> int:
    """Counts the nodes of an engine's segment, plumbing left out.

    Nor do the transposes count that TensorFlow's layout pass adds where there is a GPU, or where the preflight says
    that there is one: so a network has as many nodes on every machine, and in every report.
    """
    return count_nodes(node for node in segment if not node.name.endswith(_LAYOUT_SUFFIX)).total()


def left_over(outside: Counter, reasons_csv: Path) -> tuple[LeftOver, ...]:
    """Joins the op types that stayed in TensorFlow with TF-TRT's reasons.

    Args:
      outside: Op type to count in the converted graph.
      reasons_csv: What TF-TRT wrote for TF_TRT_SHOW_DETAILED_REPORT: op, reason and count, separated by "|".

    Returns:
      One row per op type, the most frequent first.
    """
    reasons = defaultdict(list)
    if reasons_csv.is_file():
        with open(reasons_csv, encoding="utf-8", newline="") as file:
            for row in csv.reader(file, delimiter="|"):
                reasons[row[0]].append("|".join(row[1:-1]))
    unexplained = (
        "TF-TRT takes this op, but its segment is smaller than minimum_segment_size or not among the 20 largest"
    )
    return tuple(
        LeftOver(op, count, tuple(dict.fromkeys(reasons.get(op, [unexplained])))) for op, count in outside.most_common()
    )
