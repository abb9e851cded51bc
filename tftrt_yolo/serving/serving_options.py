"""How models are served: which, in what batches, and where the doors are."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import (
    MOST_IN_A_BATCH,
    Options,
    argument,
    check_at_least_one,
    check_bool,
    number,
    whole_number,
)
from tftrt_yolo.ground.text import quoted

# Least and most.
_POLL_SECONDS = (0.05, 86_400.0)
_DELAY_MS = (0.0, 60_000.0)
_TIMEOUT_SECONDS = (0.001, 86_400.0)
_MOST_QUEUED = 1_000_000  # pictures
_CLIENT_SECONDS = (0.1, 86_400.0)
_MOST_BODY_BYTES = (1 << 31) - 1
_MOST_PORT = 65_535
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

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or where two places of models are given."""
        if self.saved_model_dir is not None and self.model_repository is not None:
            raise ValueError(
                f"{argument('saved_model_dir')} and {argument('model_repository')} were both given. Expected one of "
                "them: a repository may hold the model, too."
            )
        check_at_least_one("num_versions", self.num_versions)
        _check_number("poll_seconds", self.poll_seconds, _POLL_SECONDS)
        check_bool("strict", self.strict)
        check_bool("allow_side_effects", self.allow_side_effects)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchingOptions(Options):
    """How requests become batches, and how many may wait.

    Attributes:
      max_batch_size: Pictures that go through the network together at most, and a request may have.
      max_delay_ms: How long a request waits for others to share a batch with, where the model is free and others came
        lately.
      queue_size: Pictures that may wait for a model; requests beyond are answered with 503 and Retry-After.
      request_timeout_s: Seconds after which a request is given up, where the client names no time of its own.
      processes: Processes of each version of a model; each has the model in memory.
    """

    max_batch_size: int = 16
    max_delay_ms: float = 1.0
    queue_size: int = 256
    request_timeout_s: float = 30.0
    processes: int = 1

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or a queue that does not hold a batch."""
        for name, most in (("max_batch_size", MOST_IN_A_BATCH), ("queue_size", _MOST_QUEUED), ("processes", 64)):
            if check_at_least_one(name, getattr(self, name)) > most:
                raise ValueError(f"{argument(name)} is {getattr(self, name):,}; it must be at most {most:,}.")
        _check_number("max_delay_ms", self.max_delay_ms, _DELAY_MS)
        _check_number("request_timeout_s", self.request_timeout_s, _TIMEOUT_SECONDS)
        if self.queue_size < self.max_batch_size:
            raise ValueError(
                f"{argument('queue_size')} is {self.queue_size:,}, and a request may have {self.max_batch_size:,} "
                f"pictures ({argument('max_batch_size')}). Expected a queue that holds it."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListenOptions(Options):
    """Where the doors are, and what they let in.

    Attributes:
      host: Address to listen at; 0.0.0.0 for every one of this machine.
      http_port: For HTTP; 0 for any that is free.
      grpc_port: For gRPC; 0 for any that is free; -1 for none.
      max_body_bytes: The largest request, once decompressed.
      max_answer_bytes: That answers may take together, at each of the two doors, until they are read; more are refused
        with 503 and Retry-After, and one that alone takes more with 413.
      max_pixels: The largest picture, width times height; larger ones are answered for alone, as unreadable ones.
      client_timeout_s: Seconds that a client has for a request to come whole, and a second more for each 64 KiB of it;
        for taking what it is sent; and between two requests. Its connection ends then.
      tls_certificate: A certificate chain in PEM, with tls_key; both doors then speak TLS alone.
      tls_key: The certificate's private key in PEM.
      token_file: A file with a token that every request must bear as `Authorization: Bearer TOKEN`, but for those for
        health.
    """

    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    max_body_bytes: int = 64 << 20
    max_answer_bytes: int = 1 << 30
    max_pixels: int = 50_000_000
    client_timeout_s: float = 30.0
    tls_certificate: str | Path | None = None
    tls_key: str | Path | None = None
    token_file: str | Path | None = None

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or options that do not go together."""
        if not isinstance(self.host, str) or not self.host.strip():
            raise ValueError(f"{argument('host')} is {quoted(self.host)}; expected an address, such as 127.0.0.1.")
        _check_port("http_port", self.http_port, least=0)
        _check_port("grpc_port", self.grpc_port, least=-1)
        if self.http_port == self.grpc_port != 0:
            raise ValueError(
                f"{argument('http_port')} and {argument('grpc_port')} are both {self.http_port}; expected two ports."
            )
        if check_at_least_one("max_body_bytes", self.max_body_bytes) > _MOST_BODY_BYTES:
            raise ValueError(
                f"{argument('max_body_bytes')} is {self.max_body_bytes:,}; it must be at most {_MOST_BODY_BYTES:,}, "
                "which is gRPC's limit."
            )
        check_at_least_one("max_answer_bytes", self.max_answer_bytes)
        check_at_least_one("max_pixels", self.max_pixels)
        _check_number("client_timeout_s", self.client_timeout_s, _CLIENT_SECONDS)
        if (self.tls_certificate is None) != (self.tls_key is None):
            given, missing = ("tls_certificate", "tls_key") if self.tls_key is None else ("tls_key", "tls_certificate")
            raise ValueError(f"{argument(given)} was given without {argument(missing)}; expected both, or none.")


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


def _check_port(name: str, value: object, *, least: int) -> None:
    """Refuses an argument that is no port."""
    port = whole_number(value)
    if port is None or not least <= port <= _MOST_PORT:
        raise ValueError(
            f"{argument(name)} is {quoted(value)}; it must be a whole number from {least} to {_MOST_PORT}."
        )


def _check_number(name: str, value: object, between: tuple[float, float]) -> None:
    """Refuses an argument that is not a number between two others."""
    least, most = between
    given = number(value)
    if given is None or not least <= given <= most:
        raise ValueError(f"{argument(name)} is {quoted(value)}; it must be a number from {least:g} to {most:g}.")
