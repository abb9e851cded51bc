"""A benchmark's report as text.

print(render(report))

The same cells go onto the pages (`page`): an unstable figure wears a tilde, a missing one is a dash.
"""

import io

from tftrt_yolo.measure.contestants import DENSE, END_TO_END, MODES, SELECTED
from tftrt_yolo.measure.report import BenchmarkReport, Measurement

TITLES = {
    DENSE: "The network alone: frames and dense outputs on the device",
    SELECTED: "With selection: uint8 images on the device to detections on the device",
    END_TO_END: "End to end: images on the host to detections on the host",
}
MISSING = "-"
UNSTABLE_NOTE = "~ unstable: the three windows differ by more than 10 % of their median."
_WIDTH = 120
_BATCH_SIZES_A_TABLE = 3  # more do not fit the width


def render(report: BenchmarkReport) -> str:
    """A report for a reader.

    Args:
      report: The report.

    Returns:
      Tables, a section a mode, and what was not measured.
    """
    from rich.console import Console

    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, highlight=False, markup=False)
    console.print(f"Benchmark of {report.model}\n  {report.machine}, {report.machine.date}", soft_wrap=True)
    console.print(f"  {settings_note(report)}", soft_wrap=True)
    console.print(f"  floor: {floor_note(report)}", soft_wrap=True)
    for mode in MODES:
        if any(measurement.mode == mode for measurement in report.measurements):
            console.print(f"\n{TITLES[mode]}")
            for first in range(0, len(report.batch_sizes), _BATCH_SIZES_A_TABLE):
                batch_sizes = report.batch_sizes[first : first + _BATCH_SIZES_A_TABLE]
                console.print(_mode_table(report, mode, batch_sizes))
    console.print("\nGetting ready, memory and clock")
    console.print(_runs_table(report))
    if any(measurement.is_unstable for measurement in report.measurements):
        console.print(UNSTABLE_NOTE)
    for title, rows in (("Absent", report.absent), ("Crashed", report.crashed)):
        if rows:
            console.print(f"\n{title}")
            for row in rows:
                console.print(f"  {row}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in console.file.getvalue().strip().splitlines())


def settings_note(report: BenchmarkReport) -> str:
    """How it was measured, in one line."""
    pictures = "picture" if report.num_images == 1 else "pictures"
    return (
        f"{report.seconds:g} s a measurement, {report.num_images} {pictures}, load average before "
        f"{report.machine.load_average:g}"
    )


def floor_note(report: BenchmarkReport) -> str:
    """What the floor is made of, in one line."""
    if not report.ceilings:
        lines = report.why_no_floor.strip().splitlines()
        return f"not measured: {lines[-1].strip() if lines else 'unknown'}"
    gflops = report.costs[0].flops / report.costs[0].batch_size / 1e9
    return f"{gflops:.2f} GFLOP an image over {report.ceilings}"


def contestants_of(report: BenchmarkReport, mode: str) -> list[str]:
    """Names of those that were measured in a mode, in the order in which they ran."""
    return list(dict.fromkeys(m.contestant for m in report.measurements if m.mode == mode))


def rate(measurement: Measurement | None) -> str:
    """Images per second as a cell: about three digits, with a tilde if unstable."""
    if measurement is None:
        return MISSING
    figure = measurement.images_per_second
    text = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
    return f"~{text}" if measurement.is_unstable else text


def milliseconds(figure: float) -> str:
    """A latency as a cell: about three digits."""
    return f"{figure:.3g}" if figure < 1e3 else _whole(figure)


def percent(share: float | None) -> str:
    """A share as a cell."""
    return MISSING if share is None else f"{share:.0%}"


def share_cell(report: BenchmarkReport, measurement: Measurement | None) -> str:
    """The third figure of a mode: the floor's share of the network, the selection's share with it."""
    if measurement is None:
        return MISSING
    if measurement.mode == DENSE:
        return percent(report.share_of_floor(measurement))
    return percent(report.selection_share(measurement.contestant, measurement.batch_size))


def third_column(mode: str) -> str | None:
    """What `share_cell` shows in a mode; None where it shows nothing."""
    return {DENSE: "of floor", SELECTED: "selection"}.get(mode)


def memory(num_bytes: int | None) -> str:
    """Memory in MB as a cell; 0 where a crash came before it was asked for."""
    return MISSING if not num_bytes else _whole(num_bytes / 1e6)


def duration(seconds: float | None) -> str:
    """Seconds as a cell."""
    return MISSING if seconds is None else f"{seconds:.1f}"


def first_call_seconds(report: BenchmarkReport, contestant: str) -> float | None:
    """The longest first call of a contestant, compilation included."""
    return max((m.first_call_seconds for m in report.measurements if m.contestant == contestant), default=None)


def _whole(number: float) -> str:
    """A number without decimals."""
    return f"{number:,.0f}"


def _mode_table(report: BenchmarkReport, mode: str, batch_sizes: tuple[int, ...]):
    """A row a contestant, two or three columns a batch size."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contestant", no_wrap=True)
    third = third_column(mode)
    for batch_size in batch_sizes:
        for header in (f"batch {batch_size}\nimages/s", "p50\nms", *([third.replace(" ", "\n")] if third else [])):
            table.add_column(header, justify="right", no_wrap=True)
    for name in contestants_of(report, mode):
        cells = []
        for batch_size in batch_sizes:
            measurement = report.measurement(name, mode, batch_size)
            cells += [rate(measurement), milliseconds(measurement.p50_ms) if measurement else MISSING]
            cells += [share_cell(report, measurement)] if third else []
        table.add_row(name, *cells)
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
            duration(run.preparation_seconds),
            duration(first_call_seconds(report, run.name)),
            memory(run.peak_host_bytes),
            memory(run.peak_device_bytes),
            str(run.clock or MISSING),
        )
    return table
