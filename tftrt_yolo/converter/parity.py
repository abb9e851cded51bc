"""How far a conversion's detections are from the export's, on real images.

    found = compare("yolov8n_saved_model", "yolov8n_xla_saved_model", ["bus.jpg"])
    print(found)     # 5 of 5 detections matched on 1 image, ...

Both are run as users run them: loaded from their directories, by `Predictor`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_MINIMUM_IOU = 0.9


@dataclasses.dataclass(frozen=True)
class Parity:
    """Detections of a conversion against those of its export.

    A detection is matched by one of the same class that overlaps it by an IoU of at least 0.9.

    Attributes:
      images: Images that both were run on.
      detections: Detections of the export.
      matched: How many of them the conversion finds.
      extra: Detections of the conversion that match none.
      largest_box_difference_px: Over the matched ones and their four edges, in pixels of the images.
      largest_score_difference: The same for scores.
      device: Where both ran, in TensorFlow's words.
    """

    images: int
    detections: int
    matched: int
    extra: int
    largest_box_difference_px: float
    largest_score_difference: float
    device: str

    def __str__(self) -> str:
        """One line for a reader."""
        images = "1 image" if self.images == 1 else f"{self.images} images"
        if not self.detections and not self.extra:
            return f"nothing detected on {images}, which shows nothing; give images of your own"
        return (
            f"{self.matched} of {self.detections} detections matched on {images} ({self.device}), {self.extra} extra; "
            f"boxes within {self.largest_box_difference_px:.2g} px, scores within {self.largest_score_difference:.2g}"
        )


def compare(saved_model_dir: str | Path, converted_dir: str | Path, images: Sequence[str]) -> Parity:
    """Runs an export and its conversion on the same images.

    Args:
      saved_model_dir: The export.
      converted_dir: The conversion.
      images: Paths of images.

    Returns:
      What was matched, and the largest differences.

    Raises:
      ImageError: If an image cannot be read.
    """
    from tftrt_yolo.predictor import Predictor
    from tftrt_yolo.predictor.sources import read_image

    reference, converted = Predictor(saved_model_dir), Predictor(converted_dir)
    matched = extra = detections = 0
    box_differences, score_differences = [0.0], [0.0]
    for path in images:  # one by one, so that a compiled model compiles one batch size
        image = read_image(path)
        [expected], [found] = reference(image), converted(image)
        pairs = match(expected, found)
        detections += len(expected)
        matched += len(pairs)
        extra += len(found) - len(pairs)
        for one, other in pairs:
            box_differences.append(float(np.abs(expected.xyxy[one] - found.xyxy[other]).max()))
            score_differences.append(float(abs(expected.confidence[one] - found.confidence[other])))
    return Parity(
        images=len(images),
        detections=detections,
        matched=matched,
        extra=extra,
        largest_box_difference_px=max(box_differences),
        largest_score_difference=max(score_differences),
        device=converted.backend.device,
    )


def match(expected, found, *, minimum_iou: float = _MINIMUM_IOU) -> list[tuple[int, int]]:
    """Pairs two lists of detections, the best of the first list first, each with the free one that overlaps it most.

    Args:
      expected: `supervision.Detections`.
      found: The same.
      minimum_iou: Least IoU of a pair; the classes must be equal.

    Returns:
      Index in the first list and index in the second of each pair.
    """
    import supervision as sv

    if not len(expected) or not len(found):
        return []
    overlaps = sv.box_iou_batch(expected.xyxy, found.xyxy)
    overlaps[expected.class_id[:, np.newaxis] != found.class_id] = -1.0
    pairs = []
    for one, row in enumerate(overlaps):
        other = int(row.argmax())
        if row[other] >= minimum_iou:
            pairs.append((one, other))
            overlaps[:, other] = -1.0
    return pairs
