"""What scheduling tells of its work, to whoever wants to know; `observing` has those who do.

Every call comes from the event loop's thread and must be quick.
"""

from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal


class Observer:
    """Does nothing with what it is told."""

    def queued(self, model: str, version: int, pictures: int) -> None:
        """How many pictures wait for a model, after one more request or batch."""

    def batch(self, model: str, version: int, size: int, seconds: float) -> None:
        """A batch went through a model: its pictures, and the seconds in the model's process."""

    def finished(self, inference: Inference, outcome: Outcome | None, refusal: Refusal | None, seconds: float) -> None:
        """A request is done after some seconds: its outcome, or why it was refused; neither if the client went."""

    def state(self, state: ModelState) -> None:
        """A version of a model has another state."""

    def process_ended(self, model: str, version: int, reason: str) -> None:
        """A model's process ended though it was not asked to, and is started anew."""

    def gpu_memory(self, model: str, version: int, used_bytes: int) -> None:
        """What TensorFlow holds of the GPU in a model's process."""
