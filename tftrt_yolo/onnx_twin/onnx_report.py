"""What is in an ONNX file that was written, and how far it is from the SavedModel."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.tasks.table import TASKS


@dataclasses.dataclass(frozen=True)
class Integers:
    """Quantised numbers of a file beside TensorFlow's, each tensor quantised of what TensorFlow's holds.

    Attributes:
      tensors: Tensors that are quantised where the network runs.
      filters: Filters that the file holds as integers.
      numbers: Numbers of these tensors that were compared, on one picture; 0 where the file's floats are FP16.
      different: How many of them become another integer, of TensorFlow's own floats; 0 by construction.
      ties: How many become another integer of floats that ONNX Runtime computed of TensorFlow's integers before: sums
        that are rounded in another order fall to the other side of a half, by one step.
    """

    tensors: int
    filters: int
    numbers: int = 0
    different: int = 0
    ties: int = 0

    def __str__(self) -> str:
        """One line."""
        what = f"{counted(self.tensors, 'tensor')} and {counted(self.filters, 'filter')}"
        if not self.numbers:
            return f"{what}; not compared with TensorFlow's, for the floats between are FP16"
        return (
            f"{what}; of {counted(self.numbers, 'number')} {self.different:,} are another integer than TensorFlow's, "
            f"and {self.ties:,} by sums in another order"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParsedReport:
    """An engine that TensorRT built of an ONNX file; nothing was run.

    Attributes:
      builder: "TensorRT-RTX" or "TensorRT".
      version: Its version.
      compute_capability: Of the GPU that the engine is for, such as "8.9"; "of the GPU here" with TensorRT.
      batch_sizes: From the least to the largest of which the engine takes every batch.
      layers: Layers that its parser made of the file.
      tensor_types: Type, such as "HALF", to how many tensors have it.
      seconds: Time of parsing and building.
      plan_bytes: Size of the engine.
      warnings: What it warns of.
    """

    builder: str
    version: str
    compute_capability: str
    batch_sizes: tuple[int, ...]
    layers: int
    tensor_types: dict[str, int]
    seconds: float
    plan_bytes: int
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        """The report for a reader."""
        types = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.tensor_types.items()))
        lines = [
            f"{self.builder} {self.version} made {counted(self.layers, 'layer')} of it ({types}) and built an engine "
            f"for compute capability {self.compute_capability} in {self.seconds:.1f} s "
            f"({self.plan_bytes / 1e6:.1f} MB; nothing was run)",
            *(f"  it warns: {warning}" for warning in self.warnings),
        ]
        return printable("\n".join(lines))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxReport:
    """An ONNX file that was written, and run in ONNX Runtime on a CPU.

    Attributes:
      onnx_path: The file.
      saved_model_dir: The export.
      task: Ultralytics' name of the task.
      precision_mode: "FP32", "FP16" or "INT8".
      float_type: In which type is computed what is not quantised.
      opset: Version of ONNX's operators.
      layout: "network" or "ultralytics": whose outputs it gives.
      tensors: Its inputs and outputs.
      operators: ONNX's name of each operator to how many there are.
      inner_transposes: Transposes between others: of those at inputs and outputs none counts.
      integers: What is quantised; None but for INT8.
      built: What TensorRT said to the file; None if it was not asked.
      parity: The largest differences to TensorFlow on the same frames, over every anchor, as those of `ExportReport`;
        of INT8 to TensorFlow with the same quantisations and, where its floats are FP32, with TensorFlow's integers in
        the places of its own.
      free_parity: Of INT8 the same with its own integers, where a few ties of rounding fall elsewhere and spread; None
        for others, and where that is what parity says.
      file_bytes: Size of the file.
      versions: Of ONNX, and of the ONNX Runtime that ran it.
      seconds: Wall time.
    """

    onnx_path: Path
    saved_model_dir: str
    task: str
    precision_mode: str
    float_type: str
    opset: int
    layout: str
    tensors: tuple[IOTensor, ...]
    operators: dict[str, int]
    inner_transposes: int
    integers: Integers | None
    built: ParsedReport | None
    parity: dict[str, float]
    free_parity: dict[str, float] | None
    file_bytes: int
    versions: dict[str, str]
    seconds: float

    DERIVED: ClassVar = ("faults",)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as it should be."""
        if self.integers is None or not self.integers.different:
            return ()
        return (f"{counted(self.integers.different, 'quantised number is', 'quantised numbers are')} not TensorFlow's",)

    @property
    def parity_line(self) -> str:
        """The parity for a reader: "boxes within 0.00012 px, scores within 1.2e-07"."""
        return self._line(self.parity)

    def __str__(self) -> str:
        """The report for a reader."""
        floats = f", {self.float_type} between" if self.precision_mode == "INT8" else ""
        counts = sorted(self.operators.items(), key=lambda item: (-item[1], item[0]))
        transposes = self.operators.get("Transpose", 0)
        lines = [
            f"Wrote the network of {self.saved_model_dir} ({self.task}, {self.precision_mode}{floats}) as ONNX, opset "
            f"{self.opset}, in {self.seconds:.1f} s",
            f"  file               {self.onnx_path} ({self.file_bytes / 1e6:.1f} MB)",
            *(f"  {'input ' if tensor.is_input else 'output'}             {tensor}" for tensor in self.tensors),
            f"  operators          {', '.join(f'{count:,} {name}' for name, count in counts)}",
            f"  transposes         {transposes:,}, of which {self.inner_transposes:,} not at the ends",
        ]
        if self.integers:
            lines.append(f"  quantised          {self.integers}")
        of = ", with TensorFlow's integers" if self.free_parity else ""
        runtime = f"ONNX Runtime {self.versions.get('onnxruntime', 'unknown')}"
        lines.append(f"  parity, TensorFlow {self.parity_line} ({runtime} on a CPU{of})")
        if self.free_parity:
            lines.append(f"  with its own       {self._line(self.free_parity)}: a few ties of rounding, which spread")
        if self.built:
            lines += [f"  {line}" for line in str(self.built).splitlines()]
        lines += [f"  FAULT {fault}" for fault in self.faults]
        return printable("\n".join(lines))

    def _line(self, largest: dict[str, float]) -> str:
        """Differences for a reader."""
        quantities = TASKS[self.task].quantities
        return ", ".join(f"{one.label} within {one.format(largest[one.label])}" for one in quantities)
