"""A process that does cases of one kind, one after another: it reads their indices and answers with what happened.

    python -m tests.fuzz.child MODULE SEED SECONDS PREPARED_FOLDER WORK_FOLDER ANSWERS_FD

What it opens for writing, starts and connects to is recorded while a case runs; connections are refused as well. A
process that the case starts is recorded too, unless it is one of the product's own workers, and is not looked into:
there the canary has to tell.
"""

import contextlib
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import shutil
import sys
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

from tests.fuzz import canary
from tftrt_yolo.ground.text import printable

MOST_MESSAGE = 2_000  # characters of a refusal
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn")
_CONNECTIONS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")
_CHANGES = ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.rename", "os.link")
_CHANGES += ("shutil.rmtree", "shutil.move")


_THROUGH_LINKS = ("open", "os.chmod", "os.chown", "os.truncate")
# Which arguments are paths that change; what a link points to does not.
_PATHS_OF = {"os.rename": slice(2), "shutil.move": slice(2), "os.link": slice(1, 2), "os.symlink": slice(1, 2)}


class Witness:
    """Records what a case does outside of its folder; `record` is an audit hook."""

    def __init__(self, allowed: list[Path], starts: tuple[str, ...]):
        self._allowed = [os.path.realpath(folder) for folder in allowed]
        self._starts = ("tftrt_yolo.ground.workers.worker", *starts)
        self.strange_folder = None
        self.deeds = []
        self.is_watching = False

    def record(self, event: str, arguments: tuple) -> None:
        if not self.is_watching:
            return
        if event == "open":
            self._opened(*arguments)
        elif event == "os.symlink":  # what it leads to is only a text
            self._changed(event, arguments[1])
        elif event in _CHANGES:
            for path in arguments[_PATHS_OF.get(event, slice(1))]:
                self._changed(event, path)
        elif event in _STARTS:
            self._started(event, arguments)
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if self.strange_folder and os.path.abspath(name).startswith(self.strange_folder):
                self._note(event, name)
        elif event in _CONNECTIONS and not self._is_local(event, arguments):
            self._note(event, arguments[1:] or arguments)
            raise PermissionError(f"{event} is refused while a case runs")

    def _note(self, event: str, what: object) -> None:
        self.deeds.append(f"{event} {printable(what)[:300]}")

    def _opened(self, path: object, mode: object, flags: object) -> None:
        if isinstance(flags, int) and flags & _WRITES and not isinstance(path, int):
            self._changed("open", path)

    def _changed(self, event: str, path: object) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        # What is removed, renamed or linked is the link itself, and not what it leads to.
        place = os.path.realpath(path) if event in _THROUGH_LINKS else os.path.join(os.path.realpath(folder), name)
        place = os.fsdecode(place)
        if place != os.devnull and not any(place == one or place.startswith(one + os.sep) for one in self._allowed):
            self._note(event, place)

    def _started(self, event: str, arguments: tuple) -> None:
        words = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], (list, tuple)) else ()
        is_own = event in ("subprocess.Popen", "os.posix_spawn", "os.exec") and words
        if not is_own or not any(word in self._starts for word in map(str, words)):
            self._note(event, arguments[:2])

    @staticmethod
    def _is_local(event: str, arguments: tuple) -> bool:
        """Whether a connection is one of this machine's own sockets."""
        return event == "socket.connect" and isinstance(arguments[1], (str, bytes))


def _prepared(kind, folder: Path):
    """What the kind's cases need; one process is in there at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return kind.prepare(folder)


def _forget_peak() -> None:
    """Begins to measure the largest resident set anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1_024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _run(kind, prepared, rng: np.random.Generator, folder: Path) -> dict:
    """Does one case: what came of it."""
    label = "while it was made"
    try:
        label, bring = kind.case(prepared, rng, folder)
        bring()
    except kind.REFUSALS as error:
        return {"label": label, "outcome": "refused", "class": type(error).__name__} | _message_fault(error)
    except BaseException as error:  # noqa: BLE001 - exits and interrupts are no answer either
        return {
            "label": label,
            "outcome": "raw exception",
            "class": type(error).__name__,
            "detail": "".join(traceback.format_exception(error, limit=-12))[-4_000:],
        }
    return {"label": label, "outcome": "accepted"}


def _message_fault(error: BaseException) -> dict:
    """What is wrong with a refusal's text; TensorFlow's own is not ours."""
    if type(error).__module__.startswith("tensorflow"):
        return {}
    text = str(error)
    faults = [
        fault
        for fault, is_so in (
            ("is empty", not text.strip()),
            (f"has {len(text):,} characters", len(text) > MOST_MESSAGE),
            ("holds control characters", printable(text) != text),
        )
        if is_so
    ]
    return {"outcome": "bad message", "detail": f"{', '.join(faults)}: {text[:300]!r}"} if faults else {}


def _traces() -> list[str]:
    """What lies in the canary's folder, which is emptied."""
    found = sorted(canary().iterdir())
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return [f"canary {path.name}" for path in found]


def _one(kind, prepared, index: int, rng: np.random.Generator, seconds: float, witness: Witness, work: Path) -> dict:
    """A case with everything around it."""
    folder = work / f"case_{index}"
    folder.mkdir()
    # Where no Python file may come from, unless the kind is one that is run by design.
    witness.strange_folder = None if getattr(kind, "RUNS_PYTHON", False) else os.path.realpath(folder)
    witness.deeds = []
    _forget_peak()
    start = time.perf_counter()
    faulthandler.dump_traceback_later(seconds * 0.95)  # the last words of a case that hangs
    witness.is_watching = True
    answer = _run(kind, prepared, rng, folder)
    witness.is_watching = False
    faulthandler.cancel_dump_traceback_later()
    answer |= {"index": index, "seconds": time.perf_counter() - start, "peak_bytes": _peak_bytes()}
    deeds = [*witness.deeds, *_traces()]
    if deeds:
        answer |= {"outcome": "code executed", "detail": "; ".join(deeds[:10])}
    shutil.rmtree(folder, ignore_errors=True)
    return answer


def main(module: str, seed: str, seconds: str, prepared_folder: str, work_folder: str, answers_fd: str) -> None:
    """Answers each line of standard input, an index, with a line of JSON."""
    faulthandler.enable()
    kind, work = importlib.import_module(module), Path(work_folder)
    prepared = _prepared(kind, Path(prepared_folder))
    witness = Witness([work], getattr(kind, "STARTS", ()))
    sys.addaudithook(witness.record)
    gc.freeze()
    with open(int(answers_fd), "w") as answers:
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            rng = np.random.default_rng((int(seed), zlib.crc32(module.encode()), int(line)))
            answer = _one(kind, prepared, int(line), rng, float(seconds), witness, work)
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
