"""What `serve` says: where its doors are when they are open, and what it did when it ends."""

import dataclasses

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.text import counted, printable, quoted
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.tasks.table import in_words


@dataclasses.dataclass(frozen=True)
class Serving:
    """A server that answers.

    Attributes:
      http_url: Of the door for HTTP: "http://127.0.0.1:8000".
      grpc_address: Of the door for gRPC: "127.0.0.1:8001"; None without one.
      models: A line for each version of a model: what it is and what runs it.
      warnings: What an operator should know: native segments, a door that is open to everybody.
      page_url: Of the page to try the models on; None without one.
    """

    http_url: str
    grpc_address: str | None
    models: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    page_url: str | None = None

    def __str__(self) -> str:
        """The doors and the models, a line each."""
        lines = [f"  http         {self.http_url}"]
        lines += [f"  grpc         {self.grpc_address}"] if self.grpc_address else []
        lines += [f"  page         {self.page_url}"] if self.page_url else []
        lines += [f"  model        {line}" for line in self.models]
        lines += [f"  warning      {line}" for line in self.warnings]
        return printable("\n".join(["Serving until TERM or INT comes", *lines]))


@dataclasses.dataclass(frozen=True)
class ServingReport:
    """What `serve` did.

    Attributes:
      requests: How many requests ended how: "ok", the name of the refusal, or "cancelled" by their clients.
      seconds: Wall time for which it answered.
      models: A line for each version of a model that was there at the end.
    """

    requests: dict[str, int]
    seconds: float
    models: tuple[str, ...]

    def __str__(self) -> str:
        """The report for a reader."""
        total = counted(sum(self.requests.values()), "request")
        lines = [f"Served {total} in {self.seconds:.1f} s"]
        lines += [f"  {outcome:12} {count:,}" for outcome, count in sorted(self.requests.items())]
        lines += [f"  model        {line}" for line in self.models]
        return printable("\n".join(lines))


def line_of(state: ModelState) -> str:
    """A version of a model in a line."""
    if not state.is_ready:
        return f"{state.name} version {state.version}: {state.state.lower()}. {state.reason}".rstrip(" .")
    return f"{state.name} version {state.version}: {in_words(state.task, len(state.names))}, {state.backend}"


def warning_of(state: ModelState) -> str:
    """What is to be known of a model that runs in another way than it was made for."""
    return (
        f"{quoted(state.name)} runs in TensorFlow, its native segments in place of TensorRT's engines, which cannot "
        f"run here. {setting('strict')} refuses that."
    )
