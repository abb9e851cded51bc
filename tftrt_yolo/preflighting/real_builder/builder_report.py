"""What a real TensorRT said to a recorded network."""

import dataclasses

from tftrt_yolo.ground.text import counted
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder.replay import Difference


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuilderReport:
    """An engine that a real TensorRT built; nothing was run.

    It says which TensorRT took the network, and not that TensorRT 8.6.1 does, which TensorFlow's wheels load: that one
    was not asked.

    Attributes:
      builder: "TensorRT-RTX" or "TensorRT".
      version: Its version.
      compute_capability: Of the GPU that the engine is for, such as "8.9"; "of the GPU here" with TensorRT.
      on_cpu: Whether no GPU took part: TensorRT-RTX compiles for a GPU that need not be there, and tunes nothing.
      engine: Name of the TRTEngineOp whose network it is.
      layers: Recorded layers, all of which it took.
      tensor_types: Type, such as "FLOAT", to how many tensors have it in what was built.
      in_half: Whether the network was put into FP16 before it was built; else it has the types that were recorded,
        which are FP32 for a network that is to run in FP16.
      differences: Tensors whose shape or type it infers differently.
      profiles: Name of each input to its optimisation profiles.
      seconds: Time of rebuilding and building.
      plan_bytes: Size of the engine.
      warnings: What it warns of.
    """

    builder: str
    version: str
    compute_capability: str
    on_cpu: bool
    engine: str
    layers: int
    tensor_types: dict[str, int]
    in_half: bool
    differences: tuple[Difference, ...]
    profiles: dict[str, tuple[Profile, ...]]
    seconds: float
    plan_bytes: int
    warnings: tuple[str, ...]

    @property
    def tensors_compared(self) -> int:
        """Tensors whose shape and type were compared with the recorded ones: all."""
        return sum(self.tensor_types.values())

    def __str__(self) -> str:
        """The report for a reader."""
        types = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.tensor_types.items()))
        how = "on a CPU, nothing was run" if self.on_cpu else "nothing was run"
        lines = [
            f"{self.builder} {self.version} took all {counted(self.layers, 'layer')} and built an engine for "
            "compute capability "
            f"{self.compute_capability} in {self.seconds:.1f} s ({self.plan_bytes / 1e6:.1f} MB; {how})",
            f"  {counted(self.tensors_compared, 'tensor')} compared ({types}): {len(self.differences)} of another "
            "shape or type",
            *(f"  it warns: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A network that a real TensorRT did not take.

    Attributes:
      words: Which TensorRT, its own words, the layer, and what to do.
    """

    words: str

    def __str__(self) -> str:
        """The words."""
        return self.words
