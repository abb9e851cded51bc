"""TrtGraphConverterV2 on signature `network`. It runs in a worker's process; see `ground.workers.worker`.

Where TensorRT and a GPU are, engines are built, saved and proven to run. Elsewhere the conversion is the same (see
`partition`), without the engines.

Source: tensorflow/python/compiler/tensorrt/trt_convert.py of TensorFlow 2.17.
"""

import contextlib
import dataclasses
import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.compiler.tensorrt import trt_convert

from tftrt_yolo import contract
from tftrt_yolo.converter import partition, parts
from tftrt_yolo.converter.int8 import accuracy, calibration, calibration_images
from tftrt_yolo.converter.int8.accuracy import Quantization, Ranges
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_images import Images
from tftrt_yolo.converter.parts import Piece
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
    dataset = accuracy.read_labels(source, quantization)

    ranges, images, outputs = None, None, ()
    pieces = [Piece(source.directory, precision_mode, {parts.FRAMES: (*source.metadata.image_size_hw, 3)})]
    if quantization and quantization.calibration.method == calibration_images.TENSORRT:
        images = Images(quantization.calibration.images, source.metadata)
    elif quantization:
        made = yield from calibration.calibrating(source, quantization.calibration)
        ranges, outputs, pieces = Ranges.of(made), tuple(made.outputs), _quantized(source, made, pieces[0])
        del made
    calibration_input_fn = None if images is None else lambda: _calibration_frames(images)
    yield Stage("converting with TF-TRT")
    with contextlib.nullcontext() if machine.can_build_engines else partition.offline():
        converters, told = partition.all_partitioned(pieces, options, calibration_input_fn=calibration_input_fn)
    counts = partition.together(told)
    partition.check_coverage(counts, source.given, options.minimum_coverage)
    yield Stage("building the engines" if machine.can_build_engines else "writing the SavedModel")
    network, tracked = _network_of(converters, pieces, outputs, options, builds=machine.can_build_engines)
    del converters  # and with them half a dozen copies of the weights
    gc.collect()
    write.save(network, source.metadata, output_dir, tracked=tracked)

    engine_bytes = saved_model_pb.built_engine_bytes(output_dir)
    if machine.can_build_engines:
        yield Stage("running the engines")
        _check_engines(output_dir, counts["engines"], engine_bytes, options.batch_sizes, source.metadata.image_size_hw)
    if quantization:
        yield Stage("comparing with the export")
        ranges = ranges or Ranges(None, images.readable, images.unreadable)
        counts["quantization"] = accuracy.measure(source, open_unfinished(output_dir), quantization, ranges, dataset)
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


def _quantized(source: SavedModelHandle, made: Calibrated, whole: Piece) -> list[Piece]:
    """The quantised network as a SavedModel; its parts, where some layers stay in float."""
    if made.float_layers:
        return [parts.write(part, Path(f"part_{at}")) for at, part in enumerate(parts.divide(made), 1)]
    directory = Path("quantized")
    calibration.write_quantized(source, directory, made)
    return [dataclasses.replace(whole, directory=directory)]


def _network_of(
    converters: list[partition.Converter],
    pieces: list[Piece],
    outputs: tuple[str, ...],
    options: TensorRTOptions,
    *,
    builds: bool,
):
    """The converted function, and what it needs to be saved with: the built engines, or None."""
    functions, tracked = [], []
    for number, (converter, piece) in enumerate(zip(converters, pieces, strict=True)):
        if builds:
            tracked.append(_build_engines(converter, piece.inputs, options, Path(f"converted_{number}")))
            functions.append(tracked[-1].signatures[contract.NETWORK])
        elif options.allow_build_at_runtime:
            functions.append(converter._converted_func)
        else:
            functions.append(_forbid_building(converter))
    if len(functions) == 1:
        return lambda frames: functions[0](frames=frames), tracked[0] if builds else None
    return parts.chain(functions, pieces, outputs), tracked or None


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


def _build_engines(
    converter: partition.Converter, inputs: dict[str, tuple[int, ...]], options: TensorRTOptions, output_dir: Path
):
    """Builds the engines for every batch size and brings them into a form that can be saved.

    Args:
      converter: After convert().
      inputs: Name of each of the function's inputs to its shape without the batch.
      options: Says for which batch sizes, and whether others may be built later.
      output_dir: A directory to make.

    Returns:
      A loaded SavedModel that holds them: only TF-TRT's own save() writes engines out.
    """
    with _native_segments_disallowed():
        converter.build(lambda: _random_inputs(options.batch_sizes, inputs))
    _check_calibration(converter)
    if not options.allow_build_at_runtime:
        _forbid_building(converter)
    converter.save(str(output_dir))
    return tf.saved_model.load(str(output_dir))


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


def _random_inputs(batch_sizes: tuple[int, ...], inputs: dict[str, tuple[int, ...]]) -> Iterator[dict[str, np.ndarray]]:
    """One input for each batch size: numbers in [0, 1), as frames are."""
    rng = np.random.default_rng(0)
    for batch_size in batch_sizes:
        yield {name: rng.random((batch_size, *shape), np.float32) for name, shape in inputs.items()}


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
        for given in _random_inputs(batch_sizes, {parts.FRAMES: (*size_hw, 3)}):
            frames = given[parts.FRAMES]
            for name, values in network(frames=tf.constant(frames)).items():
                if not np.isfinite(values.numpy()).all():
                    raise ConversionError(f"The engine gives {name} that are not finite for a batch of {len(frames)}.")
