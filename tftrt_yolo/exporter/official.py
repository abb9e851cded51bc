"""Finds the weights that a user named, and downloads those of an official name, before anything of them is opened.

    path = locate("yolov8n")         # "/models/yolov8n.pt", which is downloaded into the working directory if need be

The download is the one step of an export that has the network; it runs in a worker's process of its own, so that the
one which handles the file has none (see `ground.workers.clean_room`).
"""

from pathlib import Path

from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.ground.workers.worker import Worker

YAML_SUFFIXES = (".yaml", ".yml")  # of model YAMLs


def locate(weights: str) -> str:
    """Finds weights for a process that runs in another folder.

    Args:
      weights: Path of a checkpoint or model YAML, or an official name, "yolov8n" or "yolov8n.yaml".

    Returns:
      The absolute path of what is a file or was downloaded; the name itself of a model YAML that is none, for
      Ultralytics has its own.

    Raises:
      CheckpointError: If it is no file and no official name, or cannot be downloaded.
      WorkerCrashedError: If the process that downloads ends.
    """
    path = Path(weights)
    if path.exists():
        return str(path.absolute())
    if path.suffix in YAML_SUFFIXES or path.name != weights:
        return weights
    with Worker("tftrt_yolo.exporter.official", network=True) as worker:
        worker.start(weights=weights, folder=Path.cwd())
        return worker.receive()


def work(*, weights: str, folder: Path) -> str:
    """Has Ultralytics download an official model, unless it is there.

    Args:
      weights: A name that is no file.
      folder: Where it is looked for and downloaded to.

    Returns:
      Its absolute path.

    Raises:
      CheckpointError: If there is no official model of this name, or it cannot be downloaded.
    """
    from ultralytics.utils import checks, downloads

    name = checks.check_yolov5u_filename(str(checks.check_model_file_from_stem(weights)))
    path, reason = folder / name, ""
    if path.is_file():
        return str(path)
    if name in downloads.GITHUB_ASSETS_NAMES:
        try:
            downloads.attempt_download_asset(path)
        except Exception as error:  # noqa: BLE001 - of the network, of the disk, or of Ultralytics' own
            reason = f" ({first_line(error)})"
        if path.is_file():
            return str(path)
    raise missing(weights, reason)


def missing(weights: str, reason: str = "") -> CheckpointError:
    """The error of weights that are no file and no official name.

    Args:
      weights: As the user named them.
      reason: Why they could not be downloaded, in parentheses and with a blank before; empty if nobody tried.

    Returns:
      The error, to be raised.
    """
    return CheckpointError(
        f"{weights} does not exist, and it is no official name that could be downloaded from here{reason}. Expected a "
        ".pt checkpoint, a model YAML or an official name such as yolov8n."
    )
