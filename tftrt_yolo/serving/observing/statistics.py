"""What Triton calls the statistics of a model: how many requests and batches, and the time that they took.

statistics = Statistics()
statistics.of(hub.models())              # for GET /v2/models/stats, and for gRPC's ModelStatistics

Source: Triton's statistics extension,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

import dataclasses
import time
from collections.abc import Iterable

from tftrt_yolo.serving.observing.versions import Versions
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.refusals import Refusal

_NEVER = ("compute_input", "compute_output", "cache_hit", "cache_miss")  # not told apart from the rest, or not there
_NS = 1_000_000_000


@dataclasses.dataclass
class _Duration:
    """How often, and for how long."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += int(seconds * _NS)


@dataclasses.dataclass
class _Counts:
    """Of one version."""

    last_inference: int = 0  # milliseconds since 1970
    inference_count: int = 0
    execution_count: int = 0
    success: _Duration = dataclasses.field(default_factory=_Duration)
    fail: _Duration = dataclasses.field(default_factory=_Duration)
    queue: _Duration = dataclasses.field(default_factory=_Duration)
    compute_infer: _Duration = dataclasses.field(default_factory=_Duration)
    batches: dict[int, _Duration] = dataclasses.field(default_factory=dict)  # size to its time


class Statistics(Observer):
    """The counts of each version."""

    def __init__(self):
        """Starts at zero."""
        self._counts: dict[tuple[str, int], _Counts] = {}
        self._versions = Versions(lambda model, version: self._counts.pop((model, version), None))

    def of(self, states: Iterable[ModelState]) -> list[dict]:
        """The statistics of versions.

        Args:
          states: Which.

        Returns:
          A dictionary each, as JSON has it: the fields of Triton's `ModelStatistics`.
        """
        return [
            _described(state, self._counts.get((state.name, state.version), _Counts()))
            for state in states
            if state.is_ready
        ]

    def state(self, state: ModelState) -> None:
        """As `Observer`."""
        self._versions.add(state)

    def batch(self, model: str, version: int, size: int, seconds: float) -> None:
        """As `Observer`."""
        counts = self._of(model, version)
        counts.execution_count += 1
        counts.inference_count += size
        counts.last_inference = time.time_ns() // 1_000_000
        counts.batches.setdefault(size, _Duration()).add(seconds)

    def finished(self, inference: Inference, outcome: Outcome | None, refusal: Refusal | None, seconds: float) -> None:
        """As `Observer`."""
        if outcome is not None:
            counts = self._of(outcome.model, outcome.version)
            counts.success.add(seconds)
            counts.queue.add(outcome.queue_seconds)
            counts.compute_infer.add(outcome.compute_seconds)
        if refusal is None:  # or its client went away
            return
        model, version = self._versions.labels_of(inference.model, str(self._version_of(inference)))
        if version:
            self._of(model, int(version)).fail.add(seconds)

    def _version_of(self, inference: Inference) -> int | None:
        """Which version a request that failed meant: the newest, if it names none."""
        if inference.version is not None:
            return inference.version
        return max((version for model, version in self._counts if model == inference.model), default=None)

    def _of(self, model: str, version: int) -> _Counts:
        """The counts of a version."""
        return self._counts.setdefault((model, version), _Counts())


def _described(state: ModelState, counts: _Counts) -> dict:
    """The counts of a version, as `ModelStatistics` has them."""
    timed = {name: getattr(counts, name) for name in ("success", "fail", "queue", "compute_infer")}
    timed |= {name: _Duration(counts.success.count if "compute" in name else 0) for name in _NEVER}
    return {
        "name": state.name,
        "version": str(state.version),
        "last_inference": counts.last_inference,
        "inference_count": counts.inference_count,
        "execution_count": counts.execution_count,
        "inference_stats": {name: dataclasses.asdict(value) for name, value in timed.items()},
        "batch_stats": [_described_batch(size, took) for size, took in sorted(counts.batches.items())],
    }


def _described_batch(size: int, took: _Duration) -> dict:
    """The batches of a size, as `InferBatchStatistics` has them."""
    nothing = {"count": took.count, "ns": 0}
    infer = dataclasses.asdict(took)
    return {"batch_size": size, "compute_input": nothing, "compute_infer": infer, "compute_output": nothing}
