"""All models that a server holds: whoever speaks to a client asks here.

hub = Hub(ModelOptions(saved_model_dir="digits_saved_model"), BatchingOptions(), observer)
await hub.start()                        # returns when every model is ready, or raises
outcome = await hub.infer(inference)
await hub.stop()                         # finishes what is accepted and refuses the rest

A version that comes into the repository is loaded beside the others and takes over when it is ready. All of it runs in
one event loop; models run in processes, which threads hold.
"""

import asyncio
import time

import numpy as np
from absl import logging

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ServingError, TftrtYoloError
from tftrt_yolo.ground.text import first_line, quoted
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.scheduling import checks, health, repository
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.processes.job import Job
from tftrt_yolo.serving.scheduling.processes.runners import Runners
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.scheduling.repository import Place
from tftrt_yolo.serving.scheduling.version import Version
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions

_RETRY_SECONDS = 1.0  # for what is loading, or ends
_LOAD_SECONDS = 3_600.0  # after which a process that loads is taken for hung: engines may be built meanwhile
_HUNG_SECONDS = 10.0  # beyond a request's time
_AGAIN_SECONDS = (10.0, 300.0)  # least and most, before a version is loaded again whose process ended meanwhile
_WATCH_SECONDS = 0.25
_KILL_SECONDS = 5.0  # for threads whose processes were killed


class Hub:
    """The models, by name and version."""

    def __init__(
        self,
        models: ModelOptions,
        batching: BatchingOptions,
        observer: Observer | None = None,
        *,
        max_pixels: int = ListenOptions.max_pixels,
    ):
        """Starts nothing yet.

        Args:
          models: Which.
          batching: How requests become batches.
          observer: Is told what happens.
          max_pixels: As `ListenOptions`.

        Raises:
          ValueError: If there is no place of models.
        """
        if models.saved_model_dir is None and models.model_repository is None:
            raise ValueError(
                f"Neither {argument('saved_model_dir')} nor {argument('model_repository')} was given. Expected one of "
                "them, where the model is."
            )
        self._models, self._batching, self._observer = models, batching, observer or Observer()
        self._max_pixels = max_pixels
        self._versions: dict[tuple[str, int], Version] = {}
        self._prints: dict[tuple[str, int], int] = {}  # of places as they were seen last
        self._failed: dict[tuple[str, int], int] = {}  # of places whose version could not be loaded
        self._again: dict[tuple[str, int], tuple[float, float]] = {}  # whose process ended: when, after which seconds
        self._tasks: set[asyncio.Task] = set()
        self._runners = self._stopping = None
        self._is_open = False

    async def start(self) -> None:
        """Loads every model.

        Raises:
          SavedModelError: If one is none of ours.
          TensorRTUnavailableError: If strict, and its engines cannot run here.
          ServingError: If there is no model, or a model's process ends.
        """
        self._runners = Runners(asyncio.get_running_loop())
        try:
            places = await asyncio.to_thread(repository.look, self._models)
            if not places:
                raise repository.empty(self._models)
            starts = [self._start(name, places) for name in sorted({name for name, _ in places})]
            for error in filter(None, await asyncio.gather(*starts, return_exceptions=True)):
                raise error
        except BaseException:
            await self.stop()
            raise
        self._is_open = True
        self._begin(self._watch())
        if self._models.model_repository is not None:
            self._begin(self._poll())

    async def stop(self) -> None:
        """Finishes what was accepted, refuses the rest, and ends the models' processes; again does no harm."""
        self._is_open = False
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    def abandon(self) -> None:
        """Refuses what `stop` would wait for, and kills the processes, so that it returns at once."""
        for version in self._versions.values():
            version.abandon()

    def models(self) -> tuple[ModelState, ...]:
        """Every version that is known, whatever its state; newest last."""
        return tuple(self._versions[key].state for key in sorted(self._versions))

    def states(self, name: str, version: int | None = None) -> tuple[ModelState, ...]:
        """What is known of a model's versions, whatever their states.

        Args:
          name: Its name.
          version: One of them alone; None for all.

        Returns:
          Their states, newest first; at least one.

        Raises:
          RefusedError: If there is none.
        """
        self._version(name, version)
        known = [state for state in self.models() if state.name == name and version in (None, state.version)]
        return tuple(reversed(known))

    def model(self, name: str, version: int | None = None) -> ModelState:
        """What is known of a model.

        Args:
          name: Its name.
          version: None for the newest that is ready; if none is, for the newest.

        Returns:
          Its state; it may not be ready.

        Raises:
          RefusedError: If there is none, or it was never loaded; `states` has that, too.
        """
        state = self._version(name, version).state
        if not state.signatures:
            raise _not_ready(state)
        return state

    async def is_ready(self, name: str | None = None, version: int | None = None) -> bool:
        """Whether a model, or every one, answers: whether an inference of a picture went through it just now.

        Args:
          name: Of the model; None for all of them.
          version: None for the newest that is ready.

        Returns:
          False also for a model that is not known, and while the server ends.
        """
        if not self._is_open:
            return False
        try:
            names = [name] if name is not None else sorted({known for known, _ in self._versions})
            asked = [self._version(one, version) for one in names]
        except RefusedError:
            return False
        return bool(asked) and all(await asyncio.gather(*map(health.answers, asked)))

    async def infer(self, inference: Inference) -> Outcome:
        """Runs a request.

        Args:
          inference: What is asked.

        Returns:
          What came of it. A picture that cannot be read fails alone: `encoded` says so in its status.

        Raises:
          RefusedError: If it is refused.
        """
        start, outcome, refusal = time.monotonic(), None, None
        try:
            outcome = await self._infer(inference)
            return outcome
        except RefusedError as error:
            refusal = error.refusal
            raise
        finally:
            self._observer.finished(inference, outcome, refusal, time.monotonic() - start)

    async def _infer(self, inference: Inference) -> Outcome:
        """As `infer`, untold."""
        if not self._is_open:
            raise _unavailable("The server ends, or has not begun. Try again, at another if there is one.")
        version = self._version(inference.model, inference.version)
        if not version.state.is_ready:
            raise _not_ready(version.state)
        checks.check(inference, version.state, max_pixels=self._max_pixels)
        if inference.deadline <= time.monotonic():
            raise RefusedError(Refusal.DEADLINE_EXCEEDED, "The request's time was over before it was accepted.")
        if inference.size == 0 and (outcome := _empty(inference, version.state)) is not None:
            return outcome
        return await version.infer(inference)

    def _version(self, name: str, number: int | None) -> Version:
        """A version that is known.

        Raises:
          RefusedError: If there is none.
        """
        known = sorted(version for known, version in self._versions if known == name)
        if number is None and known:
            ready = [version for version in known if self._versions[name, version].state.is_ready]
            return self._versions[name, (ready or known)[-1]]
        if number in known:
            return self._versions[name, number]
        if known:
            listed = ", ".join(map(str, known))
            raise RefusedError(
                Refusal.NOT_FOUND, f"There is no version {number} of the model {quoted(name)}; known are {listed}."
            )
        names = ", ".join(sorted({known for known, _ in self._versions})) or "none"
        raise RefusedError(Refusal.NOT_FOUND, f"There is no model {quoted(name)}; known are {names}.")

    async def _start(self, name: str, places: dict[tuple[str, int], Place]) -> None:
        """Loads a model's newest versions, and older ones where these cannot be loaded; one at least."""
        errors, count = [], 0
        for key in sorted((key for key in places if key[0] == name), reverse=True):
            self._prints[key] = places[key].print
            if count < self._models.num_versions:
                try:
                    await self._load(key, places[key])
                    count += 1
                except TftrtYoloError as error:
                    errors.append(error)
        if not count:
            raise errors[0]

    async def _load(self, key: tuple[str, int], place: Place) -> None:
        """Loads a version.

        Raises:
          TftrtYoloError: If it cannot be loaded; then it is known as unavailable.
        """
        job = Job(
            saved_model_dir=str(place.saved_model_dir),
            strict=self._models.strict,
            allow_side_effects=self._models.allow_side_effects,
            max_batch_size=self._batching.max_batch_size,
            max_pixels=self._max_pixels,
        )
        version = Version(*key, job, batching=self._batching, observer=self._observer, runners=self._runners)
        self._versions[key] = version
        self._failed.pop(key, None)
        try:
            await asyncio.to_thread(open_saved_model, job.saved_model_dir)  # what is none is found without a process
            await version.load()
        except TftrtYoloError as error:
            self._failed[key] = place.print
            if isinstance(error, ServingError):  # its process ended: the memory may suffice another time
                _, before = self._again.get(key, (0.0, _AGAIN_SECONDS[0] / 2))
                seconds = min(2 * before, _AGAIN_SECONDS[1])
                self._again[key] = time.monotonic() + seconds, seconds
            version.failed(first_line(error))
            raise
        self._again.pop(key, None)
        version.ready()

    async def _poll(self) -> None:
        """Looks at the repository again and again."""
        while True:
            await asyncio.sleep(self._models.poll_seconds)
            try:
                self._tend(await asyncio.to_thread(repository.look, self._models))
            except ServingError as error:  # it may come again
                logging.warning("%s", error)

    def _tend(self, places: dict[tuple[str, int], Place]) -> None:
        """Loads what is new and unloads what is old, or gone."""
        settled = {key for key, place in places.items() if place.is_whole and self._prints.get(key) == place.print}
        self._prints = {key: place.print for key, place in places.items()}
        for name in {name for name, _ in (*places, *self._versions)}:
            here = sorted((key for key in places if key[0] == name), reverse=True)
            usable = [key for key in here if key in settled and self._may_load(key, places[key])]
            for key in usable[: self._models.num_versions]:
                if key not in self._versions or key in self._failed:
                    self._begin(self._load_beside(key, places[key]))
            self._unload_old(name, {number for _, number in here})

    async def _load_beside(self, key: tuple[str, int], place: Place) -> None:
        """Loads a version while others serve."""
        try:
            await self._load(key, place)
        except TftrtYoloError as error:
            logging.warning("Version %d of the model %s is not served: %s", key[1], key[0], error)

    def _may_load(self, key: tuple[str, int], place: Place) -> bool:
        """Whether a version was not tried in vain: as it is now, or where its process ended not long ago."""
        if self._failed.get(key) != place.print:
            return True
        return key in self._again and time.monotonic() >= self._again[key][0]

    def _unload_old(self, name: str, here: set[int]) -> None:
        """Unloads versions beyond those that are wanted, and those that are gone, while another answers."""
        versions = {number: version for (known, number), version in self._versions.items() if known == name}
        ready = sorted(number for number, version in versions.items() if version.state.is_ready)
        gone = [number for number in versions if number not in here]
        for number in gone:
            is_last = number in ready and not set(ready) - set(gone)
            if not is_last or not here:
                self._begin(self._unload((name, number)))
        ready = [number for number in ready if number not in gone or not here]
        for number in ready[: -self._models.num_versions]:
            if number not in gone:
                self._begin(self._unload((name, number)))

    async def _unload(self, key: tuple[str, int]) -> None:
        """Unloads a version when it has finished what it has."""
        version = self._versions[key]
        if version.state.state in ("UNLOADING", "LOADING"):
            return
        await version.unload(self._batching.request_timeout_s + _HUNG_SECONDS)
        if self._versions.get(key) is version:
            del self._versions[key]
        self._failed.pop(key, None)
        self._again.pop(key, None)

    async def _watch(self) -> None:
        """Kills processes that take far longer than any should."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            for runner in self._runners.busy:
                limit = _LOAD_SECONDS if runner.is_loading else self._batching.request_timeout_s + _HUNG_SECONDS
                since = runner.busy_since
                if since is not None and now - since > limit:
                    logging.error("A model's process has not answered for %.0f s; it is ended.", now - since)
                    runner.kill()

    async def _stop(self) -> None:
        """As `stop`."""
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        limit = self._batching.request_timeout_s + _HUNG_SECONDS
        try:
            await asyncio.gather(*(version.unload(limit) for version in self._versions.values()))
            self._versions.clear()
            if self._runners is not None:
                await asyncio.to_thread(self._runners.end, _KILL_SECONDS)
        except asyncio.CancelledError:  # the loop ends
            if self._runners is not None:
                self._runners.end(_KILL_SECONDS)
            raise

    def _begin(self, work) -> None:
        """Runs something beside."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _empty(inference: Inference, state: ModelState) -> Outcome | None:
    """The outcome of no picture at all, where the outputs' shapes are known; None where the model must be asked."""
    specs = state.signatures[inference.signature].outputs
    if inference.selection is not None or any(None in spec.shape[1:] for spec in specs.values()):
        return None
    outputs = {name: np.zeros((0, *spec.shape[1:]), spec.dtype) for name, spec in specs.items()}
    return Outcome(outputs, state.name, state.version, batch_size=0, queue_seconds=0.0, compute_seconds=0.0)


def _not_ready(state: ModelState) -> RefusedError:
    """For a version that does not answer; why is for whoever runs the server."""
    return _unavailable(
        f"Version {state.version} of the model {quoted(state.name)} is {state.state.lower()}. Try again later."
    )


def _unavailable(message: str) -> RefusedError:
    """For what may be there later."""
    return RefusedError(Refusal.UNAVAILABLE, message, retry_after_seconds=_RETRY_SECONDS)
