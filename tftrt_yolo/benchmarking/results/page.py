"""The repository's benchmark pages, made from the files that `benchmark` wrote; no number on them is typed by hand.

    python -m tftrt_yolo.benchmarking.results.page            # in the repository's root, as `make benchmarks` does

It rewrites benchmarks/README.md from every benchmarks/*/benchmark.json, with benchmarks/findings.md on top if there is
one, and the short table between the markers in README.md. A benchmark.png that is missing, because the machine that was
measured has no matplotlib, is drawn.
"""

from collections.abc import Iterable
from pathlib import Path

from tftrt_yolo.benchmarking import profile, protocol
from tftrt_yolo.benchmarking.protocol import DENSE, END_TO_END, MODES
from tftrt_yolo.benchmarking.results import benchmark_report, cells, chart
from tftrt_yolo.benchmarking.results.benchmark_report import FILE, BenchmarkReport
from tftrt_yolo.benchmarking.results.measurements import Measurement
from tftrt_yolo.ground.errors import BenchmarkError

BEGIN, END = "<!-- benchmark table: begin -->", "<!-- benchmark table: end -->"
_PAGE = "README.md"
_INTRODUCTION = """\
`make benchmarks` makes this page from the `benchmark.json` files beside it, which `tftrt-yolo benchmark` wrote.
*Images/s* is the median of three windows of calls without waiting, *spread* what the windows differ by; *p50* to *p99*
are of single calls, each waited for; *to peer* is the rate over the best peer's at the same batch size. *Of floor* is
the share of the time that the machine's own ceilings, a large matrix product and a large copy, would need at least;
*selection* is the share that is not the network's; *of limit* is the rate over that of decoding and letterboxing alone.
*Ready* is what a conversion or export took, `-` where it was there.
"""


def write(root: Path) -> None:
    """Rewrites both pages of a repository and draws the pictures that are missing.

    Args:
      root: The repository; it has README.md with the markers, and the folder benchmarks/.

    Raises:
      BenchmarkError: If a benchmark.json is damaged, or README.md lacks the markers.
    """
    for path in (root / "benchmarks").glob(f"*/{FILE}"):
        if not (path.parent / chart.FILE).exists():
            chart.write(BenchmarkReport.read(path), path.parent / chart.FILE)
    for path, text in render(root).items():
        path.write_text(text, encoding="utf-8")


def render(root: Path) -> dict[Path, str]:
    """Renders both pages of a repository.

    Args:
      root: As `write`.

    Returns:
      File to its text.

    Raises:
      BenchmarkError: As `write`.
    """
    folder, readme = root / "benchmarks", root / _PAGE
    reports = {path.parent.name: BenchmarkReport.read(path) for path in sorted(folder.glob(f"*/{FILE}"))}
    findings = folder / "findings.md"
    prose = findings.read_text(encoding="utf-8").strip() + "\n\n" if findings.is_file() else ""
    sections = [_section(folder, name, report) for name, report in reports.items()] or ["No benchmark yet.\n"]
    lone_profiles = [path for path in sorted(folder.glob(f"*/{profile.FILE}")) if path.parent.name not in reports]
    sections += [f"## Profile: {path.parent.name}\n\n{_profile_table(profile.read(path))}" for path in lone_profiles]
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchmarkError(f"{readme} must have the lines {BEGIN} and {END} once each, in this order. Put them back.")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    return {
        folder / _PAGE: "\n".join([f"# Benchmarks\n\n{prose}{_INTRODUCTION}", *sections]),
        readme: f"{before}{BEGIN}\n{short_table(reports.values())}{END}{after}",
    }


def short_table(reports: Iterable[BenchmarkReport]) -> str:
    """The best of ours against the best peer: a row a benchmark and batch size.

    Args:
      reports: The benchmarks.

    Returns:
      A Markdown table.
    """
    header = ["model", "machine", "batch"]
    for mode in ("network alone", "end to end"):
        header += [f"{mode}: ours, images/s", "best peer, images/s", "ratio"]
    rows = []
    for report in reports:
        for batch_size in report.batch_sizes:
            row = [report.model.name, report.machine.gpu or str(report.machine), str(batch_size)]
            for mode in (DENSE, END_TO_END):
                ours, peer = (_best(report, mode, batch_size, is_ours=is_ours) for is_ours in (True, False))
                row += [_named(ours), _named(peer), _ratio(ours, peer)]
            rows.append(row)
    return _table(header, rows, num_names=2)


def _section(folder: Path, name: str, report: BenchmarkReport) -> str:
    """All of one benchmark."""
    parts = [
        f"## {report.model.name} on {report.machine.gpu or report.machine}",
        f"{report.model}. {report.machine}, CPU flags {', '.join(report.machine.cpu_flags) or 'none of interest'}; "
        f"{report.machine.date}; {benchmark_report.settings_note(report)}.",
        f"Floor: {benchmark_report.floor_note(report)}.",
    ]
    if (folder / name / chart.FILE).is_file():
        parts.append(f"![Images per second]({name}/{chart.FILE})")
    for mode in MODES:
        if benchmark_report.contestants_of(report, mode):
            parts += [f"### {benchmark_report.title_of(report, mode)}", _mode_table(report, mode)]
    if report.budgets:
        header, rows = benchmark_report.budget_rows(report)
        parts += [f"### {benchmark_report.BUDGET_TITLE}", _table(header, rows, num_names=1)]
    if any(measurement.is_unstable for measurement in report.measurements):
        parts.append(benchmark_report.UNSTABLE_NOTE)
    parts += ["### Getting ready, memory, clock and versions", _runs_table(report)]
    if (folder / name / profile.FILE).is_file():
        parts += ["### What the time goes into", _profile_table(profile.read(folder / name / profile.FILE))]
    for title, rows in (("Absent", report.absent), ("Crashed", report.crashed)):
        if rows:
            parts += [f"### {title}", "".join(f"- {row}\n" for row in rows)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _mode_table(report: BenchmarkReport, mode: str) -> str:
    """A row a batch size and contestant: rate, latency, ratio to the best peer, and the mode's third figure."""
    third = benchmark_report.third_column(report, mode)
    header = ["batch", "contestant", "images/s", "spread", "p50 ms", "p90 ms", "p99 ms", "first call s", "to peer"]
    header += [third] if third else []
    rows = []
    for batch_size in report.batch_sizes:
        peer = _best(report, mode, batch_size, is_ours=False)
        for name in benchmark_report.contestants_of(report, mode):
            measurement = report.measurement(name, mode, batch_size)
            if measurement is None:  # it is among the absent or the crashed
                continue
            spread = protocol.spread(measurement.windows_images_per_second)
            latencies = (measurement.p50_ms, measurement.p90_ms, measurement.p99_ms)
            row = [str(batch_size), name, cells.rate(measurement), cells.percent(spread)]
            row += [*map(cells.milliseconds, latencies), cells.duration(measurement.first_call_seconds)]
            row += [_ratio(measurement, peer)]
            row += [benchmark_report.share_cell(report, measurement)] if third else []
            rows.append(row)
    return _table(header, rows, num_names=2)


def _runs_table(report: BenchmarkReport) -> str:
    """What each contestant was, took and used."""
    header = ["contestant", "backend and versions", "SM clock, least to median", "ready s", "host peak MB"]
    header += ["device peak MB"]
    rows = []
    for run in report.contestants:
        versions = ", ".join(f"{package} {version}" for package, version in run.versions.items())
        rows.append(
            [
                run.name,
                f"{run.backend}; {versions}",
                str(run.clock or cells.MISSING),
                cells.duration(run.preparation_seconds),
                *map(cells.memory, (run.peak_host_bytes, run.peak_device_bytes)),
            ]
        )
    return _table(header, rows, num_names=3)


def _profile_table(rows: list[profile.Profile]) -> str:
    """A row a signature and batch size: wall time, the time of all kernels, and the kinds that take most of it."""
    table = [
        [
            row.signature,
            ", ".join(f"{kind} {cells.milliseconds(value)}" for kind, value in list(row.kinds.items())[:6]),
            str(row.batch_size),
            cells.milliseconds(row.wall_ms),
            cells.milliseconds(row.busy_ms),
            str(row.launches),
        ]
        for row in rows
    ]
    header = ["signature", "kinds of kernel, ms", "batch", "wall ms", "kernels ms", "launches"]
    return _table(header, table, num_names=2)


def _best(report: BenchmarkReport, mode: str, batch_size: int, *, is_ours: bool) -> Measurement | None:
    """The fastest of ours, or of the peers."""
    names = {run.name for run in report.contestants if run.is_ours == is_ours}
    found = [m for m in report.measurements if (m.mode, m.batch_size) == (mode, batch_size) and m.contestant in names]
    return max(found, key=lambda measurement: measurement.images_per_second, default=None)


def _named(measurement: Measurement | None) -> str:
    """A rate and whose it is."""
    return cells.MISSING if measurement is None else f"{cells.rate(measurement)} ({measurement.contestant})"


def _ratio(measurement: Measurement | None, other: Measurement | None) -> str:
    """One rate over another."""
    if measurement is None or other is None:
        return cells.MISSING
    return f"{measurement.images_per_second / other.images_per_second:.2f}"


def _table(header: list[str], rows: list[list[str]], *, num_names: int) -> str:
    """A Markdown table whose first columns are names and whose others are numbers."""
    rule = ["---"] * num_names + ["---:"] * (len(header) - num_names)
    lines = [header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write(Path.cwd())
