"""How dense predictions become detections: the thresholds and limits of a selection.

selection = Selection(score_threshold=0.5, max_detections=100)
selection = parse_selection({"score_threshold": 0.5, "max_detections": 100})     # from metadata.yaml
"""

import dataclasses

from tftrt_yolo.ground.arguments import argument, check_at_least_one, check_share
from tftrt_yolo.ground.files import fields

MOST_DETECTIONS = 100_000  # an image; the outputs are as long, and so is what they are selected from


@dataclasses.dataclass(frozen=True)
class Selection:
    """How dense predictions become detections; the numbers are constants of the SavedModel.

    Attributes:
      score_threshold: Detections score above this, in [0, 1].
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1].
      max_detections: At most this many detections an image, 100,000 or fewer; the outputs are padded to it.
      max_candidates: At most this many boxes an image, the best, take part in non-maximum suppression; 100,000 or
        fewer.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_detections: int = 300
    max_candidates: int = 1_024

    def __post_init__(self):
        """Raises ValueError for a number that is out of its range."""
        checks = dict.fromkeys(("score_threshold", "iou_threshold"), check_share)
        checks |= dict.fromkeys(("max_detections", "max_candidates"), _check_most)
        for name, check in checks.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))  # the dataclass is frozen


def parse_selection(section: dict) -> Selection:
    """A selection from its section of metadata.yaml; what is absent has its default.

    Raises:
      UnreadableError: If something in it is unknown, or out of its range.
    """
    names = [field.name for field in dataclasses.fields(Selection)]
    fields.no_others(section, names, "its selection")
    return Selection(
        **{
            name: fields.share(section, name)
            if name.endswith("threshold")
            else fields.whole(section, name, least=1, most=MOST_DETECTIONS)
            for name in names
            if name in section
        }
    )


def _check_most(name: str, value: object) -> int:
    """Refuses an argument that is not a whole number from 1 to 100,000."""
    whole = check_at_least_one(name, value)
    if whole > MOST_DETECTIONS:
        raise ValueError(f"{argument(name)} is {whole:,}; it must be at most {MOST_DETECTIONS:,}.")
    return whole
