"""How far a conversion is from its export: the figures, as reports hold them. `comparison` measures them."""

import dataclasses

from tftrt_yolo.ground.text import counted


@dataclasses.dataclass(frozen=True)
class DenseDifference:
    """How far a quantity of the dense outputs moves, over all anchors.

    Attributes:
      mean: Mean absolute difference, in the quantity's unit; of a quantity in "relative", as a share of the largest
        magnitude.
      largest: The largest.
      sqnr_db: Signal-to-quantisation-noise ratio in dB: the sum of squares of the export's numbers over that of the
        differences. None if they are equal, or all 0.
      unit: The quantity's unit: "px", "rad", "" for a plain number, or "relative".
    """

    mean: float
    largest: float
    sqnr_db: float | None
    unit: str

    def __str__(self) -> str:
        """The figures with their unit."""
        unit = f" {self.unit}".rstrip()
        noise = "no noise" if self.sqnr_db is None else f"SQNR {self.sqnr_db:.1f} dB"
        return f"{self.mean:.2g}{unit} on average, {self.largest:.2g}{unit} at most, {noise}"


@dataclasses.dataclass(frozen=True)
class Parity:
    """Detections of a conversion against those of its export.

    A detection is matched by one of the same class that overlaps it by an IoU of at least 0.9. Of a classifier an image
    counts as one detection, matched if its best class is the same.

    Attributes:
      images: Images that both were run on.
      detections: Detections of the export.
      matched: How many of them the conversion finds.
      extra: Detections of the conversion that match none.
      differences: The largest over the matched ones: "boxes (px)" over the four edges in pixels of the images,
        "scores", and what else the task has.
      device: Where both ran, in TensorFlow's words.
      arithmetic: How the conversion computed, where that is not what it was converted for; see `Backend`.
      is_of_maps: Whether a value for each pixel was compared, of which each image has one detection, always matched.
    """

    images: int
    detections: int
    matched: int
    extra: int
    differences: dict[str, float]
    device: str
    arithmetic: str = ""
    is_of_maps: bool = False

    def __str__(self) -> str:
        """One line for a reader."""
        images = counted(self.images, "image")
        if not self.detections and not self.extra:
            return f"nothing detected on {images}, which shows nothing; give images of your own"
        largest = ", ".join(f"{label} within {value:.2g}" for label, value in self.differences.items())
        found = f"{self.matched} of {counted(self.detections, 'detection')} matched on {images} ({self.device}), "
        return (
            (f"compared on {images} ({self.device})" if self.is_of_maps else f"{found}{self.extra} extra")
            + (f"; {largest}" if largest else "")
            + (f"; {self.arithmetic}" if self.arithmetic else "")
        )
