"""Conversion: from a SavedModel to a SavedModel with TensorRT engines, by TF-TRT.

    report = tftrt_yolo.convert("yolov8n_saved_model", "yolov8n_tensorrt_saved_model")
    report.engines, report.coverage, report.engines_built

The second stage of the flow: it reads what `export` wrote, and `Predictor` runs what it writes. Only signature
`network` is converted; every other signature is built around the converted one (exporter.assemble).
"""

import operator
import time
from pathlib import Path

from tftrt_yolo import contract, directories
from tftrt_yolo.converter import report
from tftrt_yolo.converter.report import ConversionReport, SavedModelReport
from tftrt_yolo.errors import ConversionError
from tftrt_yolo.worker import Worker, WorkerCrashedError

PRECISION_MODES = ("FP32", "FP16")


def convert(
    saved_model_dir: str | Path,
    output_saved_model_dir: str | Path,
    *,
    precision_mode: str = "FP16",
    minimum_segment_size: int = 3,
    max_workspace_size_bytes: int | None = None,
    batch_sizes: tuple[int, ...] = (1,),
    allow_build_at_runtime: bool = True,
    minimum_coverage: float = 0.95,
    overwrite: bool = False,
) -> ConversionReport:
    """Converts a SavedModel with TF-TRT's TrtGraphConverterV2.

    With a GPU and TensorRT 8.6.1 the engines are built, saved, loaded again and run. Elsewhere the same conversion
    is done without building; the report says so, and TensorRT builds the engines at first use.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      output_saved_model_dir: Directory to write. Ultralytics' YOLO(...) loads it too if its name holds "_saved_model".
      precision_mode: "FP32" or "FP16", in TF-TRT's words.
      minimum_segment_size: Fewest nodes that make an engine.
      max_workspace_size_bytes: GPU memory that TensorRT may use while it builds; None for no limit but the GPU's.
      batch_sizes: Batch sizes that engines are built for; sizes between the least and the largest run in
        TensorRT, others in TensorFlow. Engines that are not built here are built for the first batch that they meet.
      allow_build_at_runtime: Whether an engine that was not built here may be built at first use, which takes minutes.
      minimum_coverage: Least share of the nodes of `network` that must be inside engines, in [0, 1].
      overwrite: Replace a SavedModel that is already there.

    Returns:
      Engines, coverage, what stayed in TensorFlow and why.

    Raises:
      ValueError: If an argument is out of its range.
      FileExistsError: If output_saved_model_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      TensorRTUnavailableError: If this TensorFlow has no TF-TRT: 2.18 or newer, or a build without TensorRT.
      ConversionError: If there is no engine, the coverage is too small, or a built engine does not run.
    """
    start = time.perf_counter()
    saved_model_dir, output_saved_model_dir = Path(saved_model_dir), Path(output_saved_model_dir)
    batch_sizes = _check_arguments(precision_mode, minimum_segment_size, max_workspace_size_bytes, batch_sizes)
    if not 0 <= minimum_coverage <= 1:
        raise ValueError(f"minimum_coverage is {minimum_coverage!r}; it must lie between 0 and 1.")
    if output_saved_model_dir.resolve() == saved_model_dir.resolve():
        raise ValueError(f"output_saved_model_dir is saved_model_dir, {saved_model_dir}. Choose another directory.")
    directories.check_free(output_saved_model_dir, overwrite=overwrite)
    contract.read_metadata(saved_model_dir)

    with (
        Worker("tftrt_yolo.converter.tensorrt") as worker,
        directories.written_whole(output_saved_model_dir, overwrite=overwrite) as partial_dir,
    ):
        worker.start(
            saved_model_dir=str(saved_model_dir.resolve()),
            output_saved_model_dir=partial_dir.resolve(),
            precision_mode=precision_mode.upper(),
            minimum_segment_size=minimum_segment_size,
            max_workspace_size_bytes=max_workspace_size_bytes,
            batch_sizes=batch_sizes,
            allow_build_at_runtime=allow_build_at_runtime,
        )
        done = ConversionReport(
            saved_model_dir=str(saved_model_dir),
            output_saved_model_dir=str(output_saved_model_dir),
            precision_mode=precision_mode.upper(),
            batch_sizes=batch_sizes,
            **_finish(worker),
            seconds=time.perf_counter() - start,
        )
        if done.coverage < minimum_coverage:
            rows = "\n  ".join(map(str, done.left_to_tensorflow))
            raise ConversionError(
                f"{done.engines} engines hold {done.coverage:.1%} of the nodes; at least {minimum_coverage:.1%} "
                f"was asked for. Lower minimum_coverage to accept it. Left to TensorFlow:\n  {rows}"
            )
        done.write(partial_dir)
    return done


def inspect(saved_model_dir: str | Path) -> SavedModelReport:
    """Looks into a SavedModel without running it.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.

    Returns:
      Signatures, engines, op counts, metadata, and how it was converted.

    Raises:
      SavedModelError: If it is no SavedModel of ours.
    """
    from tftrt_yolo import saved_model

    saved_model_dir = Path(saved_model_dir)
    metadata = contract.read_metadata(saved_model_dir)
    meta_graph = saved_model.read(saved_model_dir).meta_graphs[0]
    engines = saved_model.engine_nodes(meta_graph.graph_def)
    segments = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    return SavedModelReport(
        saved_model_dir=str(saved_model_dir),
        metadata=metadata,
        signatures={
            key: (_specs(meta_graph.signature_def[key].inputs), _specs(meta_graph.signature_def[key].outputs))
            for key in contract.SIGNATURES
        },
        engines={
            name: report.count_nodes(segments[node.attr["segment_func"].func.name].node_def).total()
            for name, node in engines.items()
        },
        built_engine_bytes=saved_model.built_engine_bytes(saved_model_dir),
        precision_modes=tuple(sorted({node.attr["precision_mode"].s.decode() for node in engines.values()})),
        ops=dict(report.count_nodes(saved_model.all_nodes(meta_graph.graph_def)).most_common()),
        size_bytes=directories.size_bytes(saved_model_dir),
        conversion=ConversionReport.read(saved_model_dir) if engines else None,
    )


def _check_arguments(precision_mode, minimum_segment_size, max_workspace_size_bytes, batch_sizes) -> tuple[int, ...]:
    """Checks what TF-TRT would notice late or not at all; returns the batch sizes as a tuple."""
    if str(precision_mode).upper() == "INT8":
        raise ValueError("precision_mode is INT8, which is not supported yet. Use FP16 or FP32.")
    if str(precision_mode).upper() not in PRECISION_MODES:
        raise ValueError(f"precision_mode is {precision_mode!r}; known are {' and '.join(PRECISION_MODES)}.")
    for name, value in (
        ("minimum_segment_size", minimum_segment_size),
        ("max_workspace_size_bytes", max_workspace_size_bytes),
    ):
        if value is not None:
            contract.check_at_least_one(name, value)
    try:
        sizes = tuple(operator.index(size) for size in batch_sizes)
    except TypeError as error:
        raise ValueError(f"batch_sizes is {batch_sizes!r}; expected whole numbers, such as (1, 8).") from error
    if not sizes or min(sizes) < 1:
        raise ValueError(f"batch_sizes is {batch_sizes!r}; expected one or more whole numbers of at least 1.")
    return sizes


def _finish(worker: Worker) -> dict:
    """Waits for the conversion and says what a crash of it means."""
    try:
        return worker.receive()
    except WorkerCrashedError as error:
        raise ConversionError(
            "TF-TRT did not come to an end. `tftrt-yolo check` shows what this machine has; a TensorRT of another "
            f"version than the one that TensorFlow was built against ends the process. The process {error}"
        ) from error


def _specs(tensors) -> dict[str, str]:
    """A signature's tensors: name to dtype and shape."""
    import tensorflow as tf

    return {
        name: f"{tf.dtypes.as_dtype(tensor.dtype).name} "
        f"({', '.join('?' if dim.size < 0 else str(dim.size) for dim in tensor.tensor_shape.dim)})"
        for name, tensor in sorted(tensors.items())
    }
