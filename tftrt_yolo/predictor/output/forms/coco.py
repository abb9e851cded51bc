"""coco_results.json: what COCO's evaluation reads as results; and coco_images.json: what its ids mean.

    truth = COCO("instances_val2017.json")
    found = truth.loadRes("runs/photos/coco_results.json")     # with coco_annotations="instances_val2017.json"

Boxes are x, y, width, height in pixels. segment has masks as run-length encodings of the image's size, pose key points,
obb the box's four corners as a polygon and Ultralytics' "rbox". Both files are written as the run goes.
"""

import json
from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation import mask_runs
from tftrt_yolo.evaluation.datasets.coco import coco_masks
from tftrt_yolo.predictor.output.forms.coco_ids import AnnotatedIds, OwnIds
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot

RESULTS, IMAGES = "coco_results.json", "coco_images.json"
_DIGITS, _SCORE_DIGITS = 3, 6


class CocoResults:
    """Writes the two files."""

    def __init__(self, scene: Scene):
        """Begins the files.

        Args:
          scene: What the run is of.

        Raises:
          DatasetError: If coco_annotations cannot be used with this model.
        """
        given = scene.options.coco_annotations
        self._scene = scene
        self._ids = AnnotatedIds(Path(given), scene) if given is not None else OwnIds(scene)
        self._results = _List(scene.folder / RESULTS, "")
        categories = json.dumps(self._ids.categories, ensure_ascii=False)
        self._images = _List(scene.folder / IMAGES, f'{{"categories": {categories},\n"annotations": [],\n"images": ')

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes the results of an image; gives its id, as "image_id"."""
        image_id = self._ids.image_id(shot)
        if image_id is None:
            return {}
        height, width = shot.size_hw
        entry = {"id": image_id, "file_name": self._ids.file_name(shot), "width": width, "height": height}
        of_video = {} if shot.frame is None else {"frame": shot.frame, "seconds": shot.seconds}
        self._images.add(entry | of_video)
        for index, row in enumerate(shot.rows):
            category_id = self._ids.category_of.get(row["class"])
            if category_id is not None:
                self._results.add({"image_id": image_id, "category_id": category_id} | self._numbers(shot, index))
        return {"image_id": image_id}

    def _numbers(self, shot: Shot, index: int) -> dict[str, object]:
        """What a result says of an object."""
        boxes = self._scene.task.boxes(shot.result)
        left, top, right, bottom = boxes.xyxy[index].astype(np.float64)
        return {
            "bbox": _rounded([left, top, right - left, bottom - top], _DIGITS),
            "score": round(float(boxes.confidence[index]), _SCORE_DIGITS),
        } | _MORE.get(self._scene.task.name, lambda *_: {})(shot, index)

    def close(self) -> None:
        """Completes the files."""
        self._results.close("\n")
        self._images.close("}\n")

    def notes(self) -> list[str]:
        """Which images and classes have no id in coco_annotations."""
        return self._ids.notes()


def _rounded(values: object, digits: int) -> list:
    """Numbers in a file's precision."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


class _List:
    """A JSON list that is written entry by entry."""

    def __init__(self, path: Path, before: str):
        """Begins the file with what stands before the list."""
        self._file, self._separator = open(path, "w", encoding="utf-8"), "\n"  # noqa: SIM115 - closed by close()
        self._file.write(f"{before}[")

    def add(self, entry: dict) -> None:
        """Writes an entry on a line of its own."""
        self._file.write(self._separator + json.dumps(entry, ensure_ascii=False))
        self._separator = ",\n"

    def close(self, after: str) -> None:
        """Ends the list and the file, with what stands behind the list."""
        self._file.write(f"\n]{after}")
        self._file.close()


def _mask(shot: Shot, index: int) -> dict[str, object]:
    """A mask as compressed runs."""
    masks, (left, top) = shot.result.mask, (0, 0)
    if hasattr(masks, "crop"):  # supervision's compact ones
        left, top = (int(offset) for offset in masks.offsets[index])
        mask = masks.crop(index)
    else:
        mask = np.asarray(masks[index], bool)
    runs = mask_runs.runs_of(mask, left, top, shot.size_hw)
    return {"segmentation": {"size": list(shot.size_hw), "counts": coco_masks.compressed(runs)}}


def _keypoints(shot: Shot, index: int) -> dict[str, object]:
    """Key points: x, y and confidence, one after the other."""
    numbers = np.column_stack([shot.result.xy[index], shot.result.keypoint_confidence[index]])
    return {"keypoints": _rounded(numbers.ravel(), _DIGITS)}


def _oriented(shot: Shot, index: int) -> dict[str, object]:
    """An oriented box: its corners, and centre, size and angle."""
    from supervision.config import ORIENTED_BOX_COORDINATES

    corners = np.ravel(shot.result.data[ORIENTED_BOX_COORDINATES][index])
    return {"segmentation": [_rounded(corners, _DIGITS)], "rbox": _rounded(shot.result.data["xywhr"][index], 5)}


_MORE = {"segment": _mask, "pose": _keypoints, "obb": _oriented}
