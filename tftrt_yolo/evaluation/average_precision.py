"""Average precision by COCO's rules, image by image, with the matching and the curves of faster-coco-eval.

    boxes = AveragePrecision(BOXES, num_classes=80)
    boxes.add([(truth, detections), ...], sizes_hw)      # any number of times
    boxes.result().map50_95

The library wants a data set whole, as dictionaries; a thousand images of 300 detections take half a gigabyte that way.
So it gets a few images at a time, and what stays is its own compact record of the matches; it cannot be looked into, so
`matches` keeps what intervals need beside it.
"""

import dataclasses
import functools

import numpy as np

from tftrt_yolo.evaluation import oriented
from tftrt_yolo.evaluation.certainty.matches import Labels, Matches
from tftrt_yolo.evaluation.datasets.truth import Detections, Truth
from tftrt_yolo.evaluation.selection import MAX_DETECTIONS
from tftrt_yolo.tasks import obb

BOXES = "boxes"
MASKS = "masks"
KEYPOINTS = "keypoints"
ORIENTED = "oriented boxes"
ORIENTED_POLYGONS = "oriented polygons"
_IOU_TYPE = {BOXES: "bbox", MASKS: "segm", KEYPOINTS: "keypoints", ORIENTED: "bbox", ORIENTED_POLYGONS: "bbox"}
# COCO's 17 keypoints of a person. Source: cocoeval.Params.setKpParams and ultralytics.utils.metrics.OKS_SIGMA.
_PERSON_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1_000
_ALL_AREAS = [[0, 1e10]]
# Both take (n, 5) and (m, 5), center, width, height, angle, to (n, m).
_OVERLAP = {
    ORIENTED: oriented.probabilistic_iou,
    ORIENTED_POLYGONS: lambda boxes, others: oriented.polygon_iou(obb.corners(boxes), obb.corners(others)),
}


@dataclasses.dataclass(frozen=True)
class Curves:
    """Average precision of one kind.

    Attributes:
      classes: (c,) the classes that have a label somewhere.
      precision: (10, 101, c): for IoU 0.5, 0.55, ... 0.95, at recalls 0, 0.01, ... 1.
    """

    classes: np.ndarray
    precision: np.ndarray

    @property
    def ap50_95(self) -> np.ndarray:
        """(c,) average precision of each class over all IoU thresholds."""
        return self.precision.mean(axis=(0, 1))

    @property
    def ap50(self) -> np.ndarray:
        """(c,) average precision of each class at IoU 0.5."""
        return self.precision[0].mean(axis=0)


def keypoint_sigmas(num_keypoints: int) -> np.ndarray:
    """How far keypoints of each kind may be off: COCO's for 17, 1/K each otherwise, as Ultralytics."""
    if num_keypoints == len(_PERSON_SIGMAS):
        return _PERSON_SIGMAS
    return np.full(num_keypoints, 1 / num_keypoints)


class AveragePrecision:
    """Gathers the matches of one kind over a data set.

    Attributes:
      kind: As given.
      matches: Which detections are right, for figures over other choices of the images.
    """

    def __init__(self, kind: str, num_classes: int, *, sigmas: np.ndarray | None = None):
        """Starts without images.

        Args:
          kind: BOXES, MASKS, KEYPOINTS, ORIENTED (probabilistic IoU) or ORIENTED_POLYGONS (exact IoU).
          num_classes: Classes of the model.
          sigmas: (K,) how far keypoints may be off; for KEYPOINTS.
        """
        self.kind, self._num_classes, self._sigmas = kind, num_classes, sigmas
        self._matches = [[] for _ in range(num_classes)]  # for each class, a record an image
        self.matches = Matches(num_classes)

    def add(self, images: list[tuple[Truth, Detections]], sizes_hw: list[tuple[int, int]]) -> None:
        """Matches the detections of some images.

        Args:
          images: What is on each image and what was found, in pixels of the image.
          sizes_hw: Height and width of each image in pixels.
        """
        truths, found = _coco(), _coco()
        for index, ((truth, detections), (height, width)) in enumerate(zip(images, sizes_hw, strict=True)):
            entry = {"id": index, "height": height, "width": width}
            truths.dataset["images"].append(entry)
            truths.dataset["annotations"] += self._truth_records(index, truth, len(truths.dataset["annotations"]))
            found.dataset["annotations"] += self._found_records(index, detections, len(found.dataset["annotations"]))
        found.dataset["images"] = truths.dataset["images"]
        for one in (truths, found):
            one.dataset["categories"] = [{"id": index} for index in range(self._num_classes)]
            one.createIndex()
        evaluation = self._evaluation(truths, found)
        evaluation.params.imgIds = list(range(len(images)))
        with np.errstate(over="ignore"):  # distances of key points of an area below 0, which is ignored
            evaluation.evaluate()
        records = evaluation._evalImgs_cpp  # class by class, image by image
        for index, matches in enumerate(self._matches):
            matches += records[index * len(images) : (index + 1) * len(images)]
        self._keep_matches(truths, found, evaluation.ious, len(images))

    def result(self) -> Curves:
        """The curves over all images so far."""
        import copy

        evaluation = self._evaluation(None, None)
        evaluation.params.imgIds = list(range(self.matches.num_images))
        evaluation._paramsEval = copy.deepcopy(evaluation.params)
        evaluation._evalImgs_cpp = [record for matches in self._matches for record in matches]
        evaluation.accumulate()
        precision = np.asarray(evaluation.eval["precision"])[..., 0, -1]  # (10, 101, C), -1 without a label
        classes = np.flatnonzero((precision > -1).any(axis=(0, 1)))
        return Curves(classes, precision[..., classes])

    def _keep_matches(self, truths, found, overlaps: dict, num_images: int) -> None:
        """Keeps the matches of a few images, from the overlaps that the library found; keys are image and class."""
        there = [_by_image_and_class(dataset.dataset["annotations"]) for dataset in (truths, found)]
        for image in range(num_images):
            for index in sorted({index for group in there for one, index in group if one == image}):
                labels, detections = (group.get((image, index), []) for group in there)
                detections = sorted(detections, key=lambda record: -record["score"])[:MAX_DETECTIONS]
                self.matches.add(
                    index,
                    np.asarray(overlaps[image, index]) if labels and detections else None,
                    scores=np.array([record["score"] for record in detections], np.float32),
                    labels=Labels.of(labels),
                    areas=np.array([record["area"] for record in detections], np.float64),
                )
            self.matches.end_image()

    def _evaluation(self, truths, found):
        """The library's evaluation with our limits."""
        evaluation = _evaluation_class()(
            truths, found, iouType=_IOU_TYPE[self.kind], separate_eval=True, kpt_oks_sigmas=self._sigmas
        )
        evaluation.params.catIds = list(range(self._num_classes))
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = _ALL_AREAS, ["all"]
        evaluation.overlap = _OVERLAP.get(self.kind)
        return evaluation

    def _truth_records(self, image_id: int, truth: Truth, first: int) -> list[dict]:
        """The labels of an image as COCO's annotations."""
        records = _records(image_id, truth.classes, truth.boxes_xyxy, first)
        areas = truth.object_areas()
        rectangles = oriented.smallest_rectangles(truth.corners) if truth.corners is not None else None
        keypoint_counts = truth.keypoint_counts() if self.kind == KEYPOINTS else None
        for index, record in enumerate(records):
            record["area"] = float(areas[index])
            record["iscrowd"] = int(truth.are_crowds is not None and truth.are_crowds[index])
            if self.kind == MASKS:
                record["segmentation"] = truth.outlines[index]
            elif self.kind == KEYPOINTS:
                record["keypoints"] = truth.keypoints[index].ravel().tolist()
                record["num_keypoints"] = int(keypoint_counts[index])
            elif self.kind in (ORIENTED, ORIENTED_POLYGONS):
                record["xywhr"] = rectangles[index]
        return records

    def _found_records(self, image_id: int, detections: Detections, first: int) -> list[dict]:
        """The detections of an image as COCO's results."""
        records = _records(image_id, detections.classes, detections.boxes_xyxy, first)
        for index, (record, score) in enumerate(zip(records, detections.scores.tolist(), strict=True)):
            record["score"] = score
            # Heads that regress a side directly (YOLO26) can turn a box inside out. COCO's tools would ignore one that
            # matches nothing, for its area is below 0; it is a wrong detection, as to Ultralytics.
            record["area"] = abs(record["area"])
            if self.kind == MASKS:
                record["segmentation"] = detections.masks[index]
            elif self.kind == KEYPOINTS:
                record["keypoints"] = detections.keypoints[index].ravel().tolist()
            elif self.kind in (ORIENTED, ORIENTED_POLYGONS):
                record["xywhr"] = detections.boxes_xywhr[index]
        return records


def _records(image_id: int, classes: np.ndarray, boxes_xyxy: np.ndarray, first: int) -> list[dict]:
    """What COCO's annotations and results have in common; their ids begin at 1."""
    boxes = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1).tolist()
    return [
        {"id": first + index, "image_id": image_id, "category_id": category, "bbox": box, "area": box[2] * box[3]}
        for index, (category, box) in enumerate(zip(classes.tolist(), boxes, strict=True), start=1)
    ]


def _by_image_and_class(records: list[dict]) -> dict[tuple[int, int], list[dict]]:
    """COCO's annotations or results by image and class."""
    groups = {}
    for record in records:
        groups.setdefault((record["image_id"], record["category_id"]), []).append(record)
    return groups


def _coco():
    """An empty data set of the library."""
    from faster_coco_eval import COCO

    coco = COCO()
    coco.dataset = {"images": [], "annotations": []}
    return coco


@functools.cache
def _evaluation_class() -> type:
    """The library's evaluation, which can also be told how boxes overlap: it knows no oriented ones."""
    from faster_coco_eval import COCOeval_faster

    class Evaluation(COCOeval_faster):
        overlap = None

        def computeIoU(self, imgId, catId):  # noqa: N802, N803 - the library's names
            if self.overlap is None:
                return super().computeIoU(imgId, catId)
            truths, found = (dataset.get(imgId, catId) for dataset in (self.gt_dataset, self.dt_dataset))
            if not truths or not found:
                return []
            found = sorted(found, key=lambda record: -record["score"])[:MAX_DETECTIONS]
            return self.overlap(*(np.stack([record["xywhr"] for record in records]) for records in (found, truths)))

    return Evaluation
