"""Classification: a probability for each class, of the whole image.

probabilities (batch, C)
"""

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.ground.placement import CROP
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Quantity, Scene, Task


def raw_outputs(head, features) -> dict[str, list]:
    """Raw outputs of a classification head: "logits" (batch, C), once.

    The mean over the pixels is written out, because pooling and flattening are exported with shape arithmetic.

    Args:
      head: The head, in PyTorch.
      features: (batch, channels, h, w).

    Source: ultralytics.nn.modules.head.Classify.
    """
    return {"logits": [head.linear(head.conv(features).mean(dim=(2, 3)))]}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from what Ultralytics' network gives: probabilities (batch, C)."""
    return {"probabilities": outputs[0]}


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes probabilities (batch, C)."""
    import tensorflow as tf

    return {"probabilities": tf.nn.softmax(parts["logits"][0])}


def ultralytics(dense: dict, metadata: Metadata):
    """What Ultralytics' loader expects: the probabilities."""
    return dense["probabilities"]


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's probabilities.

    Args:
      outputs: `probabilities` (C,).
      scene: The names.

    Returns:
      `supervision.Classifications` of all classes in their order, with `class_name`; `get_top_k(5)` gives the best.
    """
    from tftrt_yolo.tasks.results.readable import Classifications

    return Classifications(np.arange(len(scene.names)), outputs["probabilities"], class_name=scene.names)


def draw(image: np.ndarray, classifications, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Writes the best classes and their probabilities on a copy of an image, as Ultralytics does."""
    from tftrt_yolo.tasks.drawing import annotators

    options = options or DrawingOptions()
    lines = [
        (row["class"], f"{row['probability']:.2f}" if options.show_confidence and "probability" in row else "")
        for row in rows(classifications, names)
    ]
    is_shown = options.show_labels or options.show_confidence
    return annotators.draw_lines(image.copy(), lines if is_shown else [], names, options)


def rows(classifications, names: np.ndarray) -> list[dict]:
    """Class and probability of the five best classes, for a file."""
    from tftrt_yolo.tasks.results import rows as of_results

    return of_results.classes(classifications, names)


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """The largest difference of the probabilities of all classes."""
    return {"probabilities": np.abs(expected.confidence - found.confidence).max()}


TASK = Task(
    name="classify",
    heads=("Classify",),
    whole_parts=("logits",),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(Quantity("probabilities", "probabilities", 1e-4),),
    decode=decode,
    per_image=("probabilities",),
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    differences=differences,
    row_label="classifications",
    verb="Classified",
    fit=CROP,
    default_size=224,
)
