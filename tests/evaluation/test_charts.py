"""Names of classes come from strangers' files, and pictures are drawn of whatever they are."""

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("matplotlib")

NAMES = ["$\\frac{", "cost $5-$10", "a\x1b[31m\nb\0", "x" * 300, "", "_\\%{}"]


@pytest.mark.filterwarnings("error")
def test_names_are_drawn_as_they_are(tmp_path):
    """Two dollar signs are no formula: one that is none would raise."""
    from tftrt_yolo.evaluation import charts
    from tftrt_yolo.evaluation.average_precision import Curves

    names = dict(enumerate(NAMES))
    charts.write_confusion(np.eye(len(names), dtype=int), names, tmp_path / "confusion.png")
    classes = np.arange(len(names))
    precision = np.ones((1, 101, len(names)))
    curves = Curves(classes, precision)
    charts.write_precision_recall({"box": curves}, names, tmp_path / "curves.png")
    for path in tmp_path.glob("*.png"):
        with PIL.Image.open(path) as picture:
            assert max(picture.size) < 3_000
    assert len(list(tmp_path.iterdir())) == 2
