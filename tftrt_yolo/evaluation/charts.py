"""An evaluation's pictures: precision over recall, and which class is taken for which.

write_precision_recall(curves, names, Path("precision_recall.png"))
write_confusion(matrix, names, Path("confusion_matrix.png"))
"""

from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation.average_precision import Curves
from tftrt_yolo.ground.text import in_picture

CURVES_FILE = "precision_recall.png"
CONFUSION_FILE = "confusion_matrix.png"
_BACKGROUND = "background"
_LEGEND_CLASSES = 12  # more are drawn grey and not named
_NUMBERED_CLASSES = 30  # more leave no room for numbers
_CELL_INCHES = 0.42


def write_precision_recall(curves: dict[str, Curves], names: dict[int, str], path: Path) -> None:
    """Draws precision over recall at IoU 0.5: a panel a kind, a line a class, the mean in black.

    Args:
      curves: What a report calls the kind to its curves.
      names: Class index to class name.
      path: A .png file to write.
    """
    from matplotlib import colormaps

    figure, panels = _figure(width=5.2 * len(curves) + 0.4, height=5.2, columns=len(curves))
    ordered = [in_picture(names[index]) for index in sorted(names)]
    for axes, (kind, curve) in zip(panels, curves.items(), strict=True):
        recall = np.linspace(0, 1, curve.precision.shape[1])
        many = len(curve.classes) > _LEGEND_CLASSES
        for place, index in enumerate(curve.classes):
            colour = "#c3c8d0" if many else colormaps["tab20"](place % 20)
            label = None if many else f"{ordered[index]}  {curve.ap50[place]:.3f}"
            axes.plot(recall, curve.precision[0, :, place], color=colour, linewidth=1, label=label)
        if len(curve.classes):
            mean = curve.precision[0].mean(axis=1)
            label = f"all classes  {curve.ap50.mean():.3f}"
            axes.plot(recall, mean, color="black", linewidth=2.4, label=label)
            axes.legend(title="AP at IoU 0.5", fontsize=8, title_fontsize=8, loc="lower left", framealpha=0.9)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title(kind, loc="left", fontsize=11)
        axes.grid(color="#e4e7ec", linewidth=0.6)
    figure.savefig(path, dpi=130)


def write_confusion(matrix: np.ndarray, names: dict[int, str], path: Path, *, is_of_pixels: bool = False) -> None:
    """Draws which class is taken for which: colours are shares of a row, numbers are objects, of pixels shares as well.

    Args:
      matrix: (C, C) or, with background as the last class, (C + 1, C + 1): true class by predicted class.
      names: Class index to class name.
      path: A .png file to write.
      is_of_pixels: Whether it counts pixels, which no threshold has chosen.
    """
    labels = [in_picture(names[index]) for index in sorted(names)]
    labels += [_BACKGROUND] * (len(matrix) - len(labels))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.5, min(_CELL_INCHES * len(labels), 16))
    figure, [axes] = _figure(width=side + 2.2, height=side + 1.4, columns=1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the true class")
    size = 8 if len(labels) <= _NUMBERED_CLASSES else 5
    axes.set_xticks(range(len(labels)), labels, rotation=90 if max(map(len, labels)) > 2 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    if len(labels) > len(names) and not is_of_pixels:
        axes.set_title("score above 0.25, IoU above 0.45", loc="left", fontsize=9)
    if len(labels) <= _NUMBERED_CLASSES:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            count = f"{shares[row, column]:.1%}" if is_of_pixels else str(matrix[row, column])
            axes.text(column, row, count, ha="center", va="center", fontsize=8, color=colour)
    figure.savefig(path, dpi=130)


def _figure(*, width: float, height: float, columns: int):
    """A figure and a row of panels, without touching the caller's pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]
