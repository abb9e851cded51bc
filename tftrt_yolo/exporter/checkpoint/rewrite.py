"""A checkpoint written anew, for programs that unpickle: it holds what was read, and nothing else of the file.

with Worker("tftrt_yolo.exporter.checkpoint.rewrite", python=peer_python) as worker:
    worker.start(weights="yolov8n.pt", path=Path("safe/yolov8n.pt"), nms="one-to-many")
    reason = worker.receive()                       # "" if it was written
"""

from pathlib import Path

from tftrt_yolo.tasks import branches


def work(*, weights: str, path: Path, nms: str) -> str:
    """Reads a checkpoint or builds a model YAML, and saves the network.

    Args:
      weights: As `checkpoint.load.load`.
      path: The file to write.
      nms: The branch of the head that the file is to have, and no other, so that everybody runs this one; empty for a
        classifier.

    Returns:
      Which package is missing here; empty if the file was written.
    """
    try:
        import torch

        from tftrt_yolo.exporter.checkpoint.load import read
    except (ImportError, RuntimeError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    network, names, trained = read(weights)
    head = network.model[-1]
    branches.keep_only(head, branches.Branches.of(head).choose(nms, weights) if nms else "")
    network.names = names
    train_args = {"imgsz": max(trained.size_hw)} if trained.size_hw else {}
    torch.save({"model": network, "train_args": train_args}, path)
    return ""
