"""A job from its options to its report, where it is started.

report = batch_run.run(handle, source, output, workers, selection, overwrite=False)
"""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.ground import stages
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import counted
from tftrt_yolo.pipelines.batch_options import BatchOutputOptions, WorkerOptions
from tftrt_yolo.pipelines.batch_report import BatchReport
from tftrt_yolo.pipelines.ray_data import cluster, flow, job_folder, listing, predicting
from tftrt_yolo.pipelines.ray_data.job import Job
from tftrt_yolo.pipelines.ray_data.job_folder import JobFolder
from tftrt_yolo.pipelines.ray_data.predicting import Model
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.table import TASKS

_LEAST_SECONDS = 1.0  # for a rate
OnProgress = Callable[[int, int | None], None]


@dataclasses.dataclass
class _Run:
    """What this run adds to a job, as it goes.

    Attributes:
      began: When it began, by `time.perf_counter`.
      first: When the first images came; None before.
      last: When the last came.
      num_computed: Images that came.
      num_first: Those of them that came first.
      backends: What ran the network, in order.
      predictors: Processes that hold the model.
    """

    began: float = dataclasses.field(default_factory=time.perf_counter)
    first: float | None = None
    last: float = 0.0
    num_computed: int = 0
    num_first: int = 0
    backends: dict[str, None] = dataclasses.field(default_factory=dict)
    predictors: int = 0

    @property
    def images_per_second(self) -> float:
        """The rate after the first images; NaN where it all took too short a time to have one."""
        seconds = 0.0 if self.first is None else self.last - self.first
        return (self.num_computed - self.num_first) / seconds if seconds >= _LEAST_SECONDS else math.nan

    def add(self, num_images: int, backend: str) -> None:
        """Counts images that came."""
        self.last = time.perf_counter()
        if self.first is None:
            self.first, self.num_first = self.last, num_images
        self.num_computed += num_images
        self.backends[backend] = None


def run(
    handle: SavedModelHandle,
    source: BatchSourceOptions,
    output: BatchOutputOptions,
    workers: WorkerOptions,
    selection: SelectionOptions | None,
    *,
    overwrite: bool,
    on_progress: OnProgress | None,
) -> BatchReport:
    """Runs a job, or what is left of it; arguments, result and errors are those of `batch`."""
    path, this = Path(output.output_dir), _Run()
    asked = _asked(selection, handle)
    job = Job(
        saved_model_dir=str(handle.directory),
        model_sha256=predicting.digest(handle),
        task=handle.metadata.task,
        source=listing.identity(source),
        selection=asked,
        form=output.form,
        shard_size=output.shard_size,
        versions=predicting.versions(),
    )
    model = Model(
        saved_model_dir=job.saved_model_dir,
        sha256=job.model_sha256,
        keywords={"strict": workers.strict, "allow_side_effects": workers.allow_side_effects},
        asked=asked,
        batch_size=workers.batch_size,
        form=job.form,
        num_threads=workers.num_cpus,
    )
    directories.check_apart(path, [handle.directory])
    stages.enter("listing the source")
    with job_folder.opened(path, job, lambda: listing.items(source), overwrite=overwrite) as folder:
        try:
            if folder.num_written < folder.num_shards:
                _compute(folder, model, workers, this, on_progress)
            folder.complete()
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_how_to_go_on(folder)) from error
        return _report(folder, this)


def _compute(folder: JobFolder, model: Model, workers: WorkerOptions, this: _Run, on_progress: OnProgress | None):
    """Computes and writes the shards that are missing."""
    with cluster.connected(workers.address) as ray:
        nodes = cluster.check_nodes(ray, model)
        pool = cluster.pool(nodes, workers)
        this.predictors = pool.num_predictors
        total = None if folder.job.num_open else folder.job.num_images
        num_before = folder.summary.num_images

        def count(num_images: int, backend: str) -> None:
            this.add(num_images, backend)
            if on_progress:
                on_progress(num_before + this.num_computed, total)

        stages.enter(f"loading the model into {counted(pool.num_predictors, 'predictor')}")
        for index, packed in flow.shards(ray, folder.missing(), model, pool, count):
            folder.commit(index, packed)


def _asked(selection: SelectionOptions | None, handle: SavedModelHandle) -> dict[str, object]:
    """What is asked for in place of the model's own, classes as indices; refuses what the model does not have."""
    if selection is None:
        return {}
    task = TASKS[handle.metadata.task]
    if not task.finds_objects:
        selection.refuse("models that find objects", f"{handle.given} is {task.kind}")
    asked = selection.asked()
    return asked | ({"classes": selection.class_indices(handle.metadata.names)} if "classes" in asked else {})


def _how_to_go_on(folder: JobFolder) -> str:
    """What is there after an interrupt, for a reader."""
    return (
        f"{folder.count_files():,} of {counted(folder.num_shards, 'shard')} written, and nothing half written is left; "
        "the same command goes on"
    )


def _report(folder: JobFolder, this: _Run) -> BatchReport:
    """What was done."""
    job, summary = folder.job, folder.summary
    first = this.last if this.first is None else this.first
    return BatchReport(
        output_dir=folder.path,
        form=job.form,
        task=job.task,
        model_sha256=job.model_sha256,
        backend=tuple(this.backends),
        num_images=summary.num_images,
        num_unreadable=summary.num_unreadable,
        num_detections=summary.class_counts.total(),
        class_counts=dict(sorted(summary.class_counts.items())),
        num_shards=folder.num_shards,
        num_shards_before=folder.num_found,
        num_computed=this.num_computed,
        num_bytes=folder.num_bytes,
        seconds=this.last - first,
        starting_seconds=first - this.began if this.num_computed else 0.0,
        images_per_second=this.images_per_second,
        predictors=this.predictors,
        num_repeated=job.num_repeated,
        selection=job.selection,
    )
