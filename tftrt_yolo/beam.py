"""Apache Beam: a ModelHandler for RunInference on signature `encoded`, for image files as they are.

    from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
    from tftrt_yolo.beam import ModelHandler

    handler = KeyedModelHandler(ModelHandler("/models/yolov8n_saved_model"))
    found = files | RunInference(handler)               # (path, bytes) to (path, PredictionResult)
    found | beam.Map(lambda pair: (pair[0], pair[1].inference["status"], pair[1].inference["boxes"]))

At the end of the flow: it runs what `export` or `convert` wrote, on machines of which this package knows nothing. It
loads the model as a Predictor does, with the same checks, and calls the signature itself: files are decoded by
TensorFlow's threads and not by Python, a file that cannot be read has a status beside others that can, and masks come
back as small PNG files. What then goes from worker to worker is small and plain: a dictionary of NumPy's arrays, which
can be read without this package.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tftrt_yolo import contract
from tftrt_yolo.ground import forks
from tftrt_yolo.ground.arguments import argument, check_at_least_one, check_bool, number
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.text import counted, quoted, shown
from tftrt_yolo.predictor.predictor import BATCH_SIZE
from tftrt_yolo.predictor.spelling import check_known
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.results.rows import NUM_SHOWN
from tftrt_yolo.tasks.table import TASKS

try:
    from apache_beam.ml.inference import base
except ImportError as error:
    raise ImportError(
        f"tftrt_yolo.beam needs Apache Beam, which cannot be imported ({error}). Install it: "
        "pip install 'tftrt_yolo[beam]', in an environment of its own: .ci/beam.txt has versions that go together."
    ) from error

_METRICS_NAMESPACE = "BeamML_tftrt_yolo"  # after those of Beam's own handlers, such as BeamML_TF_Tensor
_URL = re.compile(r"[A-Za-z][\w+.-]+:/")  # of which a Path keeps one slash
_NAMES = tuple(field.name for field in dataclasses.fields(SelectionOptions))


class ModelHandler(base.ModelHandler[bytes, base.PredictionResult, "EncodedModel"]):
    """Runs a SavedModel of this package in Beam's RunInference.

    Elements are bytes of image files: JPEG, PNG, BMP or GIF, of any sizes. KeyedModelHandler around it takes pairs of a
    key, such as a path, and bytes. `inference_args` of RunInference may be fields of `SelectionOptions`, by name; a
    classifier refuses them.

    Results are Beam's `PredictionResult`. `model_id` is the directory, and `inference` a dictionary, in pixels of the
    upright picture, best first:
    "status": str, empty for a file that was read; else why it was not, and then n is 0 and all probabilities are;
    "boxes" (n, 4) float32 xyxy, "scores" (n,) float32, "classes" (n,) int32, "names" (n,) str;
    segment: "masks" (n,) bytes, a grey PNG for each object, and "mask_corners" (n, 2) int32, x and y of where its upper
    left pixel lies; pose: "keypoints" (n, K, 3), x, y and confidence; obb: "boxes_xywhr" (n, 5), angle in radians;
    classify: "probabilities" (C,), and "scores", "classes" and "names" of the five best, without "boxes";
    semantic: "class_maps", bytes, a grey PNG with the class index of each pixel, and "status" alone;
    depth: "depth" (S/4, S/4) float32, metres, of the frame to which the picture was stretched, and "status" alone.

    A pickle of it holds the path and these arguments alone: the model is loaded by each worker.
    """

    def __init__(
        self,
        saved_model_dir: str | Path,
        *,
        strict: bool = False,
        allow_side_effects: bool = False,
        min_batch_size: int | None = None,
        max_batch_size: int | None = None,
        max_batch_duration_secs: float | None = None,
        large_model: bool = False,
        model_copies: int | None = None,
        keep_examples: bool = True,
    ):
        """Loads nothing: whoever makes the pipeline need not have the model, nor TensorFlow.

        Args:
          saved_model_dir: A SavedModel that `export` or `convert` wrote, at this path on each worker; a relative one
            counts from where the pipeline is made.
          strict: As `Predictor`: whether to refuse a converted model that TensorRT cannot run there.
          allow_side_effects: As `Predictor`: whether to run a model that may touch files, the network or the process.
          min_batch_size: Beam gathers at least this many files, as long as there are more in their bundle; None for
            max_batch_size, or 8 if that is None, too.
          max_batch_size: At most this many files a call of the network; None for 8, or min_batch_size if it is more.
          max_batch_duration_secs: Beam gathers files of several bundles, for at most this many seconds, as streams with
            small bundles need it; they are sent between workers for that. None to gather within bundles.
          large_model: Whether the processes of a machine share one model, to which they send their files; Beam calls it
            `share_model_across_processes`.
          model_copies: With this, they share as many of them.
          keep_examples: Whether `example` of a result has the file. Without it what comes next, and is sent to other
            workers, is small.

        Raises:
          ValueError: If an argument is out of its range, or the directory is a URL.
        """
        super().__init__()  # older versions of Beam take no arguments here
        self._saved_model_dir = _checked_path(saved_model_dir)
        self._strict = check_bool("strict", strict)
        self._allow_side_effects = check_bool("allow_side_effects", allow_side_effects)
        self._batching = _batching(min_batch_size, max_batch_size, max_batch_duration_secs)
        self._copies = None if model_copies is None else check_at_least_one("model_copies", model_copies)
        self._is_shared = check_bool("large_model", large_model) or model_copies is not None
        self._keep_examples = check_bool("keep_examples", keep_examples)

    def __repr__(self) -> str:
        """The model; Beam shows it with the step."""
        return f"<{type(self).__name__} {shown(self._saved_model_dir)}>"

    def load_model(self) -> "EncodedModel":
        """Opens the model, on a worker.

        Raises:
          SavedModelError: If the directory is not there, damaged or not ours, or has side effects and must have none.
          TensorRTUnavailableError: If strict, and engines cannot run there.
          ForkedProcessError: If the worker was forked after TensorFlow ran.
        """
        try:
            return EncodedModel(self._saved_model_dir, strict=self._strict, allow_side_effects=self._allow_side_effects)
        except SavedModelError as error:
            raise SavedModelError(
                f"{error} Every worker of Beam opens the model itself, so it must be at this path on each: put it into "
                "their container, or on a file system that all have."
            ) from error

    def run_inference(
        self, batch: Sequence[bytes], model: "EncodedModel", inference_args: dict[str, object] | None = None
    ) -> list[base.PredictionResult]:
        """Runs a batch.

        Args:
          batch: Image files.
          model: What `load_model` gave, or Beam's proxy of it in another process.
          inference_args: Fields of `SelectionOptions` by name; None is as good as not given.

        Returns:
          A result for each file, in order.

        Raises:
          TypeError: If an element is not bytes, or there is no such argument.
          ValueError: If a threshold is out of its range, a class none of the model's, or the model a classifier.
        """
        files = [_file(element) for element in batch]
        found = model.find(files, _selection(inference_args))
        examples = batch if self._keep_examples else [None] * len(files)
        return [
            base.PredictionResult(example, one, self._saved_model_dir)
            for example, one in zip(examples, found, strict=True)
        ]

    def validate_inference_args(self, inference_args: dict[str, object] | None) -> None:
        """Refuses arguments as the pipeline is made; classes are looked up where the model is.

        Args:
          inference_args: As `run_inference`.

        Raises:
          TypeError: If there is no such argument.
          ValueError: If a value is out of its range.
        """
        _selection(inference_args)

    def update_model_path(self, model_path: str | None = None) -> None:
        """Takes another model from now on, for Beam's automatic refresh.

        Args:
          model_path: Its directory, or the saved_model.pb in it, for Beam watches files; None to stay with this one.
        """
        if model_path:
            folder, name = os.path.split(model_path)
            self._saved_model_dir = _checked_path(folder if name == contract.SAVED_MODEL.marker else model_path)

    def batch_elements_kwargs(self) -> dict[str, object]:
        """How Beam gathers batches."""
        return dict(self._batching)

    def share_model_across_processes(self) -> bool:
        """Whether the processes of a machine share the model."""
        return self._is_shared

    def model_copies(self) -> int:
        """How many of it a machine has if they share it."""
        return self._copies or 1

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """What a batch takes, for Beam's metrics: the files' bytes."""
        return sum(memoryview(element).nbytes for element in batch)

    def get_metrics_namespace(self) -> str:
        """Under which Beam's metrics of this step are found."""
        return _METRICS_NAMESPACE


class EncodedModel:
    """A model that was loaded by a worker. Its method takes and gives what can be pickled, for Beam's proxies."""

    def __init__(self, saved_model_dir: str | Path, *, strict: bool, allow_side_effects: bool):
        """Loads it.

        Args:
          saved_model_dir: As `ModelHandler`, of the next two as well.
          strict: Whether to refuse a converted model that TensorRT cannot run here.
          allow_side_effects: Whether its graph may hold ops that touch files, the network or the process.

        Raises:
          SavedModelError: As `ModelHandler.load_model`.
          TensorRTUnavailableError: If strict, and engines cannot run here.
          ForkedProcessError: If this process was forked after TensorFlow ran.
        """
        from tftrt_yolo.saved_model import load  # with TensorFlow, which who makes a pipeline need not wait for

        handle = open_saved_model(saved_model_dir)
        self._signatures, backend = load.load(handle, strict=strict, allow_side_effects=allow_side_effects)
        self._functions: dict[SelectionOptions | None, Callable] = {}
        self._given, self._metadata, self._task = handle.given, handle.metadata, TASKS[handle.metadata.task]
        self._names = np.array([handle.metadata.names[index] for index in sorted(handle.metadata.names)], dtype=str)
        # Not the backend's own words alone: what falls back must be seen in the workers' logs, which begin at warnings.
        say = logging.warning if backend.reason.startswith("native segments") else logging.info
        say("%s runs in %s", handle.given, backend)

    def find(self, files: list[bytes], asked: SelectionOptions | None) -> list[dict[str, object]]:
        """Finds what is on pictures.

        Args:
          files: Image files.
          asked: What is selected; None for the model's own.

        Returns:
          A dictionary for each, as `ModelHandler` has it.

        Raises:
          ValueError: If a class is none of the model's, or it is a classifier and something is asked for.
          SavedModelError: If its graph finds classes that have no name.
          ForkedProcessError: If this process was forked after the model was loaded.
        """
        import tensorflow as tf

        forks.check("A model of Beam's")
        most = len(files) if asked is None else asked.batch_size_for(self._metadata.selection, len(files))
        function, found = self._function(asked), []
        for first in range(0, len(files), max(1, most)):
            part = files[first : first + most]
            tensors = function(image_bytes=tf.constant(part, tf.string))
            outputs = {name: values.numpy() for name, values in tensors.items()}
            found += [self._of_image(outputs, index) for index in range(len(part))]
        return found

    def _function(self, asked: SelectionOptions | None) -> Callable:
        """The signature, or what it is for a selection; a pipeline has few of them, and each is kept."""
        if asked not in self._functions:
            self._functions[asked] = self._made(asked)
        return self._functions[asked]

    def _made(self, asked: SelectionOptions | None) -> Callable:
        """As `_function`."""
        own = self._signatures[contract.ENCODED]
        given = set(own.structured_outputs)
        is_whole = contract.STATUS in given and not (self._task.packing and given & set(self._task.packing.replaced))
        if asked is None and is_whole:  # exports of older versions fail as a whole for one bad file, or give no masks
            return own
        if asked is None:
            asked = SelectionOptions()
        elif not self._task.finds_objects:
            asked.refuse("models that find objects", f"{self._given} is {self._task.kind}")
        from tftrt_yolo.saved_model import image_signatures

        return self._around.by_key(image_signatures.in_tensors(asked, self._metadata))[contract.ENCODED]

    @functools.cached_property
    def _around(self):
        """The signatures around the network to which a selection can be given; traced where they are first needed."""
        from tftrt_yolo.saved_model.image_signatures import ImageSignatures

        network = self._signatures[contract.NETWORK]
        return ImageSignatures(lambda frames: network(frames=frames), self._metadata, is_traceable=True)

    def _of_image(self, outputs: dict[str, np.ndarray], index: int) -> dict[str, object]:
        """What was found on one picture of a batch, and nothing that keeps the batch in memory."""
        status = outputs[contract.STATUS][index].decode(errors="replace")
        own = self._task.of_image(outputs, index)
        own = {name: value if isinstance(value, bytes) else value.copy() for name, value in own.items()}
        if "masks" in own:  # one that is empty is no object, for Ultralytics and for Predictor
            has_mask = np.array([bool(file) for file in own["masks"]], bool)
            own = {name: values[has_mask] for name, values in own.items()}
        if self._task.gives_map:
            return {"status": status, **own}
        if self._task.classifies:
            probabilities = own["probabilities"]
            best = np.argsort(-probabilities, kind="stable")[: 0 if status else NUM_SHOWN]
            own |= {"scores": probabilities[best], "classes": best.astype(np.int32)}
        classes = own["classes"]
        if classes.size and not 0 <= classes.min() <= classes.max() < len(self._names):
            raise SavedModelError(
                f"{self._given} found objects of the classes {classes.min()} to {classes.max()}, and its metadata.yaml "
                f"has the names of 0 to {len(self._names) - 1}. Its graph was edited; export the checkpoint again."
            )
        return {"status": status, **own, "names": self._names[classes]}


def _checked_path(saved_model_dir: str | Path) -> str:
    """A model's directory, absolute."""
    if not isinstance(saved_model_dir, (str, os.PathLike)) or not str(saved_model_dir):
        raise ValueError(f"{argument('saved_model_dir')} is {quoted(saved_model_dir)}; expected a directory's path.")
    path = os.fspath(saved_model_dir)
    if _URL.match(path):
        raise ValueError(
            f"{argument('saved_model_dir')} is {shown(path)}, a URL; expected a directory that each worker has at the "
            "same path. Copy it into the workers' container, or to a file system that all have."
        )
    return os.path.abspath(path)


def _batching(least: int | None, most: int | None, seconds: float | None) -> dict[str, object]:
    """Arguments of Beam's BatchElements."""
    least = None if least is None else check_at_least_one("min_batch_size", least)
    most = max(BATCH_SIZE, least or 0) if most is None else check_at_least_one("max_batch_size", most)
    least = most if least is None else least
    if least > most:
        raise ValueError(
            f"{argument('min_batch_size')} is {least:,} and {argument('max_batch_size')} {most:,}; expected a minimum "
            "that is not above the maximum."
        )
    batching = {"min_batch_size": least, "max_batch_size": most}
    if seconds is None:
        return batching
    limit = number(seconds)
    if limit is None or not 0 < limit < float("inf"):
        raise ValueError(
            f"{argument('max_batch_duration_secs')} is {quoted(seconds)}; it must be a number of seconds above 0."
        )
    return batching | {"max_batch_duration_secs": seconds}


def _selection(inference_args: dict[str, object] | None) -> SelectionOptions | None:
    """What RunInference's arguments select; None for the model's own."""
    if inference_args is None:
        return None
    if not isinstance(inference_args, dict):
        raise TypeError(
            f"{argument('inference_args')} is {quoted(inference_args)}; expected a dictionary of fields of "
            'SelectionOptions, such as {"score_threshold": 0.5}.'
        )
    check_known(inference_args, _NAMES, f"{argument('inference_args')} has")
    given = {name: value for name, value in inference_args.items() if value is not None}
    return SelectionOptions(**given) if given else None


def _file(element: object) -> bytes:
    """An element as an image file's bytes.

    Raises:
      TypeError: If it is something else; the message has what to do about what is often given.
    """
    if isinstance(element, bytes):
        return element
    if isinstance(element, (bytearray, memoryview)):
        return bytes(element)
    found, remedy = quoted(element), "Arrays and pictures that were decoded are for tftrt_yolo.Predictor."
    if isinstance(element, str):
        remedy = "If it is a path, read the file before: fileio.MatchFiles, fileio.ReadMatches and file.read()."
    elif isinstance(element, tuple):
        found = f"a tuple of {counted(len(element), 'part')}"
        remedy = "If it is a key with its bytes, use KeyedModelHandler(ModelHandler(...))."
    elif callable(getattr(element, "read", None)):
        remedy = "Read it before: beam.Map(lambda file: (file.metadata.path, file.read()))."
    raise TypeError(f"An element is {found}; expected the bytes of an image file. {remedy}")
