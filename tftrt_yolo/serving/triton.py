"""A model repository for Triton Inference Server: the SavedModel drops into it with batching and warm-up set.

    tftrt_yolo.triton("yolov8n_saved_model", model_repository="models")
    # tritonserver --model-repository=models

Triton's Python backend then runs the SavedModel, or its TensorRT backend an engine that TensorRT built.
"""

from pathlib import Path
from typing import Literal

from tftrt_yolo import contract
from tftrt_yolo.engines import engine_file
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.serving_options import BatchingOptions
from tftrt_yolo.serving.triton_repository import writing
from tftrt_yolo.serving.triton_repository.configuration import ModelSettings
from tftrt_yolo.serving.triton_repository.triton_report import TritonReport

_DEVICES = ("CPU", "GPU")


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
        given = "neither is" if saved_model_dir is None else "both are"
        raise ValueError(
            f"{argument('saved_model_dir')} and {argument('engine_path')}: {given} given; expected one of them."
        )
    for key, value, known in (("signature", signature, contract.SIGNATURES), ("device", device, (None, *_DEVICES))):
        if not any(value is one or value == one for one in known):
            words = ", ".join(filter(None, known))
            raise ValueError(f"{argument(key)} is {quoted(value)}; expected one of {words}.")
    if engine_path is not None:
        _check_for_engine(signature, device, batching)
        return writing.write_engine(engine_file.read(engine_path), model_repository, name, version)
    handle = open_saved_model(saved_model_dir)
    settings = ModelSettings(signature=signature, device=device, batching=batching or BatchingOptions())
    return writing.write_saved_model(handle, model_repository, name, version, settings)


def _check_for_engine(signature: str, device: str | None, batching: BatchingOptions | None) -> None:
    """Refuses what an engine decides by itself."""
    if batching is not None:
        batching.refuse("SavedModels", "an engine has its batches from its profiles")
    for key, value, default in (("signature", signature, contract.ENCODED), ("device", device, None)):
        if value != default:
            raise ValueError(
                f"{argument(key)} is for SavedModels, and {argument('engine_path')} is given. Leave it out."
            )
