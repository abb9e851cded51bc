"""Semantic segmentation: a class for each pixel of the image.

logits (batch, S/8, S/8, C)
"""

import io

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.maps import class_maps
from tftrt_yolo.tasks.results import pixel_counts
from tftrt_yolo.tasks.task import Packing, Quantity, Scene, Task

STRIDE = 8  # pixels of the frame for each of the logits
_OPACITY = 0.5  # ultralytics.engine.results.Results.plot


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of the head: "logits" (batch, C, S/8, S/8), once; the second classifier is for training alone.

    Args:
      head: The head, in PyTorch.
      features: Its inputs, (batch, channels, h, w), level by level.

    Raises:
      CheckpointError: If there are more classes than a map's file has values for.

    Source: ultralytics.nn.modules.head.SemanticSegment.
    """
    if head.nc > class_maps.MOST_CLASSES:
        raise CheckpointError(
            f"The model tells {counted(head.nc, 'class', 'classes')} apart; at most {class_maps.MOST_CLASSES:,} are "
            "supported, which is all that a PNG of a map has values for. Give a model of fewer."
        )
    return {"logits": [head.classifier(features[0])]}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from what Ultralytics' network gives: logits (batch, C, h, w)."""
    return {"logits": np.ascontiguousarray(outputs[0].transpose(0, 2, 3, 1))}


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Logits (batch, S/8, S/8, C), as they are: the largest is found where there is room for an image's pixels."""
    return {"logits": parts["logits"][0]}


def ultralytics(dense: dict, metadata: Metadata):
    """What Ultralytics' loader expects, channels last; its predictor resizes it."""
    return dense["logits"]


def pack(outputs: dict, image_sizes_hw, frame_size_hw: tuple[int, int]) -> dict:
    """The class maps as PNG files, which are a hundredth of the logits; see `encoded.class_maps.pack`."""
    from tftrt_yolo.graph.encoded import class_maps as encoded_class_maps

    return {"class_maps": encoded_class_maps.pack(outputs["logits"], image_sizes_hw, frame_size_hw)}


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's classes, pixel by pixel.

    Args:
      outputs: The image's `logits` (h, w, C), of the whole frame.
      scene: Names and sizes.

    Returns:
      A `SemanticMap`; supervision has no class for it.
    """
    from tftrt_yolo.tasks.results.semantic_map import SemanticMap

    found = class_maps.class_map(
        outputs["logits"], image_size_hw=scene.image_size_hw, frame_size_hw=scene.frame_size_hw
    )
    return SemanticMap(found, scene.names)


def draw(image: np.ndarray, found, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Colours a copy of an image by class, and writes each class's name on its largest part."""
    from tftrt_yolo.tasks.drawing import class_colors

    return class_colors.draw(image, found, names, options or DrawingOptions(), opacity=_OPACITY)


def rows(found, names: np.ndarray) -> list[dict]:
    """Class, name, pixels and share of the image of each class that there is, the largest first."""
    return found.rows()


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """The share of pixels whose class is another."""
    return {"pixels of another class": float(np.mean(expected.class_map != found.class_map))}


def encode_map(found) -> bytes:
    """A grey PNG whose values are class indices, of 8 bits, of more than 256 classes of 16."""
    import PIL.Image  # late, as in the tasks' other modules: the table is imported without it

    file, class_map = io.BytesIO(), found.class_map
    image = PIL.Image.fromarray(class_map if class_map.dtype == np.uint8 else class_map.astype(np.uint16))
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


def encoded_rows(outputs: dict[str, object], names: np.ndarray) -> list[dict]:
    """As `rows`, of an image's `class_maps`, a PNG; none where it is empty."""
    from PIL import PngImagePlugin

    if not outputs["class_maps"]:
        return []
    with PngImagePlugin.PngImageFile(io.BytesIO(outputs["class_maps"])) as image:
        class_map = np.asarray(image)
    return pixel_counts.rows_of(pixel_counts.counts_of(class_map, len(names)), class_map.size, names)


def encoded_map(outputs: dict[str, object]) -> tuple[bytes, dict]:
    """An image's `class_maps`, which is a PNG of its own size; its values are class indices."""
    return outputs["class_maps"], {}


TASK = Task(
    name="semantic",
    heads=("SemanticSegment",),
    whole_parts=("logits",),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(Quantity("logits", "logits", 1e-3, "relative"),),
    decode=decode,
    per_image=("logits",),
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    differences=differences,
    row_label="classes",
    verb="Segmented",
    packing=Packing(replaced=("logits",), given=("class_maps",), pack=pack),
    encode_map=encode_map,
    encoded_rows=encoded_rows,
    encoded_map=encoded_map,
)
