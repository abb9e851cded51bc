"""Rows of every task in both forms: the same content."""

import numpy as np
import pytest

pytest.importorskip("ray")

from tftrt_yolo.pipelines.ray_data import rows
from tftrt_yolo.tasks.table import TASKS

_BOX = {"xyxy": [0.25, 1.0, 2.5, 3.13], "score": 0.51234, "class": 1, "name": "one"}
FOUND = {
    "detect": [_BOX, {**_BOX, "name": "zwei\n\u202e"}],
    "segment": [{**_BOX, "polygons": [[[1, 2], [3, 4], [5, 6]], [[7, 8]]]}, {**_BOX, "polygons": []}],
    "pose": [{**_BOX, "keypoints": [[1.5, 2.0, 0.125], [3.0, 4.0, 1.0]]}, {**_BOX, "keypoints": [[1.0, 2.0]]}],
    "obb": [{**_BOX, "xywhr": [1.0, 2.0, 3.0, 4.0, 0.78], "corners": [[1.0, 2.0]] * 4}],
    "classify": [{"class": 1, "name": "one", "probability": 0.75}, {"class": 0, "name": "none", "probability": 0.25}],
    "semantic": [{"class": index, "name": "one", "pixels": 6, "share": 0.5} for index in (1, 0)],
    "depth": [{"minimum": 0.5, "median": 2.25, "maximum": 9.0}],
}


@pytest.mark.parametrize("task", FOUND)
def test_both_forms_have_the_same_content(tmp_path, task):
    label = TASKS[task].row_label
    given = [
        {"image": "/a.jpg", "height": 3, "width": 4, label: FOUND[task]},
        {"image": "/b.jpg", "error": "b.jpg is empty."},
        {"image": "/c.jpg", "height": 5, "width": 6, label: []},
    ]
    found, summaries = [], []
    for name, kind in rows.FORMS.items():
        form = kind(TASKS[task], "f" * 64)
        path = tmp_path / f"a.{name}"
        form.write([form.pack(given[:1]), form.pack(given[1:])], path)
        found.append(list(form.rows(path)))
        summaries.append(form.summary(path))
    assert found[0] == found[1] == given
    counting = FOUND[task][:1] if task == "classify" else FOUND[task]
    names = [one["name"] for one in counting if task != "depth"]
    expected = {str(name): names.count(name) for name in np.unique(names)}
    assert all(one == rows.Summary(3, 1, expected) for one in summaries)
    assert rows.Summary() + summaries[0] == summaries[1]
