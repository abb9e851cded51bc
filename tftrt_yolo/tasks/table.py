"""The table of the tasks.

    task = TASKS["pose"]
    task.dense                  # what signature `network` gives
    task.decode(parts, head)    # how, in ops that TF-TRT converts

A new task is a module that ends with a `Task`, and a row here. Importing this loads no framework: the modules import
TensorFlow and supervision where they use them, for export reads them in a process that has PyTorch instead.
"""

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
