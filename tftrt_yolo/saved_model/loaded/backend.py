"""What runs a loaded SavedModel's network, and why: a line for every report.

backend = without_engines(handle, device)
print(backend)                                    # "XLA on GPU: FP16, compiled for every power of two"
"""

import dataclasses

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import fields
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.saved_model.batches import MOST_SIZE, CompiledSizes
from tftrt_yolo.saved_model.devices import Device
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.loaded import arithmetic

TENSORRT, STAND_IN = "TensorRT", "TensorRT stand-in"


@dataclasses.dataclass(frozen=True)
class Backend:
    """What runs the network, and why.

    Attributes:
      name: "TensorRT", "TensorRT stand-in" (a rehearsal: it computes on the host), "XLA" or "TensorFlow".
      device: The device in TensorFlow's words: "GPU", or "GPU:1" where that was asked for.
      reason: Why it is this one.
      arithmetic: How it computes, where that is not what the model was converted for, and its figures are others than
        those of the accelerator; empty elsewhere.
      compiled_sizes: The batch sizes to which the SavedModel itself fills batches up for XLA; None where it does not.
    """

    name: str
    device: str
    reason: str
    arithmetic: str = ""
    compiled_sizes: CompiledSizes | None = None

    @property
    def uses_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("GPU")

    @property
    def is_stand_in(self) -> bool:
        """Whether it is a rehearsal, whose numbers say nothing of TensorRT."""
        return self.name == STAND_IN

    def __str__(self) -> str:
        """One line for a reader."""
        return f"{self.name} on {self.device}: {self.reason}" + (f"; {self.arithmetic}" if self.arithmetic else "")


def without_engines(handle: SavedModelHandle, device: Device) -> Backend:
    """What runs a model without engines: XLA, or TensorFlow's own kernels.

    Args:
      handle: The model.
      device: Where it runs.

    Returns:
      The backend.

    Raises:
      SavedModelError: If its conversion says something else than batch sizes.
    """
    if handle.conversion is None:
        return Backend("TensorFlow", str(device), "the model was not converted")
    accelerator, precision_mode = handle.conversion["accelerator"], handle.conversion["precision_mode"]
    computed = arithmetic.of_baked(handle.conversion, device.kind)
    if accelerator != "xla":
        return Backend("TensorFlow", str(device), f"converted for {accelerator}, {precision_mode}", computed)
    sizes = _compiled_sizes(handle)
    reason = f"{precision_mode}, compiled for {sizes or 'each batch size'}"
    if device.kind == "CPU":
        reason += "; on a CPU an export, or one converted for onednn, is faster"
    return Backend("XLA", str(device), reason, computed, sizes)


def _compiled_sizes(handle: SavedModelHandle) -> CompiledSizes | None:
    """The batch sizes that the graph is compiled for, by conversion.json; None where an older version wrote it.

    Raises:
      SavedModelError: If it says something else than batch sizes.
    """
    sizes = handle.conversion.get("batch_sizes")
    if sizes is None:
        return None
    is_fine = isinstance(sizes, list) and all(fields.is_whole(size, 1, MOST_SIZE) for size in sizes)
    if not is_fine or sizes != sorted(set(sizes)):
        raise SavedModelError(
            f"{handle.given}/{contract.CONVERSION_FILE} has 'batch_sizes': {quoted(sizes)}; expected whole numbers "
            "of at least 1 in rising order. Convert the export again."
        )
    return CompiledSizes(tuple(sizes))
