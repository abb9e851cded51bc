"""The branches of a head, and which of them a network computes.

    branches = Branches.of(head)                  # there=("one-to-many", "one-to-one"), of YOLO26 and YOLOv10
    chosen = branches.choose("auto", "best.pt")   # "one-to-many"
    keep_only(head, chosen)                       # the head computes that branch, and the other is gone

YOLOv8's head has one branch, trained with several positives an object, whose detections are to be suppressed. Heads
that are trained end to end have a second one beside it, one-to-one, trained to give each object once. A network that
was fused has one of the two left.
"""

import dataclasses

from tftrt_yolo.contract import AUTO, ONE_TO_MANY, ONE_TO_ONE
from tftrt_yolo.ground.errors import CheckpointError

_MARK = "one2one_"  # what the second branch's modules begin with


@dataclasses.dataclass(frozen=True)
class Branches:
    """What there is of a head's branches.

    Attributes:
      there: ONE_TO_MANY, ONE_TO_ONE or both, in this order; empty for a head that finds no boxes.
      removed: The branch that the head once had and that fusing dropped; empty if there is none.
      kind: Ultralytics' class of the head.
    """

    there: tuple[str, ...]
    removed: str
    kind: str

    @classmethod
    def of(cls, head) -> "Branches":
        """Looks at a head in PyTorch, fused or not."""
        modules, kind = head._modules, type(head).__name__  # what was dropped is still named there, as None
        if "cv2" not in modules:
            return cls((), "", kind)
        found = {ONE_TO_MANY: modules["cv2"], ONE_TO_ONE: modules.get(f"{_MARK}cv2")}
        there = tuple(name for name, module in found.items() if module is not None)
        had = (ONE_TO_MANY, ONE_TO_ONE) if f"{_MARK}cv2" in modules else (ONE_TO_MANY,)
        return cls(there, next((name for name in had if name not in there), ""), kind)

    def choose(self, nms: str, weights: str) -> str:
        """The branch that is meant.

        Args:
          nms: AUTO, ONE_TO_MANY or ONE_TO_ONE.
          weights: The file, for messages.

        Returns:
          One of `there`; empty for a head that finds no boxes.

        Raises:
          CheckpointError: If the head has not the branch that is asked for.

        Source: ultralytics.engine.exporter of 8.4.190 takes the one-to-many branch unless nms=False asks for the other,
          and the other where fusing left nothing else.
        """
        if nms == AUTO:
            return next(iter(self.there), "")
        if nms in self.there:
            return nms
        if not self.there:
            raise CheckpointError(
                f"{weights} ends in the head {self.kind}, which finds no boxes and has no {nms} branch. Leave nms out."
            )
        left = self.there[0]
        if nms == self.removed:
            raise CheckpointError(
                f"{weights} has no {nms} branch any more: it was saved after fusing, which keeps one branch, here the "
                f"{left} one. Give the checkpoint as training saved it, or ask for the {left} branch."
            )
        raise CheckpointError(
            f"{weights} has no {nms} branch: its head, {self.kind}, was built with the {left} one alone. Expected a "
            f"model with both, such as YOLO26 or YOLOv10; or ask for the {left} branch."
        )


def keep_only(head, chosen: str) -> None:
    """Drops the other branch of a head that has two, as fusing does, of which the newer Ultralytics know both ways.

    Args:
      head: The head, in PyTorch, fused or not; changed in place.
      chosen: What `Branches.choose` gave.
    """
    if len(Branches.of(head).there) < 2:
        return
    head.end2end = chosen == ONE_TO_ONE  # Ultralytics 8.4.67 looks at nothing else
    of_one = [name for name in head._modules if name.startswith(_MARK)]
    for name in of_one if chosen == ONE_TO_MANY else [name.removeprefix(_MARK) for name in of_one]:
        setattr(head, name, None)
