"""Who is measured: the contestants by name, and why one cannot take part here.

    chosen = choose(("tensorflow-fp32", "xla-fp16"))
    [why_absent(contestant, circumstances) for contestant in chosen]     # "" for one that can be tried

A contestant whose package is missing is only noticed in its own process, which says so itself (see `runners`).
"""

import dataclasses

from tftrt_yolo.benchmarking.protocol import DENSE, END_TO_END, FROM_JPEG, MODES
from tftrt_yolo.ground.arguments import argument

_BYTES_OF = {"FP32": 4, "FP16": 2, "BF16": 2, "INT8": 1}
_RUNNERS = "tftrt_yolo.benchmarking.runners"


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One way to run the model.

    Attributes:
      name: The command line's word for it.
      runner: Last part of the module of `tftrt_yolo.benchmarking.runners` that runs it.
      precision: "FP32", "FP16", "BF16" or "INT8".
      device: "GPU", "CPU", or "" where it runs on either.
      modes: What is measured of it.
      options: What its runner or its preparation needs to know beside that.
    """

    name: str
    runner: str
    precision: str
    device: str
    modes: tuple[str, ...]
    options: dict = dataclasses.field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that its process runs."""
        return f"{_RUNNERS}.{self.runner}"

    @property
    def is_ours(self) -> bool:
        """Whether it is this package; the others are its peers."""
        return self.runner == "tensorflow"

    @property
    def is_in_peer_python(self) -> bool:
        """Whether it runs in the interpreter of the peers and not in TensorFlow's."""
        return self.runner in ("pytorch", "torchvision", "ultralytics", "onnxruntime", "openvino")

    @property
    def is_in_tensorflow(self) -> bool:
        """Whether TensorFlow runs it, on the GPU where there is one."""
        return not self.is_in_peer_python

    @property
    def needs_weights(self) -> bool:
        """Whether it starts from the checkpoint instead of our SavedModel."""
        return not self.is_ours

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight."""
        return _BYTES_OF[self.precision]

    @property
    def input_bytes(self) -> int:
        """Bytes of a value of the frames that `dense` starts from: PyTorch's are uint8, the others' float32."""
        return 1 if self.runner == "pytorch" else 4

    @property
    def output_bytes(self) -> int:
        """Bytes of a value of the dense outputs."""
        return self.weight_bytes if self.runner == "pytorch" else 4


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What decides who can take part.

    Attributes:
      has_gpu: Whether there is a GPU at all.
      tensorflow_sees_gpu: Whether TensorFlow can use it.
      why_no_engines: Why TensorRT engines cannot be built here; empty if they can.
      has_weights: Whether the checkpoint was given.
    """

    has_gpu: bool
    tensorflow_sees_gpu: bool
    why_no_engines: str
    has_weights: bool


def _ours(name: str, precision: str, device: str, accelerator: str | None) -> Contestant:
    """This package's SavedModel, as exported or converted."""
    return Contestant(name, "tensorflow", precision, device, MODES, {"accelerator": accelerator})


def _pytorch(name: str, precision: str, device: str, compile_mode: str | None) -> Contestant:
    """Ultralytics' network in PyTorch."""
    return Contestant(name, "pytorch", precision, device, (DENSE,), {"compile_mode": compile_mode})


def _torchvision(name: str, precision: str, device: str) -> Contestant:
    """Ultralytics' network in PyTorch, with torchvision's decoder before it and torchvision's suppression behind."""
    return Contestant(name, "torchvision", precision, device, (FROM_JPEG,))


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        _ours("tensorflow-fp32", "FP32", "", None),
        _ours("xla-fp16", "FP16", "GPU", "xla"),
        _ours("xla-fp32", "FP32", "GPU", "xla"),
        _ours("tensorrt-fp16", "FP16", "GPU", "tensorrt"),
        _ours("onednn-fp32", "FP32", "CPU", "onednn"),
        _ours("onednn-bf16", "BF16", "CPU", "onednn"),
        _ours("onednn-int8", "INT8", "CPU", "onednn"),
        _pytorch("pytorch-eager-fp16", "FP16", "GPU", None),
        _pytorch("pytorch-compile-fp16", "FP16", "GPU", "reduce-overhead"),
        _pytorch("pytorch-compile-autotune-fp16", "FP16", "GPU", "max-autotune"),
        _pytorch("pytorch-eager-fp32", "FP32", "CPU", None),
        _torchvision("pytorch-torchvision-fp16", "FP16", "GPU"),
        _torchvision("pytorch-torchvision-fp32", "FP32", "CPU"),
        Contestant("ultralytics-predict-fp16", "ultralytics", "FP16", "GPU", (END_TO_END, FROM_JPEG)),
        Contestant("ultralytics-predict-fp32", "ultralytics", "FP32", "CPU", (END_TO_END, FROM_JPEG)),
        Contestant("ultralytics-savedmodel", "ultralytics_saved_model", "FP32", "", (DENSE,)),
        Contestant("onnxruntime-cuda-fp16", "onnxruntime", "FP16", "GPU", (DENSE,)),
        Contestant("onnxruntime-cuda-fp32", "onnxruntime", "FP32", "GPU", (DENSE,)),
        Contestant("onnxruntime-cpu-fp32", "onnxruntime", "FP32", "CPU", (DENSE,)),
        Contestant("openvino-fp32", "openvino", "FP32", "CPU", (DENSE,)),
        Contestant("openvino-bf16", "openvino", "BF16", "CPU", (DENSE,)),
    )
}


def choose(names: tuple[str, ...] | None) -> tuple[Contestant, ...]:
    """Finds contestants by name.

    Args:
      names: Their names; None for all.

    Returns:
      The contestants, each once, in the order given.

    Raises:
      ValueError: If a name is unknown, or there is none.
    """
    if names is None:
        return tuple(CONTESTANTS.values())
    names = (names,) if isinstance(names, str) else tuple(names)
    known = ", ".join(CONTESTANTS)
    for name in names:
        if name not in CONTESTANTS:
            raise ValueError(f"{argument('contestants')} has {name!r}; known are {known}.")
    if not names:
        raise ValueError(f"{argument('contestants')} is empty. Name one or more of {known}.")
    return tuple(CONTESTANTS[name] for name in dict.fromkeys(names))


def why_absent(contestant: Contestant, circumstances: Circumstances) -> str:
    """Says why a contestant cannot take part, as far as that is known before it starts.

    Args:
      contestant: The contestant.
      circumstances: What this machine and this call offer.

    Returns:
      The reason; empty if it can be tried.
    """
    if contestant.options.get("accelerator") == "tensorrt":
        return circumstances.why_no_engines
    if contestant.device == "GPU" and not circumstances.has_gpu:
        return "no GPU"
    if contestant.device == "CPU" and circumstances.has_gpu:
        return "measured on CPUs only"
    if contestant.is_in_tensorflow and circumstances.has_gpu and not circumstances.tensorflow_sees_gpu:
        return "TensorFlow sees no GPU here"
    if contestant.needs_weights and not circumstances.has_weights:
        return "no weights were given, and it starts from the checkpoint"
    return ""
