"""Fake quantisation out of a checkpoint: the plain network, and the ranges that it was trained with.

    plain, trained = split(contents)                  # trained: path of a convolution to its Trained
    layers = scaled(trained, module)                  # before the normalisations are fused

A network that was trained to be quantised has modules around its convolutions which round what passes, and remember the
ranges. They are not rebuilt: their numbers are read, and the convolutions are as they were before. Known are

- PyTorch's own: a `torch.ao.nn.qat.Conv2d`, whose `weight_fake_quant` rounds the filter, behind a fake quantisation of
  what it reads, in a `Sequential` of the two or in a `QuantWrapper`;
- modelopt's, as Ultralytics saves them: the network is plain, and beside it lies a table of the largest magnitudes.

Source: torch.ao.quantization.fake_quantize; ultralytics.utils.torch_utils.qat_state.
"""

import dataclasses
from typing import NoReturn

import torch

from tftrt_yolo.exporter.checkpoint.contents import Contents
from tftrt_yolo.exporter.checkpoint.records import Record, Reference
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import counted, quoted

_FAKE_QUANTIZERS = ("FakeQuantize", "FusedMovingAvgObsFakeQuantize")
_PLAIN = Reference("torch.nn.modules.conv", "Conv2d")
_FILTER, _OBSERVER = "weight_fake_quant", "activation_post_process"
_INPUTS = {  # kind of the module around a convolution: where its fake quantisation is, and where the convolution
    "Sequential": ("0", "1"),
    "QuantWrapper": (f"quant.{_OBSERVER}", "module"),
}
_LAST = 127  # of 8 bits
_TABLE = (".input_quantizer._amax", ".weight_quantizer._amax")
_MOST_STEPS = 255
_POOLS = ("AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d")
_MERGED = ("Conv2", "RepConv", "RepVGGDW")  # whose branches become one convolution


@dataclasses.dataclass(frozen=True)
class Trained:
    """The ranges of one convolution.

    Attributes:
      step: Of what it reads.
      first: The least multiple that is kept.
      last: The largest.
      filter_steps: (out,) float64, of the weights of each output channel, as they were trained.
    """

    step: float
    first: int
    last: int
    filter_steps: torch.Tensor


def split(contents: Contents) -> tuple[Contents, dict[str, Trained]]:
    """Takes the fake quantisation out of a network.

    Args:
      contents: A checkpoint.

    Returns:
      The checkpoint of the plain network, and path of each convolution that has ranges to these; empty if the network
      was not trained so.

    Raises:
      CheckpointError: If a range was never observed, is none that 8 bits hold, or quantises something else than what a
        convolution reads or its filter; or the ranges are those of another network.
    """
    if contents.ranges:
        return contents, _of_table(contents)
    fakes = {path for path, module in contents.modules.items() if _is_fake(module)}
    if not fakes:
        return contents, {}
    trained, moved, dropped = {}, {}, set()
    for path, module in contents.modules.items():
        if module.kind != "Conv2d" or ".qat." not in f"{module.reference.module}.":
            continue
        around, fake = _around(contents, path)
        trained[around] = _of_modules(contents, fake, f"{path}.{_FILTER}", path)
        moved[path] = around
        dropped |= {around, fake, f"{path}.{_FILTER}", f"{path}.{_OBSERVER}", f"{around}.quant", f"{around}.dequant"}
    stray = sorted(fakes - dropped)
    if stray:
        _refuse(
            contents,
            f"a fake quantisation {quoted(stray[0])} that is neither of a convolution's filter nor of what one reads",
            "engines of TF-TRT quantise nothing else. Train with fake quantisation there alone: set the convolutions' "
            "qconfig.activation to torch.nn.Identity",
        )
    return _without(contents, moved, dropped), trained


def scaled(trained: dict[str, Trained], module: torch.nn.Module) -> dict[str, Trained]:
    """Scales the filters' steps as the normalisations behind them will scale the filters.

    Args:
      trained: What `split` gave.
      module: The network, not fused yet, or without normalisations.

    Returns:
      The same with the steps that the fused filters have.

    Raises:
      CheckpointError: If a convolution is one of several that become one.
    """
    parts, found = dict(module.named_modules()), {}
    merged = [name for name, part in parts.items() if type(part).__name__ in _MERGED]
    for path, one in trained.items():
        owner, _, name = path.rpartition(".")
        parent = parts.get(owner)
        if any(path.startswith(f"{whole}.") for whole in merged):
            raise CheckpointError(
                f"{quoted(path)} was trained with fake quantisation and becomes one convolution with others, whose "
                f"range nothing says. Merge the branches of {', '.join(_MERGED)} before the training."
            )
        normalisation = getattr(parent, "bn", None) if name == "conv" else None
        steps = one.filter_steps
        if isinstance(normalisation, torch.nn.BatchNorm2d):
            variance = normalisation.running_var.double() + normalisation.eps
            steps = steps * (normalisation.weight.double() / variance.sqrt()).abs()
        found[path] = dataclasses.replace(one, filter_steps=steps.detach())
    return found


def _is_fake(module: Record) -> bool:
    """Whether a module rounds what passes and remembers a range."""
    return module.kind in _FAKE_QUANTIZERS and module.reference.module.startswith("torch.ao.quantization.")


def _around(contents: Contents, path: str) -> tuple[str, str]:
    """The module around a convolution, in whose place it is to be, and the fake quantisation of what it reads."""
    around, _, name = path.rpartition(".")
    module = contents.modules.get(around)
    where, expected = _INPUTS.get(module.kind if module else "", ("", ""))
    fake = f"{around}.{where}"
    if name != expected or fake not in contents.modules or not _is_fake(contents.modules[fake]):
        _refuse(
            contents,
            f"the convolution {quoted(path)} with a fake quantisation of its filter and none of what it reads",
            "TensorRT takes both or neither. Put it behind a FakeQuantize, in a Sequential or a QuantWrapper",
        )
    return around, fake


def _of_modules(contents: Contents, fake: str, filters: str, path: str) -> Trained:
    """The ranges of a convolution between PyTorch's own modules."""
    step, zero_point, first, last = _grid(contents, fake)
    if step.numel() != 1:
        _refuse(contents, f"{step.numel():,} ranges of what {quoted(path)} reads", "TensorRT knows one for a tensor")
    filter_steps, zero_points, filter_first, filter_last = _grid(contents, filters)
    if zero_points.any() or filter_last != _LAST or filter_first not in (-_LAST, -_LAST - 1):
        _refuse(
            contents,
            f"a filter of {quoted(path)} whose numbers go from {filter_first} to {filter_last} around "
            f"{int(zero_points.flatten()[0])}",
            "TensorRT's go from -128 to 127 around 0. Train with a symmetric range of qint8",
        )
    weight = contents.tensors.get(f"{path}.weight")
    count = 0 if weight is None else len(weight)
    axis = contents.modules[filters].attributes.get("ch_axis")
    if filter_steps.numel() not in (1, count) or (filter_steps.numel() > 1 and axis != 0):
        _refuse(
            contents,
            f"{counted(filter_steps.numel(), 'range')} for the {counted(count, 'output channel')} of {quoted(path)}",
            "they are of another network. Save the network with the ranges that it was trained with",
        )
    middle = int(zero_point)
    return Trained(float(step), first - middle, last - middle, filter_steps.flatten().expand(count).clone())


def _grid(contents: Contents, fake: str) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """Steps, zero points, and the least and the largest number of a fake quantisation."""
    attributes = contents.modules[fake].attributes
    first, last = attributes.get("quant_min"), attributes.get("quant_max")
    if not (type(first) is type(last) is int and 0 < last - first <= _MOST_STEPS):
        _refuse(contents, f"{quoted(fake)} with numbers from {quoted(first)} to {quoted(last)}", "INT8 has 8 bits")
    low, high, step, zero_point = (
        contents.tensors.get(f"{fake}.{name}", torch.zeros(0)).double()
        for name in (f"{_OBSERVER}.min_val", f"{_OBSERVER}.max_val", "scale", "zero_point")
    )
    is_observed = low.numel() == high.numel() == step.numel() == zero_point.numel() > 0
    if not is_observed or not all(torch.isfinite(part).all() for part in (low, high, step)) or (low > high).any():
        _refuse(
            contents,
            f"no range for {quoted(fake)}: it has never observed anything",
            "a range is known after a pass with observers enabled. Train, or run some images through the network, and "
            "save it again",
        )
    if not (step > 0).all() or (zero_point < first).any() or (zero_point > last).any():
        _refuse(contents, f"a step or a zero point of {quoted(fake)} that is none", "0 is among the numbers")
    return step, zero_point, first, last


def _without(contents: Contents, moved: dict[str, str], dropped: set[str]) -> Contents:
    """The checkpoint without its fake quantisations, each convolution in the place of what was around it."""

    def place(path: str) -> str | None:
        for old, new in moved.items():
            if path == old or path.startswith(f"{old}."):
                rest = path[len(old) :]
                return None if rest.startswith((f".{_FILTER}", f".{_OBSERVER}")) else new + rest
        return None if any(path == one or path.startswith(f"{one}.") for one in dropped) else path

    modules = {}
    for path, module in contents.modules.items():
        new = place(path)
        if new is not None:
            plain = Record(_PLAIN, (), module.attributes) if path in moved else module
            modules[new] = plain
    tensors = {new: tensor for name, tensor in contents.tensors.items() if (new := place(name)) is not None}
    return dataclasses.replace(contents, modules=modules, tensors=tensors)


def _of_table(contents: Contents) -> dict[str, Trained]:
    """The ranges of a network that modelopt quantised and Ultralytics saved."""
    inputs, filters = (
        {name.removesuffix(end): value.double() for name, value in contents.ranges.items() if name.endswith(end)}
        for end in _TABLE
    )
    found = {}
    for path, largest in inputs.items():
        kind = contents.modules[path].kind if path in contents.modules else ""
        if kind in _POOLS:  # an engine may round there or not, and what a pool reads was rounded to the same before
            continue
        weight = contents.tensors.get(f"{path}.weight")
        of_filter = filters.get(path)
        if weight is None or of_filter is None or of_filter.numel() not in (1, len(weight)) or largest.numel() != 1:
            shape = "no layer of that name" if weight is None else f"a filter of {list(weight.shape)}"
            ranges = "none" if of_filter is None else f"those of {list(of_filter.shape)}"
            _refuse(
                contents,
                f"ranges for {quoted(path)}, {ranges} for its filter, and has {shape}",
                "they are of another network. Save the network with the ranges that it was trained with",
            )
        if weight.dim() != 4:
            continue
        steps = of_filter.flatten().expand(len(weight)).clone() / _LAST
        step = float(largest) / _LAST
        if not 0 < step < float("inf") or not torch.isfinite(steps).all() or not (steps >= 0).all():
            _refuse(contents, f"no range for {quoted(path)}", "a range is a finite number above 0. Train it again")
        found[path] = Trained(step, -_LAST - 1, _LAST, torch.where(steps == 0, 1.0, steps))  # a filter of zeros
    return found


def _refuse(contents: Contents, found: str, why: str) -> NoReturn:
    raise CheckpointError(f"{contents.weights} has {found}; {why}.")
