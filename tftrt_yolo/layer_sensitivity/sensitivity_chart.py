"""A sensitivity report as a picture: a bar a convolution, in the order of the graph.

write(report, Path("sensitivity.png"))
"""

import itertools
from pathlib import Path

from tftrt_yolo.converter.int8.in_float.sensitivity_report import SHOWN, SensitivityReport
from tftrt_yolo.ground.text import counted, in_picture

FILE = "sensitivity.png"
_LAYER_INCHES = 0.185  # width of a bar with its gap
_TOP_INCHES = 3.5  # height of the panel of costs, or a bit less
_CHARACTER_INCHES = 0.06  # width of a character of the names
_COLOUR, _COSTLY_COLOUR = "#a3abb8", "#d9640a"
_EDGE_COLOUR = "#8e96a3"
_BAND_COLOURS = (
    "#f1f3f6",
    "#e3ecf7",
    "#e6f3e3",
    "#fbeadf",
    "#f0e6f5",
    "#f7f3d9",
    "#dff1f1",
)  # of the parts of the network


def write(report: SensitivityReport, path: Path) -> None:
    """Draws a report: the cost on top, with the costliest layers named, and below it a panel a quantity.

    Args:
      report: The report.
      path: A .png file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(8.0, 1.6 + _LAYER_INCHES * len(report.layers))
    figure = Figure(figsize=(width, 5.0 + 1.5 * len(report.units)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(report), fontsize=10, x=0.01, ha="left")
    [top, *others] = figure.subplots(
        1 + len(report.units), 1, sharex=True, height_ratios=[3.4, *[1.3] * len(report.units)]
    )
    costs = [100 * layer.cost for layer in report.layers]
    _draw_panel(top, report, costs, "cost (% of all layers)")
    longest = 0.0
    for layer in report.costliest():
        name = f" {layer.index}  {in_picture(layer.name, 100)}, {layer.kernel}"
        top.text(layer.index, 100 * layer.cost, name, rotation=90, ha="center", va="bottom", fontsize=7.5)
        longest = max(longest, _CHARACTER_INCHES * len(name))
    top.set_ylim(0, max(costs) / max(0.3, 1 - longest / _TOP_INCHES) or 1)
    for axes, label in zip(others, report.units, strict=True):
        _draw_panel(axes, report, [layer.differences[label].mean for layer in report.layers], report.with_unit(label))
        axes.set_ylim(bottom=0)
    indices = [layer.index for layer in report.layers]
    others[-1].set_xticks(indices, indices, rotation=90, fontsize=6.5)
    others[-1].set_xlabel("convolution, in the order of the graph", fontsize=9)
    others[-1].set_xlim(0.3, len(indices) + 0.7)
    handles = _legend(report)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def _title(report: SensitivityReport) -> str:
    """What was measured."""
    height, width = report.image_size_hw
    together = ", ".join(
        f"{label} {report.all_layers[label].mean:.2g} {unit}".rstrip() for label, unit in report.units.items()
    )
    return (
        f"{in_picture(Path(report.saved_model_dir).name)}: each convolution alone in INT8 "
        f"({report.task}, {width} x {height} px, "
        f"ranges by {report.calibration} over {counted(report.calibration_images, 'image')}, compared on "
        f"{report.images})\n"
        f"Mean differences from the unquantised network; all layers together: {together}"
    )


def _draw_panel(axes, report: SensitivityReport, values: list[float], label: str) -> None:
    """Bars, those of the costliest layers in orange, on bands for the parts of the network."""
    costliest = {layer.index for layer in report.costliest()}
    colours = [_COSTLY_COLOUR if layer.index in costliest else _COLOUR for layer in report.layers]
    axes.bar([layer.index for layer in report.layers], values, width=0.75, color=colours, zorder=2)
    bands = _bands(report)
    for part, group in itertools.groupby(report.layers, key=lambda layer: layer.part):
        indices = [layer.index for layer in group]
        axes.axvspan(indices[0] - 0.5, indices[-1] + 0.5, color=bands[part], zorder=0, linewidth=0)
    axes.set_ylabel(label.replace(" (", "\n("), fontsize=9)
    axes.tick_params(labelsize=8, length=0)
    axes.grid(axis="y", color="#d3d8e0", linewidth=0.6, zorder=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _bands(report: SensitivityReport) -> dict[str, str]:
    """Part of the network to the colour of its bands."""
    parts = dict.fromkeys(layer.part for layer in report.layers)
    return dict(zip(parts, itertools.cycle(_BAND_COLOURS)))


def _legend(report: SensitivityReport) -> list:
    """What the colours mean."""
    from matplotlib.patches import Patch

    bars = [Patch(color=_COSTLY_COLOUR, label=f"the {min(SHOWN, len(report.layers))} costliest")]
    return bars + [
        Patch(facecolor=colour, edgecolor=_EDGE_COLOUR, label=part) for part, colour in _bands(report).items()
    ]
