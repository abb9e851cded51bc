"""Acceptance: everything that this package does, once, on this machine, in one report.

    report = tftrt_yolo.acceptance("runs/acceptance")
    print(report)
    report.headline, report.faults

It exports, converts, builds, saves, loads, predicts, evaluates and measures small packaged models of YOLOv8's five
tasks in every precision, in processes whose end is not its own, and writes report.json and report.html, which can be
attached to an issue. What cannot be done on a machine is said, and is no fault.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tftrt_yolo.benchmarking import machine
from tftrt_yolo.contract import PRECISION_MODES, SAVED_MODEL
from tftrt_yolo.ground.arguments import argument, number
from tftrt_yolo.ground.environment import Environment
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.workflows.accepting import materials, page
from tftrt_yolo.workflows.accepting.acceptance_report import EXPORTS_DIR, FILE, PAGE_FILE, AcceptanceReport
from tftrt_yolo.workflows.accepting.plan import Places, plan
from tftrt_yolo.workflows.accepting.run import Runner

_CONTENTS = directories.Contents(
    FILE,
    (PAGE_FILE, *(f"{EXPORTS_DIR}/*_saved_model/{name}" for name in (SAVED_MODEL.marker, *SAVED_MODEL.others))),
)
_WORK_DIR = "work"
_PICTURES = 40  # all that there are
_PICTURES_OF_A_REHEARSAL = 6  # the stand-in computes an image in half a second or so


def acceptance(
    output_dir: str | Path,
    *,
    tasks: tuple[str, ...] | None = None,
    precision_modes: tuple[str, ...] | None = None,
    exports_dir: str | Path | None = None,
    seconds: float = 600.0,
    overwrite: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> AcceptanceReport:
    """Tries everything that this package does on small packaged models, and writes a report that can be attached.

    For each task: the export, its accuracy, and a conversion for XLA or oneDNN. For each task and precision: the
    preflight, the conversion for TensorRT with engines built where that can be done, the engines in the file, loading
    and predicting in a fresh process, the detections beside the export's, a batch that no profile holds, and the
    accuracy. Then two conversions in one process, and a benchmark.

    Args:
      output_dir: Directory to write: report.json, report.html, and exports/ with the exports that were made.
      tasks: Of detect, segment, pose, obb and classify; none for all of these. Semantic segmentation and depth are not
        among them.
      precision_modes: Of FP32, FP16 and INT8; none for all.
      exports_dir: The exports/ that an acceptance of this version wrote elsewhere, for a machine without export tools.
      seconds: A step that takes longer is ended, and its row says so.
      overwrite: Replace the output of an earlier acceptance.
      on_progress: Called with a line before each step.

    Returns:
      A row a step; `faults` has those that failed, and not what this machine lacks.

    Raises:
      ValueError: If an argument is out of its range or unknown, or exports_dir lacks the export of a task.
      FileExistsError: If output_dir exists and overwrite is false, or holds exports_dir.
    """
    start = time.perf_counter()
    output_dir = Path(output_dir)
    tasks = _check_names("tasks", tasks, materials.TASK_NAMES)
    precision_modes = _check_names("precision_modes", precision_modes, PRECISION_MODES["tensorrt"])
    seconds = _check_seconds(seconds)
    directories.check_free(output_dir, _CONTENTS, overwrite=overwrite)
    given_dir = _check_exports(exports_dir, tasks, output_dir)
    say = on_progress or (lambda line: None)
    with directories.written_whole(output_dir, _CONTENTS, overwrite=overwrite) as partial_dir:
        partial_dir = partial_dir.resolve()
        places = Places(
            given_dir or partial_dir / EXPORTS_DIR, partial_dir / _WORK_DIR, are_given=given_dir is not None
        )
        found = _found(
            tasks, precision_modes, places, seconds, lambda words: _public(words, partial_dir, output_dir), say
        )
        _tidy(partial_dir)
        report = AcceptanceReport(
            machine=machine.describe(),
            version=__version__,
            tasks=tasks,
            precision_modes=precision_modes,
            **found,
            seconds=time.perf_counter() - start,
        )
        report.write(partial_dir)
        (partial_dir / PAGE_FILE).write_text(page.page(report), encoding="utf-8")
    return report


def _found(
    tasks: tuple[str, ...],
    precision_modes: tuple[str, ...],
    places: Places,
    seconds: float,
    shown: Callable[[str], str],
    say: Callable[[str], None],
) -> dict:
    """Runs all steps; gives the report's environment and rows."""
    with Runner(seconds=seconds, shown=shown) as runner:
        say("looking at this machine")
        environment, checked = runner.check()
        most = _PICTURES_OF_A_REHEARSAL if environment and environment.has_stand_in else _PICTURES
        laid_out = {task: materials.lay_out(task, places.work_dir / "data", most=most) for task in tasks}
        has_engines = environment is None or environment.can_build_engines
        steps = plan(laid_out, precision_modes, places, has_gpu=_has_gpu(environment), has_engines=has_engines)
        rows = [checked]
        for number_of_step, step in enumerate(steps, 1):
            name = " ".join(filter(None, (step.task, step.precision_mode)))
            say(f"step {number_of_step} of {len(steps)}: {name}, {step.title}")
            rows.append(runner.run(step))
        return {"environment": environment, "rows": tuple(rows)}


def _tidy(partial_dir: Path) -> None:
    """Removes all but the exports, and of these what a step left that was ended."""
    shutil.rmtree(partial_dir / _WORK_DIR)
    for path in (partial_dir / EXPORTS_DIR).glob(".*"):
        shutil.rmtree(path)


def _has_gpu(environment: Environment | None) -> bool:
    return environment is not None and bool(environment.gpus)


def _public(words: str, partial_dir: Path, output_dir: Path) -> str:
    """Words with the output's final place; what lay beside the output and is gone, by its name alone."""
    return words.replace(f"{partial_dir}/{_WORK_DIR}/", "").replace(str(partial_dir), str(output_dir))


def _check_names(name: str, given: Iterable[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names, each once, all where none are given; refuses unknown ones and an empty list."""
    if given is None:
        return known
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
    unknown = [one for one in names if one not in known]
    if unknown or not names:
        found = f"has {quoted(unknown[0])}" if unknown else f"is {quoted(given)}"
        raise ValueError(f"{argument(name)} {found}; expected one or more of {', '.join(known)}.")
    return tuple(dict.fromkeys(names))


def _check_seconds(seconds: float) -> float:
    """A time limit as a float; refuses what is none."""
    length = number(seconds)
    if length is None or not 0 < length < math.inf:
        raise ValueError(f"{argument('seconds')} is {quoted(seconds)}; it must be a number above 0.")
    return length


def _check_exports(exports_dir: str | Path | None, tasks: tuple[str, ...], output_dir: Path) -> Path | None:
    """The folder of given exports; refuses one that lacks a task's, or would be deleted with the output."""
    if exports_dir is None:
        return None
    missing = [task for task in tasks if not (Path(exports_dir) / f"{task}_saved_model").is_dir()]
    if missing:
        raise ValueError(
            f"{argument('exports_dir')} is {exports_dir}, which has no {missing[0]}_saved_model. Expected the folder "
            f"{EXPORTS_DIR} of an acceptance's output; {argument('tasks')} names the tasks to try."
        )
    directories.check_apart(output_dir, [exports_dir])
    return Path(exports_dir).resolve()
