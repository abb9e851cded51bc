"""How many pixels of a class map each class has, and what is said of it; without supervision, for a server's sake."""

import numpy as np


def counts_of(class_map: np.ndarray, num_classes: int) -> np.ndarray:
    """(C,) int64, how many pixels each class has; of one class those that are 1."""
    counts = np.bincount(class_map.ravel(), minlength=num_classes + 1)
    return counts[1:2] if num_classes == 1 else counts[:num_classes]


def rows_of(pixel_counts: np.ndarray, total: int, names: np.ndarray) -> list[dict]:
    """As `SemanticMap.rows`, of (C,) counts of an image of so many pixels."""
    order = [index for index in np.argsort(-pixel_counts, kind="stable").tolist() if pixel_counts[index]]
    return [
        {
            "class": index,
            "name": str(names[index]),
            "pixels": int(pixel_counts[index]),
            "share": round(float(pixel_counts[index]) / total, 5),
        }
        for index in order
    ]
