"""A model repository for Triton Inference Server: the SavedModel drops into it with batching and warm-up set.

    tftrt_yolo.triton("yolov8n_saved_model", model_repository="models")
    # tritonserver --model-repository=models

Triton's Python backend then runs the SavedModel, or its TensorRT backend an engine that TensorRT built.
"""

from pathlib import Path
from typing import Literal

from tftrt_yolo import contract
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.engine_file import EngineFile
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.serving.serving_options import BatchingOptions
from tftrt_yolo.serving.triton_repository import configuration, repository
from tftrt_yolo.serving.triton_repository.configuration import LABELS_FILE, WARMUP_FOLDER, ModelSettings
from tftrt_yolo.serving.triton_repository.python_model import MODEL_FOLDER
from tftrt_yolo.serving.triton_repository.triton_report import TritonReport

_DEVICES = ("CPU", "GPU")
_CODE = f'''\
"""Triton's Python backend imports this, in a Python that has tftrt_yolo {__version__} or newer with TensorFlow."""

try:
    from tftrt_yolo.serving.triton_repository.python_model import TritonPythonModel
except ImportError as error:
    raise ImportError(
        f"{{error}}: Triton's Python has no tftrt_yolo with the extra triton; expected version {__version__} or newer. "
        "Install it there (pip install 'tftrt_yolo[triton]'), or pack an environment that has it and name it in "
        "config.pbtxt as EXECUTION_ENV_PATH."
    ) from error

__all__ = ["TritonPythonModel"]
'''
_HEADER = f"""\
# Written by tftrt_yolo {__version__} for Triton's {{backend}} backend; it is yours to edit.
"""
_ENVIRONMENT = """\
# Triton's Python must have tftrt_yolo with TensorFlow. Where it has not, pack an environment of the Python that the
# backend's stub is built for, and uncomment this:
#   python -m pip install 'tftrt_yolo[triton]' conda-pack && conda-pack -o environment.tar.gz
# parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/environment.tar.gz" } }
"""
_NEEDED = (
    "needs tftrt_yolo with the extra triton in Triton's Python: pip install 'tftrt_yolo[triton]' in Triton's "
    "container, or a packed environment as EXECUTION_ENV_PATH in config.pbtxt"
)
_NOT_RUN = "not run here: Triton's TensorRT backend was not to be had, and no plan was opened"
_FRAMES = (
    "clients send letterboxed frames and get dense predictions, without selection: what `EnginePredictor` does around "
    "an engine is theirs to do"
)


def triton(
    saved_model_dir: str | Path | None = None,
    *,
    model_repository: str | Path,
    engine_path: str | Path | None = None,
    name: str | None = None,
    version: int | None = None,
    signature: Literal["encoded", "serving_default", "padded", "network"] = "encoded",
    device: Literal["CPU", "GPU"] | None = None,
    batching: BatchingOptions | None = None,
) -> TritonReport:
    """Writes a model into a model repository of Triton's.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote; it is copied.
      model_repository: Folder of Triton's models; it is made if it is not there, and other models in it are untouched.
      engine_path: In place of a SavedModel an engine that `build_engine` or `extract_engines` wrote, for Triton's
        TensorRT backend.
      name: Of the model; None for the name of the directory without _saved_model, or of the engine's file.
      version: Of the model; None for one more than the newest that is there. No version is ever overwritten.
      signature: Which signature answers: encoded takes files of pictures, serving_default pixels of one size.
      device: "CPU" or "GPU"; None for each GPU that Triton has, or the CPU where it has none.
      batching: How Triton makes batches of requests, and how many may wait.

    Returns:
      What was written.

    Raises:
      ValueError: If a name, a version or another argument is none, or both a SavedModel and an engine are given.
      FileExistsError: If that version is there.
      SavedModelError: If saved_model_dir is no SavedModel of ours, or is damaged.
      EngineError: If engine_path is no engine of ours, or is damaged.
      ServingError: If tritonclient is not installed, or the versions that are there are of another kind.
    """
    BatchingOptions.check_is("batching", batching)
    if (saved_model_dir is None) == (engine_path is None):
        given = "neither" if saved_model_dir is None else "both"
        raise ValueError(
            f"{argument('saved_model_dir')} and {argument('engine_path')}: {given} is given; expected one of them."
        )
    for key, value, known in (("signature", signature, contract.SIGNATURES), ("device", device, (None, *_DEVICES))):
        if not any(value is one or value == one for one in known):
            words = ", ".join(filter(None, known))
            raise ValueError(f"{argument(key)} is {quoted(value)}; expected one of {words}.")
    if engine_path is not None:
        _check_for_engine(signature, device, batching)
        return _of_engine(engine_file.read(engine_path), Path(model_repository), name, version)
    handle = open_saved_model(saved_model_dir)
    name = handle.directory.name.removesuffix("_saved_model") if name is None else name
    settings = ModelSettings(signature=signature, device=device, batching=batching or BatchingOptions())
    return _of_saved_model(handle, repository.find_place(model_repository, name, version), settings)


def _check_for_engine(signature: str, device: str | None, batching: BatchingOptions | None) -> None:
    """Refuses what an engine decides by itself."""
    if batching is not None:
        batching.refuse("SavedModels", "an engine has its batches from its profiles")
    for key, value, default in (("signature", signature, contract.ENCODED), ("device", device, None)):
        if value != default:
            raise ValueError(
                f"{argument(key)} is for SavedModels, and {argument('engine_path')} is given. Leave it out."
            )


def _of_saved_model(handle: SavedModelHandle, place: repository.Place, settings: ModelSettings) -> TritonReport:
    """Writes a version of a model for the Python backend."""
    digests.check(handle)
    config = configuration.of_saved_model(handle, place.model_dir.name, settings)
    labels = repository.labels_text(handle.metadata.names)
    repository.check_fits(place, config, labels)
    warmup = configuration.warmup_files(config, handle)
    others = {LABELS_FILE: labels.encode(), **{f"{WARMUP_FOLDER}/{key}": value for key, value in warmup.items()}}
    header = _HEADER.format(backend="Python") + _ENVIRONMENT
    with repository.written(place, configuration.text(config, header), others) as version_dir:
        repository.copy_saved_model(handle, version_dir / MODEL_FOLDER)
        (version_dir / "model.py").write_text(_CODE, encoding="utf-8")
    return _report(place, config, handle.given, settings.signature, (_NEEDED,))


def _of_engine(file: EngineFile, model_repository: Path, name: str | None, version: int | None) -> TritonReport:
    """Writes a version of a model for the TensorRT backend.

    Raises:
      EngineError: If the file does not say what the engine's tensors are.
    """
    if file.facts is None or not file.facts.tensors:
        raise EngineError(
            f"{file.given} does not say what its tensors are, as engines of Ultralytics do not; expected what "
            "`tftrt-yolo engine` wrote. Build one of the export with that."
        )
    place = repository.find_place(model_repository, file.path.stem if name is None else name, version)
    plan = file.plan()
    config = configuration.of_engine(file.facts, place.model_dir.name)
    labels = repository.labels_text(file.metadata.names)
    repository.check_fits(place, config, labels)
    text = configuration.text(config, _HEADER.format(backend="TensorRT"))
    with repository.written(place, text, {LABELS_FILE: labels.encode()}) as version_dir:
        (version_dir / "model.plan").write_bytes(plan)  # without the header, which TensorRT does not read
    return _report(place, config, file.given, "", (*_of_builder(file), _FRAMES, _NOT_RUN))


def _of_builder(file: EngineFile) -> tuple[str, ...]:
    """What is to be known of who built an engine: a plan is read by the TensorRT alone that built it."""
    built = f"{file.facts.builder} {file.facts.builder_version}"
    if file.facts.builder != "TensorRT":
        return (
            f"built by {built}, and Triton's TensorRT backend has TensorRT and cannot read its plans: build the engine "
            "with TensorRT in Triton's own container, and write this again",
        )
    return (f"built by {built} for compute capability {file.facts.compute_capability}: Triton's must be the same",)


def _report(place: repository.Place, config, source: str, signature: str, notes: tuple[str, ...]) -> TritonReport:
    """What was written."""
    inputs, outputs = (
        tuple(configuration.described(one) for one in tensors) for tensors in (config.input, config.output)
    )
    return TritonReport(
        model_repository=place.model_dir.parent,
        name=place.model_dir.name,
        version=place.version,
        backend=config.backend,
        source=source,
        signature=signature,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=config.max_batch_size,
        is_new_model=place.is_new_model,
        notes=notes,
    )
