"""config.pbtxt: what Triton is told of a model, as its own message.

    wanted = configuration.of_saved_model(handle, "digits", ModelSettings())
    text = configuration.text(wanted, header)
    configuration.differences(configuration.read(path), wanted)     # () where a new version fits beside the old ones

Axes are those behind the batch. Triton wants at least one, so that what a picture has once is [1] there.

Source: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

import dataclasses
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.engines.engine_file import EngineFacts
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import clause, first_line, quoted, shown
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.serving.serving_options import BatchingOptions
from tftrt_yolo.tasks.table import TASKS

CONFIG_FILE, LABELS_FILE, WARMUP_FOLDER = "config.pbtxt", "labels.txt", "warmup"
_OF_TENSORFLOW = {
    "DT_FLOAT": "TYPE_FP32",
    "DT_INT32": "TYPE_INT32",
    "DT_UINT8": "TYPE_UINT8",
    "DT_STRING": "TYPE_STRING",
}
_OF_TENSORRT = {
    "FLOAT": "TYPE_FP32",
    "HALF": "TYPE_FP16",
    "INT32": "TYPE_INT32",
    "INT8": "TYPE_INT8",
    "BOOL": "TYPE_BOOL",
}
_KINDS = {None: "KIND_AUTO", "CPU": "KIND_CPU", "GPU": "KIND_GPU"}
PARAMETERS = ("signature", "max_pixels", "strict", "allow_side_effects")  # which the code of the model reads
_MOST_BYTES = 1 << 20  # of a config.pbtxt
_ANY = -1


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """What is written of a model beside its tensors.

    Attributes:
      signature: Which signature of the contract answers.
      device: "CPU" or "GPU"; None for the GPUs that Triton has, or the CPU where it has none.
      batching: How requests become batches, and how many may wait.
      max_pixels: The largest picture in a file, width times height.
      strict: Whether to refuse a converted model that TensorRT cannot run where Triton is.
      allow_side_effects: Whether to run a model that may touch files, the network or the process.
    """

    signature: str = contract.ENCODED
    device: str | None = None
    batching: BatchingOptions = dataclasses.field(default_factory=BatchingOptions)
    max_pixels: int = 50_000_000
    strict: bool = False
    allow_side_effects: bool = False


def messages():
    """Triton's messages, as its client brings them.

    Raises:
      ServingError: If the client is not installed.
    """
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError as error:
        raise ServingError(
            f"Triton's messages cannot be imported ({first_line(error)}), and config.pbtxt is one; expected "
            "tritonclient. Install it: pip install 'tftrt_yolo[triton]'."
        ) from error
    return model_config_pb2


def of_saved_model(handle: SavedModelHandle, name: str, settings: ModelSettings):
    """The configuration of a SavedModel behind Triton's Python backend.

    Args:
      handle: The SavedModel.
      name: Of the model.
      settings: What else.

    Returns:
      Triton's ModelConfig.
    """
    config = messages().ModelConfig(name=name, backend="python", max_batch_size=settings.batching.max_batch_size)
    inputs, outputs = _signature_tensors(handle, settings.signature)
    for place, tensors in ((config.input, inputs), (config.output, outputs)):
        for key, (kind, dims) in tensors.items():
            place.add(name=key, data_type=kind, dims=dims or [1])
    for output in config.output:
        if output.name == "probabilities":  # Triton's classification extension names the best classes by it
            output.label_filename = LABELS_FILE
    _set_batching(config, settings.batching, preferred_sizes(handle, settings.batching.max_batch_size))
    group = config.instance_group.add(count=settings.batching.processes)
    group.kind = group.Kind.Value(_KINDS[settings.device])
    for key in PARAMETERS:
        config.parameters[key].string_value = str(getattr(settings, key)).lower()
    _add_warmup(config, handle, warmup_files(config, handle))
    return config


def of_engine(facts: EngineFacts, name: str):
    """The configuration of an engine behind Triton's TensorRT backend.

    Args:
      facts: What its header says of the plan.
      name: Of the model.

    Returns:
      Triton's ModelConfig. An engine of one batch size alone has it among its axes, and Triton makes no batches for it.
    """
    config = messages().ModelConfig(name=name, platform="tensorrt_plan", backend="tensorrt")
    ranges = [(profile.min[0], profile.max[0]) for profiles in facts.profiles.values() for profile in profiles]
    is_open = all(tensor.dims and tensor.dims[0] == _ANY for tensor in facts.tensors)
    if is_open:
        config.max_batch_size = max((most for _, most in ranges), default=max(facts.batch_sizes, default=1))
        _set_batching(config, BatchingOptions(max_batch_size=config.max_batch_size), facts.batch_sizes)
    for tensor in facts.tensors:
        place = config.input if tensor.is_input else config.output
        place.add(name=tensor.name, data_type=_type_of(tensor), dims=tensor.dims[1:] if is_open else tensor.dims)
    group = config.instance_group.add(count=1)
    group.kind = group.KIND_GPU
    group.profile.extend(str(number) for number in range(len(next(iter(facts.profiles.values()), ()))))
    return config


def preferred_sizes(handle: SavedModelHandle, max_batch_size: int) -> tuple[int, ...]:
    """The batch sizes that Triton makes first: those that the model was converted for, or the largest alone."""
    sizes = (handle.conversion or {}).get("batch_sizes") or []
    return tuple(sorted({size for size in sizes if 1 < size < max_batch_size} | {max_batch_size}))


def text(config, header: str) -> str:
    """A configuration as the file has it.

    Args:
      config: Triton's ModelConfig.
      header: What stands above it, as comments.
    """
    from google.protobuf import text_format

    return f"{header}{text_format.MessageToString(config)}"


def read(path: Path):
    """Reads a config.pbtxt.

    Raises:
      ServingError: If it cannot be read, or is none.
    """
    from google.protobuf import text_format

    try:
        return text_format.Parse(reading.read_bytes(path, _MOST_BYTES).decode(), messages().ModelConfig())
    except (OSError, UnicodeDecodeError, reading.UnreadableError, text_format.ParseError) as error:
        raise ServingError(
            f"{shown(path)} cannot be read as Triton's configuration: {clause(error)}. Mend it, or take another "
            "name for the model."
        ) from error


def differences(found, wanted) -> tuple[str, ...]:
    """What a configuration has otherwise that all versions of a model must have in common.

    Args:
      found: Of the versions that are there.
      wanted: Of a new one.

    Returns:
      Half sentences, "has max_batch_size 8, and the new version 16"; empty if the new one fits. What an operator may
      set, such as delays, groups of instances and the environment, may differ.
    """
    told = []
    for field in ("platform", "backend", "max_batch_size"):
        pair = getattr(found, field), getattr(wanted, field)
        if pair[0] != pair[1]:
            told.append(f"has {field} {quoted(pair[0])}, and the new version {quoted(pair[1])}")
    for field in ("input", "output"):
        pair = [[described(one) for one in getattr(config, field)] for config in (found, wanted)]
        if sorted(pair[0]) != sorted(pair[1]):
            told.append(f"has the {field}s {', '.join(pair[0])}, and the new version {', '.join(pair[1])}")
    key = "signature"
    pair = [config.parameters[key].string_value if key in config.parameters else "" for config in (found, wanted)]
    if pair[0] != pair[1]:
        told.append(f"is for signature {quoted(pair[0])}, and the new version for {quoted(pair[1])}")
    return tuple(told)


def warmup_files(config, handle: SavedModelHandle) -> dict[str, bytes]:
    """The records that Triton warms the model up with: file name to content.

    Args:
      config: Of the model.
      handle: The SavedModel.

    Returns:
      For `encoded` a packaged JPEG, behind its length in four bytes as Triton wants strings; for others nothing, for
      Triton makes zeros itself, but for `sizes`, which have none.
    """
    from tftrt_yolo.ground.assets import PHOTO

    files = {}
    for one in config.input:
        if one.name == "image_bytes":
            photo = PHOTO.read_bytes()
            files[one.name] = len(photo).to_bytes(4, "little") + photo
        elif one.name == "sizes":
            files[one.name] = b"".join(side.to_bytes(4, "little") for side in handle.metadata.image_size_hw)
    return files


def _signature_tensors(handle: SavedModelHandle, key: str) -> tuple[dict, dict]:
    """Inputs and outputs of a signature: name to Triton's type and the axes behind the batch."""
    from tensorflow.core.framework.types_pb2 import DataType

    from tftrt_yolo.saved_model import saved_model_pb

    signature = saved_model_pb.read(handle.directory).meta_graphs[0].signature_def[key]

    def described(tensors):
        return {
            name: (
                _OF_TENSORFLOW[DataType.Name(tensors[name].dtype)],
                [dim.size for dim in tensors[name].tensor_shape.dim][1:],
            )
            for name in sorted(tensors)
        }

    inputs, outputs = described(signature.inputs), described(signature.outputs)
    if key == contract.ENCODED:  # which exports of earlier versions have not, and what serves them gives
        outputs.setdefault(contract.STATUS, ("TYPE_STRING", []))
    return inputs, {name: (kind, _with_any(handle, key, name, dims)) for name, (kind, dims) in outputs.items()}


def _with_any(handle: SavedModelHandle, key: str, name: str, dims: list[int]) -> list[int]:
    """Axes of an output; as many detections as max_detections says may be another number in each request."""
    task = TASKS[handle.metadata.task]
    is_each = task.finds_objects and key != contract.NETWORK and dims and name not in task.per_image
    return [_ANY, *dims[1:]] if is_each else dims


def described(one) -> str:
    """A tensor in words."""
    return f"{shown(one.name, 80)} {messages().DataType.Name(one.data_type)} {list(one.dims)}"


def _type_of(tensor: IOTensor) -> str:
    """Triton's type of an engine's tensor.

    Raises:
      ServingError: If Triton has none.
    """
    if tensor.type not in _OF_TENSORRT:
        raise ServingError(
            f"The engine's tensor {tensor} is of a type that Triton's configuration has no word for; expected "
            f"{', '.join(_OF_TENSORRT)}. Build the engine with `tftrt-yolo engine`."
        )
    return _OF_TENSORRT[tensor.type]


def _set_batching(config, batching: BatchingOptions, sizes) -> None:
    """How Triton makes batches of requests, and how many may wait."""
    dynamic, policy = config.dynamic_batching, config.dynamic_batching.default_queue_policy
    dynamic.preferred_batch_size.extend(sizes)
    dynamic.max_queue_delay_microseconds = round(1e3 * batching.max_delay_ms)
    policy.max_queue_size = batching.queue_size
    policy.default_timeout_microseconds = round(1e6 * batching.request_timeout_s)
    policy.allow_timeout_override = True


def _add_warmup(config, handle: SavedModelHandle, files: dict[str, bytes]) -> None:
    """A record for each preferred batch size, and for a single picture."""
    sides = dict(zip(("images", "frames"), [[*handle.metadata.image_size_hw, 3]] * 2, strict=True))
    for size in (1, *config.dynamic_batching.preferred_batch_size):
        record = config.model_warmup.add(name=f"batch of {size}", batch_size=size)
        for one in config.input:
            value = record.inputs[one.name]
            value.data_type = one.data_type
            value.dims.extend(sides.get(one.name, one.dims))
            if one.name in files:
                value.input_data_file = one.name
            else:
                value.zero_data = True
