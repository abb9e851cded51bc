"""TrtGraphConverterV2 on signature `network`. It runs in a worker's process; see `ground.workers.worker`.

Where TensorRT and a GPU are, engines are built, saved and proven to run. Elsewhere the conversion is the same: TF-TRT's
partitioner needs neither, only two checks in its Python front do, and those are answered here.

Source: tensorflow/python/compiler/tensorrt/trt_convert.py of TensorFlow 2.17.
"""

import contextlib
import gc
import os
import re
import sys
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from tensorflow.python.compiler.tensorrt import trt_convert

from tftrt_yolo import contract
from tftrt_yolo.converter import conversion_report
from tftrt_yolo.converter.int8 import accuracy, calibration, calibration_images
from tftrt_yolo.converter.int8.accuracy import Quantization, Ranges
from tftrt_yolo.converter.int8.calibration_images import Calibration, Images
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError, TensorRTUnavailableError
from tftrt_yolo.ground.workers.progress import Progress, Remark
from tftrt_yolo.saved_model import saved_model_pb, write
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished
from tftrt_yolo.saved_model.trust import believed

# TF-TRT's own default with TensorRT 8.4 and newer: as much as TensorRT likes. Without TensorRT it would put 1 GiB.
_UNLIMITED_WORKSPACE_BYTES = sys.maxsize - 512
_REASONS_FILE = Path("reasons.csv")
_GPU = "/job:localhost/replica:0/task:0/device:GPU:0"


def work(
    *,
    source: SavedModelHandle,
    output_dir: Path,
    precision_mode: str,
    options: TensorRTOptions,
    quantization: Quantization | None = None,
) -> Iterator[Progress | Remark | dict]:
    """Converts a SavedModel.

    Args:
      source: An export.
      output_dir: An empty directory to fill.
      precision_mode: As `tftrt_yolo.convert`.
      options: TF-TRT's.
      quantization: For INT8 what to calibrate with, and how accurate the result must be.

    Yields:
      Progress of the calibration, remarks, and last the fields of EngineReport that are known here.

    Raises:
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT.
      ConversionError: If no engine was made, too much is left over, or an engine that was built does not run.
      SavedModelError: If the SavedModel cannot be used.
    """
    machine = environment.look()
    if not machine.built_with_tensorrt:
        raise TensorRTUnavailableError(f"{environment.no_tensorrt_in_tensorflow(machine.tensorflow_version)}.")
    believed.read(source)  # says what is damaged better than TensorFlow's loader does

    ranges, images, quantized_dir = None, None, source.directory
    if quantization and quantization.calibration.method == calibration_images.TENSORRT:
        images = Images(quantization.calibration.images, source.metadata)
    elif quantization:
        quantized_dir, ranges = yield from _quantized(source, quantization.calibration)
    with contextlib.nullcontext() if machine.can_build_engines else _partition_offline():
        converter = _partitioned(quantized_dir, images, precision_mode, options)
    counts = _count(converter._converted_graph_def)
    _check_coverage(counts, source.given, options.minimum_coverage)
    network, tracked = _network_of(converter, source.metadata, options, builds=machine.can_build_engines)
    del converter  # and with it half a dozen copies of the weights
    gc.collect()
    write.save(lambda frames: network(frames=frames), source.metadata, output_dir, tracked=tracked)

    engine_bytes = saved_model_pb.built_engine_bytes(output_dir)
    if machine.can_build_engines:
        _check_engines(output_dir, counts["engines"], engine_bytes, options.batch_sizes, source.metadata.image_size_hw)
    if quantization:
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
    }


def _quantized(
    source: SavedModelHandle, calibration_options: Calibration
) -> Generator[Progress | Remark, None, tuple[Path, Ranges]]:
    """Writes the quantised SavedModel that TF-TRT is to convert; returns its directory and what it was made with."""
    calibrated = yield from calibration.calibrating(source, calibration_options)
    quantized_dir = Path("quantized")
    calibration.write_quantized(source, quantized_dir, calibrated)
    ranges = Ranges(len(calibrated.layers), calibrated.readable, calibrated.unreadable, calibrated.cache)
    return quantized_dir, ranges


def _partitioned(
    saved_model_dir: Path, images: Images | None, precision_mode: str, options: TensorRTOptions
) -> "_Converter":
    """Has TF-TRT divide `network` into engines and the rest.

    Args:
      saved_model_dir: What to convert.
      images: What TF-TRT's own calibrator is to see when the engines are built; None if nothing is left to calibrate.
      precision_mode: "FP32", "FP16" or "INT8".
      options: TF-TRT's.

    Returns:
      The converter, after convert().
    """
    os.environ["TF_TRT_SHOW_DETAILED_REPORT"] = str(_REASONS_FILE)
    converter = _Converter(
        input_saved_model_dir=str(saved_model_dir),
        input_saved_model_signature_key=contract.NETWORK,
        precision_mode=precision_mode,
        minimum_segment_size=options.minimum_segment_size,
        max_workspace_size_bytes=options.max_workspace_size_bytes or _UNLIMITED_WORKSPACE_BYTES,
        use_dynamic_shape=True,  # a batch that is not fixed needs explicit-batch engines
        dynamic_shape_profile_strategy=options.strategy,
        use_calibration=images is not None,  # otherwise scales are in the graph, if it is INT8
        allow_build_at_runtime=True,  # build() needs it; _forbid_building comes later
    )
    # The function is called in build(): a batch that is not fixed has to wait for its profiles.
    converter.convert(calibration_input_fn=None if images is None else lambda: _calibration_frames(images))
    return converter


def _network_of(converter: "_Converter", metadata: contract.Metadata, options: TensorRTOptions, *, builds: bool):
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


def _check_coverage(counts: dict, saved_model_dir: str, minimum_coverage: float) -> None:
    """Refuses a conversion that left too much to TensorFlow, before engines are built.

    Raises:
      ConversionError: If there is no engine, or less than minimum_coverage of the nodes is inside.
    """
    inside, outside = counts["nodes_inside"], counts["nodes_outside"]
    coverage = inside / max(inside + outside, 1)
    rows = "\n  ".join(map(str, counts["left_to_tensorflow"]))
    if not counts["engines"]:
        raise ConversionError(
            f"TF-TRT made no engine of {saved_model_dir}. Expected at least one; lower "
            f"{argument('minimum_segment_size')}, and look for TF_TRT_OP_DENYLIST in the environment. Left to "
            f"TensorFlow:\n  {rows}"
        )
    if coverage < minimum_coverage:
        raise ConversionError(
            f"{counts['engines']} engines hold {coverage:.1%} of the nodes; at least {minimum_coverage:.1%} "
            f"was asked for. Lower {argument('minimum_coverage')} to accept it. Left to TensorFlow:\n  {rows}"
        )


@contextlib.contextmanager
def _partition_offline() -> Iterator[None]:
    """Answers the two checks in TF-TRT's Python front that ask for TensorRT's library and for a GPU.

    Neither is used by convert(): the partitioner runs its validators without both. The rest of TF-TRT is untouched.
    """
    check_version, array_ops = trt_convert._check_trt_version_compatibility, trt_convert.array_ops
    trt_convert._check_trt_version_compatibility = lambda: None
    trt_convert.array_ops = SimpleNamespace(zeros=lambda _: SimpleNamespace(device=_GPU))
    try:
        yield
    finally:
        trt_convert._check_trt_version_compatibility, trt_convert.array_ops = check_version, array_ops


class _Converter(trt_convert.TrtGraphConverterV2):
    """TrtGraphConverterV2, whose engines get names that no other model has.

    A process keeps its engines in one table by the op's name, and every conversion calls its first TRTEngineOp_000_000:
    of two models in one server, the second would run the first one's engine.
    """

    def _run_conversion(self, meta_graph_def):
        gc.collect()  # freezing leaves copies of the weights in reference cycles
        graph_def, suffix = super()._run_conversion(meta_graph_def), f"_{uuid.uuid4().hex[:8]}"
        names = {node.name for node in graph_def.node if node.op == saved_model_pb.ENGINE_OP}
        for node in graph_def.node:
            if node.name in names:
                node.name += suffix
            for index, reference in enumerate(node.input):
                control, name, output = re.fullmatch(r"(\^?)([^:]*)(:?\d*)", reference).groups()
                if name in names:
                    node.input[index] = f"{control}{name}{suffix}{output}"
        return graph_def


def _build_engines(converter: _Converter, size_hw: tuple[int, int], options: TensorRTOptions):
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


def _check_calibration(converter: _Converter) -> None:
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


def _forbid_building(converter: _Converter):
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
    name = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"
    os.environ[name] = "false"
    try:
        yield
    except (tf.errors.AbortedError, tf.errors.InternalError) as error:  # Internal: "Failed to feed calibration data"
        raise ConversionError(
            f"TensorRT could not build or run an engine ({error.message}). Set TF_CPP_VMODULE=trt_engine_op=2 to see "
            f"its log, and check GPU memory and {argument('max_workspace_size_bytes')}."
        ) from error
    finally:
        del os.environ[name]


def _random_frames(batch_sizes: tuple[int, ...], size_hw: tuple[int, int]) -> Iterator[tuple[np.ndarray]]:
    """One input for each batch size."""
    rng = np.random.default_rng(0)
    for batch_size in batch_sizes:
        yield (rng.random((batch_size, *size_hw, 3), np.float32),)


def _count(graph_def) -> dict:
    """Counts what is inside and outside the engines of a converted `network`."""
    engines = saved_model_pb.engine_nodes(graph_def)
    segments = {node.attr["segment_func"].func.name for node in engines.values()}
    inside = sum(
        conversion_report.count_nodes(function.node_def).total()
        for function in graph_def.library.function
        if function.signature.name in segments
    )
    outside = conversion_report.count_nodes(node for node in graph_def.node if node.op != saved_model_pb.ENGINE_OP)
    return {
        "engines": len(engines),
        "nodes_inside": inside,
        "nodes_outside": outside.total(),
        "left_to_tensorflow": conversion_report.left_over(outside, _REASONS_FILE),
    }


def _check_engines(
    saved_model_dir: Path, expected: int, engine_bytes: dict, batch_sizes: tuple[int, ...], size_hw: tuple[int, int]
) -> None:
    """Loads what was written and runs every batch size with TensorFlow's detour closed."""
    if len(engine_bytes) != expected:
        raise ConversionError(f"{len(engine_bytes)} engines were saved and {expected} expected. Convert once more.")
    network = tf.saved_model.load(str(saved_model_dir)).signatures[contract.NETWORK]
    with _native_segments_disallowed():
        for (frames,) in _random_frames(batch_sizes, size_hw):
            for name, values in network(frames=tf.constant(frames)).items():
                if not np.isfinite(values.numpy()).all():
                    raise ConversionError(f"The engine gives {name} that are not finite for a batch of {len(frames)}.")
