"""What is measured: a SavedModel's signature `network` (saved_model.network), and beside it a checkpoint or another.

    with PyTorchNetwork("yolov8n.pt", model) as network:
        dense, seconds = network.run(frames)      # (batch, S, S, 3) uint8 to the dense outputs

Both take the same frames and give outputs of the same names, so one evaluation serves both.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import AUTO
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.exporter import official
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import EvaluationError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.network import in_unit_range
from tftrt_yolo.saved_model.trust import believed
from tftrt_yolo.tasks.table import in_words

# PyTorch's threads would spin while they wait, on cores that TensorFlow's threads need.
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


class PyTorchNetwork:
    """A checkpoint in PyTorch, in a process of its own."""

    backend = "PyTorch on CPU, FP32"

    def __init__(self, weights: str | Path, model: LabelSpec):
        """Remembers what to run.

        Args:
          weights: A .pt checkpoint or model YAML.
          model: What the SavedModel is; the checkpoint must be of the same task and classes, and have the branch of
            its head that was exported, for that is run.
        """
        self.name, self._weights, self._model = Path(weights).name, str(weights), model

    def __enter__(self) -> "PyTorchNetwork":
        """Starts the process and loads the checkpoint.

        Raises:
          CheckpointError: If the weights cannot be used, or have not that branch.
          ValueError: If they are of another task or other classes.
          EvaluationError: If the process ends.
        """
        found = self._call(lambda: official.locate(self._weights))
        self._worker = Worker("tftrt_yolo.exporter.reference", environment=_PATIENT)
        self._worker.__enter__()
        try:
            self._worker.open(weights=found, nms=self._model.nms or AUTO)
            facts = self._call(self._worker.receive)
            if (facts.task, facts.names) != (self._model.task, self._model.names):
                raise ValueError(
                    f"{argument('compare_to')} is {self._weights}, a model for "
                    f"{in_words(facts.task, len(facts.names), ' of ')}; the SavedModel is for "
                    f"{in_words(self._model.task, len(self._model.names), ' of ')}, and task and names must be the "
                    "same. Give the checkpoint that was exported."
                )
        except BaseException:
            self._worker.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Ends the process."""
        self._worker.__exit__()

    def run(self, frames: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
        """As `SavedModelNetwork.run`; the time is with the way to the process and back."""
        start = time.perf_counter()
        self._worker.send(in_unit_range(frames))
        return self._call(self._worker.receive), time.perf_counter() - start

    def _call(self, step: Callable[[], object]):
        """Calls a step that a process does, and says what a crash of that means."""
        try:
            return step()
        except WorkerCrashedError as error:
            raise EvaluationError(
                f"PyTorch could not run {self._weights}; comparing needs the export tools (`pip install "
                f"tftrt_yolo[export]`). The process {error}"
            ) from error


def describe(handle: SavedModelHandle) -> LabelSpec:
    """What a data set must fit, from a SavedModel's metadata and signature.

    Raises:
      SavedModelError: If the SavedModel is damaged, or its metadata do not fit its graph.
    """
    metadata = handle.metadata
    believed.read(handle)
    num_keypoints = metadata.keypoint_shape[0] if metadata.keypoint_shape else 0
    return LabelSpec(metadata.task, metadata.names, num_keypoints, metadata.is_end_to_end)
