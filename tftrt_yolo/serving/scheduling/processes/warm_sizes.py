"""The batch sizes that a model is run with before it is ready, so that no client waits for a compiler.

sizes = warm_sizes(handle, backend, max_batch_size=16)
sizes.warm, sizes.filled                                  # (1, 8), (1, 8): other batches are filled up to these
"""

import dataclasses

from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.loaded.backend import Backend


@dataclasses.dataclass(frozen=True)
class WarmSizes:
    """Batch sizes of a model.

    Attributes:
      most: Pictures that go through the network together at most.
      warm: With which it is run ahead, in rising order.
      filled: To which batches are filled up; empty where any size is as good.
    """

    most: int
    warm: tuple[int, ...]
    filled: tuple[int, ...] = ()

    def filled_size(self, size: int) -> int:
        """Rows that a batch is run with."""
        return next((filled for filled in self.filled if filled >= size), size)


def warm_sizes(handle: SavedModelHandle, backend: Backend, max_batch_size: int) -> WarmSizes:
    """The batch sizes of a model that was loaded.

    Args:
      handle: The model.
      backend: What runs it.
      max_batch_size: Pictures that may go through the network together.

    Returns:
      Engines of TensorRT: the sizes that they were converted for, and none above. XLA: those that it compiles. Another
      model on a GPU: the powers of two, and the largest. On a CPU any size is as good.
    """
    if backend.name.startswith("TensorRT"):
        sizes = sorted((handle.conversion or {}).get("batch_sizes") or [max_batch_size])
        most = min(max_batch_size, sizes[-1])
        sizes = tuple(size for size in sizes if size <= next(larger for larger in sizes if larger >= most))
        return WarmSizes(most, sizes, sizes)
    if backend.name == "XLA":
        sizes = _compiled(backend.compiled_sizes or CompiledSizes(), max_batch_size)
        return WarmSizes(max_batch_size, sizes, sizes)
    powers = _powers_of_two(max_batch_size)
    if backend.device == "GPU":
        return WarmSizes(max_batch_size, powers, powers)
    return WarmSizes(max_batch_size, tuple(sorted({1, max_batch_size})))


def _compiled(compiled: CompiledSizes, max_batch_size: int) -> tuple[int, ...]:
    """The sizes that are met where batches have up to max_batch_size pictures."""
    wanted = compiled.sizes or _powers_of_two(max_batch_size)
    return tuple(sorted({compiled.filled(min(size, max_batch_size)) for size in wanted}))


def _powers_of_two(most: int) -> tuple[int, ...]:
    """1, 2, 4 and so on below a number, and itself."""
    return (*(1 << exponent for exponent in range((most - 1).bit_length())), most)
