"""The plans in a conversion, taken out: TF-TRT keeps what TensorRT built in the SavedModel's assets.

    report = tftrt_yolo.extract_engines("yolov8n_tensorrt_saved_model", "yolov8n_engines")
    report.engines                        # {"TRTEngineOp_000_000.engine": 15_204_112}

Each asset is a TFRecord file with a message for each engine of TF-TRT's cache, whose second field is the plan. Nothing
is built and nothing is run. The plans keep TF-TRT's tensors: TensorRTInputPH_0 takes frames (batch, height, width, 3),
and the outputs are numbered. Ultralytics' layout is what `build_engine` makes.

Source: tensorflow/compiler/tf2tensorrt/utils/trt_engine_instance.proto; kernels/trt_engine_resource_ops.cc.
"""

import functools
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.converter.conversion_report import ConversionReport, EngineReport
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.engine_file import EngineFacts
from tftrt_yolo.engines.engine_report import EXTRACTION_FILE, ExtractionReport
from tftrt_yolo.ground.arguments import check_bool
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.ground.files import directories, reading
from tftrt_yolo.ground.text import first_line, printable
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.rehearsal import engine_bytes
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests

_ASSETS = "assets/trt-serialized-engine.*"
_MOST_BYTES = 16 << 30  # of an asset
_MOST_ENGINES = 64  # in one asset; TF-TRT keeps as many as maximum_cached_engines, which is 1
_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # of a record: its length, that one's checksum; the data's
_CONTENTS = directories.Contents(EXTRACTION_FILE, (f"*{engine_file.SUFFIX}", f"*{engine_file.PLAN_SUFFIX}"))
# TensorFlow's DataType to TensorRT's, of those that TF-TRT takes over an engine's edge.
_TYPES = {1: "FLOAT", 3: "INT32", 6: "INT8", 10: "BOOL", 19: "HALF"}


def extract_engines(
    saved_model_dir: str | Path, output_dir: str | Path, *, header: bool = True, overwrite: bool = False
) -> ExtractionReport:
    """Takes the plans that TensorRT built for a conversion out of its assets, each into a file.

    Args:
      saved_model_dir: A SavedModel that `convert` wrote, with engines that were built.
      output_dir: Directory to write: a .engine file for each plan, without a header a .plan, and engines.json, the
        report.
      header: As `build_engine`.
      overwrite: Replace what an earlier call wrote there.

    Returns:
      What was taken out.

    Raises:
      ValueError: If header is neither true nor false.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours, or is damaged.
      EngineError: If it is no conversion for TensorRT, holds no built engine, an asset of it is damaged, or its engines
        are a rehearsal's, which no TensorRT can load.
    """
    suffix = engine_file.SUFFIX if check_bool("header", header) else engine_file.PLAN_SUFFIX
    directories.check_free(Path(output_dir), _CONTENTS, overwrite=overwrite)
    source = open_saved_model(saved_model_dir)
    built = _report_of(source)
    digests.check(source)
    assets = sorted(source.directory.glob(_ASSETS))
    tensors, modes = _tensors(source), _precision_modes(source)
    with directories.written_whole(output_dir, _CONTENTS, overwrite=overwrite) as partial_dir:
        sizes = {}
        for asset in assets:
            name = asset.name.partition(".")[2]
            for number, plan in enumerate(_plans(asset), start=1):
                if plan.startswith(engine_bytes.WORDS):  # whatever conversion.json says
                    raise _rehearsed(source)
                file = f"{name}{f'_{number}' if number > 1 else ''}{suffix}"
                if header:
                    mode = modes.get(name, built.precision_mode)
                    facts = _facts(source, built, plan, tensors.get(name, ()), precision_mode=mode)
                    engine_file.write(partial_dir / file, source.metadata, facts, plan)
                else:
                    (partial_dir / file).write_bytes(plan)
                sizes[file] = len(plan)
        if not sizes:
            raise EngineError(
                f"{source.given} holds no built engine: {built.why_not_built or 'its assets are empty'}. Convert it "
                "where TensorRT can build (`tftrt-yolo check` says what is missing), or build one of its export with "
                "`tftrt-yolo engine`."
            )
        report = ExtractionReport(
            saved_model_dir=source.given,
            output_dir=Path(output_dir),
            engines=sizes,
            built_by=f"TensorRT {built.loaded_tensorrt}",
        )
        report.write(partial_dir)
    return report


def _report_of(source: SavedModelHandle) -> EngineReport:
    """What is known of a conversion whose engines TensorRT built.

    Raises:
      EngineError: If it is another.
    """
    if source.conversion is None or source.conversion["accelerator"] != "tensorrt":
        what = "is an export" if source.conversion is None else f"was converted for {source.conversion['accelerator']}"
        raise EngineError(
            f"{source.given} {what} and has no TensorRT engines; expected what `tftrt-yolo convert` wrote for "
            "tensorrt. Build an engine of its export with `tftrt-yolo engine`."
        )
    report = ConversionReport.read(source)
    if report.has_stand_in:
        raise _rehearsed(source)
    return report


def _rehearsed(source: SavedModelHandle) -> EngineError:
    """What is said of the stand-in's engines."""
    return EngineError(
        f"The engines of {source.given} were built by this package's stand-in for TensorRT in a rehearsal: no "
        "TensorRT can load them. Expected engines of TensorRT itself; convert it where that is."
    )


def _facts(
    source: SavedModelHandle,
    built: EngineReport,
    plan: bytes,
    tensors: tuple[IOTensor, ...],
    *,
    precision_mode: str,
) -> EngineFacts:
    """What the header says of a plan; its profiles are only in the plan."""
    return EngineFacts(
        weights=source.metadata.weights,
        weights_sha256=source.metadata.weights_sha256,
        selection=source.metadata.selection,
        builder="TensorRT",
        builder_version=str(built.loaded_tensorrt),
        compute_capability=engine_file.UNTOLD_GPU,
        precision_mode=precision_mode,
        batch_sizes=built.batch_sizes,
        tensors=tensors,
        profiles={},
        plan_bytes=len(plan),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
    )


def _tensors(source: SavedModelHandle) -> dict[str, tuple[IOTensor, ...]]:
    """Name of each engine to its inputs and outputs, as TF-TRT names them."""
    from tftrt_yolo.saved_model import saved_model_pb  # with TensorFlow

    graph_def = saved_model_pb.read(source.directory).meta_graphs[0].graph_def
    found = {}
    for name, node in saved_model_pb.engine_nodes(graph_def).items():
        rows = []
        for word, kinds, shapes in (("Input", "InT", "input_shapes"), ("Output", "OutT", "output_shapes")):
            pairs = zip(node.attr[kinds].list.type, node.attr[shapes].list.shape, strict=False)
            for number, (kind, shape) in enumerate(pairs):
                dims = tuple(dim.size for dim in shape.dim)
                rows.append(IOTensor(f"TensorRT{word}PH_{number}", _TYPES.get(kind, "?"), dims, word == "Input"))
        found[name] = tuple(rows)
    return found


def _precision_modes(source: SavedModelHandle) -> dict[str, str]:
    """Name of each engine to its precision: of a network that was divided into parts, they differ."""
    from tftrt_yolo.saved_model import saved_model_pb  # with TensorFlow
    from tftrt_yolo.saved_model.trust import agreement

    engines = saved_model_pb.engine_nodes(saved_model_pb.read(source.directory).meta_graphs[0].graph_def)
    modes = {name: agreement.precision_mode(node) for name, node in engines.items()}
    return {name: mode for name, mode in modes.items() if mode in contract.PRECISION_MODES["tensorrt"]}


def _plans(asset: Path) -> Iterator[bytes]:
    """The plans in an asset; an empty file, or one without records, is an engine that was never built.

    Raises:
      EngineError: If it is damaged.
    """
    import tensorflow as tf

    shown = printable(asset.name)
    _check_records(asset, shown)
    try:
        for record in tf.data.TFRecordDataset(str(asset)).as_numpy_iterator():
            plan = _instance_class().FromString(record).serialized_engine
            if plan:
                yield plan
    except (tf.errors.OpError, _decode_error()) as error:
        remedy = "Copy or convert the model again."
        raise EngineError(f"The asset {shown} is damaged ({first_line(error)}). {remedy}") from error


def _check_records(asset: Path, shown: str) -> None:
    """Refuses records whose lengths are a lie, before TensorFlow makes room for them.

    Raises:
      EngineError: If a record is longer than the file, or there are too many.
    """
    try:
        with reading.opened(asset, _MOST_BYTES) as file:
            size, place, count = os.fstat(file.fileno()).st_size, 0, 0
            while place < size:
                file.seek(place)
                header = file.read(_HEADER_BYTES)
                length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER_BYTES else size
                place, count = place + _HEADER_BYTES + length + _FOOTER_BYTES, count + 1
                if place > size or count > _MOST_ENGINES:
                    what = f"more than {_MOST_ENGINES} records" if count > _MOST_ENGINES else "a record cut short"
                    raise EngineError(f"The asset {shown} holds {what}. Copy or convert the model again.")
    except (OSError, reading.UnreadableError) as error:
        raise EngineError(f"The asset {shown} cannot be read ({first_line(error)}). Copy the model again.") from error


@functools.cache
def _instance_class():
    """The class of TF-TRT's message TRTEngineInstance, which TensorFlow's wheels do not hold."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from tensorflow.core.framework import tensor_shape_pb2  # its descriptor must be known

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tftrt_yolo/trt_engine_instance.proto", package="tftrt_yolo")
    file.syntax = "proto3"
    file.dependency.append(tensor_shape_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="TRTEngineInstance")
    message.field.add(
        name="input_shapes",
        number=1,
        label=kinds.LABEL_REPEATED,
        type=kinds.TYPE_MESSAGE,
        type_name=".tensorflow.TensorShapeProto",
    )
    message.field.add(name="serialized_engine", number=2, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tftrt_yolo.TRTEngineInstance"))


def _decode_error() -> type[Exception]:
    """What protobuf raises of bytes that are no message."""
    from google.protobuf.message import DecodeError

    return DecodeError
