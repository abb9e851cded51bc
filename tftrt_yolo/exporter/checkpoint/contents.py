"""What a checkpoint says of its network, out of its records, each thing of the type that it must have.

contents = read("yolov8n.pt")
contents.model_yaml, contents.names, contents.tensors["model.0.conv.weight"]
"""

import dataclasses
from collections.abc import Iterator

import torch

from tftrt_yolo.exporter.checkpoint import archive, pickle_machine
from tftrt_yolo.exporter.checkpoint.records import Call, Record, Reference, TensorRecord, describe
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.files.fields import is_whole
from tftrt_yolo.ground.text import counted, printable, quoted

_MOST_MODULES = 50_000  # yolov8x has 350
_MOST_DEPTH = 32
_MOST_NUMBERS = 64  # of a list of strides
_MOST_NAME = 256  # characters of a class's name
_MOST_NAMES = 1_000_000  # of all together
_WRAPPERS = ("DataParallel", "DistributedDataParallel")
_COUNTERS = ("total_ops", "total_params")  # that counting of FLOPs leaves in a network
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
# What runs a module's own fake quantisation, which `fake_quantization` reads or refuses.
_OBSERVERS = tuple(
    Reference("torch.ao.quantization.quantize", name)
    for name in ("_observer_forward_hook", "_observer_forward_pre_hook")
)
_DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_EXPECTED = "Expected a checkpoint that Ultralytics saved, with the network under 'model' or 'ema'"


@dataclasses.dataclass(frozen=True)
class Contents:
    """A network as a checkpoint holds it.

    Attributes:
      weights: The file, for messages.
      network: The network's record.
      modules: Path in the network to each module's record; the network itself is "".
      tensors: Name in the state to tensor; parameters and buffers alike.
      storages: Key to the bytes of tensors.
      train_args: What the file holds as the arguments of its training; unchecked, see `image_size.read`.
      ranges: Name to tensor of the ranges that modelopt's quantisation was trained with; empty without.
    """

    weights: str
    network: Record
    modules: dict[str, Record]
    tensors: dict[str, torch.Tensor]
    storages: dict[str, bytes]
    train_args: object = None
    ranges: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)

    @property
    def model_yaml(self) -> object:
        """What Ultralytics built it from; unchecked, see `model_yaml.check`."""
        return self.network.attributes.get("yaml")

    @property
    def head(self) -> Record:
        """The last layer."""
        layers = [path for path in self.modules if path.startswith("model.") and path.count(".") == 1]
        return self.modules[layers[-1]]

    @property
    def input_channels(self) -> int | None:
        """Channels of the images, by the shape of the first convolution's weights; None if it has no convolution."""
        path = next((path for path, module in self.modules.items() if module.kind == "Conv2d"), None)
        weight = self.tensors.get(f"{path}.weight")
        if weight is None or weight.dim() != 4:
            return None
        groups = self.modules[path].attributes.get("groups")
        channels = weight.shape[1] * (groups if is_whole(groups, 1, weight.shape[0]) else 1)
        is_focused = path.startswith("model.0.") and self.modules["model.0"].kind == "Focus"  # its pixels are 2 x 2
        return channels // 4 if is_focused else channels

    @property
    def is_fused(self) -> bool:
        """Whether normalisation is already part of the convolutions."""
        return not any(module.kind.startswith("BatchNorm") for module in self.modules.values())

    def numbers(self, saved: object) -> list[float]:
        """A tensor or a list of up to 64 numbers; empty for anything else."""
        if isinstance(saved, TensorRecord):
            tensor = _tensor_of(self.weights, "stride", saved, self.storages, {})
            saved = tensor.flatten().tolist() if tensor.numel() <= _MOST_NUMBERS else []
        is_list = isinstance(saved, (list, tuple)) and len(saved) <= _MOST_NUMBERS
        is_list = is_list and all(isinstance(number, (int, float)) and abs(number) < 1 << 53 for number in saved)
        return [float(number) for number in saved] if is_list else []


def read(weights: str) -> Contents:
    """Reads a checkpoint.

    Args:
      weights: A file.

    Returns:
      Its network.

    Raises:
      CheckpointError: If the file is damaged, holds a name that is not known, or no network of Ultralytics.
    """
    data = archive.read_pickle(weights)
    try:
        document = pickle_machine.records(data)
    except pickle_machine.PickleError as error:
        raise CheckpointError(f"{weights} {error}. {_EXPECTED}.") from error
    network = _network(weights, document)
    modules = dict(_walk(weights, network))
    if not any(path.startswith("model.") for path in modules):
        raise CheckpointError(f"{weights} holds {describe(network)} and no YOLO network. {_EXPECTED}.")
    _refuse_hooks(weights, modules)
    ranges = _ranges(weights, document)
    storages = archive.read_storages(weights, _keys(modules) | {one.storage.key for one in ranges.values()})
    return Contents(
        weights=weights,
        network=network,
        modules=modules,
        tensors=_tensors(weights, modules, storages),
        storages=storages,
        train_args=document.get("train_args") if isinstance(document, dict) else None,
        ranges={name: _tensor_of(weights, name, one, storages, {}) for name, one in ranges.items()},
    )


def names_of(contents: Contents, num_classes: int) -> dict[int, str]:
    """The names of the classes, as Ultralytics takes them: a dictionary, or a list in the classes' order.

    Args:
      contents: The checkpoint.
      num_classes: Classes of its head.

    Returns:
      Class index to name.

    Raises:
      CheckpointError: If there are more or fewer than the head has classes, a gap, or a name that is no text.
    """
    names, weights = contents.network.attributes.get("names"), contents.weights
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, dict):
        raise CheckpointError(
            f"{weights} holds {describe(names)} in place of the classes' names. Expected a dictionary or a list of "
            f"{counted(num_classes, 'name')}; set model.names and save it again."
        )
    found = {_index(key): value for key, value in names.items()}
    if len(found) != num_classes or set(found) != set(range(num_classes)):
        shown = ", ".join(quoted(key, 20) for key in list(names)[:5]) + (", ..." if len(names) > 5 else "")
        raise CheckpointError(
            f"{weights} names {counted(len(names), 'class', 'classes')} ({shown}), and its head has {num_classes}. "
            "Expected a name for each "
            f"of 0 to {num_classes - 1}; set model.names and save it again."
        )
    strange = [value for value in found.values() if not _is_name(value)]
    if strange or sum(len(str(value)) for value in found.values()) > _MOST_NAMES:
        what = quoted(strange[0]) if strange else f"names of more than {_MOST_NAMES:,} characters"
        raise CheckpointError(
            f"{weights} has {what} as the name of a class. Expected a text of at most {_MOST_NAME} characters."
        )
    return {index: str(found[index]) for index in range(num_classes)}


def _is_name(value: object) -> bool:
    """Whether it is a text that a file can hold, or a number."""
    if isinstance(value, str):
        return len(value) <= _MOST_NAME and not any("\ud800" <= character <= "\udfff" for character in value)
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 63)


def _index(key: object) -> object:
    """A class's index, which may have become a text on the way through JSON."""
    return int(key) if isinstance(key, str) and key.isascii() and key.isdigit() and len(key) < 9 else key


def _network(weights: str, document: object) -> Record:
    """The network's record, out of its wrappers."""
    if isinstance(document, dict):
        name = "ema" if document.get("ema") is not None else "model"
        found = document.get(name)
        if found is None:
            keys = ", ".join(quoted(key, 20) for key in list(document)[:5]) or "(none)"
            raise CheckpointError(f"{weights} holds a dictionary with the keys {keys} and no network. {_EXPECTED}.")
    else:
        found = document
    for _ in range(3):
        if isinstance(found, Record) and found.kind in _WRAPPERS:
            found = _children(weights, found).get("module")
    if isinstance(found, Record) and "_modules" not in found.attributes and "model" in found.attributes:
        found = found.attributes["model"]  # a YOLO object that was saved as it is
    if not isinstance(found, Record) or not isinstance(found.attributes.get("_modules"), dict):
        raise CheckpointError(f"{weights} holds {printable(describe(found))} and no YOLO network. {_EXPECTED}.")
    return found


def _ranges(weights: str, document: object) -> dict[str, TensorRecord]:
    """Name to tensor of the ranges that Ultralytics saves beside a network that modelopt quantised; empty without."""
    saved = document.get("modelopt") if isinstance(document, dict) else None
    if not saved:
        return {}
    ranges = saved.get("ranges") if isinstance(saved, dict) else None
    known = {
        name: value
        for name, value in (ranges.items() if isinstance(ranges, dict) else ())
        if isinstance(name, str) and name.endswith("_quantizer._amax") and isinstance(value, TensorRecord)
    }
    if not known or len(known) > _MOST_MODULES:
        raise CheckpointError(
            f"{weights} was trained with quantisation by modelopt and holds {counted(len(known), 'range')}. Expected "
            "the ranges of its convolutions under 'modelopt', as Ultralytics saves them; train it again, or give the "
            "checkpoint from before that."
        )
    return known


def _children(weights: str, module: Record) -> dict[str, object]:
    """A module's children, those that are not None."""
    children = module.attributes.get("_modules")
    if not isinstance(children, dict) or not all(isinstance(name, str) for name in children):
        raise CheckpointError(f"{weights} holds {describe(module)} without a table of its modules. {_EXPECTED}.")
    return {name: child for name, child in children.items() if child is not None}


def _walk(weights: str, network: Record) -> Iterator[tuple[str, Record]]:
    """Every module with its path, parents first."""
    pending, count = [("", network, 0)], 0
    while pending:
        path, module, depth = pending.pop()
        count += 1
        if depth > _MOST_DEPTH or count > _MOST_MODULES:
            raise CheckpointError(
                f"{weights} holds a network whose modules contain each other, or more than {_MOST_MODULES:,} of them. "
                f"{_EXPECTED}."
            )
        yield path, module
        children = _children(weights, module)
        for name, child in reversed(children.items()):
            child_path = f"{path}.{name}" if path else name
            if not isinstance(child, Record):
                raise CheckpointError(
                    f"{weights} holds {printable(describe(child))} where the module {quoted(child_path)} should be. "
                    f"{_EXPECTED}."
                )
            pending.append((child_path, child, depth + 1))


def _refuse_hooks(weights: str, modules: dict[str, Record]) -> None:
    """Refuses a network that does more than its layers: pruning that was not removed, quantisation, probes."""
    for path, module in modules.items():
        hooks = [hook for name in _HOOKS for hook in _values(module.attributes.get(name)) if hook not in _OBSERVERS]
        if hooks:
            raise CheckpointError(
                f"{weights} has a hook ({printable(describe(hooks[0]))}) on the module {quoted(path)}, which changes "
                "what it computes and cannot be exported. Remove it, after pruning with torch.nn.utils.prune.remove, "
                "and save the checkpoint again."
            )


def _values(table: object) -> list:
    return list(table.values()) if isinstance(table, dict) else []


def _keys(modules: dict[str, Record]) -> set[str]:
    """The storages that the modules' tensors are in, and those of their attributes."""
    found = set()
    for module in modules.values():
        values = [value for name in ("_parameters", "_buffers") for value in _values(module.attributes.get(name))]
        values += module.attributes.values()
        found |= {value.storage.key for value in values if isinstance(value, TensorRecord)}
    return found


def _tensors(weights: str, modules: dict[str, Record], storages: dict[str, bytes]) -> dict[str, torch.Tensor]:
    """The parameters and buffers of every module, under the names of PyTorch's state."""
    found, views = {}, {}
    for path, module in modules.items():
        transient = module.attributes.get("_non_persistent_buffers_set")
        transient = transient if isinstance(transient, (list, tuple)) else ()
        for table in ("_parameters", "_buffers"):
            tensors = module.attributes.get(table)
            if not isinstance(tensors, dict):
                raise CheckpointError(f"{weights} holds {describe(module)} without its {table}. {_EXPECTED}.")
            for name, tensor in tensors.items():
                full_name = f"{path}.{name}" if path else str(name)
                if tensor is not None and name not in transient and name not in _COUNTERS:
                    found[full_name] = _tensor_of(weights, full_name, tensor, storages, views)
    return found


def _tensor_of(
    weights: str, name: str, record: object, storages: dict[str, bytes], views: dict[str, torch.Tensor]
) -> torch.Tensor:
    """A tensor from its record, a view of its storage; `views` keeps a storage for the others that share it."""
    if not isinstance(record, TensorRecord):
        what = "a tensor without values (of the meta device)" if _is_meta(record) else printable(describe(record))
        raise CheckpointError(f"{weights} holds {what} as {quoted(name)}. Expected a tensor of numbers.")
    storage = record.storage
    dtype, data = _DTYPES.get(storage.kind), storages.get(storage.key)
    if dtype is None or data is None or len(data) != storage.num_elements * dtype.itemsize:
        size = "no bytes" if data is None else f"{len(data):,} bytes"
        raise CheckpointError(
            f"{weights} has {size} for {quoted(name)}, a {quoted(storage.kind)} of {storage.num_elements:,} numbers. "
            "Copy or download it again."
        )
    last = record.offset + sum((side - 1) * stride for side, stride in zip(record.shape, record.strides, strict=True))
    if 0 in record.shape:
        return torch.empty(record.shape, dtype=dtype)
    if last >= storage.num_elements or torch.Size(record.shape).numel() > storage.num_elements:
        raise CheckpointError(f"{weights} holds a tensor {quoted(name)} that reaches beyond its numbers.")
    if storage.key not in views:
        views[storage.key] = torch.frombuffer(bytearray(data), dtype=dtype)
    return views[storage.key].as_strided(record.shape, record.strides, record.offset)


def _is_meta(record: object) -> bool:
    return isinstance(record, Call) and record.reference == Reference("torch._utils", "_rebuild_meta_tensor_no_storage")
