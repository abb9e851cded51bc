"""One result of each task, as a Predictor gives it, without a network: two objects, or a map, of a plain image."""

import numpy as np

from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Scene

SIZE_HW = (320, 400)
BOXES = np.float32([[40, 60, 180, 200], [200, 120, 300, 260]])
NAMES = np.array(["dog", "cat", "person"])
NAMED = [name for name, task in TASKS.items() if not task.gives_map]  # tasks whose results are supervision's


def image(size_hw=SIZE_HW):
    """A plain image."""
    return np.full((*size_hw, 3), 230, np.uint8)


def result(task, names=NAMES, size_hw=SIZE_HW):
    """A dog and a cat; of segment their masks fill the boxes, of a classifier the first class is the likeliest.

    Maps rise to the right.
    """
    outputs = {"boxes": BOXES, "scores": np.float32([0.9, 0.6]), "classes": np.array([0, 1])}
    prototypes = np.full((80, 100, 32), 1 / 32, np.float32)
    points = np.linspace(BOXES[:, :2] + 20, BOXES[:, 2:] - 20, 17, axis=1)
    centers, sizes = (BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]
    outputs |= {
        "segment": {"mask_coefficients": np.ones((2, 32), np.float32), "prototypes": prototypes},
        "pose": {"keypoints": np.concatenate([points, np.ones((2, 17, 1))], -1).astype(np.float32)},
        "obb": {"boxes_xywhr": np.concatenate([centers, sizes, [[0.1], [0.2]]], -1).astype(np.float32)},
        "semantic": {"logits": np.tile(np.linspace([1, 0, 0], [1, 2, 0], 50, dtype=np.float32), (40, 1, 1))},
        "depth": {"depth": np.tile(np.linspace(1, 9, 100, dtype=np.float32), (80, 1))},
        "classify": {"probabilities": np.float32([0.7, 0.2, 0.1])[: len(names)]},
    }.get(task, {})
    return TASKS[task].to_supervision(outputs, Scene(np.array(names), size_hw, (320, 400)))
