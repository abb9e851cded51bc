"""Where each of several processes runs: a GPU that it sees alone, or a share of the cores.

    for place in places(("GPU:0", "GPU:1")):
        place.environment, place.cores          # {"CUDA_VISIBLE_DEVICES": "1"}, None

TensorFlow takes memory of every GPU that it sees, so a process sees one.
"""

import ctypes
import dataclasses
import itertools
import os

from tftrt_yolo.saved_model import devices
from tftrt_yolo.saved_model.devices import Device

_VISIBLE, _NONE = "CUDA_VISIBLE_DEVICES", "-1"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a process runs.

    Attributes:
      name: The device's, for messages and reports: "GPU:1", "CPU".
      environment: Environment variables of the process.
      cores: The cores that it may use; None for all.
    """

    name: str
    environment: dict[str, str]
    cores: tuple[int, ...] | None = None


def places(names: tuple[str, ...]) -> list[Place]:
    """Finds the devices.

    Args:
      names: As `SourceOptions.devices` has them.

    Returns:
      A place for each, in order; CPUs have about as many cores each.

    Raises:
      ValueError: If a GPU is not there, or another CPU than the first.
    """
    parsed, visible = [devices.parse(name, "devices") for name in names], _visible_gpus()
    there = ["CPU", *(f"GPU:{index}" for index in range(len(visible)))]
    shares = _shares(sum(device.kind == "CPU" for device in parsed))
    return [_place(device, visible, there, shares) for device in parsed]


def _place(device: Device, visible: list[str], there: list[str], shares: list[tuple[int, ...]]) -> Place:
    """The place of a device; one of a CPU takes the next share of the cores."""
    index = device.index or 0
    if index >= (len(visible) if device.kind == "GPU" else 1):
        raise devices.missing("devices", device, there)
    if device.kind == "GPU":
        return Place(f"GPU:{index}", {_VISIBLE: visible[index]})
    return Place("CPU", {_VISIBLE: _NONE}, shares.pop(0))


def _shares(count: int) -> list[tuple[int, ...]]:
    """The cores that this process may use, divided; of fewer cores than shares some are in several."""
    cores = sorted(os.sched_getaffinity(0))
    bounds = [len(cores) * number // max(1, count) for number in range(count + 1)]
    return [
        tuple(cores[first:end]) or (cores[number % len(cores)],)
        for number, (first, end) in enumerate(itertools.pairwise(bounds))
    ]


def _visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES is for each GPU to be seen alone; asks CUDA's driver, and starts no GPU."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return []
    except (OSError, AttributeError):  # no driver, or something else of its name
        return []
    listed = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return [listed[index] if index < len(listed) else str(index) for index in range(count.value)]
