"""Counters, gauges and histograms in Prometheus' text, or OpenMetrics' where it is asked for.

metrics = Metrics()
hub = Hub(models, batching, metrics)
metrics.count("http", "digits", "1", "ok", 0.012)
text, media_type = metrics.text("text/plain")

Labels are bounded: of models those that are served, and of each the last versions.
"""

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase

from tftrt_yolo.serving.observing.versions import Versions
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.refusals import Refusal

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_OF_VERSION = ("model", "version")


class Metrics(Observer):
    """What the server did, as numbers; each has the prefix `tftrt_yolo_`."""

    def __init__(self):
        """Starts at zero, in a registry of its own."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._families = []
        asked = (*_OF_VERSION, "door")
        self._requests = self._made(
            Counter, "requests", "Requests, by how they ended: ok, a refusal's name, or cancelled.", (*asked, "outcome")
        )
        self._request_seconds = self._made(
            Histogram, "request_seconds", "From a request's arrival to its answer.", asked, buckets=_SECONDS
        )
        self._in_progress = Gauge(
            "tftrt_yolo_requests_in_progress", "Requests without an answer yet.", ("door",), registry=self.registry
        )
        self._pictures = self._made(Counter, "pictures", "Pictures of requests that were answered.")
        self._pictures_refused = self._made(
            Counter, "pictures_refused", "Pictures among these that could not be read, each for itself."
        )
        self._queue = self._made(Gauge, "queue_pictures", "Pictures that wait for a model.")
        self._batch = self._made(
            Histogram, "batch_pictures", "Pictures that went through a model together.", buckets=_PICTURES
        )
        self._queue_seconds = self._made(
            Histogram, "queue_seconds", "How long a request waited for its batch.", buckets=_SECONDS
        )
        self._compute_seconds = self._made(
            Histogram, "compute_seconds", "How long a batch took in the model's process.", buckets=_SECONDS
        )
        self._restarts = self._made(Counter, "process_restarts", "Processes of a model that ended unasked.")
        self._gpu_memory = self._made(Gauge, "gpu_memory_bytes", "What TensorFlow holds of the GPU for a model.")
        self._ready = self._made(Gauge, "model_ready", "1 for a version that answers, 0 for one that does not.")
        self._versions = Versions(self._forget)

    def _made(self, kind: type, name: str, words: str, labels: tuple[str, ...] = _OF_VERSION, **options):
        """A family of metrics, with labels that begin with a model and its version."""
        family = kind(f"tftrt_yolo_{name}", words, labels, registry=self.registry, **options)
        self._families.append((family, labels))
        return family

    def _forget(self, model: str, version: int) -> None:
        """Takes away every series of a version that is long gone."""
        of = {"model": model, "version": str(version)}.items()
        for family, names in self._families:
            samples = [sample for metric in family.collect() for sample in metric.samples]
            gone = {tuple(map(sample.labels.get, names)) for sample in samples if of <= sample.labels.items()}
            for labels in gone:
                family.remove(*labels)
        _of.cache_clear()

    def started(self, door: str) -> None:
        """A request arrived.

        Args:
          door: "http" or "grpc".
        """
        _of(self._in_progress, door).inc()

    def count(self, door: str, model: str, version: str, outcome: str, seconds: float) -> None:
        """A request that had arrived has its answer.

        Args:
          door: "http" or "grpc".
          model: The model's name, as the request has it; of those that are not served all count as one.
          version: Its version, as text; empty if it is not known.
          outcome: How the request ended: "ok", the name of a refusal, or "cancelled".
          seconds: From its arrival to its answer.
        """
        labels = (*self._versions.labels_of(model, version), door)
        _of(self._in_progress, door).dec()
        _of(self._requests, *labels, outcome).inc()
        _of(self._request_seconds, *labels).observe(seconds)

    def outcomes(self) -> dict[str, int]:
        """How many requests ended how, at all doors."""
        found = {}
        for sample in (sample for family in self._requests.collect() for sample in family.samples):
            if sample.name.endswith("_total"):
                outcome = sample.labels["outcome"]
                found[outcome] = found.get(outcome, 0) + int(sample.value)
        return found

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """Everything, as text.

        Args:
          accept: What the client takes, as HTTP's header says it; OpenMetrics only where it is named.

        Returns:
          The text, and its media type.
        """
        named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
        encode, media_type = choose_encoder(_OPENMETRICS if _OPENMETRICS.partition(";")[0] in named else "")
        return encode(self.registry), media_type

    def queued(self, model: str, version: int, pictures: int) -> None:
        """As `Observer`."""
        _of(self._queue, model, version).set(pictures)

    def batch(self, model: str, version: int, size: int, seconds: float) -> None:
        """As `Observer`."""
        _of(self._batch, model, version).observe(size)
        _of(self._compute_seconds, model, version).observe(seconds)

    def finished(self, inference: Inference, outcome: Outcome | None, refusal: Refusal | None, seconds: float) -> None:
        """As `Observer`."""
        if outcome is not None:
            of = outcome.model, outcome.version
            _of(self._pictures, *of).inc(inference.size)
            _of(self._pictures_refused, *of).inc(refused_pictures(outcome))
            _of(self._queue_seconds, *of).observe(outcome.queue_seconds)

    def state(self, state: ModelState) -> None:
        """As `Observer`."""
        self._versions.add(state)
        self._ready.labels(state.name, state.version).set(int(state.is_ready))
        if not state.is_ready and state.state == "UNAVAILABLE":
            for gauge in (self._queue, self._gpu_memory):
                gauge.labels(state.name, state.version).set(0)

    def process_ended(self, model: str, version: int, reason: str) -> None:
        """As `Observer`."""
        self._restarts.labels(model, version).inc()

    def gpu_memory(self, model: str, version: int, used_bytes: int) -> None:
        """As `Observer`."""
        _of(self._gpu_memory, model, version).set(used_bytes)


@functools.lru_cache(1_024)
def _of(family: MetricWrapperBase, *labels: str | int):
    """The series of a family, which takes a while to find; none of a family that has forgotten it may be kept."""
    return family.labels(*labels)


def refused_pictures(outcome: Outcome) -> int:
    """How many pictures of an outcome could not be read, by its `status`."""
    return sum(map(bool, outcome.outputs.get("status", ())))
