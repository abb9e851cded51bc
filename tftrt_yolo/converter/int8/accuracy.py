"""What quantisation costs: detections, dense outputs, scores and, with labels, mAP of the INT8 model and of its export.

    dataset = read_labels(source, quantization)                            # before hours of work, not after
    found = measure(source, converted, quantization, ranges, dataset)      # both handles
    found.parity, found.dense["boxes"].mean, found.accuracy["box mAP50-95"], found.score_shift.mean

Where TensorRT is missing, the engine's native segment runs in TensorFlow: the same quantisations, in float32 between.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

from absl import logging

from tftrt_yolo.converter import comparison
from tftrt_yolo.converter.conversion_report import QuantizationReport
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_images import Calibration, count_shared
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.evaluation import measurement, networks
from tftrt_yolo.evaluation.certainty import score_shift
from tftrt_yolo.evaluation.certainty.figures import BestF1Change
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Dataset, UnusableImagesError
from tftrt_yolo.evaluation.evaluate import check_library
from tftrt_yolo.evaluation.evaluation_report import EvaluationReport
from tftrt_yolo.evaluation.scoring import BEST_THRESHOLD
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError, DatasetError, ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.tasks.table import TASKS

_PARITY_IMAGES = 16
_METRICS = ("mAP50-95", "top-1", "mIoU", "delta1")  # how the names of the figures end that count
_REMEDY = "Calibrate with more images like those that the model is to see, try another {calibration}, or use FP16."


@dataclasses.dataclass(frozen=True)
class Quantization:
    """What INT8 needs.

    Attributes:
      calibration: Images and method.
      evaluation_data: As `tftrt_yolo.evaluate`'s data; None to compare without labels.
      maximum_map_drop: The most that a figure may fall; None for no limit.
      maximum_score_shift: The most that scores may shift on average, up or down; None for no limit.
    """

    calibration: Calibration
    evaluation_data: str | None = None
    maximum_map_drop: float | None = None
    maximum_score_shift: float | None = None


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What the ranges of an INT8 model are from.

    Attributes:
      layers: Convolutions that were quantised; None where TensorRT chooses them.
      readable: Paths of the calibration images that could be read.
      unreadable: Why the others could not.
      cache: The file that the ranges were read from; None if the images were run.
      float_layers: Names of the convolutions that were asked to stay in float.
      rounding: How filters were rounded, "calibrated" or "nearest"; None where TensorRT quantises them.
    """

    layers: int | None
    readable: list[str]
    unreadable: list[str]
    cache: str | None = None
    float_layers: tuple[str, ...] = ()
    rounding: str | None = None

    @classmethod
    def of(cls, calibrated: Calibrated) -> "Ranges":
        """Those of a network that is ready to be quantised."""
        in_float = tuple(choosing.short_name(layer) for layer in calibrated.float_layers)
        return cls(
            len(calibrated.layers),
            calibrated.readable,
            calibrated.unreadable,
            calibrated.cache,
            in_float,
            calibrated.rounding,
        )


def read_labels(source: SavedModelHandle, quantization: Quantization | None) -> Dataset | None:
    """Reads the labels that INT8 is to be measured on.

    Args:
      source: The export.
      quantization: What was asked for; None where nothing is quantised.

    Returns:
      The data set; None if none was asked for.

    Raises:
      DatasetError: If it cannot be used, or no image has a label.
      ImageError: If one of its files is no image.
      EvaluationError: If the library of the metrics is missing.
    """
    if quantization is None or quantization.evaluation_data is None:
        return None
    check_library(source.metadata.task)
    with _advised():
        dataset = open_dataset(quantization.evaluation_data, networks.describe(source), DataOptions())
    is_counted = TASKS[source.metadata.task].has_classes  # of a depth each image has a label, or there is no data set
    if is_counted and not any(example.truth.class_counts() for example in dataset.examples):
        raise _without_labels(dataset)
    return dataset


@contextlib.contextmanager
def _advised() -> Iterator[None]:
    """Advises what can be done here about a label or an image, which `evaluate` alone leaves out when it is told to."""
    try:
        yield
    except (DatasetError, ImageError) as error:
        if isinstance(error.__cause__, UnusableImagesError):
            raise DatasetError(
                f"{error.__cause__}, or take them out of {argument('evaluation_data')}."
            ) from error.__cause__
        if not isinstance(error.__cause__, (BadLabelError, ImageError)):
            raise
        raise type(error)(
            f"{error.__cause__} Mend it, or take the image out of {argument('evaluation_data')}."
        ) from error.__cause__


def measure(
    source: SavedModelHandle,
    converted: SavedModelHandle,
    quantization: Quantization,
    ranges: Ranges,
    dataset: Dataset | None,
) -> QuantizationReport:
    """Compares an INT8 model with its export.

    Args:
      source: The export.
      converted: Its conversion.
      quantization: What was asked for.
      ranges: What it was calibrated with.
      dataset: What `read_labels` gave.

    Returns:
      The report.

    Raises:
      DatasetError: If evaluation_data cannot be used.
      ConversionError: If a figure falls by more than maximum_map_drop, or scores shift by more than
        maximum_score_shift, or nothing was found by which to say so.
    """
    paths = ranges.readable
    chosen = image_files.spread(paths, _PARITY_IMAGES)
    found = comparison.compare(source, converted, chosen)
    shift = score_shift.gather(source.metadata)
    dense = comparison.compare_dense(source, converted, chosen, on_batch=shift and shift.add)
    report = QuantizationReport(
        method=quantization.calibration.method,
        layers=ranges.layers,
        images=len(paths),
        unreadable=tuple(ranges.unreadable),
        cache=ranges.cache,
        rounding=ranges.rounding,
        parity=found,
        dense=dense,
        evaluation_data=quantization.evaluation_data,
        score_shift=shift and shift.result(),
        float_layers=ranges.float_layers,
    )
    if dataset is not None:
        report = _with_accuracy(report, source, converted, dataset, paths)
    _check_drop(report, quantization.maximum_map_drop)
    _check_shift(report, quantization.maximum_score_shift)
    return report


def _check_drop(report: QuantizationReport, limit: float | None) -> None:
    """Refuses a figure that falls by more than the limit."""
    for name, (before, after) in report.accuracy.items():
        if limit is not None and before - after > limit:
            raise ConversionError(
                f"INT8 loses {before - after:.4f} of {name}: {before:.4f} in FP32, {after:.4f} in INT8; at most "
                f"{limit} was allowed. {_REMEDY.format(calibration=argument('calibration'))}"
            )


def _check_shift(report: QuantizationReport, limit: float | None) -> None:
    """Refuses scores that shift by more than the limit, and a limit about which nothing can be said."""
    if limit is None:
        return
    shift = report.score_shift
    where = counted(shift.images, report.image_noun)
    if shift.mean is None:
        raise ConversionError(
            f"{argument('maximum_score_shift')} is {limit}, and how far INT8 shifts scores cannot be said: on {where} "
            "there is no pair of detections, one of the export and one of INT8. Give images on which the export finds "
            "something, or leave it out."
        )
    if abs(shift.mean) > limit:
        interval = f" (95 %: {shift.interval.show('+.4f')})" if shift.interval else ""
        raise ConversionError(
            f"INT8 shifts scores by {shift.mean:+.4f} on average{interval}, over {counted(shift.pairs, 'pair')} on "
            f"{where}; at most {limit} was allowed, up or down. {_REMEDY.format(calibration=argument('calibration'))}"
        )


def _with_accuracy(
    report: QuantizationReport,
    source: SavedModelHandle,
    converted: SavedModelHandle,
    dataset: Dataset,
    calibrated: list[str],
) -> QuantizationReport:
    """The report with the figures of both models on labelled images, the same draws of them for both.

    Raises:
      DatasetError: If there is no figure, for no image has a label.
    """
    spec = networks.describe(source)
    with _advised():
        found = measurement.measure(converted, dataset, spec, data_options=DataOptions(), compare_to=source).report
    metrics = [metric for metric in found.models[0].metrics if metric.name.endswith(_METRICS)]
    names = [metric.name for metric in metrics if metric.value is not None]
    if not names:
        raise _without_labels(dataset)
    shared = count_shared([example.path for example in dataset.examples], calibrated)
    if shared:
        logging.warning(
            "%s served for calibration too; on others INT8 may lose more", counted(shared, "labelled image")
        )
    return dataclasses.replace(
        report,
        accuracy={name: (found.value(name, model=1), found.value(name)) for name in names},
        intervals={name: found.difference_intervals[name] for name in names if name in found.difference_intervals},
        resamples=found.resamples,
        best_f1=_best_f1(found),
        score_shift=found.score_shift,
        evaluation_images=found.num_images,
        shared_images=shared,
    )


def _without_labels(dataset: Dataset) -> DatasetError:
    """The error for labels that say nothing."""
    return DatasetError(
        f"{shown(dataset.name)} has no label on any image, so it says nothing of what INT8 loses. Give "
        f"{argument('evaluation_data')} with labels, or leave it out."
    )


def _best_f1(found: EvaluationReport) -> BestF1Change | None:
    """How the best threshold moves; None where one of the models has none."""
    after, before = (model.best_f1 for model in found.models)
    if before is None or after is None:
        return None
    return BestF1Change(before, after, found.difference_intervals.get(BEST_THRESHOLD))
