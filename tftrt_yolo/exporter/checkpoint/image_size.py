"""The size of images that a network was trained at, as Ultralytics keeps it: `imgsz` of the training's arguments.

    read({"imgsz": 320}, None)                         # TrainedSize((320, 320), "")
    read({"imgsz": "large"}, None).note                # "the checkpoint has 'large' as imgsz, which is no size"

A number is the side of a square, two are height and width, and Ultralytics takes both as a text too. What it would fail
on, or what no frame has, is no size: the checkpoint does not know it then, and the note says so.

Source: ultralytics.nn.tasks.load_checkpoint (train_args), ultralytics.engine.model.Model.export (imgsz is that of the
model's arguments), ultralytics.utils.checks.check_imgsz (forms).
"""

import dataclasses
import re

from tftrt_yolo.contract import MOST_SIDE
from tftrt_yolo.exporter.checkpoint.records import Record, describe
from tftrt_yolo.ground.text import printable, quoted

_SIZE = re.compile(r"\s*[\[(]?\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?,?\s*[\])]?\s*", re.ASCII)
_MOST_SHOWN = 4  # numbers of a list, in a message
_UNKNOWN = "the checkpoint does not say at which size it was trained"


@dataclasses.dataclass(frozen=True)
class TrainedSize:
    """At which size a network was trained.

    Attributes:
      size_hw: Height and width in pixels; None if it is not known.
      note: Why it is not known, half a sentence; empty if it is.
    """

    size_hw: tuple[int, int] | None
    note: str = ""


UNTRAINED = TrainedSize(None, "a model YAML with random weights was trained at none")


def read(train_args: object, network_args: object) -> TrainedSize:
    """Finds the size in what a checkpoint holds; all of it may be a stranger's, of any type.

    Args:
      train_args: The checkpoint's `train_args`.
      network_args: Its network's `args`, which earlier versions of Ultralytics kept alone.

    Returns:
      The size of the first that has one.
    """
    given = [_image_size(train_args), _image_size(network_args, is_network=True)]
    given = [value for value in given if value is not None]
    sizes = [size for size in map(_sides, given) if size is not None]
    if sizes:
        return TrainedSize(sizes[0])
    return TrainedSize(None, f"the checkpoint has {_shown(given[0])} as imgsz, which is no size" if given else _UNKNOWN)


def frame_size(size_hw: tuple[int, int], stride: int) -> tuple[int, int]:
    """The sides of a frame for images of a size: the next multiples of the stride, as Ultralytics takes them.

    Args:
      size_hw: Height and width in pixels.
      stride: The model's largest stride in pixels.

    Returns:
      Height and width, at most MOST_SIDE, and at least one stride.

    Source: ultralytics.utils.checks.check_imgsz.
    """
    height, width = (max(1, min(-(-side // stride), MOST_SIDE // stride)) * stride for side in size_hw)
    return height, width


def _image_size(arguments: object, *, is_network: bool = False) -> object:
    """What stands under `imgsz`; None if nothing does."""
    known = arguments.attributes if isinstance(arguments, Record) else arguments
    if not isinstance(known, dict):
        return None
    if is_network and known.get("data", "") is None:  # Ultralytics' defaults, of a network that nobody trained
        return None
    return known.get("imgsz")


def _sides(value: object) -> tuple[int, int] | None:
    """Height and width; None for what is no size."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value) if len(value) < 40 else None
        value = [int(side) for side in match.groups() if side is not None] if match else None
    sides = list(value) if isinstance(value, (list, tuple)) else [value]
    if not 1 <= len(sides) <= 2 or not all(map(_is_side, sides)):
        return None
    return int(sides[0]), int(sides[-1])


def _is_side(value: object) -> bool:
    """Whether it is a whole number of pixels; 640.0 is one, true and NaN are none."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and not isinstance(value, bool) and 1 <= value <= MOST_SIDE


def _shown(value: object) -> str:
    """A value as a message may show it."""
    if isinstance(value, (list, tuple)) and len(value) <= _MOST_SHOWN:
        return f"[{', '.join(map(quoted, value))}]"
    is_plain = isinstance(value, (bool, int, float, str, list, tuple, dict, set))
    return quoted(value) if is_plain else printable(describe(value))
