"""Writes what a run finds, image by image, while the network goes on: it draws, writes and encodes in threads.

    with RunWriter(scene, vid_stride=1) as writer:
        for given, image, result in results:
            writer.put(functools.partial(finding_of, given, image, result, scene))
    writer.counts.num_images

An error, or an interrupt, within the block ends the threads; otherwise its end waits for them.
"""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.output import names
from tftrt_yolo.predictor.output.contents import DETECTIONS
from tftrt_yolo.predictor.output.finding import Finding, called
from tftrt_yolo.predictor.output.forms.coco import CocoResults
from tftrt_yolo.predictor.output.forms.crops import Crops
from tftrt_yolo.predictor.output.forms.form import Form, Scene
from tftrt_yolo.predictor.output.forms.labels import Labels
from tftrt_yolo.predictor.output.forms.map_files import MapFiles
from tftrt_yolo.predictor.output.forms.mask_files import MaskFiles
from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.forms.table import Table
from tftrt_yolo.predictor.output.stage import Stage
from tftrt_yolo.predictor.output.videos.video_writer import ENDING, VideoWriter
from tftrt_yolo.predictor.sources.frame import Frame, VideoInfo

_FORMS = {"txt": Labels, "csv": Table, "coco": CocoResults, "crops": Crops, "masks": MaskFiles, "maps": MapFiles}
_MICROSECONDS = 6  # digits of seconds


@dataclasses.dataclass
class Counts:
    """What was written so far.

    Attributes:
      num_images: Images.
      num_frames: Frames of videos.
      num_videos: Videos that these are of.
      classes: Class name to its objects; of a classifier or a map to images and frames.
      notes: What a reader must know of what was written.
    """

    num_images: int = 0
    num_frames: int = 0
    num_videos: int = 0
    classes: Counter = dataclasses.field(default_factory=Counter)
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, eq=False)
class _Video:
    """A video that is being written.

    Attributes:
      info: The video that is read.
      stem: Name of its files.
      file: Name of the annotated video; None if none is written.
      writer: What writes it.
      stage: The thread that does.
    """

    info: VideoInfo
    stem: str
    file: str | None
    writer: VideoWriter | None
    stage: Stage | None


class RunWriter:
    """Writes all forms of a run.

    Attributes:
      counts: What was written; complete after the block.
    """

    def __init__(self, scene: Scene, *, vid_stride: int):
        """Begins the files.

        Args:
          scene: What the run is of.
          vid_stride: Of videos, every n-th frame comes.
        """
        self._scene, self._vid_stride = scene, vid_stride
        self.counts = Counts()
        self._stems, self._pictures = names.Stems(), pictures.Names(scene.folder)
        self._videos: dict[int, _Video] = {}
        self._lines = open(scene.folder / DETECTIONS, "w", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._forms: list[Form] = [_FORMS[name](scene) for name in scene.options.save]
        self._stage = None

    def __enter__(self) -> "RunWriter":
        """Starts the thread that writes."""
        self._stage = Stage(lambda made: self._write(made()), name="write")
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        """Completes all files; after an error, closes them."""
        try:
            if kind is None:
                self._stage.close()
                self._complete()
        finally:
            self._stage.abandon()
            for video in self._videos.values():
                if video.stage:
                    video.stage.abandon()
                    video.writer.abandon()
            with contextlib.suppress(OSError):  # the disk is full, which was raised already
                self._lines.close()

    def put(self, finding: Callable[[], Finding]) -> None:
        """Hands an image over; waits where writing is some images behind.

        Args:
          finding: Makes what is written of it; it is called in the thread that writes.

        Raises:
          OSError: If an earlier one cannot be written.
        """
        self._stage.put(finding)

    def _complete(self) -> None:
        """Ends every file."""
        self._close_videos(list(self._videos))
        with _failures_named():
            for form in self._forms:
                form.close()
            self._lines.close()
        for form in self._forms:
            self.counts.notes += form.notes()

    def _write(self, finding: Finding) -> None:
        """Writes one image."""
        task, rows = self._scene.task, finding.rows
        if isinstance(finding.given, Frame) and finding.given.video is not None:
            shot, header = self._frame(finding.given, finding)
        else:
            shot, header = self._image(finding)
        header |= {"height": finding.image.shape[0], "width": finding.image.shape[1]}
        with _failures_named():
            for form in self._forms:
                header |= form.add(shot)
            self._lines.write(json.dumps({**header, task.row_label: rows}) + "\n")
        self.counts.classes.update(task.counted_names(rows))

    def _image(self, finding: Finding) -> tuple[Shot, dict]:
        """Writes the picture of an image; gives what forms need, and the beginning of its line."""
        self.counts.num_images += 1
        source, file, is_numbered = called(finding.given, self.counts.num_images)
        header = {"image": source}
        if finding.picture is not None:
            path = self._pictures.path_for(Path(file), finding.picture_size_hw)
            pictures.write_encoded(finding.picture, path, finding.picture_size_hw)
            header["picture"] = path.name
        stem = PurePath(file).stem if is_numbered else self._stems.stem_for(file)
        return Shot(stem, source, finding.image, finding.result, finding.rows), header

    def _frame(self, frame: Frame, finding: Finding) -> tuple[Shot, dict]:
        """Hands a frame to its video; gives what forms need, and the beginning of its line."""
        self.counts.num_frames += 1
        video, source = self._video_of(frame.video), str(frame.source)
        seconds = round(float(frame.seconds), _MICROSECONDS)
        header = {"image": source}
        if video.stage:
            video.stage.put((finding.picture, seconds))
            header["video"] = video.file
        header |= {"frame": frame.index, "seconds": seconds}
        name = f"{video.stem}_{frame.index}"
        return Shot(name, source, finding.image, finding.result, finding.rows, frame.index, seconds), header

    def _video_of(self, info: VideoInfo) -> _Video:
        """What writes a video; those before it are over, unless several streams come at once."""
        if id(info) not in self._videos:
            self._close_videos([key for key, video in self._videos.items() if not video.info.is_live])
            self._videos[id(info)] = self._begun(info)
            self.counts.num_videos += 1
        return self._videos[id(info)]

    def _begun(self, info: VideoInfo) -> _Video:
        """Begins a video."""
        stem = self._stems.stem_for(str(info.source))
        if not self._scene.options.pictures:
            return _Video(info, stem, None, None, None)
        path = names.free_path(self._scene.folder, stem, ENDING)
        path.touch()  # the name is taken
        writer = VideoWriter(path, info, vid_stride=self._vid_stride)
        return _Video(info, stem, path.name, writer, Stage(lambda item: writer.add(*item), name="encode"))

    def _close_videos(self, keys: list[int]) -> None:
        """Completes videos."""
        for key in keys:
            video = self._videos[key]
            if video.stage:
                video.stage.close()
                video.writer.close()
                self.counts.notes += video.writer.notes
            del self._videos[key]


@contextlib.contextmanager
def _failures_named() -> Iterator[None]:
    """Says of a file that cannot be written what was to be written, where the system's error does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # it was said already
            raise
        raise OSError(
            error.errno,
            f"{DETECTIONS}, or what is written beside it, cannot be written: {error.strerror}. Expected a folder with "
            "room for it; nothing of this run was kept",
        ) from error
