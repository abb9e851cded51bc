"""Runs the steps of an acceptance in processes of their own: whatever becomes of one, the others go on.

    with Runner(seconds=600.0, shown=str) as runner:
        row = runner.run(step)
        row.finding.state

Steps that load no engine share a process, for starting TensorFlow takes seconds, and take over the one that a step
began anew; one that was ended is replaced.
"""

import contextlib
import threading
import time
from collections.abc import Callable

from tftrt_yolo.ground.environment import Environment
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, IMPOSSIBLE, NOT_RUN, PASSED, Finding, Row
from tftrt_yolo.workflows.accepting.plan import Step

_MODULE = "tftrt_yolo.workflows.accepting.steps"
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # errors stay: they are the last words of a crash


class Runner:
    """Runs steps, and knows what the earlier ones made."""

    def __init__(self, *, seconds: float, shown: Callable[[str], str]):
        """Prepares; a context starts and ends its processes.

        Args:
          seconds: A step that takes longer is ended.
          shown: Puts the words of a step as the report is to show them: with the places where files will be.
        """
        self._seconds, self._shown = min(seconds, threading.TIMEOUT_MAX), shown
        self._made: dict[tuple[str, ...], Finding] = {}
        self._resources, self._worker = contextlib.ExitStack(), None

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_) -> None:
        self._resources.close()

    def check(self) -> tuple[Environment | None, Row]:
        """What `check` says of this machine, None if it does not come to an end; and the row of it."""
        start = time.perf_counter()
        found = self._ask("check", {})
        is_known = isinstance(found, Environment)
        finding = Finding(PASSED) if is_known else found
        return found if is_known else None, Row("check", "", "", finding, time.perf_counter() - start)

    def run(self, step: Step) -> Row:
        """Runs a step.

        Args:
          step: What to do.

        Returns:
          What became of it.
        """
        start = time.perf_counter()
        finding = self._not_run(step) or self._found(step)
        if step.makes:
            self._made[step.makes] = finding
        return Row(step.title, step.task, step.precision_mode, finding, time.perf_counter() - start)

    def _not_run(self, step: Step) -> Finding | None:
        """Why a step cannot run: what it needs was not made; None if it can."""
        for need in step.needs:
            earlier = self._made[need]
            if earlier.state != PASSED:
                state = IMPOSSIBLE if earlier.state == IMPOSSIBLE else NOT_RUN
                reason = f": {earlier.words}" if earlier.state == IMPOSSIBLE else ", which see"
                return Finding(state, f"it needs the {' '.join(need)}{reason}")
        return None

    def _found(self, step: Step) -> Finding:
        """What a step finds."""
        arguments = dict(step.arguments)
        if step.function == "evaluate":
            arguments["before"] = self._made["accuracy", step.task].figures
        if step.is_fresh:
            self._end()
        found = self._ask(step.function, arguments)
        if step.is_last:
            self._end()  # it holds a model, and on a GPU its memory
        return Finding(found.state, self._shown(found.words), found.figures, found.is_rehearsal)

    def _ask(self, function: str, arguments: dict) -> Finding | Environment:
        """Has the process do something; a process that ends, or takes too long, is a finding."""
        worker = self._started()
        is_late = threading.Event()
        timer = threading.Timer(self._seconds, lambda: (is_late.set(), worker.kill()))
        timer.daemon = True
        timer.start()
        try:
            worker.send((function, arguments))
            return worker.receive()
        except WorkerCrashedError as error:
            self._end()
            _, _, last_words = str(error).partition("Its last words:\n")
            if is_late.is_set():
                words = f"It did not end within {self._seconds:g} s and was ended. Its last words:\n{last_words}"
                return Finding(FAILED, words)
            return Finding(FAILED, f"The process {error}")
        finally:
            timer.cancel()
            timer.join()
            if is_late.is_set():  # perhaps just after it had answered: the next step needs another
                self._end()

    def _started(self) -> Worker:
        """The process; a new one if there is none."""
        if self._worker is None:
            self._worker = self._resources.enter_context(Worker(_MODULE, environment=_ENVIRONMENT, keep_heap=False))
            self._worker.open()
        return self._worker

    def _end(self) -> None:
        """Ends the process."""
        self._worker = None
        self._resources.close()
