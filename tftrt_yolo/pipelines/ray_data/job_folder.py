"""A job's directory: what the job is, its shards as they come, and the manifest when all are there.

    with job_folder.opened(path, job, items, overwrite=False) as folder:
        for shard in folder.missing():
            folder.commit(shard.index, [packed, ...])
        folder.complete()

job.json and the listing appear first, together. A shard's file is written under another name, brought to the disk and
renamed: that it is there says that it is whole, and nothing else does. So whatever ends the job, at any moment, the
next one goes on with the shards that are not there.
"""

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.ground.files import directories, documents
from tftrt_yolo.ground.text import clause, counted, first_line, shown
from tftrt_yolo.pipelines.ray_data import plan, rows
from tftrt_yolo.pipelines.ray_data.job import CONTENTS, JOB, LISTING, MANIFEST, PARTIAL, Job, Manifest, ShardFile
from tftrt_yolo.pipelines.ray_data.listing import Item
from tftrt_yolo.pipelines.ray_data.plan import Plan, Shard
from tftrt_yolo.tasks.table import TASKS

_REMEDY = "Choose another directory for this job, run the other one's command again to continue that, or pass"


class JobFolder:
    """A job's directory, which nobody else writes to meanwhile.

    Attributes:
      path: The directory.
      job: What the job is.
      num_shards: How many shards it has.
      num_found: Shards that were there when it was opened.
      summary: What the shards hold that are there.
    """

    def __init__(self, path: Path, job: Job):
        """Looks at what is there.

        Args:
          path: The directory, with job.json and the listing.
          job: What these are of.

        Raises:
          BatchError: If a shard is damaged, or the listing is.
        """
        self.path, self.job = path, job
        self._form = rows.FORMS[job.form](TASKS[job.task], job.model_sha256)
        self._files: dict[int, ShardFile] = {}
        self.summary = rows.Summary()
        for partial in path.glob(f"*{PARTIAL}"):
            partial.unlink()
        self.num_shards = 0
        for shard in plan.read(path / LISTING):
            self.num_shards += 1
            if self._place(shard.index).exists():
                self._take(shard.index, shard.count)
        self.num_found = len(self._files)

    @property
    def num_written(self) -> int:
        """How many shards are there."""
        return len(self._files)

    def count_files(self) -> int:
        """Counts the shards' files themselves: an interrupt may have come when one was there and not yet counted."""
        return len(list(self.path.glob(f"shard-*{self._form.ending}")))

    @property
    def num_bytes(self) -> int:
        """Size of the shards that are there."""
        return sum(file.num_bytes for file in self._files.values())

    def missing(self) -> Iterator[Shard]:
        """The shards that are not there."""
        return (shard for shard in plan.read(self.path / LISTING) if shard.index not in self._files)

    def commit(self, index: int, packed: Iterable[bytes]) -> None:
        """Writes a shard.

        Args:
          index: Its number.
          packed: Its rows as its form packed them, in order.

        Raises:
          OSError: If it cannot be written, such as on a full disk; nothing of it is left then.
        """
        place = self._place(index)
        with _put(place) as partial:
            self._form.write(packed, partial)
        self._take(index, None)

    def complete(self) -> None:
        """Writes the manifest; all shards are there."""
        files = tuple(self._files[index] for index in range(self.num_shards))
        manifest = Manifest(
            job=self.job,
            num_images=self.summary.num_images,
            num_unreadable=self.summary.num_unreadable,
            class_counts=dict(sorted(self.summary.class_counts.items())),
            shards=files,
        )
        with _put(self.path / MANIFEST) as partial:
            documents.write(manifest, partial)

    def _place(self, index: int) -> Path:
        return self.path / f"shard-{index:06d}{self._form.ending}"

    def _take(self, index: int, count: int | None) -> None:
        """Counts a shard that is there; refuses one that is not what was listed."""
        place = self._place(index)
        try:
            found = self._form.summary(place)
            digest = directories.file_sha256(place)
        except rows.FAULTS as error:
            raise _damaged(place, first_line(error)) from error
        if count is not None and found.num_images != count:
            raise _damaged(place, f"it has {counted(found.num_images, 'row')} of {count:,}")
        self._files[index] = ShardFile(place.name, found.num_images, place.stat().st_size, digest)
        self.summary += found


@contextlib.contextmanager
def opened(path: Path, job: Job, items: Callable[[], Iterable[Item]], *, overwrite: bool) -> Iterator[JobFolder]:
    """Begins a job's directory, or opens it again to continue.

    Args:
      path: The directory.
      job: What the job is.
      items: Lists the source; it is asked where the job begins.
      overwrite: Whether another job's output, or this one's that is complete, may be replaced.

    Yields:
      The directory, which is kept from other processes meanwhile.

    Raises:
      BatchError: If another job's output is there and overwrite is false, another process writes there, or something
        there is damaged.
      FileExistsError: If something else is there.
      ImageError: If the source has no image.
    """
    begun = _begun(path)
    is_same = begun is not None and begun.is_continued_by(job)
    if begun is not None and not is_same and not overwrite:
        raise BatchError(
            f"{path} holds the output of another job: {begun.difference(job)}. {_REMEDY} {setting('overwrite')} to "
            "replace it."
        )
    if not is_same or (overwrite and (path / MANIFEST).exists()):
        job = _begin(path, job, items, overwrite=overwrite)
    else:
        job = begun
    with _locked(path):
        yield JobFolder(path, job)


def _begun(path: Path) -> Job | None:
    """The job whose output a directory holds; None if it holds none."""
    if not (path / JOB).is_file():
        return None
    return documents.read(path / JOB, JOB, Job, BatchError, origin="a job", remedy="choose another directory")


def _begin(path: Path, job: Job, items: Callable[[], Iterable[Item]], *, overwrite: bool) -> Job:
    """Lists the source and writes down what is to be done; that appears as a whole."""
    directories.check_free(path, CONTENTS, overwrite=overwrite)
    with contextlib.ExitStack() as stack:
        if (path / JOB).is_file():
            stack.enter_context(_locked(path))
        with directories.written_whole(path, CONTENTS, overwrite=overwrite) as partial_dir:
            cut: Plan = plan.write(items(), partial_dir / LISTING, shard_size=job.shard_size)
            job = dataclasses.replace(
                job, num_images=cut.num_images, num_open=cut.num_open, num_repeated=cut.num_repeated
            )
            documents.write(job, partial_dir / JOB)
            for name in (LISTING, JOB):
                _to_disk(partial_dir / name)
            _to_disk(partial_dir)
        _to_disk(path.parent)
    return job


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes of this machine from a job's directory; the system lets go of it whatever happens."""
    with open(path / JOB, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BatchError(
                f"{path} is being written by another process. Expected one job a directory; wait until that one is "
                "done, or choose another directory."
            ) from error
        except OSError:  # a file system without locks
            pass
        yield


@contextlib.contextmanager
def _put(place: Path) -> Iterator[Path]:
    """Gives a temporary path whose file is brought to the disk and takes its place if the block succeeds."""
    partial = place.with_name(place.name + PARTIAL)
    try:
        yield partial
        _to_disk(partial)
        partial.replace(place)
        _to_disk(place.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{place} cannot be written: {error.strerror or clause(error)}. Expected a folder with room for it; "
            "what was written before is whole, and the same command goes on",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _to_disk(path: Path) -> None:
    """Waits until a file, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(place: Path, why: str) -> BatchError:
    return BatchError(
        f"{shown(place)} is damaged: {why}. Expected a shard that this job wrote; delete it, and the same command "
        "writes it anew."
    )
