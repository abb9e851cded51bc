"""Looking into a SavedModel without running it.

report = tftrt_yolo.inspect("yolov8n_tensorrt_saved_model")
report.engines, report.conversion.coverage
print(report)
"""

import dataclasses
from collections import Counter
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.converter.conversion_report import ConversionReport, count_inside, count_nodes
from tftrt_yolo.exporter import export_report
from tftrt_yolo.exporter.export_report import ExportReport
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import counted, printable, sides
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.tasks.table import in_words


@dataclasses.dataclass(frozen=True)
class SavedModelReport:
    """What is inside a SavedModel.

    Attributes:
      saved_model_dir: The directory.
      metadata: Its metadata.
      signatures: Signature key to its inputs and outputs, each name to "dtype (shape)".
      engines: Name of each TRTEngineOp to the number of nodes in its native segment, without plumbing.
      built_engine_bytes: Name of each built engine to its size.
      precision_modes: The engines' precision modes.
      engine_precision_modes: Name of each engine to its own.
      ops: Op type to count over the whole file, without plumbing.
      side_effects: Op type to count of those that may touch files, the network or the process; empty for what `export`
        and `convert` write.
      size_bytes: Size of the directory.
      conversion: How it was converted; None for an export.
      export: How it was exported, or what it was converted from; None for older versions' exports.
    """

    saved_model_dir: str
    metadata: contract.Metadata
    signatures: dict[str, tuple[dict[str, str], dict[str, str]]]
    engines: dict[str, int]
    built_engine_bytes: dict[str, int]
    precision_modes: tuple[str, ...]
    ops: dict[str, int]
    size_bytes: int
    conversion: ConversionReport | None
    side_effects: dict[str, int] = dataclasses.field(default_factory=dict)
    export: ExportReport | None = None
    engine_precision_modes: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """The report for a reader."""
        metadata = self.metadata
        height, width = metadata.image_size_hw
        lines = [
            f"{self.saved_model_dir} ({self.size_bytes / 1e6:.1f} MB)",
            f"  model       {metadata.weights}, {in_words(metadata.task, len(metadata.names))}, "
            f"{width} x {height} px{self._trained}",
        ]
        if metadata.task in contract.OBJECT_TASKS:
            lines.append(f"  selection   score above {metadata.selection.score_threshold}, {self._suppression}")
        if self.export:
            tools = ", ".join(f"{tool} {version}" for tool, version in self.export.versions.items())
            lines += [f"  export      parity with PyTorch: {self.export.parity_line}", f"    by        {tools}"]
            if self.export.branch_line:
                lines.append(f"    branch    {self.export.branch_line}")
        for key, (inputs, outputs) in self.signatures.items():
            lines.append(f"  signature   {key}")
            lines += [f"    in        {name}: {spec}" for name, spec in inputs.items()]
            lines += [f"    out       {name}: {spec}" for name, spec in outputs.items()]
        for name, nodes in self.engines.items():
            size = self.built_engine_bytes.get(name)
            built = f"built, {size / 1e6:.1f} MB" if size else "not built; TensorRT builds it at first use"
            mode = self.engine_precision_modes.get(name) or "/".join(self.precision_modes)
            lines.append(f"  engine      {name}: {counted(nodes, 'node')}, {mode}, {built}")
        if not self.engines and not self.conversion:
            common = Counter(self.ops).most_common(6)
            lines.append("  engines     none: plain TensorFlow (" + ", ".join(f"{op} x {n}" for op, n in common) + ")")
        if self.side_effects:
            found = ", ".join(f"{op} x {count}" for op, count in self.side_effects.items())
            lines.append(f"  effects     may touch files, the network or the process: {found}")
        if self.conversion:
            lines += ["  conversion", *(f"    {line}" for line in str(self.conversion).splitlines())]
        return printable("\n".join(lines))

    @property
    def _suppression(self) -> str:
        """How detections are selected among those that score enough."""
        selection = self.metadata.selection
        if self.metadata.is_end_to_end:
            return f"each object once (one-to-one, nothing is suppressed), at most {selection.max_detections}"
        return (
            f"IoU threshold {selection.iou_threshold}, at most {selection.max_detections} of "
            f"{counted(selection.max_candidates, 'candidate')}"
        )

    @property
    def _trained(self) -> str:
        """The size that it was trained at, if it is known."""
        trained = self.metadata.trained_size_hw
        return f", trained at {sides(trained)}" if trained else ""


def inspect(saved_model_dir: str | Path) -> SavedModelReport:
    """Looks into a SavedModel without running it.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.

    Returns:
      Signatures, engines, op counts, metadata, and how it was converted.

    Raises:
      SavedModelError: If it is no SavedModel of ours.
    """
    handle = open_saved_model(saved_model_dir)

    from tftrt_yolo.saved_model import saved_model_pb  # with TensorFlow, which help and a wrong path need not wait for
    from tftrt_yolo.saved_model.trust import agreement, believed, side_effects

    meta_graph = believed.read(handle, allow_side_effects=True)  # nothing is run
    engines = saved_model_pb.engine_nodes(meta_graph.graph_def)
    modes = {name: agreement.precision_mode(node) for name, node in engines.items()}
    segments = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    return SavedModelReport(
        saved_model_dir=handle.given,
        metadata=handle.metadata,
        signatures={
            key: (_specs(meta_graph.signature_def[key].inputs), _specs(meta_graph.signature_def[key].outputs))
            for key in contract.ALL_SIGNATURES
            if key in meta_graph.signature_def
        },
        engines={name: _count_inside(node, segments) for name, node in engines.items()},
        built_engine_bytes=saved_model_pb.built_engine_bytes(handle.directory),
        precision_modes=tuple(sorted(set(modes.values()))),
        ops=dict(count_nodes(saved_model_pb.all_nodes(meta_graph.graph_def)).most_common()),
        size_bytes=directories.size_bytes(handle.directory),
        conversion=ConversionReport.read(handle) if handle.conversion else None,
        side_effects=side_effects.find(meta_graph),
        export=ExportReport.read(handle) if export_report.is_there(handle) else None,
        engine_precision_modes=modes,
    )


def _count_inside(engine, functions: dict) -> int:
    """Nodes of an engine's native segment, without plumbing; 0 if it was removed."""
    segment = engine.attr["segment_func"].func.name
    return count_inside(functions[segment].node_def) if segment in functions else 0


def _specs(tensors) -> dict[str, str]:
    """A signature's tensors: name to dtype and shape."""
    import tensorflow as tf

    return {
        name: f"{tf.dtypes.as_dtype(tensor.dtype).name} "
        f"({', '.join('?' if dim.size < 0 else str(dim.size) for dim in tensor.tensor_shape.dim)})"
        for name, tensor in sorted(tensors.items())
    }
