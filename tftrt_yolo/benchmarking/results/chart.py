"""A benchmark's report as a picture: images per second by contestant and batch size.

write(report, Path("benchmark.png"))
"""

from pathlib import Path

from tftrt_yolo.benchmarking.protocol import DENSE, END_TO_END, FROM_JPEG
from tftrt_yolo.benchmarking.results.benchmark_report import BenchmarkReport, contestants_of
from tftrt_yolo.benchmarking.results.cells import rate
from tftrt_yolo.ground.text import in_picture

FILE = "benchmark.png"
_PANELS = {DENSE: "Network alone", END_TO_END: "End to end", FROM_JPEG: "From JPEG files"}
_BAR_INCHES = 0.24  # height of a bar
_GAP = 0.6  # between two contestants, in bars
_PEER_COLOURS = ("#b8bec8", "#8e96a3", "#666f7e", "#444c59", "#2a303a")
_OUR_COLOURS = ("#ffc078", "#fd8d1f", "#d9640a", "#a94604", "#722d02")


def write(report: BenchmarkReport, path: Path) -> None:
    """Draws a report: a panel a mode, a group of bars a contestant, ours in orange.

    Args:
      report: The report.
      path: A .png file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {mode: contestants_of(report, mode) for mode in _PANELS}
    panels = {mode: names for mode, names in panels.items() if names} or {DENSE: []}
    bars = {mode: max(1, len(names)) * (len(report.batch_sizes) + _GAP) for mode, names in panels.items()}
    figure = Figure(figsize=(10, 1.6 + _BAR_INCHES * sum(bars.values()) + 0.7 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{in_picture(report.model, 200)}\n{report.machine}", fontsize=10)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[bars[mode] for mode in panels])
    ours = {run.name for run in report.contestants if run.is_ours}
    for axes, (mode, names) in zip(grid[:, 0], panels.items(), strict=True):
        _draw_panel(axes, report, mode, names, ours)
        axes.set_title(f"{_PANELS[mode]}, images per second", loc="left", fontsize=10)
    figure.savefig(path, dpi=130)


def _draw_panel(axes, report: BenchmarkReport, mode: str, names: list[str], ours: set[str]) -> None:
    """One mode: a group of bars a contestant, the first on top, smaller batches above larger ones."""
    group = len(report.batch_sizes) + _GAP
    for place, name in enumerate(names):
        colours = _OUR_COLOURS if name in ours else _PEER_COLOURS
        for index, batch_size in enumerate(report.batch_sizes):
            measurement = report.measurement(name, mode, batch_size)
            figure = measurement.images_per_second if measurement else 0
            at = place * group + index
            axes.barh(at, figure, height=0.85, color=colours[min(index, len(colours) - 1)])
            text = f" {rate(measurement)}" if measurement else " not measured"
            axes.text(figure, at, f"{text}  (batch {batch_size})", va="center", fontsize=7.5, color="#444c59")
    axes.set_yticks(
        [place * group + (len(report.batch_sizes) - 1) / 2 for place in range(len(names))], names, fontsize=9
    )
    axes.invert_yaxis()
    axes.margins(x=0.2, y=0.02)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
