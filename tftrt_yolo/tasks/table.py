"""The table of the tasks.

    task = TASKS["pose"]
    task.dense                  # what signature `network` gives
    task.decode(parts, head)    # how, in ops that TF-TRT converts
    in_words("detect", 80)      # "detect, 80 classes"

A new task is a module that ends with a `Task`, and a row here. Importing this loads no framework: the modules import
TensorFlow and supervision where they use them, for export reads them in a process that has PyTorch instead.
"""

from tftrt_yolo.ground.text import counted
from tftrt_yolo.tasks import classify, detect, obb, pose, segment
from tftrt_yolo.tasks.maps import depth, semantic
from tftrt_yolo.tasks.task import Task

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (
        detect,
        segment,
        pose,
        obb,
        classify,
        semantic,
        depth,
    )
}


def in_words(task: str, num_classes: int, joint: str = ", ") -> str:
    """What a model is for, in a report.

    Args:
      task: Its name; of one that is not in the table nothing is known but that.
      num_classes: Names that the model's metadata have.
      joint: What stands between the two.

    Returns:
      The task and how many classes the model tells apart; the task alone where it tells none.
    """
    has_classes = task not in TASKS or TASKS[task].has_classes
    return f"{task}{joint}{counted(num_classes, 'class', 'classes')}" if has_classes else task
