"""Calibration: images through `network`, and from what its tensors hold the range that each is quantised with.

    images = find_images("coco8.yaml")                                          # calibration_images
    calibrated = calibrate(source, Calibration(images, method="mse"))           # its SavedModelHandle
    write_quantized(source, Path("quantized"), calibrated)

What it writes is a SavedModel of our contract whose signature `network` holds the quantisations; TF-TRT takes it from
there. Three passes over the images: the first looks for the channels' largest magnitudes and equalises them, the second
counts the magnitudes at every convolution's input, the third fits the filters to what they read (filters). What the
first two found can be kept (calibration_cache).
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftrt_yolo.converter.int8 import calibration_cache, depthwise, quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_cache import CacheError, Observations
from tftrt_yolo.converter.int8.calibration_images import CALIBRATED, TRAINED, Calibration, Images
from tftrt_yolo.converter.int8.filters import fitting, padding
from tftrt_yolo.converter.int8.histogram import Histogram
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.converter.int8.trained import trained_network
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.workers import progress
from tftrt_yolo.ground.workers.progress import Progress, Remark, Stage
from tftrt_yolo.saved_model import freeze, write
from tftrt_yolo.saved_model.handle import SavedModelHandle

_Event = Progress | Stage | Remark


def write_quantized(source: SavedModelHandle, output_dir: Path, calibrated: Calibrated) -> None:
    """Writes a SavedModel whose `network` is quantised.

    Args:
      source: An export.
      output_dir: A directory to make.
      calibrated: Its network, ready to be quantised.
    """
    graph_def = calibrated.quantized()

    def network(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        given = {calibrated.frames_name: frames}
        tensors = tf.graph_util.import_graph_def(graph_def, given, list(calibrated.outputs.values()), name="quantized")
        return dict(zip(calibrated.outputs, tensors, strict=True))

    output_dir.mkdir()
    write.save(network, source.metadata, output_dir)


def calibrate(
    source: SavedModelHandle, calibration: Calibration, *, on_progress: Callable[[int, int], None] | None = None
) -> Calibrated:
    """Runs the images through `network` and makes it ready to be quantised.

    Args:
      source: An export.
      calibration: Images and method. With a cache_dir, what an earlier run measured is taken from there; the method is
        applied to its histograms afterwards, so another method costs nothing and no file can be stale for it.
      on_progress: Called with the images that are done and their total; each counts once a pass, of which there are
        three, or two where filters are rounded to the nearest steps.

    Returns:
      The network with channels equalised, the range of what each convolution reads, and its filter.

    Raises:
      ConversionError: If the network cannot be quantised, or the images say nothing about its ranges.
      ImageError: If no image can be read.
    """
    return progress.finish(calibrating(source, calibration), on_progress)


def calibrating(source: SavedModelHandle, calibration: Calibration) -> Generator[_Event, None, Calibrated]:
    """As `calibrate`, as a generator that yields events and returns the result."""
    if calibration.method == TRAINED:
        return trained_network.prepare(source, calibration)
    yield Stage("measuring the calibration images")
    frozen, frames_name, outputs = freeze.freeze_network(source)
    graph_def = padding.pad_before(depthwise.as_ordinary(frozen))
    layers = quantization.find_layers(graph_def)
    in_float = choosing.choose(calibration.float_layers, graph_def, layers, outputs, source.metadata)
    images = Images(calibration.images, source.metadata)
    total = len(images.paths) * (3 if calibration.rounding == CALIBRATED else 2)
    path, recalled = None, None
    if calibration.cache_dir is not None:
        path = calibration_cache.path_of(source, calibration.images, calibration.cache_dir)
        recalled = yield from _recalled(path, layers, images, total)
    measured = recalled or (yield from _measuring(graph_def, frames_name, layers, images, total))
    if path is not None and not recalled:
        yield from _kept(path, measured)
    in_int8 = [layer for layer in layers if layer.name not in in_float]
    graph_def = padding.pad_before(depthwise.as_ordinary(frozen, kept=in_float), kept=in_float)
    graph_def = quantization.equalize(graph_def, in_int8, measured.maxima)
    equalized = [layer for layer in quantization.find_layers(graph_def) if layer.name not in in_float]
    found = {source: histogram.range(calibration.method) for source, histogram in measured.histograms.items()}
    ranges = {after.source: found[layer.source] for layer, after in zip(in_int8, equalized, strict=True)}
    filters = {}
    if calibration.rounding == CALIBRATED:
        yield Stage("fitting the filters to the calibration images")
        filters = yield from fitting.fitting(graph_def, frames_name, equalized, ranges, images)
    return Calibrated(
        graph_def,
        frames_name,
        outputs,
        equalized,
        ranges,
        images.readable,
        images.unreadable,
        str(path) if recalled else None,
        filters,
        calibration.rounding,
        float_layers=tuple(layer for layer in layers if layer.name in in_float),
    )


def _measuring(
    graph_def, frames_name: str, layers: list, images: Images, total: int
) -> Generator[Progress, None, Observations]:
    """The first two passes over the images."""
    maxima = yield from _channel_maxima(graph_def, frames_name, layers, images, total)
    images.check(f"layer {layers[0].label}")
    _check_ranges(layers, maxima)
    graph_def = quantization.equalize(graph_def, layers, maxima)
    equalized = quantization.find_layers(graph_def)
    found = yield from _histograms(graph_def, frames_name, equalized, images, total)
    histograms = {layer.source: found[after.source] for layer, after in zip(layers, equalized, strict=True)}
    return Observations(maxima, histograms, images.are_readable())


def _recalled(
    path: Path, layers: list, images: Images, total: int
) -> Generator[Progress | Remark, None, Observations | None]:
    """What a cache file holds; None if there is none that can be used."""
    try:
        measured = calibration_cache.read(path)
        if measured is None or not images.recall(measured.readable):
            return None
        if set(measured.maxima) != {layer.source for layer in layers}:
            raise CacheError(f"{path} cannot be used (it names other layers than the model)")
    except CacheError as error:
        yield Remark(f"{error}. The ranges are measured again, and the file is replaced.")
        return None
    yield Progress(2 * len(images.paths), total)
    return measured


def _kept(path: Path, measured: Observations) -> Iterator[Remark]:
    """Writes a cache file; yields a remark where that is not possible."""
    try:
        calibration_cache.write(path, measured)
    except CacheError as error:
        yield Remark(
            f"{error}. The next conversion will measure the ranges again; choose another "
            f"{argument('calibration_cache_dir')}."
        )


def _channel_maxima(
    graph_def, frames_name: str, layers: list, images: Images, total: int
) -> Generator[Progress, None, dict[str, np.ndarray]]:
    """Source of each layer to the largest magnitude of each of its channels; the first pass."""

    def reduced(tensor: tf.Tensor) -> tf.Tensor:
        return tf.reduce_max(tf.abs(tensor), axis=tuple(range(tensor.shape.rank - 1)))

    sources, run = _tensors_of(graph_def, frames_name, layers, reduced)
    maxima = dict.fromkeys(sources, np.float32(0))
    for frames in images.frames():
        for source, values in zip(sources, run(tf.constant(frames)), strict=True):
            maxima[source] = np.maximum(maxima[source], values.numpy())
        yield Progress(images.num_done, total)
    return maxima


def _check_ranges(layers: list, maxima: dict[str, np.ndarray]) -> None:
    """Refuses a network of which a layer reads nothing but zeros, or what is not finite."""
    for layer in layers:
        largest = float(np.max(maxima[layer.source]))
        if largest == 0 or not np.isfinite(largest):
            raise ConversionError(
                f"The largest magnitude at the input of layer {layer.label} is {largest} over all calibration images, "
                "which gives no scale. Give images like those that the model is to see, 100 or more."
            )


def _histograms(
    graph_def, frames_name: str, layers: list, images: Images, total: int
) -> Generator[Progress, None, dict[str, Histogram]]:
    """Source of each layer to the histogram of its magnitudes; the second pass."""
    sources, run = _tensors_of(graph_def, frames_name, layers, tf.identity)
    histograms, count = {source: Histogram() for source in sources}, len(images.paths)
    for frames in images.frames():
        for source, values in zip(sources, run(tf.constant(frames)), strict=True):
            histograms[source].add(values.numpy())
        yield Progress(count + images.num_done, total)
    yield Progress(2 * count, total)  # the last ones may have been unreadable
    return histograms


def _tensors_of(graph_def, frames_name: str, layers: list, function: Callable) -> tuple[list[str], Callable]:
    """The layers' sources, and a function of frames that gives what `function` makes of each."""
    sources = sorted({layer.source for layer in layers})
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    with whole.graph.as_default():
        fetched = [function(tensor) for tensor in freeze.tensors(whole.graph, sources)]
    return sources, whole.prune(frames_name, fetched)
