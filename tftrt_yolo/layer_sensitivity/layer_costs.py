"""What each convolution's quantisation costs, measured. It runs in a worker's process; see `ground.workers.worker`.

The network runs once unquantised, once with each layer alone quantised and once with all, on the same frames; what
counts is how far the dense outputs move where the unquantised network finds something.
"""

import gc
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.converter.comparison import decibels
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration import calibrating
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.in_float.choosing import short_name
from tftrt_yolo.converter.int8.in_float.sensitivity_report import Difference, LayerCost
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import SensitivityError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import counted
from tftrt_yolo.ground.workers.progress import Progress, Remark, Stage
from tftrt_yolo.layer_sensitivity import switched
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.network import frames_ahead, in_unit_range
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_BATCH_SIZE = 4
_UPSAMPLING_OPS = frozenset({"ResizeBilinear", "ResizeNearestNeighbor"})


def work(
    *, source: SavedModelHandle, calibration: Calibration, images: int
) -> Iterator[Progress | Stage | Remark | dict]:
    """Measures the layers.

    Args:
      source: An export.
      calibration: Images and method.
      images: How many of the images to measure on, evenly spread.

    Yields:
      Progress of the calibration and of the runs of the network, remarks, and last the fields of SensitivityReport that
      are known here.

    Raises:
      ConversionError: If the network cannot be quantised, or the images say nothing about its ranges.
      ImageError: If no image can be read.
      SensitivityError: If nothing is found on the images.
    """
    metadata = source.metadata
    task = TASKS[metadata.task]
    calibrated = yield from calibrating(source, calibration)
    yield Stage("measuring layer by layer")
    gc.collect()  # what it traced holds the weights, in reference cycles
    paths = image_files.spread(calibrated.readable, images)
    twinned = switched.add_twins(calibrated)
    sizes_hw, powers = switched.measure_noise(twinned, _batches(paths, metadata))
    network, num_layers, done = switched.SwitchedNetwork(twinned), len(calibrated.layers), 0
    trials = [(index,) for index in range(num_layers)] + [tuple(range(num_layers))]
    comparison = _Comparison(task, metadata.selection.score_threshold, len(trials))
    for frames in _batches(paths, metadata):
        is_seen = comparison.begin(network(frames, ()))
        for index, quantized in enumerate(trials):
            if is_seen:
                comparison.add(index, network(frames, quantized))
            done += 1
            yield Progress(done, len(trials) * -(-len(paths) // _BATCH_SIZE))
    comparison.check(len(paths))
    differences = [comparison.differences(index) for index in range(len(trials))]
    yield {
        "task": metadata.task,
        "weights_sha256": metadata.weights_sha256,
        "image_size_hw": metadata.image_size_hw,
        "calibration": calibration.method,
        "calibration_images": len(calibrated.readable),
        "unreadable": tuple(calibrated.unreadable),
        "images": len(paths),
        "places": comparison.places,
        "score_threshold": comparison.score_threshold,
        "units": {quantity.label: quantity.unit for quantity in comparison.quantities},
        "layers": _rows(
            calibrated,
            _parts(calibrated, task),
            output_sizes_hw=sizes_hw,
            powers=powers,
            differences=differences,
        ),
        "all_layers": differences[-1],
    }


def _batches(paths: list[str], metadata: contract.Metadata) -> Iterator[tf.Tensor]:
    """Batches of frames (n, S, S, 3) float32 in [0, 1], framed as in prediction."""
    for frames in frames_ahead(paths, metadata, _BATCH_SIZE):
        yield tf.constant(in_unit_range(frames))


class _Comparison:
    """Differences of dense outputs from those of the unquantised network, trial by trial.

    Attributes:
      quantities: What is compared.
      score_threshold: Anchors count whose best score is above this; None where no objects are found.
      places: How many anchors counted; images, where no objects are found.
    """

    def __init__(self, task: Task, score_threshold: float, num_trials: int):
        self.quantities, self._per_image = task.quantities, task.per_image
        self.score_threshold = score_threshold if task.finds_objects else None
        self.places = 0
        shape = (num_trials, len(self.quantities))
        self._sums, self._largest = np.zeros(shape), np.zeros(shape)
        self._counts, self._scales = np.zeros(shape[1]), np.full(shape[1], 1e-6)

    def begin(self, reference: dict[str, np.ndarray]) -> bool:
        """Takes what the unquantised network gives for a batch; returns whether it finds anything."""
        self._reference = reference
        if self.score_threshold is None:
            self._anchors = self._images = np.ones(len(next(iter(reference.values()))), bool)
        else:
            self._anchors = reference["scores"].max(axis=-1) > self.score_threshold
            self._images = self._anchors.any(axis=-1)
        self.places += int(self._anchors.sum())
        for place, quantity in enumerate(self.quantities):
            expected = reference[quantity.output][..., slice(*quantity.columns)]
            self._counts[place] += self._where_it_counts(quantity, expected[..., 0]).size
            if quantity.unit == "relative":
                self._scales[place] = max(self._scales[place], float(np.abs(expected).max()))
        return bool(self._images.any())

    def add(self, trial: int, dense: dict[str, np.ndarray]) -> None:
        """Takes what a trial gives for the same batch."""
        for place, quantity in enumerate(self.quantities):
            columns = slice(*quantity.columns)
            distance = np.abs(dense[quantity.output][..., columns] - self._reference[quantity.output][..., columns])
            values = self._where_it_counts(quantity, distance.max(axis=-1))
            self._sums[trial, place] += values.sum(dtype=np.float64)
            self._largest[trial, place] = max(self._largest[trial, place], float(values.max()))

    def check(self, num_images: int) -> None:
        """Refuses images on which nothing is found."""
        if not self.places:
            raise SensitivityError(
                f"The export finds nothing above its score_threshold of {self.score_threshold} on the "
                f"{counted(num_images, 'image that is', 'images that are')} measured on, so there is nothing to "
                "compare. Give "
                f"{argument('calibration_data')} that shows what the model looks for, measure on more "
                f"{argument('images')}, or export with a lower {argument('score_threshold')}."
            )

    def differences(self, trial: int) -> dict[str, Difference]:
        """Each quantity's label to a trial's differences."""
        found = {}
        for place, quantity in enumerate(self.quantities):
            scale = self._scales[place] if quantity.unit == "relative" else 1.0
            mean = self._sums[trial, place] / self._counts[place] / scale
            found[quantity.label] = Difference(float(mean), float(self._largest[trial, place] / scale))
        return found

    def _where_it_counts(self, quantity, values: np.ndarray) -> np.ndarray:
        """Values (batch, ...) of the anchors that count, or of the images where there are any."""
        return values[self._images if quantity.output in self._per_image else self._anchors]


def _rows(
    calibrated: Calibrated,
    parts: list[str],
    *,
    output_sizes_hw: list[tuple[int, int]],
    powers: np.ndarray,
    differences: list[dict[str, Difference]],
) -> tuple[LayerCost, ...]:
    """A row a layer, in the order of the graph."""
    rows, all_layers = [], differences[-1]
    for index, layer in enumerate(calibrated.layers):
        signal_in, noise_in, signal_out, noise_out = powers[index]
        shares = [
            one.mean / all_layers[label].mean if all_layers[label].mean else 0.0
            for label, one in differences[index].items()
        ]
        rows.append(
            LayerCost(
                index=index + 1,
                name=short_name(layer),
                part=parts[index],
                kernel_shape=layer.kernel.shape,
                output_size_hw=output_sizes_hw[index],
                low=calibrated.ranges[layer.source].low,
                high=calibrated.ranges[layer.source].high,
                input_sqnr_db=decibels(signal_in, noise_in),
                output_sqnr_db=decibels(signal_out, noise_out),
                differences=differences[index],
                cost=float(np.mean(shares)),
            )
        )
    return tuple(rows)


def _parts(calibrated: Calibrated, task: Task) -> list[str]:
    """Where in the network each layer stands, as `LayerCost.part`."""
    nodes = {node.name: node for node in calibrated.graph_def.node}

    def with_ancestors(name: str) -> set[str]:
        seen, waiting = set(), [name]
        while waiting:
            name = waiting.pop().lstrip("^").partition(":")[0]
            if name not in seen:
                seen.add(name)
                waiting += nodes[name].input
        return seen

    leads_to = {output: with_ancestors(name) for output, name in calibrated.outputs.items()}
    parts = []
    for layer in calibrated.layers:
        served = [output for output, ancestors in leads_to.items() if layer.name in ancestors]
        if set(leads_to) - set(task.per_image) - set(served):
            parts.append(f"head: {', '.join(served)}")
        else:
            ops = {nodes[name].op for name in with_ancestors(layer.name)}
            parts.append("neck" if ops & _UPSAMPLING_OPS else "backbone")
    return parts
