"""Which detections are right, image by image and by COCO's rules, so that figures can be had of any choice of images.

    matches = Matches(num_classes=80)
    matches.add(3, overlaps, scores=scores, labels=labels, areas=areas)       # one image's objects of class 3
    matches.end_image()
    matches.of_class(3).right                                 # (10, found), best scores first

faster-coco-eval keeps the same to itself.
"""

import dataclasses

import numpy as np

IOU_LEVELS = np.linspace(0.5, 0.95, 10)  # COCO's
_LARGEST_AREA = 1e10  # COCO's "all", px^2
_ALMOST_ONE = 1 - 1e-10  # what COCO takes for an IoU threshold of 1


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labelled objects of one class on one image, n of them.

    Attributes:
      are_ignored: (n,) bool, objects that need not be found: crowds, and whatever else COCO ignores.
      are_crowds: (n,) bool, those that any number of detections may match.
    """

    are_ignored: np.ndarray
    are_crowds: np.ndarray

    @classmethod
    def of(cls, records: list[dict]) -> "Labels":
        """From COCO's annotations; of those for key points one without any that is labelled is ignored."""
        areas = np.array([record["area"] for record in records], np.float64)
        crowds = np.array([bool(record["iscrowd"]) for record in records], bool)
        empty = np.array([record.get("num_keypoints") == 0 for record in records], bool)
        return cls(crowds | empty | _outside(areas), crowds)


@dataclasses.dataclass(frozen=True)
class ClassMatches:
    """All that was found of one class, best scores first.

    Attributes:
      images: (n,) int64, index of the image.
      scores: (n,) float32.
      right: (10, n) bool, whether it matches a label at each IoU level.
      are_ignored: (10, n) bool, whether it counts as neither right nor wrong; None where nothing is ignored.
      objects: (images,) int64, labels of each image that are to be found.
    """

    images: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    are_ignored: np.ndarray | None
    objects: np.ndarray


class Matches:
    """Gathers the matches of one kind over a data set.

    Attributes:
      num_images: Images so far.
    """

    def __init__(self, num_classes: int):
        """Starts without images.

        Args:
          num_classes: Classes of the model.
        """
        self.num_images = 0
        self._found = [[] for _ in range(num_classes)]  # image, scores, right and ignored of each image
        self._objects = [[] for _ in range(num_classes)]  # image and number of labels

    def add(
        self, index: int, overlaps: np.ndarray | None, *, scores: np.ndarray, labels: Labels, areas: np.ndarray
    ) -> None:
        """Takes what is and what was found of one class on the present image.

        Args:
          index: The class.
          overlaps: (found, labels), IoU or similarity; None where either is empty.
          scores: (found,) float32, best first.
          labels: The labels.
          areas: (found,) areas of the detections in pixels of the image.
        """
        objects = int(np.count_nonzero(~labels.are_ignored))
        if objects:
            self._objects[index].append((self.num_images, objects))
        if len(scores):
            right, ignored = match(overlaps, labels, len(scores))
            ignored |= ~right & _outside(areas)
            self._found[index].append((self.num_images, scores, right & ~ignored, ignored))

    def end_image(self) -> None:
        """The next objects are on the next image."""
        self.num_images += 1

    def of_class(self, index: int) -> ClassMatches:
        """All that was added of one class."""
        objects, found = np.zeros(self.num_images, np.int64), self._found[index]
        for image, count in self._objects[index]:
            objects[image] += count
        if not found:
            nothing = np.zeros((len(IOU_LEVELS), 0), bool)
            return ClassMatches(np.zeros(0, np.int64), np.zeros(0, np.float32), nothing, None, objects)
        images = np.repeat([image for image, *_ in found], [len(scores) for _, scores, *_ in found])
        scores, right, ignored = (np.concatenate([one[part] for one in found], axis=-1) for part in (1, 2, 3))
        order = np.argsort(-scores, kind="stable")
        ignored = ignored[:, order] if ignored.any() else None
        return ClassMatches(images[order], scores[order], right[:, order], ignored, objects)


def match(overlaps: np.ndarray | None, labels: Labels, num_found: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives labels to detections, best scores first, at each IoU level.

    A detection gets the free label that it overlaps most, of several alike the last; one that is to be ignored only
    where there is no other.

    Args:
      overlaps: (found, labels), the best scores first; None where there are none of either.
      labels: The labels.
      num_found: How many detections.

    Returns:
      (10, found) bool each: whether a detection has a label, and whether that is an ignored one.

    Source: pycocotools.cocoeval.COCOeval.evaluateImg.
    """
    right = np.zeros((len(IOU_LEVELS), num_found), bool)
    ignored = np.zeros_like(right)
    if overlaps is None or not overlaps.size:
        return right, ignored
    least = np.minimum(IOU_LEVELS, _ALMOST_ONE)[:, np.newaxis]
    free = np.ones((len(IOU_LEVELS), overlaps.shape[1]), bool)
    levels = np.arange(len(IOU_LEVELS))
    for place in np.flatnonzero(overlaps.max(axis=1) >= IOU_LEVELS[0]):
        open_to = (free | labels.are_crowds) & (overlaps[place] >= least)
        counting = open_to & ~labels.are_ignored
        open_to = np.where(counting.any(axis=1, keepdims=True), counting, open_to)
        values = np.where(open_to, overlaps[place], -1.0)
        chosen = values.shape[1] - 1 - values[:, ::-1].argmax(axis=1)
        has_one = open_to[levels, chosen]
        right[:, place] = has_one
        ignored[:, place] = has_one & labels.are_ignored[chosen]
        free[levels[has_one], chosen[has_one]] = False
    return right, ignored


def _outside(areas: np.ndarray) -> np.ndarray:
    """Whether areas lie outside of COCO's range."""
    return (areas < 0) | (areas > _LARGEST_AREA)
