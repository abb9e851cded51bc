"""A run of `predict` in the caller's own process, on one device.

runner = Here("yolov8n_saved_model", {"strict": True}, sources)
with runner.begun(run):
    for finding in runner.findings(scene):
        writer.put(finding)
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.predictor.devices.run import Run
from tftrt_yolo.predictor.output.finding import Finding, finding_of
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.predictor.sources.source_options import SourceOptions


class Here:
    """Runs in this process.

    Attributes:
      metadata: The model's.
      backend: What runs it.
    """

    def __init__(self, saved_model_dir: str | Path, options: dict[str, bool], sources: SourceOptions):
        """Loads the model.

        Args:
          saved_model_dir: The model.
          options: How `Predictor` opens it.
          sources: With one device or none, and perhaps a tracker.

        Raises:
          SavedModelError: As `Predictor`.
          ValueError: As `Predictor`.
        """
        self._predictor = Predictor(saved_model_dir, **options, device=(sources.devices or (None,))[0])
        self._sources = sources
        self.metadata, self.backend = self._predictor.metadata, str(self._predictor.backend)

    @contextlib.contextmanager
    def begun(self, run: Run) -> Iterator[None]:
        """Prepares.

        Args:
          run: What is asked for.

        Yields:
          Nothing.
        """
        self._predictor.retina_masks = run.retina_masks
        skips = self._sources.skip_unreadable
        self._results = self._predictor.with_images(
            run.source,
            batch_size=run.batch_size,
            on_unreadable=(lambda _, error: run.unreadable.append(str(error))) if skips else "raise",
            tracker=self._sources.tracker,
            **run.asked,
        )
        yield

    def findings(self, scene: Scene) -> Iterator[Callable[[], Finding]]:
        """What is found, in order.

        Args:
          scene: What the run is of.

        Yields:
          What makes the finding of an image, in whatever thread it is called.

        Raises:
          ImageError: If an image cannot be read and is not to be skipped.
        """
        with contextlib.closing(self._results):
            for given, image, result in self._results:
                yield functools.partial(finding_of, given, image, result, scene)
