"""What a run of `predict` asks for, wherever it is computed."""

import dataclasses

from tftrt_yolo.predictor.output.output_options import OutputOptions
from tftrt_yolo.predictor.sources.source import Source
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What is asked for, and what is found unreadable meanwhile.

    Attributes:
      source: The images; None in another process, which is told of its own.
      output: What is written and drawn.
      batch_size: At most this many images a call of the network.
      asked: Fields of `SelectionOptions` that are asked for.
      unreadable: Why images are skipped; it grows.
    """

    source: Source | None
    output: OutputOptions
    batch_size: int
    asked: dict[str, object]
    unreadable: list[str] = dataclasses.field(default_factory=list)

    def check_selection(self, task: Task, given: str) -> None:
        """Refuses a selection of a model that selects nothing.

        Args:
          task: The model's.
          given: What the model is called, for the message.

        Raises:
          ValueError: If one is asked for.
        """
        if self.asked and not task.finds_objects:
            SelectionOptions(**self.asked).refuse("models that find objects", f"{given} is {task.kind}")

    @property
    def retina_masks(self) -> bool:
        """Whether masks are of the image's resolution, as validators compare them."""
        return "coco" in self.output.save and bool(self.asked.get("multi_label"))
