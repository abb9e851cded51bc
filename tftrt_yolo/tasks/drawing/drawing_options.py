"""What is drawn of a result."""

import dataclasses

from tftrt_yolo.ground.arguments import Options


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawingOptions(Options):
    """What is drawn of a result.

    Attributes:
      show_labels: Whether class names are written.
      show_confidence: Whether scores are written.
      show_boxes: Whether boxes are drawn.
      line_width: Width of lines in pixels; None for one that fits the image.
    """

    show_labels: bool = True
    show_confidence: bool = True
    show_boxes: bool = True
    line_width: int | None = None
