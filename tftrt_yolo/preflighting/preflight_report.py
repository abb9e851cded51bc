"""What a preflight found; printed, written as report.json, and read back.

report = PreflightReport.read("runs/preflight")
report.engines[0].summary.flops, report.faults
"""

import dataclasses
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.converter.conversion_report import LeftOver, NetworkPart
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.preflighting.numbers_report import Numbers
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.preflighting.summary import NetworkSummary

FILE = "report.json"
NOT_ASKED = (
    "TensorRT 8.6.1, which this TensorFlow loads, was not asked: its place was taken by a stand-in that builds nothing."
)
_NO_BUILDER = (
    "No real TensorRT was asked, for none is installed; pip install 'tftrt_yolo[preflight]' brings TensorRT-RTX, which "
    "builds without a GPU."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnginePreflight:
    """What one engine would be built from, and what others said to it.

    Attributes:
      name: Name of its TRTEngineOp.
      digest: SHA-256 over parameters, weights and ancestry of all layers; equal for two recordings of one conversion.
      summary: The network in figures.
      profiles: Name of each dynamic_shape_profile_strategy to the optimisation profiles of each input, for the batch
        sizes that were asked for.
      builder: What the real TensorRT built; None if none is installed, or it refused.
      refusal: Why it refused, in its own words; empty if it did not.
    """

    name: str
    digest: str
    summary: NetworkSummary
    profiles: dict[str, dict[str, tuple[Profile, ...]]]
    builder: BuilderReport | None = None
    refusal: str = ""

    DERIVED: ClassVar = ("faults",)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as it should be."""
        found = [f"filters that do not fit: {misfit}" for misfit in self.summary.misfits]
        found += [self.refusal] if self.refusal else []
        if self.builder:
            found += [f"{self.builder.builder} infers another tensor: {row}" for row in self.builder.differences]
        return tuple(f"{self.name}: {fault}" for fault in found)

    def __str__(self) -> str:
        """The report for a reader; faults are told by the report that this is part of."""
        lines = [f"{self.name}, digest {self.digest[:16]}", *_indented(self.summary), "  profiles"]
        for strategy, of_inputs in self.profiles.items():
            lines += [f"    {strategy:<14} {name}: {_batches(profiles)}" for name, profiles in of_inputs.items()]
        lines += _indented(self.builder) if self.builder else []
        lines += ["  no engine of a real TensorRT, which refuses it"] if self.refusal else []
        return "\n".join(lines)


def _batches(profiles: tuple[Profile, ...]) -> str:
    """An input's profiles by their batch sizes."""
    if not profiles:
        return "none, its shape is fixed"
    ranges = (
        f"{profile.min[0]}"
        if profile.min == profile.max
        else f"{profile.min[0]} to {profile.max[0]}, tuned for {profile.opt[0]}"
        for profile in profiles
    )
    return f"batch {'; '.join(ranges)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreflightReport:
    """What TensorRT would be given; also written as report.json.

    Attributes:
      saved_model_dir: The export.
      precision_mode: "FP32", "FP16" or "INT8".
      batch_sizes: Batch sizes that engines would be built for.
      tensorflow_version: Version of TensorFlow.
      nodes_inside: Nodes of `network` that go into engines, as the conversion's report counts them.
      nodes_outside: Nodes of `network` that stay in TensorFlow.
      left_to_tensorflow: The same by op type, with TF-TRT's reasons.
      engines: What was found of each engine.
      numbers: How far the recorded networks are from TensorFlow's.
      seconds: Wall time.
      parts: Where some convolutions of INT8 stay in float, the parts that the network is divided into.
    """

    saved_model_dir: str
    precision_mode: str
    batch_sizes: tuple[int, ...]
    tensorflow_version: str
    nodes_inside: int
    nodes_outside: int
    left_to_tensorflow: tuple[LeftOver, ...]
    engines: tuple[EnginePreflight, ...]
    numbers: Numbers
    seconds: float
    parts: tuple[NetworkPart, ...] = ()

    DERIVED: ClassVar = ("faults",)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as it should be."""
        return (*(fault for engine in self.engines for fault in engine.faults), *self.numbers.faults)

    def write(self, output_dir: Path) -> None:
        """Writes report.json into a directory."""
        documents.write(self, output_dir / FILE)

    @staticmethod
    def read(output_dir: str | Path) -> "PreflightReport":
        """Reads report.json back.

        Args:
          output_dir: A directory that `preflight` wrote.

        Returns:
          The report.

        Raises:
          PreflightError: If the file is missing or damaged.
        """
        return documents.read(
            output_dir, FILE, PreflightReport, PreflightError, origin="a preflight", remedy="run it again"
        )

    def __str__(self) -> str:
        """The report for a reader."""
        sizes = ", ".join(map(str, self.batch_sizes))
        total = self.nodes_inside + self.nodes_outside
        left = "; ".join(map(str, self.left_to_tensorflow)) or "nothing"
        lines = [
            f"Preflight of {self.saved_model_dir}, {self.precision_mode}, batch sizes {sizes}, in {self.seconds:.1f} s",
            f"  {counted(len(self.engines), 'engine')} by TF-TRT of TensorFlow {self.tensorflow_version}; "
            f"{self.nodes_inside} of {total} nodes inside; left to TensorFlow: {left}",
            *(f"  part {number}, {part}" for number, part in enumerate(self.parts, 1)),
            *(line for engine in self.engines for line in _indented(engine)),
            *_indented(self.numbers),
            *([] if any(engine.builder or engine.refusal for engine in self.engines) else [f"  {_NO_BUILDER}"]),
            f"  {NOT_ASKED}",
        ]
        left_out = len(self.numbers.left_out)
        lines += [f"  FAULT {fault}" for fault in self.faults] or [
            f"  no faults in what was compared; not compared: {left_out}, above" if left_out else "  no faults"
        ]
        return printable("\n".join(lines))


def _indented(part: object) -> list[str]:
    """A part's lines, two columns to the right."""
    return [f"  {line}" for line in str(part).splitlines()]
