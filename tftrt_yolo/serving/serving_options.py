"""How models are served: which, in what batches, and where the doors are."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, argument
from tftrt_yolo.ground.text import quoted

LOG_FORMATS = ("text", "json", "none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Which models are served, and from where.

    Attributes:
      saved_model_dir: A SavedModel that `export` or `convert` wrote; its name is that of the directory without
        _saved_model, its version 1.
      model_repository: In place of it a folder of models as NAME/VERSION, each VERSION a whole number and a SavedModel,
        or a folder that holds one as model.savedmodel. New versions are loaded while the server runs.
      num_versions: How many of the newest versions of a model are served at once.
      poll_seconds: How often model_repository is looked at.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether to run models that hold operations which may touch files, the network or the process.
    """

    saved_model_dir: str | Path | None = None
    model_repository: str | Path | None = None
    num_versions: int = 1
    poll_seconds: float = 1.0
    strict: bool = False
    allow_side_effects: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingOptions(Options):
    """How requests become batches, and how many may wait.

    Attributes:
      max_batch_size: Pictures that go through the network together at most, and a request may have.
      max_delay_ms: How long a request waits for others to share a batch with, where the model is free.
      queue_size: Pictures that may wait for a model; requests beyond are answered with 503 and Retry-After.
      request_timeout_s: Seconds after which a request is given up, where the client names no time of its own.
      processes: Processes of each version of a model; each has the model in memory.
    """

    max_batch_size: int = 16
    max_delay_ms: float = 1.0
    queue_size: int = 256
    request_timeout_s: float = 30.0
    processes: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListenOptions(Options):
    """Where the doors are, and what they let in.

    Attributes:
      host: Address to listen at; 0.0.0.0 for every one of this machine.
      http_port: For HTTP; 0 for any that is free.
      grpc_port: For gRPC; 0 for any that is free; -1 for none.
      max_body_bytes: The largest request, once decompressed.
      max_pixels: The largest picture, width times height; larger ones are answered for alone, as unreadable ones.
      tls_certificate: A certificate chain in PEM, with tls_key; both doors then speak TLS alone.
      tls_key: The certificate's private key in PEM.
      token_file: A file with a token that every request must bear, but for those for health.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    max_body_bytes: int = 64 << 20
    max_pixels: int = 50_000_000
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None
    token_file: str | Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObservingOptions(Options):
    """What an operator sees beside the metrics.

    Attributes:
      log_format: Of a line for each request on standard error: "text", "json", or "none" for no line.
      trace_endpoint: A collector of OpenTelemetry's that gets a span for each request, such as http://127.0.0.1:4317;
        left out, OTEL_EXPORTER_OTLP_ENDPOINT and the like count. It needs the extra `tracing`.
    """

    log_format: str = "text"
    trace_endpoint: str | None = None

    def __post_init__(self):
        """Raises ValueError for a format that is none."""
        if self.log_format not in LOG_FORMATS:
            raise ValueError(
                f"{argument('log_format')} is {quoted(self.log_format)}; expected {', '.join(LOG_FORMATS)}."
            )
