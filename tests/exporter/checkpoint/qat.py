"""Networks that are trained with PyTorch's fake quantisation, for a few steps, and saved as Ultralytics does."""

from pathlib import Path

from tests import toy


def train(path: Path, *, steps: int = 3, wrapped: bool = False, observed: bool = True, change=None):
    """Trains the toy network to give, quantised, what it gives in float; saves it.

    Args:
      path: The .pt to write.
      steps: Of the optimiser.
      wrapped: Whether each convolution is in a QuantWrapper, as `prepare_qat` of PyTorch makes it, and not in a
        Sequential.
      observed: Whether anything runs through the network before it is saved.
      change: Takes the network before it is saved.

    Returns:
      The network in evaluation mode, its observers off: the oracle.
    """
    import torch

    from tftrt_yolo.exporter import pytorch_parity

    toy.write_weights(path)
    model = torch.load(path, weights_only=False)["model"].float()
    frames = torch.from_numpy(pytorch_parity.reference_frames((toy.SIZE, toy.SIZE)).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        wanted = _raw(model.eval(), frames)
    _prepare(model, wrapped=wrapped)
    if observed:
        _fit(model, frames, wanted, steps)
    model.eval().apply(torch.ao.quantization.disable_observer)
    for part in model.modules():
        part.__dict__.pop("qconfig", None)  # prepare_qat's cannot be pickled
    if change:
        change(model)
    torch.save({"model": model}, path)
    return model


def _raw(model, frames) -> list:
    """What the head gives in training: tensors."""
    import torch

    mode, found = model.training, []
    for part in model.modules():
        part.training = isinstance(part, type(model.model[-1]))  # normalisations keep what they know
    pending = [model(frames)]
    while pending:
        one = pending.pop()
        if isinstance(one, torch.Tensor):
            found.append(one)
        else:
            pending += list(one.values()) if isinstance(one, dict) else list(one)
    model.train(mode)
    return found


def _prepare(model, *, wrapped: bool) -> None:
    """Puts fake quantisations before the filters and what they meet, but of the fixed filter that decodes boxes."""
    import torch
    from torch.ao import quantization
    from torch.ao.nn import qat

    observer = quantization.MovingAverageMinMaxObserver
    inputs = quantization.FakeQuantize.with_args(observer=observer, quant_min=0, quant_max=255, dtype=torch.quint8)
    filters = quantization.FakeQuantize.with_args(
        observer=quantization.MovingAveragePerChannelMinMaxObserver,
        quant_min=-127,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    config = quantization.QConfig(activation=inputs, weight=filters)
    names = [name for name, part in model.named_modules() if type(part) is torch.nn.Conv2d and ".dfl." not in name]
    for name in names:
        owner, _, last = name.rpartition(".")
        parent, convolution = model.get_submodule(owner), model.get_submodule(name)
        convolution.qconfig = config
        if wrapped:
            wrapper = quantization.QuantWrapper(convolution)
            convolution.qconfig = quantization.QConfig(activation=torch.nn.Identity, weight=filters)
            wrapper.train()
            quantization.prepare_qat(wrapper, inplace=True)
        else:
            wrapper = torch.nn.Sequential(inputs(), qat.Conv2d.from_float(convolution))
        setattr(parent, last, wrapper) if not last.isdigit() else parent.__setitem__(int(last), wrapper)


def _fit(model, frames, wanted: list, steps: int) -> None:
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for part in model.parameters():
        part.requires_grad_(True)
    for _ in range(steps):
        loss = sum((found - one).square().mean() for found, one in zip(_raw(model, frames), wanted, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
