"""What reports hold of certainty: intervals, the score at which F1 is best, and how far scores shift.

    print(report.score_shift)      # -0.0041 on average (95 %: -0.0062 to -0.0019), ...

Frozen and without NumPy, so that reports are read fast; `resampling` and `score_shift` measure them.
"""

import dataclasses

from tftrt_yolo.ground.text import counted, rounded


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % confidence, had other images of the same kind been drawn.

    Attributes:
      low: The 2.5th percentile over the resamples.
      high: The 97.5th.
    """

    low: float
    high: float

    def show(self, form: str = ".4f") -> str:
        """Both ends for a reader.

        Args:
          form: Format of a number.
        """
        return f"{rounded(self.low, form)} to {rounded(self.high, form)}"


@dataclasses.dataclass(frozen=True)
class BestF1:
    """Where precision and recall are best balanced.

    Attributes:
      score_threshold: The score above which detections have to count for it, to a thousandth.
      f1: F1 there, at an IoU of 0.5, the mean over the classes that have a label, in [0, 1].
    """

    score_threshold: float
    f1: float


@dataclasses.dataclass(frozen=True)
class BestF1Change:
    """How the best threshold moves from one model to another.

    Attributes:
      before: Of the export.
      after: Of the conversion.
      interval: Of the threshold's difference, after less before; None of fewer than ten images.
    """

    before: BestF1
    after: BestF1
    interval: Interval | None = None

    def __str__(self) -> str:
        """One line for a reader."""
        before, after = self.before, self.after
        return (
            f"at score {before.score_threshold:.3f} before ({before.f1:.4f}), {after.score_threshold:.3f} after "
            f"({after.f1:.4f}), moved by {rounded(after.score_threshold - before.score_threshold, '+.3f')}"
            + (f" (95 %: {self.interval.show('+.3f')})" if self.interval else "")
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreShift:
    """How far the scores of a model are from those of another on the same images.

    A pair is a detection of each, of the same class, with an IoU of at least `minimum_iou` (of oriented boxes their
    probabilistic IoU), one to one, of which at least one scores above the threshold; the other may score as little as a
    tenth of it, so that a detection whose score fell below the threshold still counts. Of a classifier a pair is an
    image on which both find the same class the most probable, and its score that probability.

    Attributes:
      images: Images that both were run on.
      pairs: How many pairs.
      mean: Mean of the differences, this model's score less the other's; None without a pair.
      p5: Their 5th percentile.
      p95: Their 95th percentile.
      interval: Of the mean; None of fewer than ten images.
      detections: The other model's detections above the threshold; of a classifier the images.
      lost: How many of them have no counterpart above the threshold.
      new: This model's detections above the threshold whose counterpart is missing, or is not above it.
      score_threshold: The threshold, this model's own; None of a classifier.
      minimum_iou: Least IoU of a pair; None of a classifier.
    """

    images: int
    pairs: int
    mean: float | None
    p5: float | None
    p95: float | None
    interval: Interval | None
    detections: int
    lost: int
    new: int
    score_threshold: float | None
    minimum_iou: float | None

    @property
    def lost_share(self) -> float:
        """Share of the other model's detections that are lost, in [0, 1]."""
        return self.lost / self.detections if self.detections else 0.0

    @property
    def new_share(self) -> float:
        """New detections as a share of the other model's."""
        return self.new / self.detections if self.detections else 0.0

    def __str__(self) -> str:
        """Two lines for a reader."""
        return self.show("image")

    def show(self, noun: str) -> str:
        """Two lines for a reader.

        Args:
          noun: What the images are, in the singular: "labelled image".
        """
        images = counted(self.images, noun)
        if self.score_threshold is None:
            changed = f"the most probable class is another on {self.lost} of {images} ({self.lost_share:.1%})"
            return f"{self._distribution('the same best class')}\n{changed}"
        return (
            f"{self._distribution(f'IoU {self.minimum_iou} or more')} on {images}\n"
            f"above {self.score_threshold:g}, {self.lost:,} of {counted(self.detections, 'detection')} lost "
            f"({self.lost_share:.1%}), {self.new:,} new ({self.new_share:.1%})"
        )

    def _distribution(self, condition: str) -> str:
        """Mean and percentiles, and over how many pairs."""
        if self.mean is None:
            return f"no pair ({condition})"
        interval = f" (95 %: {self.interval.show('+.4f')})" if self.interval else ""
        return (
            f"{rounded(self.mean, '+.4f')} on average{interval}, 5th and 95th percentile {rounded(self.p5, '+.3f')} "
            f"and {rounded(self.p95, '+.3f')}; {counted(self.pairs, 'pair')} ({condition})"
        )
