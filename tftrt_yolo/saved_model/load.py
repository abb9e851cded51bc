"""Loading a SavedModel so that it runs here, whatever is missing: TensorRT where it is, TensorFlow elsewhere.

    signatures, backend = load(open_saved_model("yolov8n_tensorrt_saved_model"), strict=False)
    print(backend)

TensorFlow has no kernel for a TRTEngineOp on a CPU, and on a GPU without TensorRT it ends the process. So this looks
first, and where TensorRT cannot run, the engines' native segments take their place before TensorFlow sees the graph.
"""

import dataclasses
import itertools
from collections.abc import Callable

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import SavedModelError, TensorRTUnavailableError
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.handle import SavedModelHandle

_load_count = itertools.count()


@dataclasses.dataclass(frozen=True)
class Backend:
    """What runs the network, and why.

    Attributes:
      name: "TensorRT", "XLA" or "TensorFlow".
      device: The device in TensorFlow's words.
      reason: Why it is this one.
    """

    name: str
    device: str
    reason: str

    def __str__(self) -> str:
        """One line for a reader."""
        return f"{self.name} on {self.device}: {self.reason}"


def load(handle: SavedModelHandle, *, strict: bool) -> tuple[dict[str, Callable], Backend]:
    """Loads the signatures.

    Args:
      handle: A SavedModel that `export` or `convert` wrote.
      strict: Whether to refuse a converted model that TensorRT cannot run here.

    Returns:
      Signature key to function, and what runs them.

    Raises:
      SavedModelError: If the SavedModel is damaged or not ours.
      TensorRTUnavailableError: If strict, and the engines cannot run here.
    """
    device = "GPU" if environment.grow_gpu_memory() else "CPU"
    meta_graph = saved_model_pb.read(handle.directory).meta_graphs[0]
    engines = saved_model_pb.engine_nodes(meta_graph.graph_def)
    if not engines:
        return _load_whole(handle), _backend_without_engines(handle, device)

    machine = environment.check()
    if machine.can_build_engines:
        built = set(saved_model_pb.built_engine_bytes(handle.directory))
        reason = (
            "engines built ahead" if built >= set(engines) else "engines are built at first use, which takes minutes"
        )
        return _load_whole(handle), Backend("TensorRT", device, reason)
    if strict:
        raise TensorRTUnavailableError(
            f"{handle.given} holds {len(engines)} TensorRT engine(s), which cannot run here: "
            f"{machine.why_no_engines}. `tftrt-yolo check` says how to mend it; {setting('strict', False)} "
            "runs their native segments in TensorFlow."
        )
    reason = f"native segments in place of {len(engines)} TensorRT engine(s): {machine.why_no_engines}"
    return _load_native(meta_graph), Backend("TensorFlow", device, reason)


def _backend_without_engines(handle: SavedModelHandle, device: str) -> Backend:
    """What runs a model without engines: XLA, or TensorFlow's own kernels."""
    if handle.conversion is None:
        return Backend("TensorFlow", device, "the model was not converted")
    accelerator, precision_mode = handle.conversion["accelerator"], handle.conversion["precision_mode"]
    if accelerator != "xla":
        return Backend("TensorFlow", device, f"converted for {accelerator}, {precision_mode}")
    reason = f"{precision_mode}, compiled for each batch size"
    if device == "CPU":
        reason += "; on a CPU an export, or one converted for onednn, is faster"
    return Backend("XLA", device, reason)


def _load_whole(handle: SavedModelHandle) -> dict[str, Callable]:
    """Loads a SavedModel with TensorFlow's own loader."""
    try:
        return _Signatures(tf.saved_model.load(str(handle.directory)))
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SavedModelError(
            f"TensorFlow cannot load {handle.given}: {first_line}. Copy or export it again."
        ) from error


class _Signatures(dict):
    """The signatures of a loaded SavedModel, which keeps its variables alive."""

    def __init__(self, loaded):
        super().__init__({key: loaded.signatures[key] for key in contract.SIGNATURES})
        self._loaded = loaded


def _load_native(meta_graph) -> dict[str, Callable]:
    """Loads a converted SavedModel with native segments in place of its engines; it has no variables."""
    saved_model_pb.replace_engines(meta_graph.graph_def)
    saved_model_pb.rename_functions(meta_graph.graph_def, f"_native_{next(_load_count)}")
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(meta_graph.graph_def, name=""), [])

    def signature(key: str) -> Callable:
        inputs = meta_graph.signature_def[key].inputs
        outputs = meta_graph.signature_def[key].outputs
        names = list(inputs)
        function = whole.prune(
            [inputs[name].name for name in names], {name: tensor.name for name, tensor in outputs.items()}
        )
        return lambda **tensors: function(*(tensors[name] for name in names))

    return {key: signature(key) for key in contract.SIGNATURES}
