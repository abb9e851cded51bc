"""What goes through the server: a request for one model, its outcome, and what is known of a model.

outcome = await hub.infer(Inference("digits", "encoded", {"image_bytes": pictures}, deadline=time.monotonic() + 10))
outcome.outputs["boxes"]
"""

import dataclasses

import numpy as np

from tftrt_yolo.selection import SelectionOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Inference:
    """A request for one signature of one model.

    Attributes:
      model: Its name.
      signature: As the contract names it: "encoded", "serving_default", "padded" or "network".
      inputs: Name to array, of the same length along axis 0, of at least 1. Strings are arrays of bytes, dtype object.
      deadline: In seconds of `time.monotonic`; nothing is computed for a request whose deadline is over.
      version: None for the newest that is ready.
      selection: Thresholds and classes for this request; None for the model's own.
      request_id: The client's, for logs.
      trace: What its spans belong to, as W3C's `traceparent`; empty for none.
    """

    model: str
    signature: str
    inputs: dict[str, np.ndarray]
    deadline: float
    version: int | None = None
    selection: SelectionOptions | None = None
    request_id: str = ""
    trace: str = ""

    @property
    def size(self) -> int:
        """Pictures in it."""
        return min((len(value) if value.ndim else 0 for value in self.inputs.values()), default=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What an inference gave.

    Attributes:
      outputs: Name to array, as the contract has them. Strings are arrays of bytes, dtype object.
      model: Its name.
      version: Which answered.
      batch_size: Pictures that went through the network together, those of other requests among them.
      queue_seconds: How long it waited for a batch.
      compute_seconds: How long its batch took, in the model's process.
    """

    outputs: dict[str, np.ndarray]
    model: str
    version: int
    batch_size: int
    queue_seconds: float
    compute_seconds: float


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """A tensor of a signature.

    Attributes:
      dtype: NumPy's name; "object" for strings.
      shape: None for an axis of any size; axis 0 is the batch.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature's tensors, by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


@dataclasses.dataclass(frozen=True)
class ModelState:
    """One version of a model, and how it stands.

    Attributes:
      name: Its name.
      version: A whole number of at least 1.
      state: "LOADING", "READY", "UNLOADING" or "UNAVAILABLE", as Triton names them.
      reason: Why it is not ready; empty if it is.
      task: As the contract names it: "detect".
      names: Of its classes, by index.
      max_batch_size: Pictures that go through the network together at most.
      batch_sizes: Those that were run ahead, to which batches are filled up; empty where any size is as good.
      backend: What runs it: "TensorRT on GPU: engines built ahead". `Backend` of the predictor, in words.
      device: "GPU" or "CPU".
      is_native: Whether the native segments of TensorRT's engines run in its stead.
      why_slow: What makes it slower here than it need be; empty for nothing.
      signatures: By key.
      saved_model_dir: Where it lies.
    """

    name: str
    version: int
    state: str
    reason: str = ""
    task: str = ""
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    max_batch_size: int = 0
    batch_sizes: tuple[int, ...] = ()
    backend: str = ""
    device: str = ""
    is_native: bool = False
    why_slow: str = ""
    signatures: dict[str, Signature] = dataclasses.field(default_factory=dict)
    saved_model_dir: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.state == "READY"

    @property
    def is_broken(self) -> bool:
        """Whether it could not be loaded, or was unloaded, and why is known."""
        return self.state == "UNAVAILABLE" and bool(self.reason)
