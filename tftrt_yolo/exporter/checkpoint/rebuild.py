"""A network built anew by Ultralytics, and filled with a checkpoint's weights if it is the same to the last attribute.

    module = build(document, weights, task)           # random weights
    module = rebuild(contents, document, task)        # the file's

Of the checkpoint only numbers reach the network: tensors, and the epsilon of its normalisations.
"""

import math
from collections.abc import Iterator

import torch
from torch.overrides import TorchFunctionMode
from ultralytics.nn import tasks
from ultralytics.nn.modules import SPPF, Conv
from ultralytics.nn.tasks import ClassificationModel, DetectionModel, PoseModel

from tftrt_yolo.contract import CLASSIFY, POSE, SEMANTIC
from tftrt_yolo.exporter.checkpoint import model_yaml
from tftrt_yolo.exporter.checkpoint.contents import Contents
from tftrt_yolo.exporter.checkpoint.records import Call, Record, Reference, describe
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import clause, counted, printable, quoted

_MODEL_OF_TASK = {  # of the others, DetectionModel builds all
    POSE: PoseModel,
    CLASSIFY: ClassificationModel,
    SEMANTIC: getattr(
        tasks, "SemanticSegmentationModel", DetectionModel
    ),  # older versions lack it, and refuse its head
}
_MOST_NUMBERS = 500_000_000  # of a network with random weights; yolov8x has 68 million
_MOST_TENSORS = 100_000
_SPARE = 4, 2_000_000  # the constructor makes more tensors than it keeps: so many times the file's, and so many numbers
_FACTORIES = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.linspace, torch.eye)
)
# Attributes that say nothing of what a network computes at inference, or that the loader sets by itself.
_INCIDENTAL = frozenset(
    (
        *("training", "np", "type", "inplace", "dynamic", "export", "format", "shape", "max_det", "agnostic_nms"),
        *("xyxy", "momentum", "recompute_scale_factor", "eps", "_end2end", "legacy"),
    )
)
# Newer names of classes, and what Ultralytics itself takes in their place.
_RENAMED = {"Silence": "Identity"}
_SHOWN = 3  # of the tensors that differ, in a message


def build(document: dict, weights: str, task: str, most_numbers: int = _MOST_NUMBERS) -> torch.nn.Module:
    """Builds a network with random weights.

    Args:
      document: What `model_yaml.check` gave.
      weights: The file, for messages.
      task: Ultralytics' name of the task.
      most_numbers: Refuse a network of more.

    Returns:
      The network, float32.

    Raises:
      CheckpointError: If the document describes none, or a larger one.
    """
    known = {name: value for name, value in document.items() if name != "activation"}
    make, default = _MODEL_OF_TASK.get(task, DetectionModel), Conv.default_act
    try:
        Conv.default_act = model_yaml.activation(document) or default  # Ultralytics would evaluate the text
        with _Bounded(most_numbers):
            module = make(known, ch=document["channels"], verbose=False)
    except Exception as error:
        raise CheckpointError(f"{weights} does not describe a YOLO model: {clause(error)}.") from error
    finally:
        Conv.default_act = default  # it is the class's, and of all networks in this process
    return module


def rebuild(contents: Contents, document: dict, task: str) -> torch.nn.Module:
    """Builds a checkpoint's network and gives it the checkpoint's weights.

    Args:
      contents: The checkpoint.
      document: Its model YAML, checked.
      task: Ultralytics' name of the task.

    Returns:
      The network, float32, as it was saved: fused if it was fused.

    Raises:
      CheckpointError: If what Ultralytics builds from the YAML is not the network in the file.
    """
    times, spare = _SPARE
    size = sum(tensor.numel() for tensor in contents.tensors.values())
    module = build(document, contents.weights, task, times * size + spare)
    if contents.is_fused:
        if getattr(module.model[-1], "one2one_cv2", None) is not None:  # of two branches fuse() dropped one
            module.model[-1].end2end = any(".one2one_" in name for name in contents.tensors)
        module.fuse(verbose=False)
    _give_pools_their_activation(contents, module)
    _compare_tensors(contents, module)
    _compare_modules(contents, module)
    _compare_strides(contents, module)
    module.load_state_dict(contents.tensors, strict=True)
    for path, part in module.named_modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eps = _epsilon(contents, path)
    strange = [name for name, tensor in module.state_dict().items() if not torch.isfinite(tensor).all()]
    if strange:
        raise CheckpointError(
            f"{contents.weights} holds NaN or infinity in {strange[0]} and "
            f"{counted(len(strange) - 1, 'other tensor')}: its "
            "training diverged, or it was saved in a precision that is too small. Give an earlier checkpoint."
        )
    return module


def _give_pools_their_activation(contents: Contents, module: torch.nn.Module) -> None:
    """Gives the first convolution of each SPPF the activation that it was saved with: the network's own, or none.

    Ultralytics 8.4.67 builds it without one in every network, for YOLO26's sake; 8.3 builds it with one, and so does
    8.4.190 where the YAML is of an older kind. Files of both are right as they are, and anything else is refused.
    Source: SPPF in ultralytics.nn.modules.block, and parse_model in ultralytics.nn.tasks.
    """
    for path, part in module.named_modules():
        saved = contents.modules.get(f"{path}.cv1.act")
        if type(part) is SPPF and saved is not None:
            part.cv1.act = torch.nn.Identity() if saved.kind == "Identity" else part.cv2.act


def _compare_tensors(contents: Contents, module: torch.nn.Module) -> None:
    """Refuses weights that are not those of the network, by name and shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in contents.tensors.items()}
    differing = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if differing:
        shown = ", ".join(
            f"{quoted(name)} {found.get(name, 'missing')} for {expected.get(name, 'none')}"
            for name in differing[:_SHOWN]
        )
        raise CheckpointError(
            f"{contents.weights} holds other weights than the network that its YAML describes: {len(differing)} of "
            f"{len(expected)} tensors differ ({shown}). A network whose channels were pruned, or that was changed "
            "after it was built, cannot be rebuilt; export it where it was made, or save it with the YAML that fits."
        )


def _compare_modules(contents: Contents, module: torch.nn.Module) -> None:
    """Refuses a network of the same weights that computes something else."""
    built = dict(_modules(module))
    for path in {**built, **contents.modules}:
        part, record = built.get(path), contents.modules.get(path)
        if record is None or part is None:
            what = f"no module {quoted(path)}" if record is None else f"a module {quoted(path)} ({record.kind})"
            _refuse(contents, what, f"{type(part).__name__ if part is not None else 'none'} there")
        if path == "":
            continue
        kind = _RENAMED.get(record.kind, record.kind)
        if kind != type(part).__name__ or not record.reference.module.startswith(("ultralytics.", "torch.nn.")):
            _refuse(contents, f"a {record.reference} as {quoted(path)}", f"a {type(part).__name__}")
        _compare_attributes(contents, path, part, record)
    _refuse_shadows(contents, "", module, contents.network)


def _modules(module: torch.nn.Module, path: str = "") -> Iterator[tuple[str, torch.nn.Module]]:
    """As `named_modules`, but a module that stands at several places comes at each."""
    yield path, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _modules(child, f"{path}.{name}" if path else name)


def _compare_attributes(contents: Contents, path: str, part: torch.nn.Module, record: Record) -> None:
    """Refuses a module with another stride, another source or the like, or with a method of its own."""
    for name, expected in vars(part).items():
        if name in _INCIDENTAL or name not in record.attributes or not _is_plain(expected):
            continue
        found = record.attributes[name]
        if not _is_plain(found) or _plain(found) != _plain(expected):
            shown = quoted(_plain(found)) if not _is_plain(found) else repr(_plain(found))[:80]
            _refuse(contents, f"{quoted(path)} with {quoted(name)} {printable(shown)}", repr(_plain(expected))[:80])
    _refuse_shadows(contents, path, part, record)


def _refuse_shadows(contents: Contents, path: str, part: torch.nn.Module, record: Record) -> None:
    """Refuses attributes that would stand in for methods of the class."""
    fused = Reference("builtins", "getattr"), Reference("__builtin__", "getattr")
    for name, value in record.attributes.items():
        is_method = isinstance(name, str) and callable(getattr(type(part), name, None))
        # Ultralytics itself sets `forward` where it fuses, and names Detect.forward in heads of other tasks.
        is_own = isinstance(value, Call) and value.reference in fused and name in ("forward", "detect")
        is_plain = value is None or isinstance(value, (bool, int, float, str))
        if is_method and not is_own and not (is_plain and name in _INCIDENTAL):
            owner = quoted(path) if path else "the network"
            _refuse(contents, f"{printable(describe(value))} as the method {quoted(name)} of {owner}", "its own")


def _compare_strides(contents: Contents, module: torch.nn.Module) -> None:
    """Refuses strides that are not those of the network; a file without them is fine, for they are measured anew."""
    owners = {"": (module, contents.network), "head's ": (module.model[-1], contents.head)}
    for owner, (part, record) in owners.items():
        saved, expected = record.attributes.get("stride"), getattr(part, "stride", None)
        if saved is None or expected is None:
            continue
        found = contents.numbers(saved)
        if found != [float(stride) for stride in expected]:
            shown = ", ".join(f"{stride:g}" for stride in found[:5]) if found else quoted(saved)
            raise CheckpointError(
                f"{contents.weights} has the {owner}strides {shown}; the network that its YAML describes has "
                f"{', '.join(f'{float(stride):g}' for stride in expected)}. Save the checkpoint unchanged."
            )


def _refuse(contents: Contents, found: str, expected: str) -> None:
    raise CheckpointError(
        f"{contents.weights} holds {found}, and the network that its YAML describes has {expected}. What was changed "
        "after it was built cannot be rebuilt; export it where it was made, or save it unchanged."
    )


def _epsilon(contents: Contents, path: str) -> float:
    """What a normalisation adds to the variance."""
    value = contents.modules[path].attributes.get("eps")
    if not isinstance(value, float) or not 0 < value < 1:
        raise CheckpointError(f"{contents.weights} has {quoted(value)} as eps of {quoted(path)}; expected 0.001 or so.")
    return value


def _is_plain(value: object) -> bool:
    """Whether it is a number, a text, None, or a short list of these."""
    if isinstance(value, (list, tuple)):
        return len(value) < 64 and all(_is_plain(item) for item in value if not isinstance(item, (list, tuple)))
    return value is None or isinstance(value, (bool, int, float, str))


def _plain(value: object) -> object:
    """The same with lists as tuples, for saved lists come back as tuples now and then."""
    return tuple(value) if isinstance(value, (list, tuple)) else value


class _Bounded(TorchFunctionMode):
    """Refuses to make more numbers than a limit, before they take memory."""

    def __init__(self, most_numbers: int):
        super().__init__()
        self._left, self._tensors_left = most_numbers, _MOST_TENSORS

    def __torch_function__(self, function, _, args=(), kwargs=None):
        if function in _FACTORIES:
            size = args[0] if args and isinstance(args[0], (list, tuple)) else args
            size = (kwargs or {}).get("size", size)
            self._left -= math.prod(abs(int(side)) for side in size if isinstance(side, (int, float)))
            self._tensors_left -= 1
            if self._left < 0 or self._tensors_left < 0:
                raise ValueError("it describes a network of more numbers than the file holds, or than can be built")
        return function(*args, **(kwargs or {}))
