"""What the page asks of a model, and supervision's objects out of what it answers.

asker = Asker(hub, seconds=30.0)
model = asker.model("digits", None)
[answer] = await asker.ask(model, [image], SelectionOptions(score_threshold=0.5))
answer.result                            # as a Predictor gives it

Images go through `serving_default` as arrays, so that what is found is exactly what a Predictor finds in them.
"""

import dataclasses
import functools
import time
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import SERVING, Metadata, read_metadata
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Scene, Task


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A version of a model, as the page knows it.

    Attributes:
      state: What the hub knows.
      metadata: What its SavedModel says of itself.
    """

    state: ModelState
    metadata: Metadata

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return TASKS[self.metadata.task]

    @functools.cached_property
    def names(self) -> np.ndarray:
        """(C,) str, the classes."""
        return np.array([name for _, name in sorted(self.metadata.names.items())], dtype=str)

    def selection(self, **asked) -> SelectionOptions | None:
        """What is asked of it beyond what it was exported with; None for nothing, and where no objects are found."""
        if not self.task.finds_objects:
            return None
        own = self.metadata.selection
        options = {
            name: value for name, value in asked.items() if value is not None and getattr(own, name, None) != value
        }
        return SelectionOptions(**options) if options else None


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What was found in one image.

    Attributes:
      result: Supervision's object, as a Predictor gives it.
      outcome: How it was found: the version, the times.
    """

    result: object
    outcome: Outcome


class Asker:
    """Asks the hub."""

    def __init__(self, hub: Hub, *, seconds: float):
        """Asks nothing yet.

        Args:
          hub: The models.
          seconds: How long a request may take.
        """
        self._hub, self._seconds = hub, seconds

    def states(self) -> tuple[ModelState, ...]:
        """Every version of every model, whatever its state."""
        return self._hub.models()

    def model(self, name: str, version: int | None) -> Model:
        """A model that answers.

        Args:
          name: Its name.
          version: None for the newest that is ready.

        Raises:
          RefusedError: If there is none, or it is not ready.
        """
        state = self._hub.model(name, version)
        if not state.is_ready:
            reason = f": {state.reason}" if state.reason else ""
            raise RefusedError(
                Refusal.UNAVAILABLE,
                f"Version {state.version} of the model {state.name} is {state.state.lower()}{reason}. Try again in a "
                "moment, or choose another.",
            )
        return Model(state, _metadata(state.saved_model_dir))

    async def ask(
        self, model: Model, images: list[np.ndarray], selection: SelectionOptions | None, *, version: int | None = None
    ) -> list[Answer]:
        """Asks a model about images of one size.

        Args:
          model: The model.
          images: (height, width, 3) uint8 each, RGB; no more than a request may have.
          selection: Thresholds and classes; None for the model's own.
          version: That was asked for; None for the newest, should another be there meanwhile.

        Returns:
          What was found in each.

        Raises:
          RefusedError: If the hub refuses it.
        """
        deadline = time.monotonic() + self._seconds
        inputs = {"images": np.stack(images)}
        inference = Inference(model.state.name, SERVING, inputs, deadline, version=version, selection=selection)
        outcome = await self._hub.infer(inference)
        return [Answer(_result(model, outcome, index, image), outcome) for index, image in enumerate(images)]


def _result(model: Model, outcome: Outcome, index: int, image: np.ndarray) -> object:
    """One image's outputs as supervision's object."""
    scene = Scene(model.names, image.shape[:2], model.metadata.image_size_hw)
    return model.task.to_supervision(model.task.of_image(outcome.outputs, index), scene)


@functools.lru_cache(maxsize=64)
def _metadata(saved_model_dir: str) -> Metadata:
    """What a SavedModel says of itself; a version's directory does not change."""
    return read_metadata(Path(saved_model_dir))
