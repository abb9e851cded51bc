"""Loading a SavedModel so that it runs here, whatever is missing: TensorRT where it is, TensorFlow elsewhere.

    signatures, backend = load(open_saved_model("yolov8n_tensorrt_saved_model"), strict=False)
    print(backend)

TensorFlow has no kernel for a TRTEngineOp on a CPU, and on a GPU without TensorRT it ends the process. So this looks
first, and where TensorRT cannot run, the engines' native segments take their place before TensorFlow sees the graph.
"""

import contextlib
import gc
import hashlib
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from tftrt_yolo import contract
from tftrt_yolo.ground import chatter, environment, forks
from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import SavedModelError, TensorRTUnavailableError, TftrtYoloError
from tftrt_yolo.ground.text import clause, counted, shown
from tftrt_yolo.saved_model import devices, saved_model_pb
from tftrt_yolo.saved_model.devices import Device
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.loaded import arithmetic, signatures
from tftrt_yolo.saved_model.loaded.backend import STAND_IN, TENSORRT, Backend, without_engines
from tftrt_yolo.saved_model.trust import agreement, believed

_load_count = itertools.count()
# Name of a built engine to the loaded SavedModel that holds it, and to what its graph and its device were. TF-TRT keeps
# a process's engines by their names, and cannot load one that is there already.
_with_engines: dict[str, tuple[weakref.ref, bytes]] = {}
_loading_engines = threading.Lock()


def load(
    handle: SavedModelHandle, *, strict: bool, allow_side_effects: bool = False, device: Device | None = None
) -> tuple[dict[str, Callable], Backend]:
    """Loads the signatures.

    Args:
      handle: A SavedModel that `export` or `convert` wrote.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether its graph may hold ops that touch files, the network or the process.
      device: Where its variables are; the functions are to be called within `devices.scope` of it. None for what
        TensorFlow chooses.

    Returns:
      Signature key to function, and what runs them.

    Raises:
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects and must have none; or its engines
        are a rehearsal's where TensorRT is, or TensorRT's in a rehearsal, or those of another version.
      TensorRTUnavailableError: If strict, and the engines cannot run here.
      ForkedProcessError: If this process was forked after TensorFlow ran.
      ValueError: If the device is not there.
    """
    forks.check(f"The SavedModel {handle.given}")
    with chatter.kept_off():
        meta_graph = believed.read(handle, allow_side_effects=allow_side_effects)
        has_gpu = environment.grow_gpu_memory()  # before anything is placed
        with devices.scope(device):
            functions, backend = _load(handle, meta_graph, device or Device("GPU" if has_gpu else "CPU"), strict)
    if backend.uses_gpu or backend.name == "XLA":
        functions = {key: signatures.QuietAtFirst(function) for key, function in functions.items()}
    return functions, backend


def _load(
    handle: SavedModelHandle, meta_graph: MetaGraphDef, device: Device, strict: bool
) -> tuple[dict[str, Callable], Backend]:
    """As `load`, whatever the loading says, within the device's scope."""
    engines, name = saved_model_pb.engine_nodes(meta_graph.graph_def), str(device)
    if not engines:
        functions, backend = load_whole(handle, meta_graph), without_engines(handle, device)
        return signatures.with_direct_network(functions, backend.compiled_sizes), backend

    machine = environment.look()
    why_not = machine.why_no_engines or ("" if device.kind == "GPU" else f"{name} was asked for, and they need a GPU")
    if not why_not:
        built = saved_model_pb.built_engine_bytes(handle.directory)
        if built:
            _check_builder(handle, has_stand_in=machine.has_stand_in)
            _check_version(handle, machine.loaded_tensorrt)
        is_whole = set(built) >= set(engines)
        reason = "engines built ahead" if is_whole else "engines are built at first use, which takes minutes"
        functions = _load_with_engines(handle, meta_graph, built, name) if built else load_whole(handle, meta_graph)
        if machine.has_stand_in:
            return functions, Backend(STAND_IN, name, reason, arithmetic.OF_STAND_IN)
        return functions, Backend(TENSORRT, name, reason)
    if strict:
        raise TensorRTUnavailableError(
            f"{handle.given} holds {counted(len(engines), 'TensorRT engine')}, which cannot run here: "
            f"{why_not}. `tftrt-yolo check` says how to mend it; {setting('strict', False)} "
            "runs their native segments in TensorFlow."
        )
    reason = f"native segments in place of {counted(len(engines), 'TensorRT engine')}: {why_not}"
    computed = arithmetic.of_native_segments(meta_graph.graph_def, engines)  # before the engines are replaced
    return _load_native(handle, meta_graph), Backend("TensorFlow", name, reason, computed)


def _check_builder(handle: SavedModelHandle, *, has_stand_in: bool) -> None:
    """Refuses engines that what is loaded as TensorRT did not build: it could not read them, and TF-TRT would crash.

    Raises:
      SavedModelError: If a rehearsal built them and TensorRT is here, or the other way round.
    """
    if not handle.is_complete or handle.conversion is None:  # the process that builds them
        return
    if handle.conversion.get("has_stand_in", False) == has_stand_in:
        return
    if has_stand_in:
        raise SavedModelError(
            f"{handle.given} holds engines that TensorRT built, and here the stand-in for TensorRT is loaded, which "
            "reads its own alone. Use it outside the rehearsal, or convert the export again in the rehearsal."
        )
    raise SavedModelError(
        f"{handle.given} holds engines of a rehearsal, which the stand-in for TensorRT built, and here TensorRT is "
        "loaded, which cannot read them. Convert the export again."
    )


def _check_version(handle: SavedModelHandle, loaded_tensorrt: str) -> None:
    """Refuses engines of another TensorRT: a plan is read by the version alone that built it.

    Raises:
      SavedModelError: If another version built them than is loaded here.
    """
    if not handle.is_complete or handle.conversion is None:  # the process that builds them
        return
    built_by = handle.conversion.get("loaded_tensorrt")
    if built_by not in (None, loaded_tensorrt):
        raise SavedModelError(
            f"{handle.given} holds engines that TensorRT {shown(built_by, 40)} built, and here TensorRT "
            f"{loaded_tensorrt} is loaded, which cannot read them. Convert the export again with this one."
        )


def load_whole(handle: SavedModelHandle, _: MetaGraphDef) -> dict[str, Callable]:
    """Loads a SavedModel with TensorFlow's own loader.

    Args:
      handle: A SavedModel that TensorFlow can run here as it is.
      _: Its graph, by which the caller shows that `believed.read` went through.

    Returns:
      Signature key to function.

    Raises:
      SavedModelError: If TensorFlow cannot load it, or loads something else than its metadata say.
    """
    with _refused(handle):
        functions = signatures.of(tf.saved_model.load(str(handle.directory)))
    agreement.check_functions(handle, functions)
    return functions


def _load_with_engines(
    handle: SavedModelHandle, meta_graph: MetaGraphDef, built: Iterable[str], device: str
) -> dict[str, Callable]:
    """As `load_whole` for a SavedModel with built engines; the same one is loaded once, whoever asks for it again.

    Raises:
      SavedModelError: As `load_whole`, and if engines of these names are in use here and are another model's.
    """
    written = (handle.directory / contract.SAVED_MODEL.marker).read_bytes()
    graph = hashlib.sha256(written + device.encode()).digest()
    with _loading_engines:
        held = _held(built)
        if any(known != graph for _, known in held):
            del held
            gc.collect()  # nobody may use it any more
            held = _held(built)
        if any(known != graph for _, known in held):
            raise SavedModelError(
                f"{handle.given} holds engines of the same names as another SavedModel that is loaded in this process, "
                "or as itself on another device, and TF-TRT would run that one's. Load it in another process, or "
                "convert the export again, which gives new names."
            )
        if not held:
            functions = load_whole(handle, meta_graph)
            found = weakref.ref(functions[contract.NETWORK].loaded), graph
            _with_engines.update(dict.fromkeys(built, found))
            return functions
        functions = signatures.of(held[0][0])
    agreement.check_functions(handle, functions)
    return functions


def _held(engines: Iterable[str]) -> list[tuple[object, bytes]]:
    """The loaded SavedModels that hold engines of these names, each with what its graph was."""
    known = [_with_engines[name] for name in engines if name in _with_engines]
    return [(loaded, graph) for reference, graph in known if (loaded := reference()) is not None]


@contextlib.contextmanager
def _refused(handle: SavedModelHandle) -> Iterator[None]:
    """Turns what TensorFlow says of a graph that it cannot use into an error of ours."""
    try:
        yield
    except TftrtYoloError:
        raise
    except Exception as error:
        raise SavedModelError(
            f"TensorFlow cannot load {handle.given}: {clause(error)}. Copy or export it again."
        ) from error


def _load_native(handle: SavedModelHandle, meta_graph: MetaGraphDef) -> dict[str, Callable]:
    """Loads a converted SavedModel with native segments in place of its engines; it has no variables."""
    saved_model_pb.replace_engines(meta_graph.graph_def)
    saved_model_pb.rename_functions(meta_graph.graph_def, f"_native_{next(_load_count)}")
    with _refused(handle):
        whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(meta_graph.graph_def, name=""), [])
        keys = signatures.present(meta_graph.signature_def)
        functions = {key: _pruned(whole, meta_graph.signature_def[key]) for key in keys}
    agreement.check_functions(handle, functions)
    return {key: signatures.ByName(function, meta_graph.signature_def[key]) for key, function in functions.items()}


def _pruned(whole, signature):
    """What a signature needs of an imported graph; it takes its inputs in their order."""
    inputs = [tensor.name for tensor in signature.inputs.values()]
    return whole.prune(inputs, {name: tensor.name for name, tensor in signature.outputs.items()})
