"""The flow of a job: shards to tasks that decode, parts to actors that predict, packed rows to the driver.

    for shard, packed in flow.shards(ray, folder.missing(), model, pool):
        folder.commit(shard.index, packed)          # each shard once, in whatever order they are done

Ray Data starts tasks and actors, keeps what waits between them within the object store, and does anew what a node took
with it when it was lost.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator

from tftrt_yolo.ground.errors import BatchError, TftrtYoloError
from tftrt_yolo.ground.text import counted, first_line
from tftrt_yolo.pipelines.ray_data import decoding
from tftrt_yolo.pipelines.ray_data.cluster import Pool
from tftrt_yolo.pipelines.ray_data.plan import Shard
from tftrt_yolo.pipelines.ray_data.predicting import Model, Predict

_MOST_BLOCKS = 4_096  # that Ray Data's driver looks after; of more shards, several are a block
_OF_RAY = "\nFailed to apply UDF"  # the beginning of what Ray Data adds to a message
_STALL_SECONDS = 1_800  # without any progress, before the job is given up


class _Gathering:
    """A shard whose parts come, in any order."""

    def __init__(self):
        self._parts: dict[int, tuple[int, bytes]] = {}  # index of the first image to count and rows
        self._end: int | None = None

    def add(self, row: dict) -> None:
        """Takes a part; one that comes again, from a task that was done anew, is the same."""
        self._parts[row["first"]] = row["count"], row["packed"]
        if row["is_last"]:
            self._end = row["first"] + row["count"]

    @property
    def count(self) -> int:
        """Its images so far."""
        return sum(count for count, _ in self._parts.values())

    @property
    def is_whole(self) -> bool:
        """Whether all parts are there."""
        return self.count == self._end

    def packed(self) -> list[bytes]:
        """The rows, in order."""
        return [packed for _, (_, packed) in sorted(self._parts.items())]


def shards(
    ray, missing: Iterable[Shard], model: Model, pool: Pool, on_part: Callable[[int, str], None]
) -> Iterator[tuple[int, list[bytes]]]:
    """Computes shards.

    Args:
      ray: Connected.
      missing: The shards.
      model: What predicts.
      pool: What it runs on.
      on_part: Told of each part that comes: its images, and what ran the network.

    Yields:
      The number of each shard and its rows, packed, in order, as soon as it is whole.

    Raises:
      BatchError: If a node lacks the model or has another, too many nodes were lost, or an item gave another number of
        images than when it was listed.
      TftrtYoloError: What a predictor raises.
    """
    expected, gathering = {}, {}
    with _context(ray), _failures_named(ray):
        for row in _rows(_dataset(ray, _packed(missing, expected), model, pool)):
            index = row["shard"]
            if index not in expected:  # it is written already
                continue
            shard = gathering.setdefault(index, _Gathering())
            before = shard.count
            shard.add(row)
            on_part(shard.count - before, row["backend"])
            if not shard.is_whole:
                continue
            if expected[index] not in (None, shard.count):
                raise BatchError(
                    f"Shard {index} has {counted(shard.count, 'image')} and not the {expected[index]:,} that were "
                    "listed: its files changed meanwhile. Expected a source that stays as it is; begin anew in "
                    "another directory."
                )
            yield index, gathering.pop(index).packed()
            del expected[index]
    if expected:
        raise BatchError(
            f"{counted(len(expected), 'shard')} did not come back. Expected all of them; the same command goes on."
        )


def _packed(missing: Iterable[Shard], expected: dict[int, int | None]) -> list[dict]:
    """Shards as rows for Ray, noting how many images each is to have."""
    packed = []
    for shard in missing:
        expected[shard.index] = shard.count
        packed.append({"shard": shard.index, "items": shard.packed()})
    return packed


def _dataset(ray, packed: list[dict], model: Model, pool: Pool):
    """Ray Data's plan; nothing runs yet."""
    blocks = min(len(packed), _MOST_BLOCKS)
    return (
        ray.data.from_items(packed, override_num_blocks=blocks)
        .map_batches(
            decoding.decode,
            fn_kwargs={"batch_size": model.batch_size},
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=pool.num_tasks),
            **pool.of_task,
        )
        .map_batches(
            Predict,
            fn_constructor_kwargs={"model": model},
            batch_size=1,
            batch_format="pyarrow",
            # Two calls at a time: while one waits for its last batch, the other's first is brought up.
            compute=ray.data.ActorPoolStrategy(
                size=pool.num_predictors, max_concurrent_calls_per_actor=2, enable_true_multi_threading=True
            ),
            **pool.of_predictor,
        )
    )


def _rows(dataset) -> Iterator[dict]:
    """The rows that come, one by one."""
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
        yield from table.to_pylist()


@contextlib.contextmanager
def _context(ray) -> Iterator[None]:
    """Ray Data's settings for a job: quiet, and parts as blocks of their own."""
    context = ray.data.DataContext.get_current()
    wanted = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "target_max_block_size": decoding.PART_BYTES,
        "target_min_block_size": 1,
        "execution_no_progress_timeout_s": _STALL_SECONDS,
        "raise_original_map_exception": True,
    }
    before = {name: getattr(context, name) for name in wanted if hasattr(context, name)}
    try:
        for name in before:
            setattr(context, name, wanted[name])
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


@contextlib.contextmanager
def _failures_named(ray) -> Iterator[None]:
    """Raises what a task or an actor raised of ours as it was there, and says of Ray's own what to do."""
    data = importlib.import_module("ray.data.exceptions")
    try:
        yield
    except (ray.exceptions.RayError, data.SystemException, data.ExecutionTimeoutError) as error:
        ours = _ours_of(ray, error)
        if ours is not None:
            raise ours from error
        raise BatchError(
            f"Ray gave the job up ({type(error).__name__}: {_said(error)}). Expected nodes that stay, with memory "
            "for the model and for decoded images; what was written stays, and the same command goes on."
        ) from error


def _said(error: Exception) -> str:
    """What one of Ray's errors says, which is long: the line of what led to it, the last."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return first_line(ValueError(lines[-1])) if lines else type(error).__name__


def _ours_of(ray, error: BaseException | None) -> TftrtYoloError | None:
    """This package's own error among what led to one of Ray's, which is of its class, too, and has a trace as text."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, TftrtYoloError) and not isinstance(error, ray.exceptions.RayError):
            return type(error)(str(error).partition(_OF_RAY)[0])
        seen.add(id(error))
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return None
