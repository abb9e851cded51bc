"""What an acceptance found: a row a step; printed as tables, written as report.json and read back.

report = AcceptanceReport.read("runs/acceptance")
report.headline, report.faults
"""

import dataclasses
import textwrap
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.benchmarking.machine import Machine
from tftrt_yolo.ground.environment import Environment
from tftrt_yolo.ground.errors import AcceptanceError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, listed, printable

FILE, PAGE_FILE, EXPORTS_DIR = "report.json", "report.html", "exports"
PASSED, FAILED, IMPOSSIBLE, NOT_RUN = "passed", "failed", "not possible here", "not run"
ENGINES = "built engines"  # the step that says whether there are engines
ENGINE_FILE = "engine file"  # the step that builds one for TensorRT's own runtime
REHEARSAL = "rehearsal, not TensorRT"
_MARKS = {PASSED: "ok", FAILED: "FAILED", IMPOSSIBLE: "-", NOT_RUN: "not run"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of a step.

    Attributes:
      state: PASSED, FAILED, IMPOSSIBLE (this machine lacks something, and that is no fault) or NOT_RUN (what it
        needs failed).
      words: Why, or what else is to be known; empty where there is nothing to say.
      figures: Name to figure, in the order in which they are shown.
      is_rehearsal: Whether engines of the stand-in took part in it, which is not TensorRT.
    """

    state: str
    words: str = ""
    figures: dict[str, float | str] = dataclasses.field(default_factory=dict)
    is_rehearsal: bool = False

    @property
    def mark(self) -> str:
        """The state in a word or a sign, for tables; a rehearsal that passed is no "ok"."""
        return "rehearsed" if self.is_rehearsal and self.state == PASSED else _MARKS[self.state]


@dataclasses.dataclass(frozen=True)
class Row:
    """A step with what became of it.

    Attributes:
      step: What was done: "convert".
      task: Ultralytics' name of the task; empty for `check`.
      precision_mode: "FP32", "FP16" or "INT8"; empty for a step that is of no precision.
      finding: What became of it.
      seconds: Wall time.
    """

    step: str
    task: str
    precision_mode: str
    finding: Finding
    seconds: float

    def __str__(self) -> str:
        """Task, precision and step, and why it is as it is."""
        name = " ".join(filter(None, (self.task, self.precision_mode)))
        return f"{', '.join(filter(None, (name, self.step)))}: {self.finding.words}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceptanceReport:
    """What an acceptance found; also written as report.json.

    Attributes:
      machine: Where.
      environment: What `check` said; None if it did not come to an end.
      version: Version of this package.
      tasks: Tasks that were asked for.
      precision_modes: Precisions that were asked for.
      rows: The steps, in the order in which they ran.
      seconds: Wall time.
    """

    machine: Machine
    environment: Environment | None
    version: str
    tasks: tuple[str, ...]
    precision_modes: tuple[str, ...]
    rows: tuple[Row, ...]
    seconds: float

    DERIVED: ClassVar = ("title", "headline", "counts", "faults")

    @property
    def is_rehearsal(self) -> bool:
        """Whether the stand-in took TensorRT's place."""
        is_there = self.environment is not None and self.environment.has_stand_in
        return is_there or any(row.finding.is_rehearsal for row in self.rows)

    @property
    def title(self) -> str:
        """What this is a report of."""
        return f"Acceptance of tftrt_yolo {self.version}" + (f": {REHEARSAL}" if self.is_rehearsal else "")

    @property
    def counts(self) -> dict[str, int]:
        """State to number of rows."""
        return {state: sum(row.finding.state == state for row in self.rows) for state in _MARKS}

    @property
    def faults(self) -> tuple[str, ...]:
        """The rows that failed."""
        return tuple(str(row) for row in self.rows if row.finding.state == FAILED)

    @property
    def headline(self) -> str:
        """One sentence on what this machine has shown and what it has not."""
        asked = [row for row in self.rows if row.step == ENGINES]
        built = [row for row in asked if row.finding.state == PASSED]
        runtime = self.environment.engine_runtime if self.environment else ""
        if built and self.is_rehearsal:
            return (
                f"A rehearsal: this package's stand-in took TensorRT's place and computed the engines of {len(built)} "
                f"of {counted(len(asked), 'conversion')} on the host; that shows the code around TensorRT at work, "
                "and nothing of "
                "TensorRT itself, its numbers or its speed."
            )
        if built:
            return (
                f"{runtime} built engines for {len(built)} of {counted(len(asked), 'conversion')} on this machine; "
                "what became of "
                "saving, loading and running them stands in the rows below."
            )
        why = self.environment.why_no_engines if self.environment else "`check` did not come to an end"
        why = why or "see the rows that did not pass"
        shown = "exports, conversions without engines and how these run in TensorFlow"
        if not (files := [row for row in self.rows if row.step == ENGINE_FILE and row.finding.state == PASSED]):
            return (
                f"No TensorRT engine was built or run on this machine ({why}); the rows that passed show {shown}, and "
                "nothing of TensorRT."
            )
        builders = listed(sorted({str(row.finding.figures.get("built by", "a TensorRT")) for row in files}))
        built = counted(len(files), "standalone engine file, which was", "standalone engine files, which were")
        return (
            f"No TensorRT engine was run on this machine, and TF-TRT built none ({why}); {builders} built "
            f"{built} not run; the other rows that passed show {shown}."
        )

    def cell(self, step: str, task: str, precision_mode: str) -> str:
        """A step's state in a word or a sign; empty where it is not in the plan."""
        wanted = (step, task, precision_mode)
        found = (row for row in self.rows if (row.step, row.task, row.precision_mode) == wanted)
        return next((row.finding.mark for row in found), "")

    def matrix(self) -> tuple[list[str], list[list[str]]]:
        """The rows of tasks as a table: its header, and a line a task and precision."""
        steps = list(dict.fromkeys(row.step for row in self.rows if row.task))
        lines = list(dict.fromkeys((row.task, row.precision_mode) for row in self.rows if row.task))
        lines.sort(key=lambda line: (self.tasks.index(line[0]), ("", *self.precision_modes).index(line[1])))
        return ["task", "precision", *steps], [
            [task, precision, *(self.cell(step, task, precision) for step in steps)] for task, precision in lines
        ]

    def reasons(self, state: str) -> dict[str, list[Row]]:
        """The words of the rows in a state, each with its rows."""
        found = {}
        for row in self.rows:
            if row.finding.state == state:
                found.setdefault(row.finding.words, []).append(row)
        return found

    def write(self, output_dir: Path) -> None:
        """Writes report.json into a directory."""
        documents.write(self, output_dir / FILE)

    @staticmethod
    def read(output_dir: str | Path) -> "AcceptanceReport":
        """Reads report.json back.

        Args:
          output_dir: A directory that `acceptance` wrote, or the file.

        Returns:
          The report.

        Raises:
          AcceptanceError: If the file is missing or damaged.
        """
        return documents.read(
            output_dir, FILE, AcceptanceReport, AcceptanceError, origin="an acceptance", remedy="run it again"
        )

    def __str__(self) -> str:
        """The report for a reader."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        console = documents.text_console()
        console.print(f"{self.title}\n{self.headline}\n\n{self.machine}", soft_wrap=True)
        console.print(f"{counted(len(self.rows), 'step')} in {self.seconds:.0f} s: {counts}", soft_wrap=True)
        console.print(_table(self))
        for state in (FAILED, NOT_RUN, IMPOSSIBLE):
            for words, rows in self.reasons(state).items():
                console.print(f"{state}: {_named(rows)}\n{textwrap.indent(words, '  ')}", soft_wrap=True)
        return printable(documents.text_of(console))


def _named(rows: list[Row]) -> str:
    """Rows by their steps, with tasks and precisions where there are few."""
    steps = list(dict.fromkeys(row.step for row in rows))
    if len(rows) > 3:
        return f"{', '.join(steps)} ({len(rows)} rows)"
    return "; ".join(" ".join(filter(None, (row.task, row.precision_mode, row.step))) for row in rows)


def _table(report: AcceptanceReport):
    """A table for a terminal: a line a step, a column a task."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", no_wrap=True)
    for task in report.tasks:
        table.add_column(task)
    for step in dict.fromkeys(row.step for row in report.rows if row.task):
        table.add_row(step, *(_summed_up(report, step, task) for task in report.tasks))
    return table


def _summed_up(report: AcceptanceReport, step: str, task: str) -> str:
    """A step's states over the precisions: one mark where they agree, otherwise each with its precisions."""
    where = {}
    for row in report.rows:
        if (row.step, row.task) == (step, task):
            where.setdefault(row.finding.mark, []).append(row.precision_mode or "export")
    if len(where) < 2:
        return next(iter(where), "")
    return ", ".join(f"{mark} {' '.join(names)}" for mark, names in where.items())
