"""A result drawn on its image, for whoever has both.

[detections] = predictor("bus.jpg")
tftrt_yolo.annotate("bus.jpg", detections)                          # in a notebook, the picture
PIL.Image.fromarray(tftrt_yolo.annotate(frame, detections, show_confidence=False, line_width=2)).save("bus.png")
"""

import io

import numpy as np
import PIL.Image

from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.files.image_arrays import ArrayOptions
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.table import TASKS

_SHOWN_PX = 960  # the longer side of a picture that a notebook keeps
_FARTHEST_PX = 1 << 20  # beyond it OpenCV's coordinates overflow


class Picture(np.ndarray):
    """A picture (height, width, 3) uint8, RGB, that a notebook shows; in everything else an array of NumPy's."""

    def _repr_png_(self) -> bytes | None:
        """The picture for a notebook, scaled down where it is large; None for a part that is no picture."""
        if self.ndim != 3 or self.shape[-1] != 3 or self.dtype != np.uint8 or 0 in self.shape:
            return None
        image, file = PIL.Image.fromarray(np.asarray(self)), io.BytesIO()
        image.thumbnail((_SHOWN_PX, _SHOWN_PX))
        image.save(file, "PNG")
        return file.getvalue()


def annotate(
    image,
    result,
    *,
    show_labels: bool = True,
    show_confidence: bool = True,
    show_boxes: bool = True,
    line_width: int | None = None,
    channel_order: str = "rgb",
    scale: float | None = None,
) -> Picture:
    """Draws a result on its image, as `predict` does; the image stays as it is.

    Args:
      image: What a Predictor takes as one image: a path, bytes of an image file, a Pillow image, an array or a tensor,
        or a frame of a video.
      result: What the Predictor found on it, of any task, or supervision's own Detections, KeyPoints or
        Classifications. What lies beyond the image is left out.
      show_labels: Whether class names are written, and the numbers of tracks.
      show_confidence: Whether scores are written, or a classifier's probabilities.
      show_boxes: Whether boxes are drawn; masks and key points always are.
      line_width: Width of the boxes' lines in pixels, 1 to 100, by which limbs and letters are as large as Ultralytics
        draws them; None for what fits the image.
      channel_order: Of an array: "rgb", or "bgr" as OpenCV has it. The picture is RGB in any case.
      scale: What the values of an array that is not uint8 are multiplied with to be 0 to 255.

    Returns:
      (height, width, 3) uint8, RGB, of the image's size: an array of NumPy's that a notebook shows as a picture.

    Raises:
      ImageError: If the image cannot be read.
      TypeError: If the result is no result of one image.
      ValueError: If an option is out of its range, or masks or map are of an image of another size.
    """
    from tftrt_yolo.tasks.results import kinds  # with supervision

    options = DrawingOptions(
        show_labels=show_labels, show_confidence=show_confidence, show_boxes=show_boxes, line_width=line_width
    )
    task, names = TASKS[kinds.of(result)], kinds.names_of(result)
    array = image_files.read_image(image, ArrayOptions(channel_order=channel_order, scale=scale))
    if task.name == "segment":
        _check_size("masks of the result are", result.mask.shape[1:], array.shape[:2])
    elif task.gives_map:
        _check_size("map of the result is", result.size_hw, array.shape[:2])
    drawn = _within_reach(result, task.boxes(result).xyxy) if task.finds_objects else result
    return task.draw(array, drawn, names, options).view(Picture)


def _check_size(what: str, found_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    """Refuses what is of an image of another size."""
    if tuple(found_hw) != size_hw:
        found, expected = (f"{width:,} x {height:,}" for height, width in (found_hw, size_hw))
        raise ValueError(
            f"The {what} {found} pixels; expected {expected}, the image's size. Give the image that the result is of."
        )


def _within_reach(result, boxes_xyxy: np.ndarray):
    """Leaves out boxes that have no place on any picture, such as those without a number."""
    with np.errstate(invalid="ignore"):
        reachable = (np.abs(boxes_xyxy) < _FARTHEST_PX).all(axis=-1)
    return result if reachable.all() else result[reachable]
