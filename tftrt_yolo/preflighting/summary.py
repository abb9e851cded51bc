"""A recorded network in figures.

    summary = summarize(network)
    print(summary)                                     # what a person wants to know of it
    summary.layers_by_kind["CONVOLUTION"], summary.flops, summary.copies

Figures are for one image; a batch that is decided later counts as one.
"""

import dataclasses
import math
from collections import Counter
from typing import ClassVar

from tftrt_yolo.ground.text import counted, printable
from tftrt_yolo.preflighting import operations, shuffles
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, NO_TENSOR, Layer, RecordedNetwork
from tftrt_yolo.preflighting.shuffles import Shuffle

# Source: TensorRT 8.6.1, NvInfer.h, BuilderFlag and NetworkDefinitionCreationFlag; their position is the bit.
BUILDER_FLAGS = (
    "FP16",
    "INT8",
    "DEBUG",
    "GPU_FALLBACK",
    "STRICT_TYPES",
    "REFIT",
    "DISABLE_TIMING_CACHE",
    "TF32",
    "SPARSE_WEIGHTS",
    "SAFETY_SCOPE",
    "OBEY_PRECISION_CONSTRAINTS",
    "PREFER_PRECISION_CONSTRAINTS",
    "DIRECT_IO",
    "REJECT_EMPTY_ALGORITHMS",
    "ENABLE_TACTIC_HEURISTIC",
    "VERSION_COMPATIBLE",
    "EXCLUDE_LEAN_RUNTIME",
    "FP8",
)
CREATION_FLAGS = ("EXPLICIT_BATCH", "EXPLICIT_PRECISION")
OIHW = "OIHW"
NOT_FITTING = "does not fit"


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of the network.

    Attributes:
      name: Its name.
      type: TensorRT's DataType.
      dims: Its shape; -1 where the batch decides.
      signature_output: The output of signature `network` that it is; empty if it is none.
      link: What it is between the parts of a network that was divided: "frames", or what one engine hands on to
        another; empty of a network that was not.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    signature_output: str = ""
    link: str = ""

    def __str__(self) -> str:
        """Name, type and shape."""
        known = self.signature_output or self.link
        meaning = f" ({known})" if known else ""
        return f"{self.name}{meaning} {self.type} {shape_text(self.dims)}"


@dataclasses.dataclass(frozen=True)
class Convolutions:
    """The convolutions of one geometry.

    Attributes:
      kind: "CONVOLUTION" or "DECONVOLUTION".
      kernel_hw: Sides of the filters.
      stride_hw: Steps.
      groups: Groups of channels.
      count: How many.
      quantized: How many of them may compute in INT8: what they take was quantised and dequantised.
      layouts: How filters arrive to count: "OIHW" for weights, a chain such as "CONSTANT 3x3x16x32 > QUANTIZE >
        DEQUANTIZE > SHUFFLE [3, 2, 0, 1] = OIHW" for a second input.
      filters: Shape of the filters, such as "64x32x3x3", to count.
      flops: Of all of them together.
    """

    kind: str
    kernel_hw: tuple[int, ...]
    stride_hw: tuple[int, ...]
    groups: int
    count: int
    quantized: int
    layouts: dict[str, int]
    filters: dict[str, int]
    flops: int


@dataclasses.dataclass(frozen=True)
class NetworkSummary:
    """What one engine would be built from, in figures.

    Attributes:
      name: The network's name.
      layers: How many layers.
      layers_by_kind: TensorRT's LayerType to count, the most frequent first.
      convolutions: Convolutions by geometry, those with the most work first.
      precisions: Type that setPrecision asked for to count of layers; "not set" for the others.
      tensor_types: Type to count of tensors.
      builder_flags: Names of the builder's flags.
      creation_flags: Names of the network's flags.
      inputs: The network's inputs.
      outputs: The network's outputs.
      weights_bytes: Of all weights, biases and constants, as recorded.
      flops: Of convolutions and matrix products for one image; operations.CONVENTION says how they are counted.
      other_operations: Of all other layers for one image.
      shuffles: What TensorRT must do for each shuffle.
      misfits: Convolutions whose filters have another size or shape than the layer asks for. TensorRT refuses such a
        network; TF-TRT makes it of a grouped Conv2D, for it writes 1 for the number of groups.
    """

    name: str
    layers: int
    layers_by_kind: dict[str, int]
    convolutions: tuple[Convolutions, ...]
    precisions: dict[str, int]
    tensor_types: dict[str, int]
    builder_flags: tuple[str, ...]
    creation_flags: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    weights_bytes: int
    flops: int
    other_operations: int
    shuffles: tuple[Shuffle, ...]
    misfits: tuple[str, ...] = ()

    DERIVED: ClassVar = ("flops_convention", "copied_bytes", "shuffles_by_verdict")

    @property
    def flops_convention(self) -> str:
        """How operations are counted."""
        return operations.CONVENTION

    @property
    def copies(self) -> tuple[Shuffle, ...]:
        """The shuffles that TensorRT must copy a tensor for."""
        return tuple(shuffle for shuffle in self.shuffles if shuffle.verdict == shuffles.COPY)

    @property
    def copied_bytes(self) -> int:
        """What these copies write for one image."""
        return sum(shuffle.bytes for shuffle in self.copies)

    @property
    def shuffles_by_verdict(self) -> dict[str, int]:
        """Verdict to count of shuffles."""
        return dict(Counter(shuffle.verdict for shuffle in self.shuffles).most_common())

    def __str__(self) -> str:
        """The summary for a reader."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.layers_by_kind.items())
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self.shuffles_by_verdict.items())
        lines = [
            f"{self.name}",
            f"  {counted(self.layers, 'layer')}: {kinds}",
            f"  {self.flops / 1e9:.2f} GFLOPs an image in convolutions and products, "
            f"{self.other_operations / 1e9:.2f} G operations in all others; weights {self.weights_bytes / 1e6:.1f} MB",
            f"  builder flags {', '.join(self.builder_flags) or 'none'}; precision set: {_counts(self.precisions)}; "
            f"tensors: {_counts(self.tensor_types)}",
            *(f"  input  {port}" for port in self.inputs),
            *(f"  output {port}" for port in self.outputs),
            f"  shuffles: {verdicts or 'none'}; copies write {self.copied_bytes / 1e6:.1f} MB an image",
            *(f"    {row}" for row in self._reasons()),
        ]
        return printable("\n".join(lines))

    def _reasons(self) -> list[str]:
        """The copies by reason, those that write most first."""
        written = {}
        for copy in self.copies:
            written.setdefault(copy.reason, []).append(copy.bytes)
        ranked = sorted(written.items(), key=lambda item: -sum(item[1]))
        return [f"{sum(sizes) / 1e6:6.2f} MB in {len(sizes)}: {reason}" for reason, sizes in ranked]


def summarize(network: RecordedNetwork) -> NetworkSummary:
    """Counts what is in a recorded network.

    Args:
      network: A recorded network.

    Returns:
      Its summary.
    """
    counted = [operations.of_layer(network, layer) for layer in network.layers]
    return NetworkSummary(
        name=network.name,
        layers=len(network.layers),
        layers_by_kind=dict(Counter(layer.kind for layer in network.layers).most_common()),
        convolutions=_convolutions(network),
        precisions=dict(Counter(layer.precision or "not set" for layer in network.layers).most_common()),
        tensor_types=dict(Counter(tensor.type for tensor in network.tensors).most_common()),
        builder_flags=flag_names(network.builder_flags, BUILDER_FLAGS),
        creation_flags=flag_names(network.creation_flags, CREATION_FLAGS),
        inputs=_ports(network, network.inputs),
        outputs=_ports(network, network.outputs),
        weights_bytes=sum(values.nbytes for layer in network.layers for values in layer.weights.values()),
        flops=sum(row.products for row in counted),
        other_operations=sum(row.other for row in counted),
        shuffles=shuffles.examine(network),
        misfits=_misfits(network),
    )


def flag_names(mask: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the bits of a mask; "bit 20" for one that has no name."""
    return tuple(
        names[bit] if bit < len(names) else f"bit {bit}" for bit in range(mask.bit_length()) if mask >> bit & 1
    )


def shape_text(dims: tuple[int, ...]) -> str:
    """A shape as "Nx64x80x80"; N where the batch decides."""
    return "x".join("N" if size < 0 else str(size) for size in dims) or "scalar"


def _counts(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _ports(network: RecordedNetwork, indices: tuple[int, ...]) -> tuple[Port, ...]:
    """Inputs or outputs."""
    found = (network.tensors[index] for index in indices)
    meanings, links = network.signature_outputs, network.links
    return tuple(
        Port(tensor.name, tensor.type, tensor.dims, meanings.get(tensor.name, ""), links.get(tensor.name, ""))
        for tensor in found
    )


def _convolutions(network: RecordedNetwork) -> tuple[Convolutions, ...]:
    """A row for each geometry."""
    producers, groups = network.producers(), {}
    for layer in network.layers:
        if layer.kind in CONVOLUTIONS:
            key = (
                layer.kind,
                _whole(layer.attributes["kernel"]),
                _whole(layer.attributes.get("stride", (1, 1))),
                int(layer.attributes.get("groups", 1)),
            )
            groups.setdefault(key, []).append(layer)
    rows = [
        Convolutions(
            kind=kind,
            kernel_hw=kernel,
            stride_hw=stride,
            groups=count_of_groups,
            count=len(layers),
            quantized=sum(operations.computed_in(network, producers, layer) == "INT8" for layer in layers),
            layouts=dict(Counter(_layout(network, producers, layer) for layer in layers).most_common()),
            filters=dict(
                Counter(shape_text(operations.kernel_shape(network, layer)) for layer in layers).most_common()
            ),
            flops=sum(operations.of_layer(network, layer).products for layer in layers),
        )
        for (kind, kernel, stride, count_of_groups), layers in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.flops))


def _misfits(network: RecordedNetwork) -> tuple[str, ...]:
    """Convolutions whose filters do not fit, with what they are."""
    producers = network.producers()
    layouts = ((layer, _layout(network, producers, layer)) for layer in network.layers if layer.kind in CONVOLUTIONS)
    return tuple(f"{layer.name}: {layout}" for layer, layout in layouts if NOT_FITTING in layout)


def _whole(values: tuple[float, ...]) -> tuple[int, ...]:
    """Numbers of an attribute as whole ones."""
    return tuple(int(value) for value in values)


def _filters_chain(producers: dict[int, Layer], layer: Layer) -> list[Layer]:
    """The layers that give a convolution's second input, from its constant on; empty without one."""
    chain, tensor = [], layer.inputs[1] if len(layer.inputs) > 1 else NO_TENSOR
    while tensor in producers:
        chain.append(producers[tensor])
        tensor = chain[-1].inputs[0] if chain[-1].inputs else NO_TENSOR
    return chain[::-1]


def _layout(network: RecordedNetwork, producers: dict[int, Layer], layer: Layer) -> str:
    """How a convolution's filters arrive."""
    expected = operations.kernel_shape(network, layer)
    if "kernel" in layer.weights:
        fits = layer.weights["kernel"].size == math.prod(expected)
        return (
            OIHW if fits else f"{counted(layer.weights['kernel'].size, 'value')}, {NOT_FITTING} {shape_text(expected)}"
        )
    chain = _filters_chain(producers, layer)
    if not chain:
        return "none"
    words = []
    for part in chain:
        detail = _whole(part.attributes.get("first_transpose", ())) if part.kind == "SHUFFLE" else ()
        words.append(f"{part.kind} {list(detail)}" if detail else part.kind)
    dims = network.tensors[layer.inputs[1]].dims
    return f"{' > '.join(words)} = " + (
        OIHW if dims == expected else f"{shape_text(dims)}, {NOT_FITTING} {shape_text(expected)}"
    )
