"""By which numbers COCO's results name images and classes: our own, or those of a COCO JSON.

ids = OwnIds(scene)                                 # 139 of 000000000139.jpg, otherwise counted; classes from 1
ids = AnnotatedIds(Path("instances_val2017.json"), scene)
ids.image_id(shot), ids.category_of[0]
"""

import itertools
from collections import defaultdict
from pathlib import Path, PurePath

from tftrt_yolo.evaluation.datasets.coco import coco_json
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot

_MOST_DIGITS = 15  # of a name that is an id; every reader of JSON takes such numbers as they are
_NAMED = 3  # of what has no id, in the report


class OwnIds:
    """Ids without a COCO JSON.

    Attributes:
      categories: COCO's categories.
      category_of: Class index to category id.
    """

    def __init__(self, scene: Scene):
        """Numbers the classes from 1, as Ultralytics does.

        Args:
          scene: What the run is of.
        """
        self.category_of = {index: index + 1 for index in range(len(scene.names))}
        keypoints = {}
        if scene.keypoint_shape:
            keypoints = {"keypoints": [f"keypoint_{number}" for number in range(1, scene.keypoint_shape[0] + 1)]}
        self.categories = [{"id": index + 1, "name": str(name)} | keypoints for index, name in enumerate(scene.names)]
        self._taken, self._counted = set(), 0

    def image_id(self, shot: Shot) -> int:
        """The number that an image's name is, if no other image has it; otherwise the next that is free.

        Frames are counted: the name of a video's frame is no number.
        """
        is_number = shot.frame is None and shot.name.isascii() and shot.name.isdecimal()
        own = int(shot.name) if is_number and len(shot.name) <= _MOST_DIGITS else 0
        if own > self._counted and own not in self._taken:
            self._taken.add(own)
            return own
        self._counted = next(number for number in itertools.count(self._counted + 1) if number not in self._taken)
        return self._counted

    def file_name(self, shot: Shot) -> str:
        """The file's own name."""
        return PurePath(shot.source).name

    def notes(self) -> list[str]:
        """Nothing."""
        return []


class AnnotatedIds:
    """Ids of a COCO JSON: of images by their files' names, of classes by theirs.

    Attributes:
      categories: Its categories.
      category_of: Class index to category id; without classes that it does not have.
    """

    def __init__(self, path: Path, scene: Scene):
        """Reads it.

        Args:
          path: The file.
          scene: What the run is of.

        Raises:
          DatasetError: If it cannot be read, or its classes are not the model's.
        """
        self._path, self._names = path, scene.names
        document = coco_json.load(path)
        names = {index: str(name) for index, name in enumerate(scene.names)}
        num_keypoints = scene.keypoint_shape[0] if scene.keypoint_shape else 0
        spec = LabelSpec(scene.task.name, names, num_keypoints)
        class_of, self._notes = coco_json.classes_of(path, document, spec)
        if not class_of:
            raise DatasetError(
                f"{argument('coco_annotations')}: no category of {shown(path)} is a class of the model. Give the "
                "annotations of the data that the model was trained for."
            )
        self.categories = [category for category in document["categories"] if category.get("id") in class_of]
        self.category_of = {index: key for key, index in reversed(class_of.items())}
        self._by_name = defaultdict(list)
        for key, (file, size_hw) in coco_json.images_of(path, document["images"], Path()).items():
            self._by_name[file.name].append((file, key, size_hw))
        self._missing, self._num_missing, self._num_found = [], 0, 0

    def image_id(self, shot: Shot) -> object | None:
        """The id of an image; None if the COCO JSON does not have it, or has it in another size."""
        parts = PurePath(shot.source).parts
        entries = self._by_name.get(parts[-1], ()) if shot.frame is None and parts else ()
        fitting = [entry for entry in entries if parts[-len(entry[0].parts) :] == entry[0].parts] or list(entries)
        if len(fitting) == 1 and fitting[0][2] in (None, shot.size_hw):
            self._num_found += 1
            return fitting[0][1]
        reason = "not there" if not fitting else "of another size" if len(fitting) == 1 else "there several times"
        self._num_missing += 1
        if len(self._missing) < _NAMED:
            self._missing.append(f"{shown(shot.source)} ({reason})")
        return None

    def file_name(self, shot: Shot) -> str:
        """The name by which the COCO JSON knows an image."""
        return PurePath(shot.source).name

    def notes(self) -> list[str]:
        """Which images and classes have no id, so that they have no results.

        Raises:
          DatasetError: If no image has one.
        """
        found = list(self._notes)
        if self._num_missing:
            more = ", ..." if self._num_missing > len(self._missing) else ""
            line = f"{counted(self._num_missing, 'image')} without an id in {shown(self._path)}: "
            line += ", ".join(self._missing) + more
            if not self._num_found:
                raise DatasetError(f"{argument('coco_annotations')}: {line}. Expected the images that it names.")
            found.append(line)
        without = [str(name) for index, name in enumerate(self._names) if index not in self.category_of]
        if without:
            more = ", ..." if len(without) > _NAMED else ""
            found.append(
                f"{counted(len(without), 'class', 'classes')} without a category in {shown(self._path)}: "
                f"{shown(', '.join(without[:_NAMED]))}{more}"
            )
        return found
