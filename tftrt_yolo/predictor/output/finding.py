"""What is made of an image before it is written: all of it that no other image of the run has a part in.

    finding = finding_of(given, image, result, scene)       # in the thread that writes, or in another process
    RunWriter.put(finding)

Rows, the drawing and the encoding of the picture are most of the work; numbers and names come where all images meet.
"""

import dataclasses
from pathlib import Path, PurePath

import numpy as np

from tftrt_yolo.contract import Metadata
from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.output import names
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.output_options import OutputOptions
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.tasks.table import TASKS

_OF_RESULTS = ("txt", "coco", "crops", "masks", "maps")  # forms that are written from the object, others from rows
_OF_PIXELS = ("crops",)


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """An image or a frame with what was found on it.

    Attributes:
      given: What the source gave: a path, bytes or a Frame.
      image: (height, width, 3) uint8, RGB.
      result: The task's object; None where no form that is asked for is written from it.
      rows: What the task says of each of its parts, best first.
      picture: The annotated picture as its file's bytes, of a video's frame as (height, width, 3) uint8; None if none
        is asked for.
      picture_size_hw: Its height and width in pixels.
    """

    given: object
    image: np.ndarray
    result: object
    rows: list[dict]
    picture: bytes | np.ndarray | None = None
    picture_size_hw: tuple[int, int] = (0, 0)

    def itself(self) -> "Finding":
        """The finding, for whoever calls what makes one."""
        return self

    def packed(self, save: tuple[str, ...]) -> tuple:
        """What another process must have of it, where pixels are left out that nobody looks at.

        Args:
          save: The forms that are written.

        Returns:
          What `unpacked` takes, but for what was given.
        """
        frame = self.given if isinstance(self.given, Frame) else None
        return (
            self.image if set(save) & set(_OF_PIXELS) else self.image.shape,
            self.result if set(save) & set(_OF_RESULTS) else None,
            self.rows,
            self.picture,
            self.picture_size_hw,
            frame and dataclasses.replace(frame, image=None),
        )


def unpacked(packed: tuple, given: object) -> Finding:
    """Puts a finding of another process together.

    Args:
      packed: What `Finding.packed` gave there.
      given: What the source gave, where that is no Frame.

    Returns:
      The finding; where its pixels were left out, the image is black and takes no memory.
    """
    image, *others, frame = packed
    if not isinstance(image, np.ndarray):
        image = np.broadcast_to(np.uint8(0), image)
    return Finding(frame or given, image, *others)


def scene_of(metadata: Metadata, folder: Path, options: OutputOptions) -> Scene:
    """What a run is of.

    Args:
      metadata: The model's.
      folder: Where it writes.
      options: What is asked for.

    Returns:
      The scene.
    """
    names = np.array([metadata.names[index] for index in sorted(metadata.names)], dtype=str)
    return Scene(folder, TASKS[metadata.task], names, options, metadata.keypoint_shape)


def finding_of(given: object, image: np.ndarray, result: object, scene: Scene) -> Finding:
    """Makes rows and draws.

    Args:
      given: What the source gave.
      image: (height, width, 3) uint8, RGB.
      result: The task's object.
      scene: What the run is of.

    Returns:
      The finding.

    Raises:
      OSError: If no file can hold the picture.
    """
    rows = scene.task.rows(result, scene.names)
    if not scene.options.pictures:
        return Finding(given, image, result, rows)
    drawn = scene.task.draw(image, result, scene.names, scene.options.drawing)
    size_hw = drawn.shape[:2]
    if isinstance(given, Frame) and given.video is not None:
        return Finding(given, image, result, rows, drawn, size_hw)
    file = Path(called(given, 1)[1])
    ending = pictures.ending_for(file, size_hw)
    name = file.name if ending == file.suffix else f"{file.name}{ending}"
    return Finding(given, image, result, rows, pictures.encoded(drawn, Path(name)), size_hw)


def called(given: object, number: int) -> tuple[str, str, bool]:
    """What files call an image.

    Args:
      given: What the source gave.
      number: The image's number in the run, from 1.

    Returns:
      What it is called, what its own file is called, and whether that is a number of ours.
    """
    of_stream = isinstance(given, Frame)
    source = str(given.source) if of_stream else str(given) if isinstance(given, (str, Path)) else "-"
    if source == "-":  # standard input, whose pictures have no names
        source = f"image_{given.index + 1 if of_stream else number}.jpg"
        return source, source, True
    if "://" in source:
        ending = PurePath(source.partition("?")[0]).suffix or ".jpg"
        return source, names.stem_of(source) + ending, False
    return source, source, False
