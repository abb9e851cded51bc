"""What is drawn of a result.

options = DrawingOptions(show_confidence=False, line_width=2)
"""

import dataclasses

from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, check_bool

_WIDEST_PX = 100  # letters are ten times as high, and a label's block of pixels as wide as its text


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrawingOptions(Options):
    """What is drawn of a result. Masks and key points are drawn always.

    Attributes:
      show_labels: Whether class names are written, and the numbers of tracks.
      show_confidence: Whether scores are written, or a classifier's probabilities.
      show_boxes: Whether boxes are drawn.
      line_width: Width of the boxes' lines in pixels, 1 to 100, by which limbs and letters are as large as Ultralytics
        draws them; None for what fits the image.
    """

    show_labels: bool = True
    show_confidence: bool = True
    show_boxes: bool = True
    line_width: int | None = None

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or of another kind."""
        for name in ("show_labels", "show_confidence", "show_boxes"):
            object.__setattr__(self, name, check_bool(name, getattr(self, name)))  # the dataclass is frozen
        if self.line_width is not None:
            object.__setattr__(self, "line_width", check_at_least_one("line_width", self.line_width))
            if self.line_width > _WIDEST_PX:
                raise ValueError(f"{argument('line_width')} is {self.line_width:,}; it must be at most {_WIDEST_PX}.")
