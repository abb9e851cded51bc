"""Runs the cases of a kind in child processes, watches them, and says what happened.

    log = run("images", 20_000, Run(seed=1, workers=2, folder=Path("build/fuzz")))
    log.faults                                      # must be empty
    print(log)

A child does case after case. One whose case takes too long or too much memory is ended, one that dies is an abort; the
next case gets a new child. Every case derives from (seed, kind, index) alone.
"""

import collections
import contextlib
import dataclasses
import importlib.util
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
_KINDS = ("checkpoints", "saved_models", "images", "labels", "recipes", "worker_results", "engine_files")
CASE_SECONDS = 20  # the longest that a case may take
_PREPARE_SECONDS = 540  # an export on a busy machine
_LOOK_SECONDS = 0.05  # between two looks at a child's memory
_RENEWED_AFTER = 2_000  # cases, so that what libraries keep does not add up
_LAST_WORDS = 3_000  # characters of what a dead child printed


def kinds() -> list[str]:
    """The kinds of input that have a module here."""
    return [kind for kind in _KINDS if importlib.util.find_spec(f"tests.fuzz.{kind}")]


@dataclasses.dataclass(frozen=True)
class Run:
    """What is the same for all cases.

    Attributes:
      seed: Of all randomness.
      workers: Child processes at a time.
      folder: Where the children's folders are made.
      first: Index of the first case.
      most_bytes: Memory that a case may take, its child processes included.
      seconds: Wall time that a case may take.
      python_path: Where modules of kinds are looked for, beside this package.
    """

    seed: int
    workers: int
    folder: Path
    first: int = 0
    most_bytes: int = 4 << 30
    seconds: float = CASE_SECONDS
    python_path: Path | None = None


@dataclasses.dataclass(frozen=True)
class Fault:
    """A case that the product did not answer as it must.

    Attributes:
      kind: "raw exception", "bad message", "abort", "timeout", "memory" or "code executed".
      seed: The run's.
      index: The case's.
      label: How the input was damaged, where that is known.
      detail: A traceback, a signal with the last words, or what was done.
    """

    kind: str
    seed: int
    index: int
    label: str
    detail: str


@dataclasses.dataclass
class Log:
    """What came of the cases of one kind."""

    kind: str
    seed: int
    first: int
    tried: int = 0
    accepted: int = 0
    refused: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    labels: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[Fault] = dataclasses.field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)  # seconds, index
    largest: tuple[int, int] = (0, -1)  # bytes, index
    seconds: float = 0.0

    def add(self, answer: dict) -> None:
        """Counts one case."""
        outcome, index = answer["outcome"], answer["index"]
        self.tried += 1
        self.labels[answer["label"]] += 1
        self.accepted += outcome == "accepted"
        if outcome == "refused":
            self.refused[answer["class"]] += 1
        elif outcome != "accepted":
            self.faults.append(Fault(outcome, self.seed, index, answer["label"], answer["detail"]))
        self.slowest = max(self.slowest, (answer["seconds"], index))
        self.largest = max(self.largest, (answer["peak_bytes"], index))

    def __str__(self) -> str:
        """A few lines for a reader."""
        refused = ", ".join(f"{count:,} {name}" for name, count in self.refused.most_common()) or "none"
        faults = ", ".join(f"{n:,} {kind}" for kind, n in collections.Counter(f.kind for f in self.faults).items())
        lines = [
            f"{self.kind}: {self.tried:,} tried in {self.seconds:,.0f} s, seed {self.seed}",
            f"  accepted {self.accepted:,}; refused {refused}",
            f"  slowest  {self.slowest[0]:.2f} s (case {self.slowest[1]})",
            f"  memory   {self.largest[0] / 1e9:.2f} GB at most (case {self.largest[1]})",
            f"  faults   {faults or 'none'}",
        ]
        for fault in self.faults[:20]:
            last = fault.detail.strip().splitlines()[-1] if fault.detail.strip() else ""
            lines.append(f"    case {fault.index} ({fault.label}): {fault.kind}: {last[:200]}")
        return "\n".join(lines)


def write(logs: list[Log], path: Path) -> None:
    """Writes the logs as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    documents = [
        log.__dict__
        | {"labels": dict(log.labels.most_common(100)), "faults": [dataclasses.asdict(fault) for fault in log.faults]}
        for log in logs
    ]
    path.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")


class _Gone(Exception):
    """A child ended, or had to be: a fault, what it said, the memory that it had."""

    def __init__(self, fault: str, detail: str, peak_bytes: int):
        super().__init__(fault)
        self.fault, self.detail, self.peak_bytes = fault, detail, peak_bytes


class _Child:
    """One process of `child`."""

    def __init__(self, module: str, run: Run, prepared: Path):
        self._run = run
        self._work = Path(tempfile.mkdtemp(prefix="child_", dir=run.folder))
        self.num_cases = 0
        read_end, write_end = os.pipe()
        self._answers = open(read_end, "rb")  # noqa: SIM115 - it is closed with the child
        self._words = open(self._work / "words", "w+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fuzz.child", module, str(run.seed), str(run.seconds)),
                *(prepared, self._work, str(write_end)),
            ],
            stdin=subprocess.PIPE,
            stdout=self._words,
            stderr=self._words,
            pass_fds=(write_end,),
            cwd=_made(self._work / "cwd"),
            env=self._environment(),
            start_new_session=True,
        )
        os.close(write_end)
        self._answer(_PREPARE_SECONDS, 64 << 30)

    def _environment(self) -> dict[str, str]:
        """The caller's, with everything that is written going into the child's own folder."""
        path = [str(self._run.python_path)] if self._run.python_path else []
        path += [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        home = str(_made(self._work / "home"))
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": home,
            "XDG_CACHE_HOME": home,
            "YOLO_CONFIG_DIR": home,
            "MPLCONFIGDIR": home,
            "TMPDIR": str(_made(self._work / "tmp")),
            "FUZZ_CANARY": str(_made(self._run.folder / f"canary_{self._work.name}")),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_NUM_INTRAOP_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }

    def do(self, index: int) -> dict:
        """Does one case; raises _Gone."""
        self.num_cases += 1
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{index}\n".encode())
            self._process.stdin.flush()
        answer = self._answer(self._run.seconds, self._run.most_bytes)
        if answer["peak_bytes"] > self._run.most_bytes and answer["outcome"] != "code executed":
            answer |= {"outcome": "memory", "detail": f"{answer['peak_bytes']:,} bytes"}
        return answer

    def _answer(self, seconds: float, most_bytes: int) -> dict:
        """The next line of the child."""
        deadline, peak = time.monotonic() + seconds, 0
        while not select.select([self._answers], [], [], _LOOK_SECONDS)[0]:
            peak = max(peak, self._resident_bytes())
            if peak > most_bytes:
                raise _Gone("memory", f"{peak:,} bytes\n{self._end()}", peak)
            if time.monotonic() > deadline:
                raise _Gone("timeout", f"{seconds:g} s\n{self._end()}", peak)
        line = self._answers.readline()
        if line:
            return json.loads(line)
        words, code = self._end(wait=True), self._process.returncode
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        raise _Gone("abort", f"{words}\n{how}", peak)

    def _resident_bytes(self) -> int:
        """Memory of the child and of all that it started."""
        total = 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            for one in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += one.memory_info().rss
        return total

    def _end(self, *, wait: bool = False) -> str:
        """Ends the child and what it started, and gives its last words."""
        if wait:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            started = psutil.Process(self._process.pid).children(recursive=True)
            for one in started:
                with contextlib.suppress(psutil.Error):
                    one.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._words.seek(0)
        return self._words.read()[-_LAST_WORDS:].decode(errors="replace")

    def close(self) -> None:
        """Ends the child and removes its folder."""
        self._end()
        self._answers.close()
        self._words.close()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        shutil.rmtree(self._work, ignore_errors=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(kind: str, count: int, settings: Run, *, module: str | None = None) -> Log:
    """Does the cases of one kind.

    Args:
      kind: Its name.
      count: How many.
      settings: What is the same for all.
      module: Of the kind, if it is none of this package.

    Returns:
      What came of them.

    Raises:
      RuntimeError: If a child cannot prepare itself; with its last words.
    """
    log, lock, start = Log(kind, settings.seed, settings.first), threading.Lock(), time.perf_counter()
    indices, failures = queue.SimpleQueue(), []
    for index in range(settings.first, settings.first + count):
        indices.put(index)
    settings = dataclasses.replace(settings, folder=_made(settings.folder.resolve()))

    def work() -> None:
        try:
            for answer in _answers(module or f"tests.fuzz.{kind}", indices, settings):
                with lock:
                    log.add(answer)
        except _Gone as gone:  # before its first case
            failures.append(gone)

    threads = [threading.Thread(target=work) for _ in range(min(settings.workers, count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"a child for {kind} could not prepare itself ({failures[0].fault}): {failures[0].detail}")
    log.seconds = time.perf_counter() - start
    log.faults.sort(key=lambda fault: fault.index)
    return log


def _answers(module: str, indices: queue.SimpleQueue, settings: Run):
    """What one worker's cases came to; its child is replaced where one ends."""
    child = None
    try:
        while True:
            try:
                index = indices.get_nowait()
            except queue.Empty:
                return
            child = child or _Child(module, settings, settings.folder / f"prepared_{module.rpartition('.')[2]}")
            start = time.monotonic()
            try:
                yield child.do(index)
            except _Gone as gone:
                yield {
                    "index": index,
                    "label": "?",
                    "outcome": gone.fault,
                    "detail": gone.detail,
                    "seconds": time.monotonic() - start,
                    "peak_bytes": gone.peak_bytes,
                }
                child.close()
                child = None
                continue
            if child.num_cases >= _RENEWED_AFTER:
                child.close()
                child = None
    finally:
        if child:
            child.close()
