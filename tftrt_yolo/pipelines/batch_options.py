"""Where a job writes and in which form, and what it runs on."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, check_bool, number
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.predictor.predictor import BATCH_SIZE

FORMS = ("parquet", "jsonl")
_MOST_IN_A_SHARD = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchOutputOptions(Options):
    """Where a job writes, and in which form.

    Attributes:
      output_dir: Directory to write, which the machine alone must see that the command runs on: a file for each shard,
        manifest.json when all are there, and what continuing needs. One of the same job is continued.
      form: "parquet", a row an image with its detections nested; or "jsonl", a line of JSON an image.
      shard_size: Images a shard. A shard is written whole or not at all, and what was not written is done anew by a
        job that is continued; so small shards lose little, and large ones make fewer files.
    """

    output_dir: str | Path
    form: str = "parquet"
    shard_size: int = 1_000

    def __post_init__(self):
        """Refuses what is out of range."""
        if not isinstance(self.form, str) or self.form not in FORMS:
            raise ValueError(f"{argument('form')} is {quoted(self.form)}; expected one of {', '.join(FORMS)}.")
        size = check_at_least_one("shard_size", self.shard_size)
        if size > _MOST_IN_A_SHARD:
            raise ValueError(f"{argument('shard_size')} is {size:,}; it must be at most {_MOST_IN_A_SHARD:,}.")
        object.__setattr__(self, "shard_size", size)  # the dataclass is frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerOptions(Options):
    """What a job runs on.

    Attributes:
      batch_size: At most this many images a call of the network.
      strict: Whether to refuse a converted model that TensorRT cannot run where it is to run.
      allow_side_effects: Whether to run a model that holds operations which may touch files, the network or the
        process, as nothing does that `export` or `convert` wrote. `inspect` lists them.
      address: A Ray cluster's, such as 10.0.0.1:6379, or "auto" for one that this machine belongs to; None for
        RAY_ADDRESS of the environment, and without it for this machine alone, where Ray is started for the job and
        ended with it.
      predictors: How many processes hold the model, each one predictor; None for one a GPU, and without GPUs for one a
        node.
      num_gpus: A predictor's share of a GPU: 0.5 puts two onto one. None for 1 where the cluster has GPUs, else 0.
      num_cpus: A predictor's cores, of which TensorFlow makes as many threads; the others decode. None for a node's
        cores, which decoding shares.
    """

    batch_size: int = BATCH_SIZE
    strict: bool = False
    allow_side_effects: bool = False
    address: str | None = None
    predictors: int | None = None
    num_gpus: float | None = None
    num_cpus: int | None = None

    def __post_init__(self):
        """Refuses what is out of range."""
        checks = dict.fromkeys(("batch_size", "predictors", "num_cpus"), check_at_least_one)
        checks |= dict.fromkeys(("strict", "allow_side_effects"), check_bool) | {"num_gpus": _check_share_of_gpus}
        for name, check in checks.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check(name, getattr(self, name)))  # the dataclass is frozen
        if self.address is not None and (not isinstance(self.address, str) or not self.address):
            raise ValueError(
                f"{argument('address')} is {quoted(self.address)}; expected a cluster's address, such as 10.0.0.1:6379."
            )


def _check_share_of_gpus(name: str, value: object) -> float:
    """Refuses what Ray cannot give: a share below one GPU, or whole ones."""
    share = number(value)
    if share is None or share < 0 or share > 1:
        raise ValueError(f"{argument(name)} is {quoted(value)}; it must be a number from 0 to 1.")
    return share
