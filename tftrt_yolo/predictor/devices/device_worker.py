"""One device's process: it predicts on its share of the files, and gives what is found, image by image.

with Worker("tftrt_yolo.predictor.devices.device_worker", environment=place.environment) as worker:
    worker.start(job=job, entries=[(0, Path("a.jpg")), (2, Path("c.jpg"))])
    pickle.loads(worker.receive())          # [("ready", "TensorFlow on CPU: ...")]
    pickle.loads(worker.receive())          # [("found", 0, ...), ("end", 0, ()), ("found", 2, ...), ...]

It does with the model and the files what its parent would do by itself, so the parent takes its results as its own.
"""

import collections
import dataclasses
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

from absl import logging as absl_logging

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.predictor.devices.run import Run
from tftrt_yolo.predictor.output.finding import finding_of, scene_of
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.predictor.sources import opening
from tftrt_yolo.predictor.sources.source import Source, Tally
from tftrt_yolo.predictor.sources.source_options import SourceOptions

_MOST_TOGETHER, _MOST_BYTES = 16, 4 << 20  # findings, and bytes of their pictures, that are sent at once
_END = object()


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked of each process.

    Attributes:
      saved_model_dir: The model's directory.
      working_dir: The caller's, from which paths count.
      options: How `Predictor` opens the model.
      sources: How files are read.
      run: What else is asked for.
      label: All devices, for the report.
    """

    saved_model_dir: str
    working_dir: Path
    options: dict[str, bool]
    sources: SourceOptions
    run: Run
    label: str


def work(*, job: Job, cores: tuple[int, ...] | None, entries: list[tuple[int, Path]]) -> Iterator[bytes]:
    """Predicts.

    Args:
      job: What is asked for.
      cores: The cores that it may use; None for all.
      entries: Its files, each with its number in the run.

    Yields:
      Pickles of lists of events: ("ready", backend), once; ("found", number, `Finding.packed`); ("unreadable", number,
      reason); ("end", number, notes) behind the last image of a file; and ("warning", text) in between.

    Raises:
      ImageError: If an image cannot be read and is not to be skipped.
    """
    if cores is not None:
        os.sched_setaffinity(0, cores)  # before TensorFlow counts them
    os.chdir(job.working_dir)
    warnings = _Warnings()
    predictor = Predictor(job.saved_model_dir, **job.options)
    predictor.retina_masks = job.run.retina_masks
    yield pickle.dumps([*warnings.taken(), ("ready", str(dataclasses.replace(predictor.backend, device=job.label)))])

    events, size = [], 0
    try:
        for event in _events(job, predictor, entries):
            events.append(event)
            size += _weight(event)
            if len(events) >= _MOST_TOGETHER or size >= _MOST_BYTES:
                yield pickle.dumps([*warnings.taken(), *events], pickle.HIGHEST_PROTOCOL)
                events, size = [], 0
    except TftrtYoloError:  # what came before it counts
        yield pickle.dumps([*warnings.taken(), *events], pickle.HIGHEST_PROTOCOL)
        raise
    yield pickle.dumps([*warnings.taken(), *events], pickle.HIGHEST_PROTOCOL)


def _weight(event: tuple) -> int:
    """About the bytes that an event takes: of pixels, masks and pictures."""
    parts = event[2] if event[0] == "found" else ()
    arrays = (getattr(part, "mask", part) for part in parts)
    return sum(len(part) if isinstance(part, bytes) else getattr(part, "nbytes", 0) for part in arrays)


def _events(job: Job, predictor: Predictor, entries: list[tuple[int, Path]]) -> Iterator[tuple]:
    """Runs all files as one stream, so that the device never waits, and tells whose image each result is of."""
    order, reasons = collections.deque(), collections.deque()

    def images() -> Iterator:
        tally, told = Tally(), 0
        for number, entry in entries:
            for image in opening.of_entry(entry, job.sources, tally):
                order.append((number, image))
                yield image
            order.append((number, (_END, tuple(tally.notes[told:]))))
            told = len(tally.notes)

    def passed(until: object) -> Iterator[tuple]:
        """What stands before an image in the order; the image itself goes, too."""
        while order:
            number, image = order.popleft()
            if image is until:
                yield (number,)
                return
            if isinstance(image, tuple):
                yield "end", number, image[1]
            else:
                yield "unreadable", number, reasons.popleft()

    scene = scene_of(predictor.metadata, Path(), job.run.output)
    found = predictor.with_images(
        Source(images(), count=None),
        batch_size=job.run.batch_size,
        on_unreadable=(lambda _, error: reasons.append(str(error))) if job.sources.skip_unreadable else "raise",
        **job.run.asked,
    )
    for given, image, result in found:
        *before, (number,) = passed(given)
        yield from before
        yield "found", number, finding_of(given, image, result, scene).packed(job.run.output.save)
    yield from passed(_END)


class _Warnings(logging.Handler):
    """Keeps what is logged for the user, who does not see this process."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self._texts = []
        absl_logging.get_absl_logger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self._texts.append(record.getMessage())

    def taken(self) -> list[tuple[str, str]]:
        """The events since the last time."""
        texts, self._texts = self._texts, []
        return [("warning", text) for text in texts]
