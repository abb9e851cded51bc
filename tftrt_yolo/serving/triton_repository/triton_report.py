"""What was written into a model repository of Triton's."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.text import printable

_SHOWN = "  {:<18} {}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TritonReport:
    """A version of a model, as Triton takes it; nothing was run.

    Attributes:
      model_repository: The folder that `tritonserver --model-repository` is given.
      name: Of the model.
      version: Of the model.
      backend: Triton's backend that runs it: "python", or "tensorrt" for an engine.
      source: The SavedModel or the engine file.
      signature: The contract's signature that answers; empty for an engine, which takes frames.
      inputs: Name, type and axes behind the batch of each.
      outputs: The same of what comes back.
      max_batch_size: Of Triton's batches; 0 where it makes none.
      is_new_model: Whether config.pbtxt was written; otherwise it was there, and the version is one more.
      notes: What is still to be done, and what was not run.
    """

    model_repository: Path
    name: str
    version: int
    backend: str
    source: str
    signature: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_batch_size: int
    is_new_model: bool
    notes: tuple[str, ...]

    @property
    def version_dir(self) -> Path:
        """Where the version lies."""
        return self.model_repository / self.name / str(self.version)

    def __str__(self) -> str:
        """The report for a reader."""
        config = "written" if self.is_new_model else "as it was"
        what = f", signature {self.signature}" if self.signature else ""
        rows = [
            f"Wrote {self.version_dir}, a version of model {self.name} for Triton's {self.backend} backend",
            _SHOWN.format("source", f"{self.source}{what}"),
            _SHOWN.format("config.pbtxt", f"{config}, batches of up to {self.max_batch_size or 'its own size alone'}"),
            *(_SHOWN.format("input", one) for one in self.inputs),
            *(_SHOWN.format("output", one) for one in self.outputs),
            *(f"  {note}" for note in self.notes),
            f"  tritonserver --model-repository={self.model_repository}",
        ]
        return printable("\n".join(rows))
