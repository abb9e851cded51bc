"""Prediction with an engine of its own: the interface of Predictor, without TF-TRT.

    predictor = tftrt_yolo.EnginePredictor("yolov8n.engine")
    [detections] = predictor("bus.jpg")
    print(predictor.backend, predictor.batch_ranges)

It takes what `build_engine` wrote, and what Ultralytics wrote: `yolo export format=engine`. Whatever the file says of
itself is checked before TensorRT sees its plan.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tftrt_yolo.engines import engine_file, tensors
from tftrt_yolo.engines.running.runtime import EngineRuntime, open_runtime, out_of_range
from tftrt_yolo.ground.arguments import argument, check_at_least_one
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.predictor.reopening import Opening


class EnginePredictor(Predictor):
    """An engine file that takes images of any kind and size; it runs where a GPU and the TensorRT of its builder are.

    Attributes:
      metadata: What the engine's header says of the model: names, sizes, thresholds.
      task: What the task is made of.
      names: (C,) str, the classes.
      backend: What runs the engine.
      batch_ranges: The least and the largest batch of each of its profiles; larger ones are refused, and a batch that
        is smaller than all is filled up with black frames.
    """

    _unusable = EngineError

    def __init__(self, engine_path: str | Path, *, runtime: EngineRuntime | None = None):
        """Opens an engine; TensorFlow's share of the GPU's memory grows on demand.

        Args:
          engine_path: A file that `build_engine` or Ultralytics wrote.
          runtime: What runs the plan; None for the TensorRT that is installed. Another is any object with `name`,
            `device`, `tensors`, `profiles` and `run`, and is for rehearsals: the plan is then not opened.

        Raises:
          EngineError: If the file is none, cut short or damaged, its tensors are another task's than its header's, or
            TensorRT does not open it.
          TensorRTUnavailableError: If there is no TensorRT here, or another version than the engine's, or no GPU, or
            one of another compute capability.
          ForkedProcessError: If this process was forked after TensorFlow ran.
        """
        file = engine_file.read(engine_path)
        if file.facts:
            tensors.check(file.facts.tensors, file.metadata, file.given)
        self._has_own_runtime = runtime is None
        if runtime is None:
            runtime = open_runtime(file)
        tensors.check(runtime.tensors, file.metadata, file.given)
        self._open(file, runtime)
        self._opening = Opening(file.path, {}, (file.metadata, file.facts, file.header_bytes))

    def _open(self, file: engine_file.EngineFile, runtime: EngineRuntime) -> None:
        """Puts letterboxing and selection around what runs the plan."""
        from tftrt_yolo.engines.running.signatures import engine_signatures  # with TensorFlow
        from tftrt_yolo.ground import environment, forks
        from tftrt_yolo.saved_model.loaded.backend import Backend

        forks.check(f"The engine {file.given}")
        environment.grow_gpu_memory()  # else TensorFlow takes all that the engine has not taken yet
        self.batch_ranges = tensors.batch_ranges(runtime.tensors, runtime.profiles)
        self._run_time_signatures = engine_signatures(runtime, file.metadata, file.given)
        precision = f", {file.facts.precision_mode}" if file.facts else ""
        backend = Backend(runtime.name, runtime.device, f"the engine {file.path.name}{precision}")
        self._begin(file.given, file.metadata, self._run_time_signatures.by_key(), backend)

    def __reduce__(self) -> tuple:
        """As of Predictor: what a pickle holds.

        Raises:
          TypeError: If a runtime was given, which no other process has.
        """
        if not self._has_own_runtime:
            raise TypeError(
                f"The EnginePredictor of {self._given} cannot be pickled: it was given a runtime. Expected one that "
                "runs in the TensorRT that is installed; make the EnginePredictor where it is used."
            )
        return super().__reduce__()

    @property
    def largest_batch(self) -> int:
        """The largest batch that a profile covers: the batch size unless the caller says otherwise."""
        return max((most for _, most in self.batch_ranges), default=1)

    def warm_up(self, batch_sizes: Iterable[int] | None = None) -> None:
        """Runs each batch size once, so that no later call loads a library.

        Args:
          batch_sizes: Images a batch; None for the largest of a profile.

        Raises:
          ValueError: If one is less than 1, or more than any profile covers.
        """
        super().warm_up([self._checked_batch_size(size) for size in batch_sizes or (self.largest_batch,)])

    def _checked_batch_size(self, batch_size: int | None) -> int:
        """A batch size that a profile covers."""
        if batch_size is None:
            return self.largest_batch
        batch_size = check_at_least_one("batch_size", batch_size)
        if batch_size > self.largest_batch:
            reason = out_of_range(self._given, batch_size, self.batch_ranges)
            raise ValueError(f"{argument('batch_size')} is too large: {reason}")
        return batch_size

    def _check_classes(self, outputs: dict[str, np.ndarray]) -> None:
        """Classes come from the rows of output0, of which the header's names were counted."""
