"""What contestants start from: conversions of our SavedModel, and Ultralytics' own exports; made once, and kept.

What is kept has a key in its name: of the contents that it was made from, of what was asked for, and of what made it.
So a checkpoint that was trained on under its old name is exported anew.

artifacts = Artifacts(plan, machine_key="Intel Xeon 2.17.1")
job, seconds = artifacts.prepare(contestant)     # arguments of the contestant's `work`
"""

import dataclasses
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.benchmarking.contestants import Contestant
from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.saved_model.handle import SavedModelHandle

# Ultralytics would install packages, print, and write its settings into the user's home.
PEER_ENVIRONMENT = {"YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "YOLO_OFFLINE": "true"}
_KEY_DIGITS = 10  # of a hash, in the names of directories
_EXPORTER = "tftrt_yolo.benchmarking.runners.ultralytics_export"
_REWRITER = "tftrt_yolo.exporter.checkpoint.rewrite"
_EXPORT_TOOLS = "tftrt_yolo.benchmarking.runners.export_tools"


class NotHereError(Exception):
    """A contestant cannot take part; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be measured, and of what.

    Attributes:
      source: Our export.
      weights: The checkpoint or model YAML; None if it was not given.
      batch_sizes: Images a call.
      seconds: Length of each measurement.
      frames_path: The pictures, letterboxed, as .npy.
      jpeg_paths: Those of them that are JPEG files, as they are.
      artifacts_dir: Where conversions and exports are looked for and kept.
      peer_python: Interpreter of the peers; None for this one.
      convert: Takes the export, an output directory, a contestant of ours and the batch sizes, and converts.
      describe: Takes a contestant of ours and the batch sizes, and says in words all that its conversion is asked for.
    """

    source: SavedModelHandle
    weights: str | None
    batch_sizes: tuple[int, ...]
    seconds: float
    frames_path: Path
    jpeg_paths: tuple[str, ...]
    artifacts_dir: Path
    peer_python: str | None
    convert: Callable[[SavedModelHandle, Path, Contestant, tuple[int, ...]], None]
    describe: Callable[[Contestant, tuple[int, ...]], str]


class Artifacts:
    """Makes what is missing, once for all contestants.

    Attributes:
      plan: What is measured.
    """

    def __init__(self, plan: Plan, *, machine_key: str):
        """Looks at nothing yet.

        Args:
          plan: What is measured.
          machine_key: What a conversion depends on beside the model: the machine, and the versions of TensorFlow and
            TensorRT.
        """
        self.plan, self._machine_key = plan, machine_key
        self._failures: dict[Path, Exception] = {}
        self._tools: dict[str | None, dict[str, str]] = {}
        self._safe: dict[str | None, str] = {}

    def prepare(self, contestant: Contestant) -> tuple[dict, float | None]:
        """Gets a contestant's files and arguments ready.

        Args:
          contestant: The contestant.

        Returns:
          The arguments of its `work`, and the seconds that its file took; None where it was there already.

        Raises:
          NotHereError: If something that its file needs is not here.
          TftrtYoloError: If its conversion is refused or fails.
          WorkerCrashedError: If Ultralytics' export ends in any other way.
        """
        plan, seconds = self.plan, None
        job = {"frames_path": str(plan.frames_path), "batch_sizes": plan.batch_sizes, "seconds": plan.seconds}
        if contestant.is_ours:
            path, seconds = self._converted(contestant)
            return job | {"saved_model_dir": str(path), "jpeg_paths": plan.jpeg_paths}, seconds
        if contestant.runner == "ultralytics_saved_model":
            path, seconds = self._ultralytics_saved_model()
            return job | {"saved_model_dir": str(path)}, seconds
        if contestant.runner in ("onnxruntime", "openvino"):
            path, seconds = self._onnx(half=contestant.precision == "FP16")
            extra = (
                {"on_gpu": contestant.device == "GPU"}
                if contestant.runner == "onnxruntime"
                else {"precision": contestant.precision}
            )
            return job | extra | {"onnx_path": str(path)}, seconds
        job |= {"weights": self._safe_weights(plan.peer_python), "precision": contestant.precision}
        if contestant.runner == "pytorch":
            return job | contestant.options, None
        selection = plan.source.metadata.selection
        return job | {
            "jpeg_paths": plan.jpeg_paths,
            "score_threshold": selection.score_threshold,
            "iou_threshold": selection.iou_threshold,
            "max_detections": selection.max_detections,
        }, None

    def _converted(self, contestant: Contestant) -> tuple[Path, float | None]:
        """Our SavedModel, converted as a contestant wants it."""
        plan = self.plan
        if contestant.options["accelerator"] is None:
            return plan.source.directory, None
        wanted = (plan.describe(contestant, plan.batch_sizes), plan.source.metadata, self._machine_key, __version__)
        key = directories.fingerprint(plan.source.directory, repr(wanted))[:_KEY_DIGITS]
        path = plan.artifacts_dir / f"{contestant.name}_{key}_saved_model"
        return self._made(path, lambda: plan.convert(plan.source, path, contestant, plan.batch_sizes))

    def _ultralytics_saved_model(self) -> tuple[Path, float | None]:
        """Ultralytics' own SavedModel; its export needs onnx2tf, so it runs in TensorFlow's interpreter."""
        options = {"format": "saved_model", "imgsz": list(self.plan.source.metadata.image_size_hw), "device": "cpu"}
        return self._exported("_ultralytics_saved_model", options, python=None)

    def _onnx(self, *, half: bool) -> tuple[Path, float | None]:
        """Ultralytics' ONNX file, with a dynamic batch."""
        size = list(self.plan.source.metadata.image_size_hw)
        options = {"format": "onnx", "dynamic": True, "simplify": True, "imgsz": size, "device": "cpu"}
        if half:
            options["half"] = True
        return self._exported("_fp16.onnx" if half else ".onnx", options, python=self.plan.peer_python)

    def _exported(self, ending: str, options: dict, *, python: str | None) -> tuple[Path, float | None]:
        """What Ultralytics makes of the checkpoint; `ending` of its name."""
        weights = Path(self.plan.weights)
        content = directories.file_sha256(weights) if weights.is_file() else str(weights)
        wanted = content, self.plan.source.metadata.nms, options, self._tools_of(python)
        key = hashlib.sha256(repr(wanted).encode()).hexdigest()[:_KEY_DIGITS]
        path = self.plan.artifacts_dir / f"{weights.stem}_{key}{ending}"
        return self._made(path, lambda: self._export(path, options, python=python))

    def _safe_weights(self, python: str | None) -> str:
        """The checkpoint, read and written anew with the exported branch alone: Ultralytics runs what is in a file."""
        if python not in self._safe:
            folder = Path(tempfile.mkdtemp(prefix="weights_", dir=self.plan.frames_path.parent))
            path = folder / f"{Path(self.plan.weights).stem}.pt"
            with Worker(_REWRITER, python=python, environment=PEER_ENVIRONMENT) as worker:
                worker.start(weights=self.plan.weights, path=path, nms=self.plan.source.metadata.nms)
                reason = worker.receive()
            if reason:
                raise NotHereError(f"the weights cannot be read: {reason}")
            self._safe[python] = str(path)
        return self._safe[python]

    def _tools_of(self, python: str | None) -> dict[str, str]:
        """Versions of what an interpreter exports with."""
        if python not in self._tools:
            with Worker(_EXPORT_TOOLS, python=python) as worker:
                worker.start()
                self._tools[python] = worker.receive()
        return self._tools[python]

    def _made(self, path: Path, make: Callable[[], object]) -> tuple[Path, float | None]:
        """A file that is there or is made; what failed once is not tried again."""
        if path in self._failures:
            raise self._failures[path]
        if path.exists():
            return path.resolve(), None
        start = time.perf_counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            make()
        except (TftrtYoloError, NotHereError, WorkerCrashedError) as error:
            self._failures[path] = error
            raise
        return path.resolve(), time.perf_counter() - start

    def _export(self, path: Path, options: dict, *, python: str | None) -> None:
        """Has Ultralytics export the checkpoint, and moves the result to its place when it is whole."""
        safe_weights = self._safe_weights(python)
        with Worker(_EXPORTER, python=python, environment=PEER_ENVIRONMENT) as worker:
            worker.start(weights=safe_weights, options=options)
            result = worker.receive()
            if "path" not in result:
                raise NotHereError(f"Ultralytics' export needs what is not here: {result['reason']}")
            partial_dir = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            try:
                shutil.move(result["path"], partial_dir / path.name)
                (partial_dir / path.name).rename(path)
            finally:
                shutil.rmtree(partial_dir, ignore_errors=True)


def why_not(error: Exception) -> str:
    """A refusal as a reason: its text in one line.

    Args:
      error: What was raised.

    Returns:
      The text.
    """
    return " ".join(str(error).split())
