"""How many pixels of a class map each class has, and what is said of it; without supervision, for a server's sake."""

import numpy as np

from tftrt_yolo.graph.class_values import first_value


def counts_of(class_map: np.ndarray, num_classes: int) -> np.ndarray:
    """(C,) int64, how many pixels each class has."""
    first = first_value(num_classes)
    return np.bincount(class_map.ravel(), minlength=first + num_classes)[first : first + num_classes]


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
