"""What was done with engines of their own: built from an export, or taken out of a conversion."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.converter.conversion_report import LeftOver
from tftrt_yolo.engines.plan import PlanFacts
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport

EXTRACTION_FILE = "engines.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFileReport:
    """An engine that TensorRT built; nothing was run.

    Attributes:
      engine_path: The file.
      saved_model_dir: The export.
      task: Ultralytics' name of the task.
      precision_mode: "FP32", "FP16" or "INT8".
      batch_sizes: Batch sizes that it was built for; a single one is fixed in its shapes.
      tensors: Its inputs and outputs.
      builder: What TensorRT said while it built.
      plan: What the plan itself says, read from its bytes, for a plan is opened on a GPU only.
      disagreements: Where that is something else than what was asked for.
      left_to_tensorflow: What TF-TRT leaves out of the engine; nothing that its outputs need.
      file_bytes: Size of the file.
      seconds: Wall time.
      has_header: Whether Ultralytics' header stands before the plan.
    """

    engine_path: Path
    saved_model_dir: str
    task: str
    precision_mode: str
    batch_sizes: tuple[int, ...]
    tensors: tuple[IOTensor, ...]
    builder: BuilderReport
    plan: PlanFacts
    disagreements: tuple[str, ...]
    left_to_tensorflow: tuple[LeftOver, ...]
    file_bytes: int
    seconds: float
    has_header: bool = True

    DERIVED: ClassVar = ("faults", "unread")

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as it should be."""
        return (*(f"TensorRT infers otherwise: {one}" for one in self.builder.differences), *self.disagreements)

    @property
    def unread(self) -> tuple[str, ...]:
        """What of the plan could not be read, and so was compared with nothing."""
        return self.plan.unread

    def __str__(self) -> str:
        """The report for a reader."""
        sizes = ", ".join(map(str, self.batch_sizes))
        names = [field.name for field in dataclasses.fields(self.plan)]
        read = ", ".join(name for name in names if name not in self.unread) or "nothing"
        alone = "" if self.has_header else "; the plan alone, without a header"
        lines = [
            f"Built an engine of {self.saved_model_dir} ({self.task}, {self.precision_mode}, batch sizes {sizes}) in "
            f"{self.seconds:.1f} s",
            f"  engine             {self.engine_path} ({self.file_bytes / 1e6:.1f} MB{alone})",
            *(f"  {'input ' if tensor.is_input else 'output'}             {tensor}" for tensor in self.tensors),
            *(f"  {line}" for line in str(self.builder).splitlines()),
            f"  read from the plan's bytes and compared: {read}; not read: {', '.join(self.unread) or 'nothing'}",
        ]
        lines += [f"  FAULT {fault}" for fault in self.faults] or ["  no faults"]
        return printable("\n".join(lines))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """Engines that were taken out of a conversion; nothing was built and nothing was run.

    Attributes:
      saved_model_dir: The conversion.
      output_dir: Where the files are.
      engines: Name of each file to the size of its plan in bytes.
      built_by: Which TensorRT built them.
    """

    saved_model_dir: str
    output_dir: Path
    engines: dict[str, int]
    built_by: str

    def write(self, output_dir: Path) -> None:
        """Writes engines.json into a directory."""
        documents.write(self, output_dir / EXTRACTION_FILE)

    def __str__(self) -> str:
        """The report for a reader."""
        rows = [f"  {name} ({size / 1e6:.1f} MB)" for name, size in self.engines.items()]
        plans = counted(len(rows), "plan")
        first = f"Took {plans} of {self.built_by} out of {self.saved_model_dir} into {self.output_dir}"
        return printable("\n".join([first, *rows]))
