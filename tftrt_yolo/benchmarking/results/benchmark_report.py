"""What a benchmark found; printed as tables, written as benchmark.json and read back.

report = BenchmarkReport.read("runs/benchmark")
print(report)                                            # an unstable figure wears a tilde, a missing one is a dash
report.measurement("xla-fp16", "dense", 8).images_per_second
"""

import csv
import dataclasses
from pathlib import Path

from tftrt_yolo.benchmarking.contestants import CONTESTANTS
from tftrt_yolo.benchmarking.floor.cost import Ceilings, Cost, floor_ms
from tftrt_yolo.benchmarking.machine import Machine
from tftrt_yolo.benchmarking.protocol import DENSE, END_TO_END, FROM_JPEG, MODES, SELECTED
from tftrt_yolo.benchmarking.results import cells
from tftrt_yolo.benchmarking.results.measurements import (
    Absence,
    BenchmarkedModel,
    Budget,
    ContestantRun,
    Crash,
    Measurement,
)
from tftrt_yolo.contract import OBJECT_TASKS
from tftrt_yolo.ground.errors import BenchmarkError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted

FILE = "benchmark.json"
CSV_FILE = "benchmark.csv"
TITLES = {
    DENSE: "The network alone: frames and dense outputs on the device",
    SELECTED: "With selection: uint8 images on the device to detections on the device",
    END_TO_END: "End to end: images on the host to detections on the host",
    FROM_JPEG: "From JPEG files to detections on the host",
}
BUDGET_TITLE = "One JPEG file at a time, part by part, in ms; rest is Python"
UNSTABLE_NOTE = "~ unstable: the three windows differ by more than 10 % of their median."
_BATCH_SIZES_A_TABLE = 3  # more do not fit the width


@dataclasses.dataclass(frozen=True)
class BenchmarkReport:
    """What a benchmark found.

    Attributes:
      machine: Where.
      model: What.
      batch_sizes: Images a call.
      seconds: Length of each measurement.
      num_images: Different pictures that filled the batches.
      contestants: Who came to run.
      measurements: The numbers.
      absent: What was not measured, and why.
      crashed: Who did not come to its end; what it measured before is among the measurements.
      costs: What a batch costs, for each batch size; none if it could not be counted.
      ceilings: What the machine reaches; None if it could not be measured.
      why_no_floor: Why there are neither costs nor ceilings; empty if there are.
      decoding_limit: JPEG files a second that all threads decode and letterbox without any network; None if nobody
        started from files.
      budgets: Where the time of one JPEG file goes, of each contestant of ours.
    """

    machine: Machine
    model: BenchmarkedModel
    batch_sizes: tuple[int, ...]
    seconds: float
    num_images: int
    contestants: tuple[ContestantRun, ...]
    measurements: tuple[Measurement, ...]
    absent: tuple[Absence, ...]
    crashed: tuple[Crash, ...]
    costs: tuple[Cost, ...]
    ceilings: Ceilings | None
    why_no_floor: str
    decoding_limit: float | None = None
    budgets: tuple[Budget, ...] = ()

    def measurement(self, contestant: str, mode: str, batch_size: int) -> Measurement | None:
        """Finds a measurement.

        Args:
          contestant: A contestant's name.
          mode: "dense", "selected", "end_to_end" or "from_jpeg".
          batch_size: Images a call.

        Returns:
          The measurement; None if there is none.
        """
        wanted = (contestant, mode, batch_size)
        return next((m for m in self.measurements if (m.contestant, m.mode, m.batch_size) == wanted), None)

    def floor_ms(self, contestant: str, batch_size: int) -> float | None:
        """Least time of a batch of the network, in milliseconds; None if it is not known."""
        cost = next((cost for cost in self.costs if cost.batch_size == batch_size), None)
        known = self.ceilings and cost and contestant in CONTESTANTS and CONTESTANTS[contestant].precision != "INT8"
        return floor_ms(cost, self.ceilings, CONTESTANTS[contestant]) if known else None

    def share_of_floor(self, measurement: Measurement) -> float | None:
        """Floor over measured time, for mode "dense"; 1 would be all that the machine has."""
        floor = self.floor_ms(measurement.contestant, measurement.batch_size)
        return floor / measurement.batch_ms if floor and measurement.mode == DENSE else None

    def selection_share(self, contestant: str, batch_size: int) -> float | None:
        """Share of mode "selected" that is not the network: 1 - dense / selected, in time."""
        dense, selected = (self.measurement(contestant, mode, batch_size) for mode in (DENSE, SELECTED))
        return 1 - dense.batch_ms / selected.batch_ms if dense and selected else None

    def share_of_decoding(self, measurement: Measurement) -> float | None:
        """Rate over the limit of decoding, for mode "from_jpeg"."""
        has_limit = self.decoding_limit and measurement.mode == FROM_JPEG
        return measurement.images_per_second / self.decoding_limit if has_limit else None

    def __str__(self) -> str:
        """The tables."""
        return _render(self)

    def rows(self) -> list[dict]:
        """The measurements with all that follows from them, one flat row each."""
        return [
            dataclasses.asdict(measurement)
            | {
                "windows_images_per_second": " ".join(f"{rate:.3f}" for rate in measurement.windows_images_per_second),
                "images_per_second": measurement.images_per_second,
                "is_unstable": measurement.is_unstable,
                "floor_ms": self.floor_ms(measurement.contestant, measurement.batch_size)
                if measurement.mode == DENSE
                else None,
                "share_of_floor": self.share_of_floor(measurement),
                "selection_share": self.selection_share(measurement.contestant, measurement.batch_size)
                if measurement.mode == SELECTED
                else None,
                "share_of_decoding": self.share_of_decoding(measurement),
            }
            for measurement in self.measurements
        ]

    def write_csv(self, output_dir: Path) -> None:
        """Writes benchmark.csv into a directory: the rows, for a spreadsheet."""
        rows = self.rows()
        with open(output_dir / CSV_FILE, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def write(self, output_dir: Path) -> None:
        """Writes benchmark.json into a directory."""
        documents.write(self, output_dir / FILE)

    @classmethod
    def read(cls, path: str | Path) -> "BenchmarkReport":
        """Reads benchmark.json back.

        Args:
          path: The file, or the directory that `benchmark` wrote.

        Returns:
          The report.

        Raises:
          BenchmarkError: If the file is missing or damaged.
        """
        return documents.read(path, FILE, cls, BenchmarkError, origin="a benchmark", remedy="run the benchmark again")


def _render(report: BenchmarkReport) -> str:
    """Tables, a section a mode, and what was not measured."""
    console = documents.text_console()
    console.print(f"Benchmark of {report.model}\n  {report.machine}, {report.machine.date}", soft_wrap=True)
    console.print(f"  {settings_note(report)}", soft_wrap=True)
    console.print(f"  floor: {floor_note(report)}", soft_wrap=True)
    for mode in MODES:
        if any(measurement.mode == mode for measurement in report.measurements):
            console.print(f"\n{title_of(report, mode)}")
            for first in range(0, len(report.batch_sizes), _BATCH_SIZES_A_TABLE):
                batch_sizes = report.batch_sizes[first : first + _BATCH_SIZES_A_TABLE]
                console.print(_mode_table(report, mode, batch_sizes))
    if report.budgets:
        console.print(f"\n{BUDGET_TITLE}")
        console.print(_budget_table(report))
    console.print("\nGetting ready, memory and clock")
    console.print(_runs_table(report))
    if any(measurement.is_unstable for measurement in report.measurements):
        console.print(UNSTABLE_NOTE)
    for title, rows in (("Absent", report.absent), ("Crashed", report.crashed)):
        if rows:
            console.print(f"\n{title}")
            for row in rows:
                console.print(f"  {row}", soft_wrap=True)
    return documents.text_of(console)


def title_of(report: BenchmarkReport, mode: str) -> str:
    """What a mode measures; a model that finds no objects gives results, of which none are selected."""
    if report.model.task in OBJECT_TASKS:
        return TITLES[mode]
    return TITLES[mode].replace("With selection", "With all around the network").replace("detections", "results")


def settings_note(report: BenchmarkReport) -> str:
    """How it was measured, in one line."""
    return (
        f"{report.seconds:g} s a measurement, {counted(report.num_images, 'picture')}, load average before "
        f"{report.machine.load_average:g}"
    )


def floor_note(report: BenchmarkReport) -> str:
    """What the floor is made of, in one line."""
    if not report.ceilings:
        lines = report.why_no_floor.strip().splitlines()
        return f"not measured: {lines[-1].strip() if lines else 'unknown'}"
    gflops = report.costs[0].flops / report.costs[0].batch_size / 1e9
    limit = f"; {report.decoding_limit:,.0f} files/s decoded and letterboxed" if report.decoding_limit else ""
    return f"{gflops:.2f} GFLOP an image over {report.ceilings}{limit}"


def contestants_of(report: BenchmarkReport, mode: str) -> list[str]:
    """Names of those that were measured in a mode, in the order in which they ran."""
    return list(dict.fromkeys(m.contestant for m in report.measurements if m.mode == mode))


def share_cell(report: BenchmarkReport, measurement: Measurement | None) -> str:
    """The third figure of a mode: the floor's share of the network, the selection's with it, the decoder's limit."""
    if measurement is None:
        return cells.MISSING
    if measurement.mode == DENSE:
        return cells.percent(report.share_of_floor(measurement))
    if measurement.mode == FROM_JPEG:
        return cells.percent(report.share_of_decoding(measurement))
    return cells.percent(report.selection_share(measurement.contestant, measurement.batch_size))


def third_column(report: BenchmarkReport, mode: str) -> str | None:
    """What `share_cell` shows in a mode; None where it shows nothing."""
    around = "selection" if report.model.task in OBJECT_TASKS else "around"
    return {DENSE: "of floor", SELECTED: around, FROM_JPEG: "of limit"}.get(mode)


def first_call_seconds(report: BenchmarkReport, contestant: str) -> float | None:
    """The longest first call of a contestant, compilation included."""
    return max((m.first_call_seconds for m in report.measurements if m.contestant == contestant), default=None)


def _mode_table(report: BenchmarkReport, mode: str, batch_sizes: tuple[int, ...]):
    """A row a contestant, two or three columns a batch size."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contestant", no_wrap=True)
    third = third_column(report, mode)
    for batch_size in batch_sizes:
        for header in (f"batch {batch_size}\nimages/s", "p50\nms", *([third.replace(" ", "\n")] if third else [])):
            table.add_column(header, justify="right", no_wrap=True)
    for name in contestants_of(report, mode):
        row = [name]
        for batch_size in batch_sizes:
            measurement = report.measurement(name, mode, batch_size)
            row += [cells.rate(measurement), cells.milliseconds(measurement.p50_ms) if measurement else cells.MISSING]
            row += [share_cell(report, measurement)] if third else []
        table.add_row(*row)
    return table


def budget_rows(report: BenchmarkReport) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the parts' table: a row a contestant, a column a part.

    Args:
      report: One with budgets.

    Returns:
      Cells.
    """
    parts = list(dict.fromkeys(part for budget in report.budgets for part in budget.parts_ms))
    rows = [
        [
            budget.contestant,
            *map(cells.milliseconds, (budget.file_ms, budget.array_ms)),
            *(
                cells.milliseconds(budget.parts_ms[part]) if part in budget.parts_ms else cells.MISSING
                for part in parts
            ),
            cells.milliseconds(budget.rest_ms),
        ]
        for budget in report.budgets
    ]
    return ["contestant", "file", "array", *parts, "rest"], rows


def _budget_table(report: BenchmarkReport):
    """The parts of a call, for the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    header, rows = budget_rows(report)
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _runs_table(report: BenchmarkReport):
    """What each contestant took to get ready, and how much memory."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contestant", no_wrap=True)
    for header in ("ready\ns", "first call\ns", "host\npeak MB", "device\npeak MB"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("SM clock,\nleast to median", overflow="fold")
    for run in report.contestants:
        table.add_row(
            run.name,
            cells.duration(run.preparation_seconds),
            cells.duration(first_call_seconds(report, run.name)),
            cells.memory(run.peak_host_bytes),
            cells.memory(run.peak_device_bytes),
            str(run.clock or cells.MISSING),
        )
    return table
