"""One try on the page: files, a model and thresholds in; pictures or a video, tables and figures out.

trying = Trying(asker, uploads, limits)
async for shown in trying.run(files, choice):
    shown.notice, shown.pictures
"""

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from absl import logging

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.text import counted, first_line
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.page import clips, pictures, words
from tftrt_yolo.serving.page.asking import Answer, Asker, Model
from tftrt_yolo.serving.page.uploads import Uploads
from tftrt_yolo.tasks.annotate import annotate

_MOST_PICTURES = 32  # a try
_AT_ONCE = 4  # pictures that are in memory, of all tries
_VIDEOS_AT_ONCE = 2
_PREVIEW_SECONDS = 1.0
_FAILED = "The server failed; its log says why. Try again, or another file."


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
      most_frames: Of a video.
      most_pixels: Of a picture or a frame, width times height.
    """

    most_frames: int
    most_pixels: int


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is asked of which model.

    Attributes:
      model: Its name.
      version: None for the newest that is ready.
      asked: Thresholds and classes, by the names of `SelectionOptions`.
    """

    model: str
    version: int | None
    asked: dict


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the page shows.

    Attributes:
      notice: HTML above.
      pictures: Path and caption of each; None where there are none.
      video: The MP4; None where there is none.
      figures: HTML with latencies.
      table: HTML with what was found.
    """

    notice: str = ""
    pictures: list[tuple[str, str]] | None = None
    video: str | None = None
    figures: str = ""
    table: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class _Drawn:
    """A picture that was drawn, and what of it is shown."""

    name: str
    path: str
    answer: Answer


class Trying:
    """Runs tries."""

    def __init__(self, asker: Asker, uploads: Uploads, limits: Limits):
        """Runs nothing yet.

        Args:
          asker: Asks the models.
          uploads: Where files lie.
          limits: What is taken.
        """
        self._asker, self._uploads, self._limits = asker, uploads, limits
        self._pictures, self._videos = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_VIDEOS_AT_ONCE)

    async def run(self, files: list[Path], choice: Choice) -> AsyncIterator[Shown]:
        """Runs one; whatever goes wrong is shown in words.

        Args:
          files: In the folder of uploads.
          choice: What is asked.

        Yields:
          What the page shows meanwhile, and in the end.
        """
        try:
            model = self._asker.model(choice.model, choice.version)
            selection = model.selection(**choice.asked)
            videos = [path for path in files if await asyncio.to_thread(pictures.is_video, path)]
            how = self._clip if videos else self._pictures_of
            refusal = _refusal(files, videos)
            if refusal:
                yield Shown(refusal)
                return
            async with contextlib.aclosing(how(videos or files, model, selection, choice.version)) as steps:
                async for shown in steps:
                    yield shown
        except (TftrtYoloError, ValueError, OSError) as error:
            yield Shown(words.problem(_said(error)))
        except Exception:  # noqa: BLE001 - whatever it is, the reader gets words and the log the rest
            logging.exception("A try on the page failed.")
            yield Shown(words.problem(_FAILED))

    async def _pictures_of(
        self, files: list[Path], model: Model, selection: SelectionOptions | None, version: int | None
    ) -> AsyncIterator[Shown]:
        """Pictures, all at once; one that cannot be read is said, and the others are shown."""
        start, tries = time.monotonic(), [self._picture(path, model, selection, version) for path in files]
        found = await asyncio.gather(*tries, return_exceptions=True)
        seconds = time.monotonic() - start
        drawn, problems = [one for one in found if isinstance(one, _Drawn)], []
        for path, one in zip(files, found, strict=True):
            if isinstance(one, (TftrtYoloError, ValueError, OSError)):
                said = _said(one)
                is_named = path.name in said or len(files) == 1
                problems.append(words.problem(said if is_named else f"{path.name}: {said}"))
            elif isinstance(one, BaseException):
                raise one
        if not drawn:
            yield Shown("".join(problems))
            return
        outcomes = [one.answer.outcome for one in drawn]
        times = words.Times(
            sum(outcome.queue_seconds for outcome in outcomes) / len(drawn),
            sum(outcome.compute_seconds for outcome in outcomes) / len(drawn),
            seconds,
            len(drawn),
        )
        yield Shown(
            notice="".join(problems),
            pictures=[(one.path, one.name) for one in drawn],
            figures=words.figures(times, model, outcomes[-1].version),
            table=words.results([(one.name, one.answer.result) for one in drawn]),
        )

    async def _picture(
        self, path: Path, model: Model, selection: SelectionOptions | None, version: int | None
    ) -> _Drawn:
        """One picture."""
        self._uploads.used(path)
        async with self._pictures:
            image = await asyncio.to_thread(pictures.read, path, path.name, most_pixels=self._limits.most_pixels)
            [answer] = await self._asker.ask(model, [image], selection, version=version)
            output = self._output(".jpg")
            await asyncio.to_thread(lambda: pictures.write(annotate(image, answer.result), output))
        return _Drawn(path.name, str(output), answer)

    async def _clip(
        self, files: list[Path], model: Model, selection: SelectionOptions | None, version: int | None
    ) -> AsyncIterator[Shown]:
        """A video."""
        [path] = files
        self._uploads.used(path)
        clip = clips.Clip(path, path.name, self._limits.most_frames, self._limits.most_pixels)
        if self._videos.locked():
            yield Shown(words.working("Other videos are under way; this one waits for its turn."))
        output, progress, preview = self._output(".mp4"), None, _Preview(self._output(".jpg"))
        async with (
            self._videos,
            contextlib.aclosing(clips.annotate_clip(clip, self._asker, model, selection, output)) as steps,
        ):
            async for progress in steps:
                self._uploads.used(path)
                of = f" of {progress.expected:,}" if progress.expected else ""
                yield Shown(
                    words.working(f"{progress.frames:,}{of} frames", progress.frames, progress.expected),
                    pictures=await asyncio.to_thread(preview.of, progress),
                    figures=_figures_of(progress, model),
                )
        unit = "boxes" if model.task.finds_objects else "frames"
        yield Shown(
            notice="".join(map(words.note, progress.notes)),
            video=str(output),
            figures=_figures_of(progress, model),
            table=words.of_clip(progress, unit),
        )

    def _output(self, ending: str) -> Path:
        """A file for what is drawn."""
        folder = self._uploads.path / "drawn"
        folder.mkdir(exist_ok=True)
        return folder / f"{uuid.uuid4().hex}{ending}"


class _Preview:
    """The frame that was drawn last, as a picture, once in a while."""

    def __init__(self, path: Path):
        self._path, self._written, self._number = path, -_PREVIEW_SECONDS, 0

    def of(self, progress: clips.Progress) -> list[tuple[str, str]]:
        """The picture and its caption, as of a second ago or newer."""
        if time.monotonic() - self._written >= _PREVIEW_SECONDS:
            self._written, self._number = time.monotonic(), progress.frames
            pictures.write(progress.picture, self._path)
        return [(str(self._path), f"frame {self._number:,}")]


def _figures_of(progress: clips.Progress, model: Model) -> str:
    """A video's figures, a frame."""
    count = max(progress.frames, 1)
    times = words.Times(
        progress.queue_seconds / count, progress.compute_seconds / count, progress.seconds, progress.frames
    )
    return words.figures(times, model, progress.answer.outcome.version)


def _refusal(files: list[Path], videos: list[Path]) -> str:
    """Why so many files are not taken; empty if they are."""
    if videos and len(files) > 1:
        return words.problem(f"You dropped {counted(len(files), 'file')}, a video among them. Drop a video alone.")
    if len(files) > _MOST_PICTURES:
        dropped = counted(len(files), "picture")
        return words.problem(f"You dropped {dropped}; expected at most {_MOST_PICTURES}. Drop fewer.")
    return ""


def _said(error: BaseException) -> str:
    """An error in words, without a place on the server."""
    if isinstance(error, OSError):
        return f"It cannot be dealt with: {error.strerror or 'the disk fails'}. Drop it again."
    return first_line(error, 1_000)
