"""One version of a model: its state, what waits for it, and what its processes make of that.

version = Version("digits", 1, job, batching, observer, runners)
await version.load()                  # raises if it cannot
outcome = await version.infer(inference)
await version.unload(seconds=30)

All of it runs in the event loop, but for `take`.
"""

import asyncio
import dataclasses
import time

import numpy as np

from tftrt_yolo.ground.errors import ServingError, TftrtYoloError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.ground.workers.worker import WorkerCrashedError
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.processes.job import Job
from tftrt_yolo.serving.scheduling.processes.runners import Runner, Runners
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.scheduling.request import Request
from tftrt_yolo.serving.scheduling.waiting import FullError, Waiting
from tftrt_yolo.serving.serving_options import BatchingOptions

_MOST_DEATHS = 2  # of processes with a request in them, before it is taken for the cause
_CRASHES_AT_LOAD = 2  # after which a version cannot be loaded: a process that stood ready may have died for itself
_CRASHES_LATER = 4  # of a version that was loaded before; until then its requests wait for the next process
_BACK_OFF_SECONDS, _MOST_BACK_OFF_SECONDS = 0.5, 30.0
_RATE_KEPT = 0.8  # of what was measured before, in the pictures a second
_RETRY_SECONDS = (1.0, 60.0)  # least and most that a client is told to wait


class Version:
    """A version of a model that is served.

    Attributes:
      state: How it stands, for clients.
      job: What its processes load.
      last_answer: When something last came back from one of its processes, in seconds of `time.monotonic`.
      batch_seconds: How long its batches take, on average.
      probe: The inference that was last to find out whether it answers; None if none was.
    """

    def __init__(
        self, name: str, number: int, job: Job, *, batching: BatchingOptions, observer: Observer, runners: Runners
    ):
        """Loads nothing yet."""
        self.job, self._batching, self._observer, self._runners = job, batching, observer, runners
        self.state = ModelState(name, number, "UNAVAILABLE", "not loaded yet", saved_model_dir=job.saved_model_dir)
        self._waiting = Waiting(batching)
        self._requests: set[Request] = set()  # that nobody has answered yet
        self._live: set[Runner] = set()
        self._wanted = 0  # processes that are to come
        self._load = self._gone = None
        self._is_ending = False
        self._deaths = 0  # of processes since one answered last
        self._rate = 0.0
        self.last_answer, self.batch_seconds, self.probe = -float("inf"), 0.0, None

    @property
    def is_alive(self) -> bool:
        """Whether a process has the model."""
        return bool(self._live)

    async def load(self) -> None:
        """Loads it into its processes.

        Raises:
          TftrtYoloError: If it cannot be loaded, or its process ends.
        """
        self._set_state("LOADING")
        self._load = asyncio.get_running_loop().create_future()
        for _ in range(self._batching.processes):
            self._want()
        try:
            await self._load
        finally:
            self._load = None

    async def infer(self, inference: Inference, *, is_probe: bool = False) -> Outcome:
        """Runs a request that was checked.

        Args:
          inference: What is asked.
          is_probe: Whether it goes before all others.

        Returns:
          What came of it.

        Raises:
          RefusedError: If there is no room, its time is over, or it cannot be computed.
        """
        loop = asyncio.get_running_loop()
        request = Request(inference, loop.create_future(), is_alone=is_probe)
        if is_probe:
            self._waiting.put_first([request])
        else:
            self._put(request)
        self._requests.add(request)
        left = max(0.0, min(inference.deadline - time.monotonic(), 86_400.0))
        timer = loop.call_later(left, self._give_up, request)
        try:
            return await request.answer
        finally:
            timer.cancel()
            request.is_over = True
            self._requests.discard(request)
            self._waiting.discard(request)
            self._may_be_gone()

    async def unload(self, seconds: float) -> None:
        """Finishes what was accepted and ends its processes.

        Args:
          seconds: After which what is not finished is refused, and the processes are killed.
        """
        self._is_ending = True
        self._set_state("UNLOADING")
        self._gone = asyncio.get_running_loop().create_future()
        if self._load is not None and not self._load.done():
            self._load.set_exception(
                ServingError(f"{self.job.saved_model_dir} was still loading when the server ended.")
            )
        self._waiting.close()
        self._may_be_gone()
        try:
            await asyncio.wait_for(asyncio.shield(self._gone), seconds)
        except asyncio.TimeoutError:
            self.abandon()
        self._set_state("UNAVAILABLE", "unloaded")

    def abandon(self) -> None:
        """Refuses what is not finished and kills the processes; `unload` need not wait any longer."""
        for request in [*self._requests]:
            self._refuse(request, Refusal.UNAVAILABLE, "The model was unloaded before this was computed.", 1.0)
        self._waiting.clear()
        for runner in self._live:
            runner.kill()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def take(self) -> list[Request] | None:
        """As `Served`."""
        return self._waiting.take()

    def loaded(self, runner: Runner, known: dict) -> None:
        """As `Served`."""
        self._wanted -= 1
        self._live.add(runner)
        self.last_answer = time.monotonic()
        self._known(known)
        if self._load is not None and not self._load.done() and not self._wanted:
            self._load.set_result(None)
        if self._load is None and not self._is_ending:
            self._set_state("READY")

    def not_loaded(self, runner: Runner, error: Exception) -> None:
        """As `Served`."""
        self._wanted -= 1
        self._deaths += 1
        is_crash = isinstance(error, WorkerCrashedError)
        if is_crash and self._deaths < _CRASHES_AT_LOAD:
            self._want()
        elif self._load is not None:
            if not self._load.done():
                self._load.set_exception(_as_ours(error, self.job.saved_model_dir))
        else:  # it was loaded before: its files may have gone, or the memory
            if not self._live and not self._is_ending and not (is_crash and self._deaths <= _CRASHES_LATER):
                self._set_state("UNAVAILABLE", first_line(error))
            self._start_anew()

    def ready(self) -> None:
        """Takes requests from now on."""
        self._set_state("READY")

    def failed(self, reason: str) -> None:
        """Is not to be had, and why."""
        self._is_ending = True
        self._waiting.close()
        self._set_state("UNAVAILABLE", reason)

    def begun(self, batch: list[Request]) -> None:
        """As `Served`."""
        self._observer.queued(self.state.name, self.state.version, self._waiting.pictures)

    def finished(self, batch: list[Request], result: dict) -> None:
        """As `Served`."""
        self.last_answer, self._deaths = time.monotonic(), 0
        if "refusal" in result:
            self._not_computed(batch, result)
            return
        size, seconds = sum(request.size for request in batch), result["seconds"]
        self._measure(size, seconds)
        self._observer.batch(self.state.name, self.state.version, size, seconds)
        if result["gpu_bytes"]:
            self._observer.gpu_memory(self.state.name, self.state.version, result["gpu_bytes"])
        outputs, first = result["outputs"], 0
        for request in batch:
            rows = slice(first, first + request.size)
            first += request.size
            if not request.is_over and not request.answer.done():
                own = outputs if len(batch) == 1 else {name: value[rows].copy() for name, value in outputs.items()}
                waited = request.started - request.accepted
                request.answer.set_result(Outcome(own, self.state.name, self.state.version, size, waited, seconds))

    def died(self, runner: Runner, batch: list[Request], error: Exception) -> None:
        """As `Served`."""
        self._live.discard(runner)
        self.last_answer = -float("inf")
        self._deaths += 1
        reason = first_line(error).partition(" Its last words:")[0]
        self._observer.process_ended(self.state.name, self.state.version, reason)
        again = []
        for request in batch:
            request.deaths += 1
            if request.is_over:
                continue
            if request.deaths < _MOST_DEATHS:
                again.append(request)
            else:
                self._refuse(request, Refusal.INTERNAL, "The model's process ended over this request, twice.")
        self._waiting.put_first(again)
        if not self._is_ending or self._requests:
            self._start_anew()
        self._may_be_gone()

    def ended(self, runner: Runner) -> None:
        """As `Served`."""
        self._live.discard(runner)
        self._may_be_gone()

    def _put(self, request: Request) -> None:
        """Lets a request wait, or refuses it."""
        try:
            self._waiting.put(request)
        except FullError:
            waiting = self._waiting.pictures
            seconds = waiting / self._rate if self._rate else _RETRY_SECONDS[0]
            raise RefusedError(
                Refusal.UNAVAILABLE,
                f"{waiting:,} pictures wait for the model {self.state.name!r}, and no more may than "
                f"{self._batching.queue_size:,}. Try again later.",
                retry_after_seconds=float(np.clip(seconds, *_RETRY_SECONDS)),
            ) from None
        self._observer.queued(self.state.name, self.state.version, self._waiting.pictures)

    def _give_up(self, request: Request) -> None:
        """A request's time is over."""
        seconds = time.monotonic() - request.accepted
        was = "being computed" if request.started else "waiting"
        self._refuse(
            request, Refusal.DEADLINE_EXCEEDED, f"Its time was over after {seconds:.3f} s, while it was {was}."
        )

    def _refuse(self, request: Request, refusal: Refusal, message: str, retry_after: float | None = None) -> None:
        """Answers a request with an error, if nobody did yet."""
        if not request.answer.done():
            request.answer.set_exception(RefusedError(refusal, message, retry_after_seconds=retry_after))

    def _not_computed(self, batch: list[Request], result: dict) -> None:
        """TensorFlow refused a batch: each is tried alone, and one that was alone is answered."""
        if len(batch) > 1:
            self._waiting.put_first([request for request in batch if not request.is_over])
            return
        self._refuse(batch[0], Refusal[result["refusal"]], f"The model could not be run: {result['message']}")

    def _measure(self, size: int, seconds: float) -> None:
        """Keeps how quick it is."""
        rate = self._batching.processes * size / max(seconds, 1e-6)
        self._rate = _RATE_KEPT * self._rate + (1 - _RATE_KEPT) * rate if self._rate else rate
        self.batch_seconds = (
            _RATE_KEPT * self.batch_seconds + (1 - _RATE_KEPT) * seconds if self.batch_seconds else seconds
        )

    def _want(self, delay: float = 0.0) -> None:
        """Asks for a process."""
        self._wanted += 1
        self._runners.want(self, delay)

    def _start_anew(self) -> None:
        """Asks for a process in place of one that ended; each time later while none of them answers."""
        delay = 0.0 if self._deaths < 2 else min(_MOST_BACK_OFF_SECONDS, _BACK_OFF_SECONDS * 2 ** (self._deaths - 2))
        self._want(delay)

    def _known(self, known: dict) -> None:
        """Keeps what a process says of the model; it is the same each time."""
        if not self.state.signatures:
            self.state = dataclasses.replace(self.state, **known)
            self._waiting.limit(known["max_batch_size"])

    def _set_state(self, state: str, reason: str = "") -> None:
        """Has another state from now on."""
        if (self.state.state, self.state.reason) != (state, reason):
            self.state = dataclasses.replace(self.state, state=state, reason=reason)
            self._observer.state(self.state)

    def _may_be_gone(self) -> None:
        """Ends `unload` when the last process has ended and nobody waits."""
        if self._gone is not None and not self._gone.done() and not self._live and not self._requests:
            self._gone.set_result(None)


def _as_ours(error: Exception, saved_model_dir: str) -> TftrtYoloError:
    """An error for whoever starts a server."""
    if isinstance(error, TftrtYoloError):
        return error
    loaded = ServingError(f"The process that was to load {saved_model_dir} {error}")
    loaded.__cause__ = error
    return loaded
