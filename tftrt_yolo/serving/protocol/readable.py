"""What `encoded` gives of a picture, in words: objects with names, boxes and what else the task has.

objects_of(outcome.outputs, 0, state, with_masks=True)
# [{"class": 3, "name": "3", "score": 0.91, "box": [12.0, 30.5, 48.1, 77.0], "mask": {"png": "iVBORw...", ...}}]
"""

import base64
from collections.abc import Mapping

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.tasks import obb
from tftrt_yolo.tasks.table import TASKS

NUM_CLASSES = 5  # of a classifier's that are listed, the best
_DIGITS = {"scores": 5, "boxes": 2, "keypoints": 3}  # in which an output is given


def status_of(outputs: Mapping[str, np.ndarray], index: int) -> str:
    """Why a picture of a batch was not read; empty if it was.

    Args:
      outputs: Of signature `encoded`.
      index: Of the picture in its batch.

    Returns:
      The model's words.
    """
    statuses = outputs.get(contract.STATUS)
    return "" if statuses is None else bytes(statuses[index]).decode(errors="replace")


def objects_of(
    outputs: Mapping[str, np.ndarray], index: int, state: ModelState, *, with_masks: bool = False
) -> list[dict]:
    """What was found on a picture, best first.

    Args:
      outputs: Of signature `encoded`.
      index: Of the picture in its batch.
      state: The model, with its classes.
      with_masks: Whether masks are among it, of a model that gives them.

    Returns:
      A dictionary an object: "class", "name", "score" and "box", x and y of two corners in pixels; "keypoints", x, y
      and confidence of each; "oriented_box", centre, width, height and angle in radians, with its "corners"; "mask", a
      PNG in base64 and the "corner" at which it lies. Of a classifier a dictionary for each of the five best classes:
      "class", "name" and "probability". Of a map the rows that `predict` writes of it.
    """
    task = TASKS[state.task]
    if task.gives_map:
        return task.encoded_rows(task.of_image(outputs, index), np.array([state.names[i] for i in sorted(state.names)]))
    if task.classifies:
        probabilities = outputs["probabilities"][index]
        best = np.argsort(-probabilities, kind="stable")[:NUM_CLASSES]
        return [{**_class(int(i), state), "probability": _rounded(probabilities[i], 5)} for i in best]
    count = int(outputs["num_detections"][index])
    columns = {name: values[index][:count] for name, values in outputs.items() if values.ndim > 1}
    numbers = {name: _rounded(columns[name], digits) for name, digits in _DIGITS.items() if name in columns}
    if "boxes_xywhr" in columns:
        boxes = columns["boxes_xywhr"]
        places, angles = _rounded(boxes[:, :4], 2), _rounded(boxes[:, 4], 5)
        numbers["oriented_boxes"] = [[*place, angle] for place, angle in zip(places, angles, strict=True)]
        numbers["corners"] = _rounded(obb.corners(boxes), 2)
    return [_object(columns, numbers, row, state, with_masks=with_masks) for row in range(count)]


def _object(columns: dict, numbers: dict[str, list], row: int, state: ModelState, *, with_masks: bool) -> dict:
    """One object, of a picture's outputs and of what is rounded of them."""
    found = {
        **_class(int(columns["classes"][row]), state),
        "score": numbers["scores"][row],
        "box": numbers["boxes"][row],
    }
    if "keypoints" in numbers:
        found["keypoints"] = numbers["keypoints"][row]
    if "corners" in numbers:
        found["oriented_box"], found["corners"] = numbers["oriented_boxes"][row], numbers["corners"][row]
    if with_masks and "masks" in columns:
        png = base64.b64encode(columns["masks"][row]).decode()
        found["mask"] = {"png": png, "corner": columns["mask_corners"][row].tolist()}
    return found


def _class(index: int, state: ModelState) -> dict:
    """A class by its number and its name."""
    return {"class": index, "name": state.names.get(index, str(index))}


def _rounded(values: object, digits: int) -> object:
    """Numbers in a reader's precision."""
    return np.round(np.asarray(values, np.float64), digits).tolist()
