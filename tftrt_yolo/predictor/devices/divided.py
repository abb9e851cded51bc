"""A run of `predict` on several devices: files are divided between processes, and what they find comes in order again.

    runner = Divided("yolov8n_saved_model", {"strict": True}, sources)
    with runner.begun(run):
        for finding in runner.findings(scene):
            writer.put(finding)

Each process gets every n-th block of as many files as a batch has, all at once, and works through them as one stream;
their results are taken block by block. So batches are those of one process, where every image can be read, and none
waits for another before it is far ahead.
"""

import collections
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.ground import stages
from tftrt_yolo.ground.text import counted, listed
from tftrt_yolo.predictor.devices.device_worker import Job
from tftrt_yolo.predictor.devices.places import Place, places
from tftrt_yolo.predictor.devices.run import Run
from tftrt_yolo.predictor.devices.share import Share
from tftrt_yolo.predictor.output.finding import Finding, unpacked
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.sources.frame import Frame, VideoInfo
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.tasks.table import TASKS


class Divided:
    """Runs in a process for each device.

    Attributes:
      metadata: The model's.
      backend: What runs it, as the processes say; empty before they began.
    """

    def __init__(self, saved_model_dir: str | Path, options: dict[str, bool], sources: SourceOptions):
        """Opens the model's directory; nothing is loaded.

        Args:
          saved_model_dir: The model.
          options: How `Predictor` opens it.
          sources: With several devices.

        Raises:
          SavedModelError: If it is no SavedModel of ours.
          ValueError: If a device is not there.
        """
        self._given, self._options, self._sources = str(saved_model_dir), options, sources
        self._places = places(sources.devices)
        self.metadata, self.backend = open_saved_model(saved_model_dir).metadata, ""

    @contextlib.contextmanager
    def begun(self, run: Run) -> Iterator[None]:
        """Starts the processes, and waits until their models are loaded.

        Args:
          run: What is asked for.

        Yields:
          Nothing; the processes end with the context.

        Raises:
          SavedModelError: As `Predictor`, of whose model it is.
          ValueError: If a classifier is asked for a selection.
          DeviceError: If a process cannot be started.
        """
        self._run = run
        run.check_selection(TASKS[self.metadata.task], self._given)
        blocks = list(_blocks(run.source.paths, run.batch_size))
        used = self._places[: max(1, len(blocks))]
        job = Job(
            saved_model_dir=self._given,
            working_dir=Path.cwd(),
            options=self._options,
            sources=dataclasses.replace(self._sources, devices=None),
            run=dataclasses.replace(run, source=None, unreadable=[]),
            label=label_of(used),
        )
        stages.enter(f"starting {counted(len(used), 'process', 'processes')} on {job.label}")
        with contextlib.ExitStack() as resources:
            self._shares = [
                Share(job, place, list(itertools.chain.from_iterable(blocks[number :: len(used)])))
                for number, place in enumerate(used)
            ]
            for share in self._shares:
                share.begin(resources)
            for share in self._shares:
                share.until_ready()
            self.backend = "; ".join(dict.fromkeys(share.backend for share in self._shares))
            yield

    def findings(self, scene: Scene) -> Iterator[Callable[[], Finding]]:
        """What is found, in order.

        Args:
          scene: What the run is of; the processes know it.

        Yields:
          What gives the finding of an image.

        Raises:
          ImageError: If an image cannot be read and is not to be skipped.
          DeviceError: If a process ends again and again.
        """
        source, tally = self._run.source, self._run.source.tally
        self._run.unreadable.extend(str(missing.error) for missing in source.images)
        for number, path in enumerate(source.paths):
            share = self._shares[number // self._run.batch_size % len(self._shares)]
            video = None
            while (event := share.next_event())[0] != "end":
                if event[0] == "unreadable":
                    self._run.unreadable.append(event[2])
                    continue
                finding, video = _of_one_video(unpacked(event[2], path), video)
                yield finding.itself
            tally.notes += [note for note in event[2] if note not in tally.notes]
        for note in itertools.chain.from_iterable(share.notes for share in self._shares):
            tally.notes.append(note)


def label_of(used: list[Place]) -> str:
    """All devices in a few words: "GPU:0 and GPU:1", "2 x CPU"."""
    counts = collections.Counter(place.name for place in used)
    return listed(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def _blocks(paths: tuple[Path, ...], size: int) -> Iterator[list[tuple[int, Path]]]:
    """Files with their numbers, in blocks."""
    numbered = enumerate(paths)
    while block := list(itertools.islice(numbered, size)):
        yield block


def _of_one_video(finding: Finding, video: VideoInfo | None) -> tuple[Finding, VideoInfo | None]:
    """A frame with the very object that the frames before it have."""
    if not isinstance(finding.given, Frame) or finding.given.video is None:
        return finding, video
    video = video or finding.given.video
    return dataclasses.replace(finding, given=dataclasses.replace(finding.given, video=video)), video
