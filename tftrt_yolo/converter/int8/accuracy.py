"""What quantisation costs: detections, dense outputs and, with labels, mAP of the INT8 model and of its export.

    found = measure(source, converted, quantization, ranges)      # both handles
    found.parity, found.dense["boxes"].mean, found.accuracy["box mAP50-95"]

Where TensorRT is missing, the engine's native segment runs in TensorFlow: the same quantisations, in float32 between.
"""

import dataclasses

from tftrt_yolo.converter import comparison
from tftrt_yolo.converter.conversion_report import QuantizationReport
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.evaluation.evaluate import evaluate
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError, DatasetError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import shown
from tftrt_yolo.saved_model.handle import SavedModelHandle

_PARITY_IMAGES = 16
_METRICS = ("mAP50-95", "top-1")  # how the names of the figures end that count


@dataclasses.dataclass(frozen=True)
class Quantization:
    """What INT8 needs.

    Attributes:
      calibration: Images and method.
      evaluation_data: As `tftrt_yolo.evaluate`'s data; None to compare without labels.
      maximum_map_drop: The most that a figure may fall; None for no limit.
    """

    calibration: Calibration
    evaluation_data: str | None = None
    maximum_map_drop: float | None = None


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What the ranges of an INT8 model are from.

    Attributes:
      layers: Convolutions that were quantised; None where TensorRT chooses them.
      readable: Paths of the calibration images that could be read.
      unreadable: Why the others could not.
      cache: The file that the ranges were read from; None if the images were run.
      rounding: How filters were rounded, "calibrated" or "nearest"; None where TensorRT quantises them.
    """

    layers: int | None
    readable: list[str]
    unreadable: list[str]
    cache: str | None = None
    rounding: str | None = None


def measure(
    source: SavedModelHandle, converted: SavedModelHandle, quantization: Quantization, ranges: Ranges
) -> QuantizationReport:
    """Compares an INT8 model with its export.

    Args:
      source: The export.
      converted: Its conversion.
      quantization: What was asked for.
      ranges: What it was calibrated with.

    Returns:
      The report.

    Raises:
      DatasetError: If evaluation_data cannot be used.
      ConversionError: If a figure falls by more than maximum_map_drop.
    """
    paths = ranges.readable
    chosen = image_files.spread(paths, _PARITY_IMAGES)
    found = comparison.compare(source, converted, chosen)
    dense = comparison.compare_dense(source, converted, chosen)
    accuracy = {}
    if quantization.evaluation_data is not None:
        accuracy = _accuracy(source, converted, quantization.evaluation_data)
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
        accuracy=accuracy,
    )
    limit = quantization.maximum_map_drop
    for name, (before, after) in accuracy.items():
        if limit is not None and before - after > limit:
            raise ConversionError(
                f"INT8 loses {before - after:.4f} of {name}: {before:.4f} in FP32, {after:.4f} in INT8; at most "
                f"{limit} was allowed. Calibrate with more images like those that the model is to see, try another "
                f"{argument('calibration')}, or use FP16."
            )
    return report


def _accuracy(source: SavedModelHandle, converted: SavedModelHandle, data: str) -> dict[str, tuple[float, float]]:
    """Name of each figure to its value for the export and for the conversion.

    Raises:
      DatasetError: If there is no figure, for no image has a label.
    """
    reports = [evaluate(handle, data) for handle in (source, converted)]
    metrics = [metric for metric in reports[0].models[0].metrics if metric.name.endswith(_METRICS)]
    names = [metric.name for metric in metrics if metric.value is not None]
    if not names:
        raise DatasetError(
            f"{shown(data)} has no label on any image, so it says nothing of what INT8 loses. Give "
            f"{argument('evaluation_data')} with labels, or leave it out."
        )
    return {name: tuple(report.value(name) for report in reports) for name in names}
