"""Writes a version of a model into a repository: for Triton's Python backend, or for its TensorRT backend."""

from pathlib import Path

from tftrt_yolo.engines.engine_file import EngineFile
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.serving.triton_repository import configuration, repository
from tftrt_yolo.serving.triton_repository.configuration import LABELS_FILE, WARMUP_FOLDER, ModelSettings
from tftrt_yolo.serving.triton_repository.python_model import MODEL_FOLDER
from tftrt_yolo.serving.triton_repository.triton_report import TritonReport

_CODE = f'''\
"""Triton's Python backend imports this, in a Python that has tftrt_yolo {__version__} or newer with TensorFlow."""

import os
import sys

# The backend's process does not heed PYTHONPATH, and would import from the folder that the server was started in.
_PATHS = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]
sys.path[:] = [*_PATHS, *filter(None, sys.path)]

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


def write_saved_model(
    handle: SavedModelHandle,
    model_repository: str | Path,
    name: str | None,
    version: int | None,
    settings: ModelSettings,
) -> TritonReport:
    """Writes a version of a model for Triton's Python backend.

    Args:
      handle: The SavedModel.
      model_repository: The repository; it may not be there yet.
      name: Of the model; None for that of the SavedModel's directory.
      version: Of the model; None for one more than the newest.
      settings: What else.

    Returns:
      What was written.

    Raises:
      ValueError, FileExistsError: As `repository.find_place`.
      SavedModelError: If a file of it is damaged or cannot be copied.
      ServingError: If the versions that are there are of another kind.
    """
    name = handle.directory.name.removesuffix("_saved_model") if name is None else name
    place = repository.find_place(model_repository, name, version)
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


def write_engine(file: EngineFile, model_repository: str | Path, name: str | None, version: int | None) -> TritonReport:
    """Writes a version of a model for Triton's TensorRT backend.

    Args:
      file: The engine.
      model_repository: As `write_saved_model`.
      name: Of the model; None for that of the file.
      version: As `write_saved_model`.

    Returns:
      What was written.

    Raises:
      ValueError, FileExistsError: As `repository.find_place`.
      EngineError: If the file does not say what the engine's tensors are, or its plan is damaged.
      ServingError: If the versions that are there are of another kind.
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
