"""All that an operator sees, in one: what the hub tells, and each request at a door.

observing = Observing(ObservingOptions(log_format="json"))
hub = Hub(models, batching, observing)
with observing.request("http", "POST /predict", remote="127.0.0.1:50312") as asked:
    outcome = await asked.infer(hub, inference)
observing.metrics.text(), observing.statistics.of(hub.models())
observing.close()
"""

import contextlib
import re
from collections.abc import Iterator

from tftrt_yolo.serving.observing import request as requests
from tftrt_yolo.serving.observing.logs import Logs
from tftrt_yolo.serving.observing.metrics import Metrics
from tftrt_yolo.serving.observing.request import AskedRequest
from tftrt_yolo.serving.observing.statistics import Statistics
from tftrt_yolo.serving.observing.tracing import open_tracing
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.refusals import Refusal
from tftrt_yolo.serving.serving_options import ObservingOptions

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Observing(Observer):
    """Tells metrics, statistics, logs and traces what happens.

    Attributes:
      metrics: Numbers, as Prometheus has them.
      statistics: Numbers, as Triton has them.
      logs: Lines.
      tracing: Spans; None where nobody asks for them.
    """

    def __init__(self, options: ObservingOptions | None = None):
        """Starts.

        Args:
          options: How lines look, and where spans go; None for text and OpenTelemetry's variables.

        Raises:
          ServingError: If spans are asked for and cannot be made.
        """
        options = options or ObservingOptions()
        self.tracing = open_tracing(options.trace_endpoint)
        self.metrics, self.statistics = Metrics(), Statistics()
        self.logs = Logs(options.log_format)

    @property
    def _observers(self) -> tuple[Observer, ...]:
        return (self.metrics, self.statistics, self.logs, *([self.tracing] if self.tracing else []))

    @contextlib.contextmanager
    def request(self, door: str, method: str, *, remote: str = "", traceparent: str = "") -> Iterator[AskedRequest]:
        """A block in which a request is dealt with; it is counted, logged and traced when the block ends.

        Args:
          door: "http" or "grpc".
          method: What is asked, in few kinds: "POST /v2/models/{name}/infer".
          remote: The client's address.
          traceparent: As the client sent it; anything.

        Yields:
          What is known of it, to which the door adds; `observing.request.current` gives it, too.
        """
        asked = AskedRequest(door, method, remote, traceparent if _TRACEPARENT.fullmatch(traceparent) else "")
        span = self.tracing.start(asked) if self.tracing else None
        self.metrics.started(door)
        token = requests.make_current(asked)
        error = None
        try:
            yield asked
        except BaseException as raised:
            error = raised
            raise
        finally:
            requests.restore(token)
            asked.end(error)
            self._ended(asked, span)

    def _ended(self, asked: AskedRequest, span) -> None:
        """Counts, logs and traces a request."""
        self.metrics.count(asked.door, asked.model, asked.version, asked.ended, asked.seconds)
        if self.tracing:
            self.tracing.end(span, asked)
        self.logs.request(asked)

    def close(self) -> None:
        """Writes and sends what is left, for a few seconds at most."""
        if self.tracing:
            self.tracing.close()
        self.logs.close()

    def queued(self, model: str, version: int, pictures: int) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.queued(model, version, pictures)

    def batch(self, model: str, version: int, size: int, seconds: float) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.batch(model, version, size, seconds)

    def finished(self, inference: Inference, outcome: Outcome | None, refusal: Refusal | None, seconds: float) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.finished(inference, outcome, refusal, seconds)

    def state(self, state: ModelState) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.state(state)

    def process_ended(self, model: str, version: int, reason: str) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.process_ended(model, version, reason)

    def gpu_memory(self, model: str, version: int, used_bytes: int) -> None:
        """As `Observer`."""
        for observer in self._observers:
            observer.gpu_memory(model, version, used_bytes)
