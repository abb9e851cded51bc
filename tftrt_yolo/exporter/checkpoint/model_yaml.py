"""Model YAMLs, of users and out of checkpoints: checked before Ultralytics builds from them.

    document = check(reading.parse_yaml(text), "yolov8n.yaml")

Ultralytics evaluates `activation`, looks layers up by name, takes arguments for names of its own variables, and builds
whatever sizes it is told. So only layers, texts and numbers that are known pass, each within a limit.
"""

import ast
import math

import torch

from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.files.fields import is_whole
from tftrt_yolo.ground.text import counted, quoted

MOST_CLASSES = 100_000
_MOST_LAYERS = 500  # yolov9e has 43
_MOST_REPEATS = 100  # yolov8x: 6
_MOST_NUMBER = 65_536  # of channels, kernels and other arguments
_MOST_SCALE = 16.0  # of depth and width
_MOST_CHANNELS = 16_384
_MOST_BINS = 256
_MOST_KEYPOINTS = 1_000
# Ultralytics' layers by name. TorchVision is none of them: it downloads weights.
_LAYERS = frozenset(
    (
        *("A2C2f", "ADown", "AConv", "AIFI", "Bottleneck", "BottleneckCSP", "C1", "C2", "C2PSA", "C2f", "C2fAttn"),
        *("C2fCIB", "C2fPSA", "C3", "C3Ghost", "C3TR", "C3k2", "C3x", "CBAM", "CBFuse", "CBLinear", "CIB"),
        *("ChannelAttention", "Concat", "Conv", "Conv2", "ConvTranspose", "DWConv", "DWConvTranspose2d", "ELAN1"),
        *("Focus", "GhostBottleneck", "GhostConv", "HGBlock", "HGStem", "Index", "LightConv", "PSA", "RepC3"),
        *("RepConv", "RepNCSPELAN4", "RepVGGDW", "ResNetLayer", "SCDown", "SPP", "SPPELAN", "SPPF", "Silence"),
        "SpatialAttention",
    )
)
_TORCH_LAYERS = frozenset(
    (
        *("AvgPool2d", "BatchNorm2d", "Conv2d", "ConvTranspose2d", "Dropout", "Dropout2d", "Identity", "MaxPool2d"),
        *("ReflectionPad2d", "Upsample", "UpsamplingNearest2d", "ZeroPad2d"),
    )
)
_ACTIVATIONS = frozenset(
    (
        *("CELU", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "Mish", "ReLU"),
        *("ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh"),
    )
)
_KEYS = (
    *("nc", "scales", "scale", "depth_multiple", "width_multiple", "end2end", "reg_max", "kpt_shape", "activation"),
    *("backbone", "head"),
)
_WORDS = frozenset(("nc", "kpt_shape", "None", "nearest", "bilinear", "True", "False"))


class YamlError(ValueError):
    """It is not what Ultralytics builds a network from; the message is half a sentence."""


def check(document: object, weights: str, heads: frozenset[str]) -> dict:
    """Refuses a model YAML that would run or build anything but a network of known layers.

    Args:
      document: What the YAML holds.
      weights: The file, for messages.
      heads: Ultralytics' classes of the heads that are supported.

    Returns:
      A copy of what networks are built from, with the number of input channels under "channels".

    Raises:
      CheckpointError: If it is something else.
    """
    try:
        return _checked(document, heads)
    except YamlError as error:
        raise CheckpointError(f"{weights} does not describe a YOLO model: {error}.") from error


def head_of(document: object) -> str | None:
    """The name of the last layer, if the document has one."""
    rows = document.get("head") if isinstance(document, dict) else None
    row = rows[-1] if isinstance(rows, list) and rows else None
    return row[2] if isinstance(row, (list, tuple)) and len(row) == 4 and isinstance(row[2], str) else None


def activation(document: dict) -> torch.nn.Module | None:
    """The activation that a document names, made without evaluating it.

    Args:
      document: One that `check` gave.

    Returns:
      The activation; None if it names none, and Ultralytics' own is meant.
    """
    text = document.get("activation")
    if not text:
        return None
    name, arguments, keywords = _call(text)
    return getattr(torch.nn, name)(*arguments, **keywords)


def _checked(document: object, heads: frozenset[str]) -> dict:
    if not isinstance(document, dict):
        raise YamlError(f"it holds {quoted(document)} in place of its keys")
    document = {**document, "head": _without_former_words(_rows(document, "head"))}
    rows = [row for part in ("backbone", "head") for row in _rows(document, part)]
    if not document["head"]:
        raise YamlError("it has no head")
    if len(rows) > _MOST_LAYERS:
        raise YamlError(f"it has {counted(len(rows), 'layer')}; at most {_MOST_LAYERS} are built")
    for index, row in enumerate(rows):
        _check_row(index, row, heads, is_last=index == len(rows) - 1)
    _check_numbers(document)
    if document.get("activation"):
        _call(document["activation"])
    if document.get("end2end") not in (None, False, True):
        raise YamlError(f"its end2end is {quoted(document['end2end'])}; expected true or false")
    # Fresh lists, for Ultralytics writes into them; what else a document holds is not handed on.
    known = {name: _fresh(document[name]) for name in _KEYS if name in document}
    return known | {"channels": document.get("channels", document.get("ch", 3))}


def _fresh(value: object) -> object:
    """A copy, with tuples as lists."""
    if isinstance(value, dict):
        return {key: _fresh(item) for key, item in value.items()}
    return [_fresh(item) for item in value] if isinstance(value, (list, tuple)) else value


def _without_former_words(rows: list) -> list:
    """The layers of a head; of one for depth without what first checkpoints have behind its channels.

    Source: parse_model in ultralytics.nn.tasks, which drops it too.
    """
    *others, last = rows or [None]
    if isinstance(last, (list, tuple)) and len(last) == 4 and last[2] == "Depth" and isinstance(last[3], (list, tuple)):
        return [*others, [*last[:3], last[3][:1]]]
    return rows


def _rows(document: dict, part: str) -> list:
    rows = document.get(part)
    if not isinstance(rows, list):
        raise YamlError(f"its {part} is {quoted(rows)}; expected a list of layers")
    return rows


def _check_row(index: int, row: object, heads: frozenset[str], *, is_last: bool) -> None:
    """Refuses a layer that is none: [from, repeats, name, arguments]."""
    if not isinstance(row, (list, tuple)) or len(row) != 4 or not isinstance(row[3], (list, tuple)):
        raise YamlError(f"its layer {index} is {quoted(row)}; expected [from, repeats, name, arguments]")
    sources, repeats, layer, arguments = row
    known = _TORCH_LAYERS if isinstance(layer, str) and layer.startswith("nn.") else _LAYERS | heads
    if not isinstance(layer, str) or layer.removeprefix("nn.") not in known:
        raise YamlError(f"its layer {index}, {quoted(layer)}, is not a layer of Ultralytics or torch.nn that is known")
    if (layer in heads) is not is_last:
        raise YamlError(f"its layer {index} is {layer}; a head stands at the end, and nowhere else")
    for source in sources if isinstance(sources, (list, tuple)) else [sources]:
        if not is_whole(source, -index if index else -1, max(index - 1, -1)):
            raise YamlError(f"its layer {index} takes its input from layer {quoted(source)}, which is none before it")
    if not is_whole(repeats, 1, _MOST_REPEATS):
        raise YamlError(f"its layer {index} is repeated {quoted(repeats)} times; expected 1 to {_MOST_REPEATS}")
    flat = [part for item in arguments for part in (item if isinstance(item, (list, tuple)) else [item])]
    for item in flat if len(flat) <= 64 else [flat]:
        is_number = isinstance(item, (int, float)) and math.isfinite(item) and abs(item) <= MOST_CLASSES
        if not (item is None or is_number or (isinstance(item, str) and item in _WORDS)):
            raise YamlError(f"its layer {index}, {layer}, has the argument {quoted(item)}")


def _check_numbers(document: dict) -> None:
    """Refuses sizes that no network has."""
    scales, scale = document.get("scales") or {}, document.get("scale") or None
    if not isinstance(scales, dict) or (scales and scale is not None and scale not in list(scales)):
        raise YamlError(f"its scale is {quoted(scale)}; expected one of those under scales")
    for name, numbers in scales.items():
        fits = isinstance(numbers, (list, tuple)) and len(numbers) == 3
        limits = (_MOST_SCALE, _MOST_SCALE, _MOST_CHANNELS)
        if not fits or not all(_is_number(one, most) for one, most in zip(numbers, limits, strict=True)):
            raise YamlError(f"its scale {quoted(name)} is {quoted(numbers)}; expected depth, width and most channels")
    for name in ("depth_multiple", "width_multiple"):
        if not _is_number(document.get(name, 1.0), _MOST_SCALE):
            raise YamlError(f"its {name} is {quoted(document[name])}; expected a number up to {_MOST_SCALE:g}")
    limits = {"nc": MOST_CLASSES, "reg_max": _MOST_BINS, "channels": _MOST_CHANNELS, "ch": _MOST_CHANNELS}
    for name, most in limits.items():
        if (name in document or name == "nc") and not is_whole(document.get(name), 1, most):
            raise YamlError(f"its {name} is {quoted(document.get(name))}; expected a whole number from 1 to {most:,}")
    shape = document.get("kpt_shape")
    fits = isinstance(shape, (list, tuple)) and len(shape) == 2
    if shape is not None and not (fits and is_whole(shape[0], 1, _MOST_KEYPOINTS) and shape[1] in (2, 3)):
        raise YamlError(f"its kpt_shape is {quoted(shape)}; expected the key points and 2 or 3 numbers for each")


def _is_number(value: object, most: float) -> bool:
    """Whether it is a number above 0 and up to the limit; neither NaN nor infinity is."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most


def _call(text: object) -> tuple[str, list, dict]:
    """Name, arguments and keywords of an activation such as nn.LeakyReLU(0.1)."""
    try:
        call = ast.parse(text.strip(), mode="eval").body if isinstance(text, str) and len(text) < 200 else None
        name = ast.unparse(call.func).removeprefix("torch.")
        arguments = [ast.literal_eval(value) for value in call.args]
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise YamlError(f"its activation is {quoted(text)}, which is not a torch.nn layer with constants") from error
    values = [*arguments, *keywords.values()]
    plain = all(value is None or isinstance(value, (bool, int, float)) for value in values) and None not in keywords
    if not plain or name.removeprefix("nn.") not in _ACTIVATIONS or not name.startswith("nn."):
        raise YamlError(f"its activation is {quoted(text)}, which is not a torch.nn layer with constants")
    return name.removeprefix("nn."), arguments, keywords
