"""How dense predictions become detections: the thresholds and limits of a selection.

selection = Selection(score_threshold=0.5, max_detections=100)
selection = parse_selection({"score_threshold": 0.5, "max_detections": 100})     # from metadata.yaml
asked = SelectionOptions(score_threshold=0.5, classes=["person", 2])             # given with a call
asked.class_indices({0: "person", 1: "bicycle", 2: "car"})                       # (0, 2)
"""

import dataclasses
from collections.abc import Iterable, Mapping

from tftrt_yolo.ground.arguments import (
    Options,
    argument,
    check_at_least_one,
    check_bool,
    check_share,
    whole_number,
)
from tftrt_yolo.ground.files import fields
from tftrt_yolo.ground.text import counted, quoted, shown

_MOST_SHOWN = 20  # classes in a message
_MAX_CANDIDATES = 1_024
# Pairs of boxes that are compared at a time: of suppression's tensors, which are a few, each has as many numbers.
_MOST_PAIRS = 64 << 20
MOST_DETECTIONS = 100_000  # an image; the outputs are as long, and so is what they are selected from


@dataclasses.dataclass(frozen=True)
class Selection:
    """How dense predictions become detections; the numbers are constants of the SavedModel.

    Attributes:
      score_threshold: Detections score above this, in [0, 1].
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1].
      max_detections: At most this many detections an image, 100,000 or fewer; the outputs are padded to it.
      max_candidates: At most this many boxes an image, the best, take part in non-maximum suppression; 100,000 or
        fewer. None for 1,024, and where max_detections is more for as many as that: else it could not be reached.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_detections: int = 300
    max_candidates: int | None = None

    def __post_init__(self):
        """Raises ValueError for a number that is out of its range."""
        if self.max_candidates is None:
            enough = max(_MAX_CANDIDATES, _check_most("max_detections", self.max_detections))
            object.__setattr__(self, "max_candidates", enough)  # the dataclass is frozen
        checks = dict.fromkeys(("score_threshold", "iou_threshold"), check_share)
        checks |= dict.fromkeys(("max_detections", "max_candidates"), _check_most)
        for name, check in checks.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))  # the dataclass is frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionOptions(Options):
    """What is selected, where it is not what the model was exported with; the model's own stands for what is None.

    The result is exactly that of an export with these thresholds. A classifier selects nothing, and refuses them.

    Attributes:
      score_threshold: Detections score above this, in [0, 1]; None for the model's own, as of the next two.
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1]. It is
        nothing to models that give each object once, exports of the one-to-one branch.
      max_detections: At most this many detections an image, 100,000 or fewer. Suppression takes memory by the square
        of this, from the model's max_candidates (1,024) on.
      classes: The classes that count: indices as numbers, or names. A box counts with its best class alone (but see
        multi_label), and boxes of other classes suppress none of these. None for all.
      class_agnostic: Whether boxes suppress each other whatever their classes. Of a model that gives each object once:
        whether a box comes with its best class alone.
      multi_label: Whether a box counts with each of its classes that scores above the threshold, as validators select
        for average precision, and not with its best alone. None for no, and for yes where `predict` writes COCO's
        results with a score_threshold of 0.01 or less, as only validators ask for. It is nothing to models that give
        each object once.
    """

    score_threshold: float | None = None
    iou_threshold: float | None = None
    max_detections: int | None = None
    classes: tuple[int | str, ...] | None = None
    class_agnostic: bool | None = None
    multi_label: bool | None = None

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or of another kind."""
        checks = dict.fromkeys(("score_threshold", "iou_threshold"), check_share)
        checks |= dict.fromkeys(("class_agnostic", "multi_label"), check_bool)
        checks |= {"max_detections": _check_most, "classes": _check_classes}
        for name, check in checks.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check(name, getattr(self, name)))  # the dataclass is frozen

    def asked(self) -> dict[str, object]:
        """What is not None, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    def applied_to(self, own: Selection) -> Selection:
        """A model's own selection with the numbers that were given; it is what an export with these has."""
        numbers = {name: value for name, value in self.asked().items() if hasattr(own, name)}
        if self.max_detections is not None:
            numbers["max_candidates"] = None
        return dataclasses.replace(own, **numbers)

    def batch_size_for(self, own: Selection, batch_size: int) -> int:
        """How many images can be selected from at once.

        Args:
          own: The model's own selection.
          batch_size: Images that are wanted.

        Returns:
          As many, or fewer where the pairs of as many boxes as are asked for would fill the memory; at least 1.
        """
        candidates = self.applied_to(own).max_candidates
        is_more = candidates > own.max_candidates
        return max(1, min(batch_size, _MOST_PAIRS // candidates**2)) if is_more else batch_size

    def class_indices(self, names: Mapping[int, str]) -> tuple[int, ...] | None:
        """The indices of the classes that count, in order.

        Args:
          names: Class index to class name, of the model.

        Returns:
          The indices, each once; None for all. A name that several classes have stands for all of them.

        Raises:
          ValueError: If one is no class of the model.
        """
        if self.classes is None:
            return None
        found = set()
        for given in self.classes:
            indices = [index for index, name in names.items() if given == (name if isinstance(given, str) else index)]
            if not indices:
                raise ValueError(f"{argument('classes')} has {quoted(given)}; expected {_known(names)}.")
            found.update(indices)
        return tuple(sorted(found))


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


def _check_classes(name: str, value: object) -> tuple[int | str, ...]:
    """Classes as a tuple of indices and names; a single one is taken.

    Raises:
      ValueError: If there is none, or one is neither a whole number nor a name.
    """
    is_single = isinstance(value, str) or whole_number(value) is not None
    if not is_single and (isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable)):
        raise ValueError(f"{argument(name)} is {quoted(value)}; expected indices or names of classes, such as [0, 2].")
    found = []
    for given in [value] if is_single else value:
        item = str(given) if isinstance(given, str) else whole_number(given)
        if item is None:
            raise ValueError(f"{argument(name)} has {quoted(given)}; expected indices or names of classes.")
        found.append(item)
    if not found:
        raise ValueError(f"{argument(name)} is empty; expected at least one class. Leave it out for all classes.")
    return tuple(found)


def _known(names: Mapping[int, str]) -> str:
    """A model's classes for a message, the first of many."""
    listed = ", ".join(f"{index} ({shown(name, 30)})" for index, name in [*names.items()][:_MOST_SHOWN])
    more = f", ... of {counted(len(names), 'class', 'classes')}" if len(names) > _MOST_SHOWN else ""
    return f"indices or names of {listed}{more}"
