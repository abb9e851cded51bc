"""Prediction, in actors that hold one Predictor each: parts of decoded images in, packed rows out.

predict = predicting.Predict(model)             # in an actor
predict(table)                                  # rows as decoding.PARTS in, as predicting.ROWS out
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path

import pyarrow as pa

from tftrt_yolo.ground.errors import BatchError, SavedModelError, TftrtYoloError
from tftrt_yolo.ground.files import directories, documents
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.pipelines.ray_data import rows
from tftrt_yolo.pipelines.ray_data.decoding import Part
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model

ROWS = pa.schema(
    [
        ("shard", pa.int64()),
        ("first", pa.int64()),
        ("count", pa.int64()),
        ("is_last", pa.bool_()),
        ("backend", pa.string()),
        ("packed", pa.large_binary()),
    ]
)
_TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-rocm", "tf-nightly")
_SHOWN = 12  # digits of a digest, in a message


@dataclasses.dataclass(frozen=True)
class Model:
    """What a predictor is made of, on whichever node.

    Attributes:
      saved_model_dir: Its directory, absolute.
      sha256: As `digest` gives it where the job was started.
      keywords: `Predictor`'s keyword arguments.
      asked: What is asked for in place of the model's own thresholds.
      batch_size: At most this many images a call of the network.
      form: Form of the rows.
      num_threads: TensorFlow's threads; None for one a core.
    """

    saved_model_dir: str
    sha256: str
    keywords: dict[str, object]
    asked: dict[str, object]
    batch_size: int
    form: str
    num_threads: int | None = None

    def check(self) -> None:
        """Refuses another model than where the job was started.

        Raises:
          BatchError: If the directory is not there, or holds another model.
        """
        path = Path(self.saved_model_dir)
        try:
            found = digest(open_saved_model(path))
        except SavedModelError as error:
            raise BatchError(
                f"Node {platform.node()} cannot open the model: {first_line(error)} Expected {path} on every node, "
                "such as on a disk that they share."
            ) from error
        if found != self.sha256:
            raise BatchError(
                f"Node {platform.node()} has another model in {path}: its SHA-256 is {found[:_SHOWN]}..., and the job "
                f"is of {self.sha256[:_SHOWN]}... Copy the model to every node."
            )


def digest(model: SavedModelHandle) -> str:
    """Hashes what a model's results depend on.

    Args:
      model: A SavedModel.

    Returns:
      SHA-256 of its files' digests and of what its metadata say; 64 hexadecimal digits.
    """
    files = model.files or {"": directories.fingerprint(model.directory, "")}
    known = json.dumps([files, documents.plain(model.metadata)], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what results depend on, here."""
    return {"tftrt_yolo": __version__, "tensorflow": _tensorflow(), "python": platform.python_version()}


def _tensorflow() -> str:
    """TensorFlow's version, without importing it."""
    for package in _TENSORFLOW_PACKAGES:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


class Predict:
    """What Ray Data's actors call."""

    def __init__(self, model: Model):
        """Loads the model.

        Args:
          model: What it is.
        """
        self._model, self._failure = model, None
        try:
            self._load()
        except (
            TftrtYoloError
        ) as error:  # of an actor that cannot begin Ray tells a text; of a call that fails, the error
            self._failure = error

    def _load(self) -> None:
        """Loads the model."""
        model = self._model
        model.check()
        if model.num_threads:
            import tensorflow as tf  # before the Predictor uses it, which fixes its threads

            tf.config.threading.set_intra_op_parallelism_threads(model.num_threads)
            tf.config.threading.set_inter_op_parallelism_threads(model.num_threads)
        self._predictor = Predictor(model.saved_model_dir, **model.keywords)
        self._form = rows.FORMS[model.form](self._predictor.task, model.sha256)

    def __call__(self, parts: pa.Table) -> pa.Table:
        """Predicts on parts.

        Args:
          parts: As `decoding.PARTS`.

        Returns:
          A row as `ROWS` for each.

        Raises:
          BatchError: If the node has another model than where the job was started.
          TftrtYoloError: As `Predictor`, when it was loaded.
        """
        if self._failure is not None:
            raise self._failure
        found = [self._rows(Part.unpacked(parts.slice(index, 1))) for index in range(len(parts))]
        return pa.Table.from_pylist(found, ROWS)

    def _rows(self, part: Part) -> dict:
        """A part's row."""
        images = [image for image in part.images if image is not None]
        results = self._predictor.stream(images, batch_size=self._model.batch_size, **self._model.asked)
        found = []
        for path, image, error in zip(part.paths, part.images, part.errors, strict=True):
            if image is None:
                found.append({rows.IMAGE: path, rows.ERROR: error})
                continue
            of_image = self._predictor.task.rows(next(results), self._predictor.names)
            sides = {"height": image.shape[0], "width": image.shape[1]}
            found.append({rows.IMAGE: path, **sides, self._predictor.task.row_label: of_image})
        return {
            "shard": part.shard,
            "first": part.first,
            "count": len(part.paths),
            "is_last": part.is_last,
            "backend": str(self._predictor.backend),
            "packed": self._form.pack(found),
        }
