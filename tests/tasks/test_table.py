"""What the table says of tasks."""

from tftrt_yolo.tasks.table import TASKS, in_words


def test_a_model_in_words():
    assert in_words("detect", 80) == "detect, 80 classes"
    assert in_words("semantic", 1, " of ") == "semantic of 1 class"
    assert in_words("depth", 1) == in_words("depth", 1, " of ") == "depth"  # metadata have a name all the same
    assert in_words("of another version", 2) == "of another version, 2 classes"
    assert [name for name, task in TASKS.items() if not task.has_classes] == ["depth"]
