"""What a task must say of itself, from PyTorch's head to the picture.

TASK = Task(name="detect", heads=("Detect",), ...)     # at the end of the task's module
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tftrt_yolo.contract import STATUS, HeadSpec
from tftrt_yolo.ground.placement import LETTERBOX


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What parity is measured in, and how much difference is accepted.

    Attributes:
      label: What a report calls it.
      output: The output of `network` that holds it.
      tolerance: Largest difference that is accepted.
      unit: Unit of the tolerance, "" for a plain number, "relative" for a share of the largest magnitude.
      columns: First and end of what counts of the output's last axis.
    """

    label: str
    output: str
    tolerance: float
    unit: str = ""
    columns: tuple[int, int | None] = (0, None)

    def largest_difference(self, dense: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
        """The largest difference between two sets of outputs, in the quantity's unit."""
        got, expected = (outputs[self.output][..., slice(*self.columns)] for outputs in (dense, reference))
        largest = float(np.abs(got - expected).max())
        return largest / max(float(np.abs(expected).max()), 1e-6) if self.unit == "relative" else largest

    def format(self, value: float) -> str:
        """A difference with its unit."""
        return f"{value:.2g} {self.unit}".rstrip()


@dataclasses.dataclass(frozen=True)
class Scene:
    """What the host knows of an image beside the network's outputs.

    Attributes:
      names: (C,) str, the classes.
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the network's frame in pixels.
      retina_masks: Whether masks are computed at the image's resolution, and not at the frame's.
    """

    names: np.ndarray
    image_size_hw: tuple[int, int]
    frame_size_hw: tuple[int, int]
    retina_masks: bool = False


@dataclasses.dataclass(frozen=True)
class Packing:
    """What signature `encoded` gives in place of outputs that are too large to send.

    Attributes:
      replaced: Names of the outputs that it does not give.
      given: Names of those that it gives instead.
      pack: Takes the outputs of the signatures that take images, the images' sizes (batch, 2) int32 and the frame's
        height and width in pixels to the outputs `given`.
    """

    replaced: tuple[str, ...]
    given: tuple[str, ...]
    pack: Callable[[dict, object, tuple[int, int]], dict]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One task of Ultralytics. Functions import TensorFlow, PyTorch and supervision where they use them.

    Attributes:
      name: Ultralytics' name of the task.
      heads: Ultralytics' classes of the head, by name.
      level_parts: Names of what the head gives for each level.
      whole_parts: Names of what it gives once.
      raw_outputs: Takes a head and its features, in PyTorch, to the raw outputs of its last layers, by part: what is
        exported.
      reference: Takes what Ultralytics' own network gives to the dense outputs, in NumPy: what parity is checked with.
      quantities: What an export must have in common with PyTorch.
      decode: Takes the parts and the HeadSpec to the outputs of signature `network`, in ops that TF-TRT converts.
      per_anchor: Names of the outputs of `network` that have a row for each anchor and come with every detection.
      per_image: Names of those that an image has once.
      select: Takes the dense outputs, a Metadata and `static_shapes` to an `nms.Selected`; None if nothing is selected.
      place: Takes the selected rows of the outputs `per_anchor` and a Letterbox to the same in pixels of the images.
      ultralytics: Takes the dense outputs and a Metadata to what Ultralytics' own loader expects of an export.
      fit: How images are laid into frames, as Ultralytics does for this task: one of `placement.FITS`.
      default_size: Side of the frames in pixels unless the caller says otherwise; Ultralytics' own.
      to_supervision: Takes one image's outputs and a Scene to supervision's object.
      draw: Takes an image (height, width, 3) uint8 RGB, that object, the names and DrawingOptions to a picture.
      rows: Takes the object and the names to a dictionary for each of its parts, best first: for files.
      boxes: Takes the object to `supervision.Detections`, by which detections are matched; None without boxes.
      differences: Takes two of the objects and the indices of a pair to the largest difference of each quantity.
      row_label: What a file calls the rows.
      encode_map: Takes the object of a task that gives a value for each pixel to a file of these; None for others.
      map_ending: Of that file.
      encoded_rows: Takes what signature `encoded` gives of one image, and the names, to what `rows` gives of the
        object; None for tasks that give no map.
      encoded_map: Takes what `encoded` gives of one image to its map for an answer that is text: a PNG, and what else
        must be known of its values; None for tasks that give no map.
      verb: What a report says was done to images where there are no objects to count.
      packing: What `encoded` gives instead of some outputs; None for the same as the other signatures.
      has_classes: Whether it tells classes apart; of a task that does not, metadata has a name nevertheless, for
        Ultralytics' sake.
    """

    name: str
    heads: tuple[str, ...]
    level_parts: tuple[str, ...] = ()
    whole_parts: tuple[str, ...]
    raw_outputs: Callable[[object, object], dict[str, list]]
    reference: Callable[[list[np.ndarray], HeadSpec], dict[str, np.ndarray]]
    quantities: tuple[Quantity, ...]
    decode: Callable[[dict[str, list], HeadSpec], dict]
    per_anchor: tuple[str, ...] = ()
    per_image: tuple[str, ...]
    select: Callable | None = None
    place: Callable[[dict, object], dict] | None = None
    ultralytics: Callable
    to_supervision: Callable[[dict[str, np.ndarray], Scene], object]
    draw: Callable[..., np.ndarray]
    rows: Callable[[object, np.ndarray], list[dict]]
    boxes: Callable | None = None
    differences: Callable[[object, object, int, int], dict[str, float]]
    row_label: str = "detections"
    encode_map: Callable[[object], bytes] | None = None
    map_ending: str = ".png"
    encoded_rows: Callable[[dict[str, np.ndarray], np.ndarray], list[dict]] | None = None
    encoded_map: Callable[[dict[str, np.ndarray]], tuple[bytes, dict[str, float]]] | None = None
    verb: str = ""
    fit: str = LETTERBOX
    default_size: int = 640
    packing: Packing | None = None
    has_classes: bool = True

    @property
    def finds_objects(self) -> bool:
        """Whether an image has any number of objects, each with a box: what is selected, tracked, cut out, matched."""
        return self.select is not None

    @property
    def gives_map(self) -> bool:
        """Whether an image has a value for each of its pixels: neither objects nor one class for all of it."""
        return self.encode_map is not None

    @property
    def classifies(self) -> bool:
        """Whether an image as a whole has a probability for each class."""
        return not (self.finds_objects or self.gives_map)

    @property
    def kind(self) -> str:
        """What a model of it is, for a message that refuses what is for objects."""
        return f"a model for {self.name}" + (", which gives a map of each image and no boxes" if self.gives_map else "")

    def counted_names(self, rows: list[dict]) -> list[str]:
        """The classes that an image counts for.

        Args:
          rows: As `rows` gives them.

        Returns:
          The class of each object; the best one of a classifier; of a map those that it shows, if it has any.
        """
        return [row["name"] for row in (rows[:1] if self.classifies else rows) if "name" in row]

    @property
    def dense(self) -> tuple[str, ...]:
        """Names of the outputs of signature `network`."""
        scores = ("scores",) if self.finds_objects else ()
        return self.per_anchor + scores + self.per_image

    def part_names(self, num_levels: int) -> list[tuple[str, int]]:
        """Part and level of each raw output, in the order in which they are exported."""
        return [(part, level) for part in self.level_parts for level in range(num_levels)] + [
            (part, 0) for part in self.whole_parts
        ]

    def of_image(self, outputs: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
        """One image's own outputs of a batch.

        Args:
          outputs: As the signatures that take images give them.
          index: Of the image in the batch.

        Returns:
          What an image has once as it is, and the rest without padding.
        """
        return own_outputs(outputs, index, self.per_image)

    def group(self, outputs: list, num_levels: int) -> dict[str, list]:
        """Raw outputs in the order of `part_names`, by part."""
        parts = {part: [] for part in self.level_parts + self.whole_parts}
        for (part, _), output in zip(self.part_names(num_levels), outputs, strict=True):
            parts[part].append(output)
        return parts


def own_outputs(outputs: dict[str, np.ndarray], index: int, per_image: tuple[str, ...]) -> dict[str, np.ndarray]:
    """As `Task.of_image`, for who has no task.

    Args:
      outputs: As the signatures that take images give them.
      index: Of the image in the batch.
      per_image: Names of the outputs that an image has once; with others, `num_detections` is among the outputs.

    Returns:
      What an image has once as it is, and the rest without padding.
    """
    count = int(outputs["num_detections"][index]) if "num_detections" in outputs else None
    own = {name: value for name, value in outputs.items() if name not in ("num_detections", STATUS)}
    return {
        name: value[index] if count is None or name in per_image else value[index, :count]
        for name, value in own.items()
    }
