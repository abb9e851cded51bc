"""How far the exported network is from PyTorch's, output by output, on the same frames.

frames = reference_frames((640, 640))
largest = check(TASKS["detect"], dense, reference)     # {"boxes": 9e-05, "scores": 1e-06}
"""

import numpy as np

from tftrt_yolo.ground.errors import ParityError
from tftrt_yolo.tasks.task import Task


def reference_frames(size_hw: tuple[int, int]) -> np.ndarray:
    """Frames for the parity check: two different ones, so that a batch that is not dynamic shows.

    Args:
      size_hw: Height and width in pixels.

    Returns:
      (2, height, width, 3) float32 in [0, 1]: random colours in patches of 1 to 32 pixels, which excite a network more
      than white noise does.
    """
    rng = np.random.default_rng(0)
    height, width = size_hw
    frames = np.zeros((2, height, width, 3), np.float32)
    for patch in (1, 4, 16, 32):
        coarse = rng.random((2, -(-height // patch), -(-width // patch), 3), np.float32)
        frames += coarse.repeat(patch, axis=1).repeat(patch, axis=2)[:, :height, :width] / 4
    return frames


def check(task: Task, dense: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """Compares what signature `network` gives with what PyTorch gives.

    Args:
      task: Says what is compared, and what is accepted.
      dense: Output name to values, of the saved file.
      reference: The same of PyTorch.

    Returns:
      The largest difference of each quantity of the task, in its unit.

    Raises:
      ParityError: If one is larger than its tolerance, or not finite.
    """
    largest = {quantity.label: quantity.largest_difference(dense, reference) for quantity in task.quantities}
    if not all(largest[quantity.label] <= quantity.tolerance for quantity in task.quantities):  # NaN fails
        found = ", ".join(
            f"{quantity.format(largest[quantity.label])} in {quantity.label}" for quantity in task.quantities
        )
        accepted = ", ".join(quantity.format(quantity.tolerance) for quantity in task.quantities)
        raise ParityError(
            f"The exported model differs from PyTorch by up to {found}; at most {accepted} are accepted. Nothing was "
            "written. Check with `tftrt-yolo check` that the export tools have the tested versions."
        )
    return largest
