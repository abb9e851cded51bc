"""TrtGraphConverterV2 on signature `network`. It runs in a worker's process; see `ground.workers.worker`.

Where TensorRT and a GPU are, engines are built, saved and proven to run. Elsewhere the conversion is the same (see
`partition`), without the engines.

Source: tensorflow/python/compiler/tensorrt/trt_convert.py of TensorFlow 2.17.
"""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.compiler.tensorrt import trt_convert

from tftrt_yolo import contract
from tftrt_yolo.converter import partition
from tftrt_yolo.converter.int8 import accuracy, calibration, calibration_images
from tftrt_yolo.converter.int8.accuracy import Quantization, Ranges
from tftrt_yolo.converter.int8.calibration_images import Images
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError, TensorRTUnavailableError
from tftrt_yolo.ground.tensorrt import native_segments
from tftrt_yolo.ground.text import counted
from tftrt_yolo.ground.workers.progress import Progress, Remark, Stage
from tftrt_yolo.saved_model import saved_model_pb, write
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished
from tftrt_yolo.saved_model.trust import believed


def work(
    *,
    source: SavedModelHandle,
    output_dir: Path,
    precision_mode: str,
    options: TensorRTOptions,
    quantization: Quantization | None = None,
) -> Iterator[Progress | Stage | Remark | dict]:
    """Converts a SavedModel.

    Args:
      source: An export.
      output_dir: An empty directory to fill.
      precision_mode: As `tftrt_yolo.convert`.
      options: TF-TRT's.
      quantization: For INT8 what to calibrate with, and how accurate the result must be.

    Yields:
      Progress of the calibration, stages, remarks, and last the fields of EngineReport that are known here.

    Raises:
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT.
      ConversionError: If no engine was made, too much is left over, or an engine that was built does not run.
      SavedModelError: If the SavedModel cannot be used.
    """
    machine = environment.look()
    if not machine.built_with_tensorrt:
        raise TensorRTUnavailableError(f"{environment.no_tensorrt_in_tensorflow(machine.tensorflow_version)}.")
    yield Stage("reading the SavedModel")
    believed.read(source)  # says what is damaged better than TensorFlow's loader does

    ranges, images, quantized_dir = None, None, source.directory
    if quantization and quantization.calibration.method == calibration_images.TENSORRT:
        images = Images(quantization.calibration.images, source.metadata)
    elif quantization:
        quantized_dir = Path("quantized")
        made = yield from calibration.quantizing(source, quantization.calibration, quantized_dir)
        rounding = quantization.calibration.rounding
        ranges = Ranges(len(made.layers), made.readable, made.unreadable, made.cache, rounding)
    calibration_input_fn = None if images is None else lambda: _calibration_frames(images)
    yield Stage("converting with TF-TRT")
    with contextlib.nullcontext() if machine.can_build_engines else partition.offline():
        converter = partition.partitioned(
            quantized_dir, precision_mode, options, calibration_input_fn=calibration_input_fn
        )
    counts = partition.count(converter._converted_graph_def)
    partition.check_coverage(counts, source.given, options.minimum_coverage)
    yield Stage("building the engines" if machine.can_build_engines else "writing the SavedModel")
    network, tracked = _network_of(converter, source.metadata, options, builds=machine.can_build_engines)
    del converter  # and with it half a dozen copies of the weights
    gc.collect()
    write.save(lambda frames: network(frames=frames), source.metadata, output_dir, tracked=tracked)

    engine_bytes = saved_model_pb.built_engine_bytes(output_dir)
    if machine.can_build_engines:
        yield Stage("running the engines")
        _check_engines(output_dir, counts["engines"], engine_bytes, options.batch_sizes, source.metadata.image_size_hw)
    if quantization:
        yield Stage("comparing with the export")
        ranges = ranges or Ranges(None, images.readable, images.unreadable)
        counts["quantization"] = accuracy.measure(source, open_unfinished(output_dir), quantization, ranges)
    yield counts | {
        "batch_sizes": options.batch_sizes,
        "dynamic_shape_profile_strategy": options.strategy,
        "engines_built": machine.can_build_engines,
        "why_not_built": machine.why_no_engines,
        "engine_bytes": sum(engine_bytes.values()),
        "tensorflow_version": machine.tensorflow_version,
        "linked_tensorrt": machine.linked_tensorrt,
        "loaded_tensorrt": machine.loaded_tensorrt,
        "has_stand_in": machine.has_stand_in,
    }


def _network_of(converter: partition.Converter, metadata: contract.Metadata, options: TensorRTOptions, *, builds: bool):
    """The converted function, and what it needs to be saved with: the built engines, or None."""
    if builds:
        tracked = _build_engines(converter, metadata.image_size_hw, options)
        return tracked.signatures[contract.NETWORK], tracked
    if not options.allow_build_at_runtime:
        return _forbid_building(converter), None
    return converter._converted_func, None


def _calibration_frames(images: Images) -> Iterator[tuple[np.ndarray]]:
    """What TF-TRT's own calibrator is fed: frames as in prediction, every batch of one size.

    TF-TRT calibrates for the shape of the first batch and skips those of other sizes (trt_engine_op.cc,
    InitCalibProfile and ExecuteCalibration); the shape may be another than those that the engine is built for.

    Raises:
      ImageError: If no image can be read.
      ConversionError: If the images say nothing about ranges.
    """
    for frames in images.full_batches():
        yield (frames,)
    images.check("the engine")


def _build_engines(converter: partition.Converter, size_hw: tuple[int, int], options: TensorRTOptions):
    """Builds the engines for every batch size and brings them into a form that can be saved.

    Args:
      converter: After convert().
      size_hw: Frame height and width in pixels.
      options: Says for which batch sizes, and whether others may be built later.

    Returns:
      A loaded SavedModel that holds them: only TF-TRT's own save() writes engines out.
    """
    with _native_segments_disallowed():
        converter.build(lambda: _random_frames(options.batch_sizes, size_hw))
    _check_calibration(converter)
    if not options.allow_build_at_runtime:
        _forbid_building(converter)
    converter.save("converted")
    return tf.saved_model.load("converted")


def _check_calibration(converter: partition.Converter) -> None:
    """Refuses an engine that TF-TRT's calibrator gave no table: it would calibrate on what it is to predict.

    TF-TRT only logs that (trt_convert.py, _save_calibration_table).
    """
    for node in converter._converted_graph_def.node:
        is_engine = node.op == saved_model_pb.ENGINE_OP
        if is_engine and node.attr["use_calibration"].b and not node.attr["calibration_data"].s:
            raise ConversionError(
                f"TF-TRT's calibrator gave no table for the engine {node.name}. Leave {argument('calibration')} out: "
                "then the quantisations are put into the graph."
            )


def _forbid_building(converter: partition.Converter):
    """Lets no engine be built at run time; TF-TRT's own option does it in save() and loses the outputs' names there.

    Args:
      converter: After build(), before save(); its function is replaced.

    Returns:
      The converted function.
    """
    for node in converter._converted_graph_def.node:
        if node.op == saved_model_pb.ENGINE_OP:
            node.attr["_allow_build_at_runtime"].b = False
    converter._converted_func = trt_convert._construct_function_from_graph_def(
        converter._converted_func, converter._converted_graph_def
    )
    return converter._converted_func


@contextlib.contextmanager
def _native_segments_disallowed() -> Iterator[None]:
    """Makes an engine that cannot be built or run an error instead of a quiet detour through TensorFlow."""
    try:
        with native_segments.disallowed():
            yield
    except (tf.errors.AbortedError, tf.errors.InternalError) as error:  # Internal: "Failed to feed calibration data"
        raise ConversionError(
            f"TensorRT could not build or run an engine ({error.message}). Set TF_CPP_VMODULE=trt_engine_op=2 to see "
            f"its log, and check GPU memory and {argument('max_workspace_size_bytes')}."
        ) from error


def _random_frames(batch_sizes: tuple[int, ...], size_hw: tuple[int, int]) -> Iterator[tuple[np.ndarray]]:
    """One input for each batch size."""
    rng = np.random.default_rng(0)
    for batch_size in batch_sizes:
        yield (rng.random((batch_size, *size_hw, 3), np.float32),)


def _check_engines(
    saved_model_dir: Path, expected: int, engine_bytes: dict, batch_sizes: tuple[int, ...], size_hw: tuple[int, int]
) -> None:
    """Loads what was written and runs every batch size with TensorFlow's detour closed."""
    if len(engine_bytes) != expected:
        saved = counted(len(engine_bytes), "engine was", "engines were")
        raise ConversionError(f"{saved} saved and {expected} expected. Convert once more.")
    loaded = tf.saved_model.load(str(saved_model_dir))  # its engines go when it goes, whoever holds a signature
    network = loaded.signatures[contract.NETWORK]
    with _native_segments_disallowed():
        for (frames,) in _random_frames(batch_sizes, size_hw):
            for name, values in network(frames=tf.constant(frames)).items():
                if not np.isfinite(values.numpy()).all():
                    raise ConversionError(f"The engine gives {name} that are not finite for a batch of {len(frames)}.")
