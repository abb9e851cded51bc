"""Devices of this machine by their names: what runs a model, where it is not left to TensorFlow.

    device = parse("GPU:1", "device")
    device.kind, device.index               # "GPU", 1
    with scope(device):                     # ValueError where it is not there; the message names those that are
        loaded = tf.saved_model.load(...)   # and so wherever it is called

GPUs are counted among those that CUDA_VISIBLE_DEVICES leaves, from 0.
"""

import contextlib
import dataclasses
import re

from tftrt_yolo.ground.arguments import argument, whole_number
from tftrt_yolo.ground.text import quoted

KINDS = ("CPU", "GPU")
_NAME = re.compile(r"(?:/(?:device:)?)?(CPU|GPU)(?::(\d{1,6}))?", re.IGNORECASE)  # "/device:GPU:1" is TensorFlow's own
_EXPECTED = "expected 'CPU', 'GPU', or 'GPU:1' and the like with a number from 0"


@dataclasses.dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
      kind: "CPU" or "GPU".
      index: Which of its kind, from 0; None for the first, where no number was given.
    """

    kind: str
    index: int | None = None

    def __str__(self) -> str:
        """Its name as TensorFlow has it, with a number where one was given."""
        return self.kind if self.index is None else f"{self.kind}:{self.index}"


def parse(name: object, parameter: str) -> Device:
    """Reads a device's name.

    Args:
      name: "CPU", "GPU", "GPU:1" in letters of either case, or TensorFlow's "/device:GPU:1"; a number is a GPU's.
      parameter: Name of the argument, for the message.

    Returns:
      The device, which need not be there.

    Raises:
      ValueError: If it is no such name.
    """
    number = whole_number(name)
    if number is not None and number >= 0:
        return Device("GPU", number)
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"{argument(parameter)} is {quoted(name)}; {_EXPECTED}.")
    return Device(found[1].upper(), None if found[2] is None else int(found[2]))


def parse_all(names: object) -> tuple[str, ...]:
    """Reads the argument `devices`.

    Args:
      names: Several names or numbers as `parse` takes them, or one.

    Returns:
      The names as TensorFlow has them.

    Raises:
      ValueError: If one is no name, or there is none.
    """
    if isinstance(names, str) or whole_number(names) is not None:
        names = (names,)
    if not isinstance(names, (tuple, list)) or not names:
        raise ValueError(f"{argument('devices')} is {quoted(names)}; expected numbers of GPUs or names such as 'CPU'.")
    return tuple(str(parse(name, "devices")) for name in names)


def scope(device: Device | None):
    """A context in which TensorFlow places on a device what has no device of its own; a new one for each use.

    Args:
      device: The device; None for whatever TensorFlow chooses.

    Returns:
      The context.

    Raises:
      ValueError: If the device is not there.
    """
    if device is None:
        return contextlib.nullcontext()
    import tensorflow as tf  # late, for names are read where TensorFlow is not needed

    there = [one.name.removeprefix("/device:") for one in tf.config.list_logical_devices() if one.device_type in KINDS]
    if f"{device.kind}:{device.index or 0}" not in there:
        raise missing("device", device, there)
    return tf.device(f"/device:{device.kind}:{device.index or 0}")


def missing(parameter: str, device: Device, there: list[str]) -> ValueError:
    """The error of a device that is not there.

    Args:
      parameter: Name of the argument.
      device: The device.
      there: Names of those that are.

    Returns:
      The error.
    """
    return ValueError(
        f"{argument(parameter)} is {quoted(str(device))}, which is not there; this machine has {', '.join(there)}."
    )
