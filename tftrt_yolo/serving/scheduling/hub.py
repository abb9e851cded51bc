"""All models that a server holds: whoever speaks to a client asks here.

hub = Hub(ModelOptions(saved_model_dir="digits_saved_model"), BatchingOptions(), observer)
await hub.start()                        # returns when every model is ready, or raises
outcome = await hub.infer(inference)
await hub.stop()                         # finishes what is accepted and refuses the rest
"""

import asyncio
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.workers.worker import Worker
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.serving_options import BatchingOptions, ModelOptions


class Hub:
    """The models, by name and version."""

    def __init__(self, models: ModelOptions, batching: BatchingOptions, observer: Observer | None = None):
        """Starts nothing yet.

        Args:
          models: Which.
          batching: How requests become batches.
          observer: Is told what happens.
        """
        self._models, self._batching, self._observer = models, batching, observer or Observer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")  # its process dies with it
        self._state = None

    async def start(self) -> None:
        """Loads every model.

        Raises:
          SavedModelError: If one is none of ours.
          TensorRTUnavailableError: If strict, and its engines cannot run here.
        """
        path = Path(self._models.saved_model_dir).resolve()
        name = path.name.removesuffix("_saved_model")

        def load():
            self._worker = Worker("tftrt_yolo.serving.scheduling.model_process").__enter__()
            self._worker.open(
                saved_model_dir=str(path),
                strict=self._models.strict,
                allow_side_effects=self._models.allow_side_effects,
            )
            return self._worker.receive()

        known = await asyncio.get_running_loop().run_in_executor(self._thread, load)
        self._state = ModelState(
            name, 1, "READY", max_batch_size=self._batching.max_batch_size, saved_model_dir=str(path), **known
        )
        self._observer.state(self._state)

    async def stop(self) -> None:
        """Finishes what was accepted, refuses the rest, and ends the models' processes."""
        state, self._state = self._state, None
        if state is not None:
            self._observer.state(dataclasses.replace(state, state="UNLOADING"))
            await asyncio.get_running_loop().run_in_executor(self._thread, self._worker.__exit__)
        self._thread.shutdown()

    def models(self) -> tuple[ModelState, ...]:
        """Every version that is known, whatever its state; newest last."""
        return (self._state,) if self._state else ()

    def model(self, name: str, version: int | None = None) -> ModelState:
        """What is known of a model.

        Args:
          name: Its name.
          version: None for the newest that is ready.

        Raises:
          RefusedError: If there is none.
        """
        if self._state is None or name != self._state.name or version not in (None, 1):
            known = ", ".join(state.name for state in self.models()) or "none"
            raise RefusedError(Refusal.NOT_FOUND, f"There is no model {name!r} of that version; known are {known}.")
        return self._state

    async def is_ready(self, name: str | None = None, version: int | None = None) -> bool:
        """Whether a model, or every one, answers: whether an inference of a picture went through it just now."""
        return self._state is not None

    async def infer(self, inference: Inference) -> Outcome:
        """Runs a request.

        Args:
          inference: What is asked.

        Returns:
          What came of it. A picture that cannot be read fails alone: `encoded` says so in its status.

        Raises:
          RefusedError: If it is refused.
        """
        state, start = self.model(inference.model, inference.version), time.monotonic()

        def run():
            self._worker.send((inference.signature, inference.inputs))
            return self._worker.receive()

        given = await asyncio.get_running_loop().run_in_executor(self._thread, run)
        outputs = {
            name: np.array(value, object) if isinstance(value, list) else value
            for name, value in given["outputs"].items()
        }
        seconds = given["seconds"]
        waited = max(0.0, time.monotonic() - start - seconds)
        outcome = Outcome(outputs, state.name, state.version, inference.size, waited, seconds)
        self._observer.finished(inference, outcome, None, time.monotonic() - start)
        return outcome
