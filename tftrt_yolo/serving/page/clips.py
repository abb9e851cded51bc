"""Videos that were dropped on the page: frame by frame through the hub, and out as an MP4 that a browser plays.

async for progress in annotate_clip(clip, asker, model, selection, output):
    progress.frames, progress.seconds
"""

import asyncio
import collections
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np

from tftrt_yolo.contract import DEPTH
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.predictor.output.videos.video_writer import VideoWriter
from tftrt_yolo.predictor.sources import videos
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.source import Tally
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.page.asking import Answer, Asker, Model
from tftrt_yolo.tasks.annotate import annotate
from tftrt_yolo.tasks.results import kinds

_MOST_AT_ONCE = 8  # frames a request
_MOST_BYTES = 64 << 20  # of a request's frames


@dataclasses.dataclass(frozen=True)
class Clip:
    """A video to annotate.

    Attributes:
      path: The file.
      name: What the user called it.
      most_frames: So many are annotated.
      most_pixels: Of a frame, width times height.
    """

    path: Path
    name: str
    most_frames: int
    most_pixels: int


@dataclasses.dataclass(eq=False)
class Progress:
    """How far a video is.

    Attributes:
      frames: That are done.
      expected: How many there will be; None where the file does not say.
      found: Objects by class; of a classifier, frames by their best class.
      depths: Of each frame that has a depth the least, the median and the largest, by name, in metres; none of a model
        for another task.
      queue_seconds: Of all frames' requests.
      compute_seconds: As queue_seconds.
      seconds: Since it began.
      notes: What is to be known: a video that is cut short, or longer than what is annotated.
      answer: The last one.
      picture: The last frame, drawn.
    """

    frames: int = 0
    expected: int | None = None
    found: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    depths: list[dict[str, float]] = dataclasses.field(default_factory=list)
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    seconds: float = 0.0
    notes: list[str] = dataclasses.field(default_factory=list)
    answer: Answer | None = None
    picture: np.ndarray | None = None

    def add(self, answers: list[Answer], picture: np.ndarray) -> None:
        """Counts what was found in some frames, the last of which was drawn so."""
        self.picture = picture
        self.frames += len(answers)
        self.answer = answers[-1]
        self.queue_seconds += self.answer.outcome.queue_seconds
        self.compute_seconds += self.answer.outcome.compute_seconds
        for answer in answers:
            self.found.update(_names(answer.result))
            if kinds.of(answer.result) == DEPTH:
                self.depths += answer.result.rows()


def _names(result) -> list[str]:
    """The class of each object; of a classifier the best one; of a map those that it shows."""
    names = kinds.own_names(result) or []
    return [names[int(result.confidence.argmax())]] if kinds.of(result) == "classify" and names else names


async def annotate_clip(
    clip: Clip, asker: Asker, model: Model, selection: SelectionOptions | None, output: Path
) -> AsyncIterator[Progress]:
    """Annotates a video.

    Args:
      clip: The video.
      asker: Asks the models.
      model: Which of them.
      selection: Thresholds and classes; None for the model's own.
      output: The MP4, which is whole when the last progress came.

    Yields:
      How far it is, after some frames each; always the same object.

    Raises:
      ImageError: If the video cannot be read.
      RefusedError: If the hub refuses a request.
      OSError: If the output cannot be written.
    """
    tally, start, progress = Tally(), time.monotonic(), Progress()
    batches = _Batches(clip, tally, max(1, min(_MOST_AT_ONCE, model.state.max_batch_size)))
    threads, writer = _Threads(), None
    following = threads.start(batches.next)
    try:
        while frames := await asyncio.shield(following):
            following = threads.start(batches.next)
            answers = await asker.ask(model, [frame.image for frame in frames], selection)
            writer = writer or VideoWriter(output, frames[0].video, vid_stride=1)
            picture = await asyncio.shield(threads.start(_draw, writer, frames, answers))
            progress.add(answers, picture)
            progress.expected = _expected(frames[0], clip.most_frames)
            progress.seconds = time.monotonic() - start
            yield progress
        await asyncio.shield(threads.start(writer.close))
        progress.notes = [*tally.notes, *writer.notes, *batches.notes]
        writer = None
        yield progress
    finally:
        await asyncio.shield(_end(threads, batches, writer))


async def _end(threads: "_Threads", batches: "_Batches", writer: VideoWriter | None) -> None:
    """Closes what is open, after whatever runs in a thread."""
    await threads.ended()
    await asyncio.to_thread(batches.close)
    if writer is not None:
        await asyncio.to_thread(writer.abandon)


class _Threads:
    """Calls in threads that can be waited for when nobody waits for their results any more.

    A try that is stopped is cancelled where it awaits one, and the thread goes on: what it works on is FFmpeg's, which
    falls with the whole server if it is closed meanwhile. So calls are awaited behind `asyncio.shield`. They are no
    tasks, for a loop that ends cancels those.
    """

    def __init__(self):
        self._running: set[asyncio.Future] = set()

    def start(self, call: Callable, *arguments) -> asyncio.Future:
        """Begins a call; whoever awaits it is told what it raises."""
        future = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
        self._running.add(future)
        future.add_done_callback(self._is_done)
        return future

    async def ended(self) -> None:
        """Waits until none runs."""
        while self._running:
            await asyncio.wait(self._running)

    def _is_done(self, future: asyncio.Future) -> None:
        self._running.discard(future)
        if not future.cancelled():
            future.exception()  # of no interest where nobody awaits it; otherwise the loop would log it


class _Batches:
    """Frames of a video, some at a time, all of a batch of one size."""

    def __init__(self, clip: Clip, tally: Tally, size: int):
        self._clip, self._size = clip, size
        self._frames = videos.frames(videos.of_file(clip.path, clip.name), vid_stride=1, tally=tally)
        self._left, self._next = clip.most_frames, None
        self.notes: list[str] = []

    def next(self) -> list[Frame]:
        """The next ones; none at the end."""
        batch: list[Frame] = []
        while len(batch) < self._size and (frame := self._taken()) is not None:
            if batch and frame.image.shape != batch[0].image.shape:
                self._next = frame
                break
            batch.append(frame)
            if (len(batch) + 1) * frame.image.nbytes > _MOST_BYTES:
                break
        return batch

    def close(self) -> None:
        """Closes the video."""
        self._frames.close()

    def _taken(self) -> Frame | None:
        """The next frame, or none where the limit is reached."""
        if self._next is not None:
            frame, self._next = self._next, None
            return frame
        frame = next(self._frames, None)
        if frame is None:
            return None
        if not self._left:
            self.notes.append(
                f"The video is longer; its first {self._clip.most_frames:,} frames are annotated (--page_frames)."
            )
            return None
        height, width = frame.image.shape[:2]
        most = self._clip.most_pixels
        if height * width > most:
            raise ImageError(
                f"{shown(self._clip.name)} has frames of {width:,} x {height:,} pixels; expected at most {most:,} "
                "(--max_pixels). Scale it down first."
            )
        self._left -= 1
        return frame


def _draw(writer: VideoWriter, frames: list[Frame], answers: list[Answer]) -> np.ndarray:
    """Draws results on frames and writes them; gives the last."""
    for frame, answer in zip(frames, answers, strict=True):
        picture = np.asarray(annotate(frame.image, answer.result))
        writer.add(picture, frame.seconds)
    return picture


def _expected(frame: Frame, most: int) -> int | None:
    """How many frames a video will have; None where it does not say."""
    info = frame.video
    count = info.num_frames or (round(info.seconds * float(info.rate)) if info.seconds else None)
    return min(count, most) if count else None
