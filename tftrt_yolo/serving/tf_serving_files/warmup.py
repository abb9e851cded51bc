"""Warm-up records: requests that TensorFlow Serving runs before a version answers anybody.

    records = warmup.records("digits", (1, 8))             # encoded, serving_default and padded of each batch size
    warmup.write(records, Path("base/1"))                  # assets.extra/tf_serving_warmup_requests, a TFRecord

Each is a PredictionLog of tensorflow-serving-api's. The pictures come with the package and are small: what they show
does not matter, and the network sees frames of its own size whatever theirs is.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tftrt_yolo.contract import ENCODED, PADDED, SERVING
from tftrt_yolo.ground import assets
from tftrt_yolo.ground.arguments import argument

FILE = "assets.extra/tf_serving_warmup_requests"
SIGNATURES = (ENCODED, SERVING, PADDED)  # those that servers call; what they share, `network`, is warm with them
MOST_RECORDS = 1000  # tensorflow_serving/servables/tensorflow/saved_model_warmup_util.h: kMaxNumRecords
MOST_BYTES = 256 << 20  # of all records: the server holds one at a time, and reads them at each start
_SIDE = 96  # pixels of the longer side
_PICTURES = 4  # different ones in a batch, which is filled with them over and over


def check(batch_sizes: tuple[int, ...]) -> None:
    """Refuses more than a server takes, before anything is made.

    Args:
      batch_sizes: The sizes that are to be warm.

    Raises:
      ValueError: If there are too many of them, or the requests would be too large.
    """
    count, most = len(batch_sizes) * len(SIGNATURES), MOST_RECORDS // len(SIGNATURES)
    if count > MOST_RECORDS:
        raise ValueError(
            f"{argument('batch_sizes')} has {len(batch_sizes):,} sizes, which are {count:,} warm-up records; "
            f"TensorFlow Serving takes {MOST_RECORDS:,}. Give at most {most} sizes."
        )
    size = sum(batch_sizes) * len(SIGNATURES) * _SIDE * _SIDE * 3
    if size > MOST_BYTES:
        raise ValueError(
            f"{argument('batch_sizes')} has sizes up to {max(batch_sizes):,}, whose warm-up records could take "
            f"{size / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} MB are written. Give fewer or smaller sizes."
        )


def records(model_name: str, batch_sizes: tuple[int, ...]) -> Iterator[bytes]:
    """Makes the records, one after the other.

    Args:
      model_name: What requests call the model.
      batch_sizes: The sizes that are to be warm.

    Yields:
      A PredictionLog, serialised.
    """
    pictures = _pictures()
    for size in batch_sizes:
        batch = [pictures[index % len(pictures)] for index in range(size)]
        for signature in SIGNATURES:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = model_name, signature
            for name, values in _INPUTS[signature](batch).items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            yield log.SerializeToString()


def write(records_given: Iterator[bytes], saved_model_dir: Path) -> int:
    """Writes a SavedModel's records.

    Args:
      records_given: As `records`.
      saved_model_dir: Where.

    Returns:
      How many there are.
    """
    path, count = saved_model_dir / FILE, 0
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records_given:
            writer.write(record)
            count += 1
    return count


def _pictures() -> list[PIL.Image.Image]:
    """Small ones of different sizes."""
    found = []
    for path in assets.pictures()[:_PICTURES]:
        picture = PIL.Image.open(path).convert("RGB")
        picture.thumbnail((_SIDE, _SIDE - 8 * len(found)))
        found.append(picture)
    return found


def _encoded(batch: list[PIL.Image.Image]) -> dict[str, list | np.ndarray]:
    """Files."""

    def file(picture: PIL.Image.Image) -> bytes:
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=85)
        return data.getvalue()

    return {"image_bytes": [file(picture) for picture in batch]}


def _same_size(batch: list[PIL.Image.Image]) -> dict[str, list | np.ndarray]:
    """Images of one size."""
    return {"images": np.stack([np.asarray(picture.resize((_SIDE, _SIDE))) for picture in batch])}


def _padded(batch: list[PIL.Image.Image]) -> dict[str, list | np.ndarray]:
    """Images of their own sizes, padded, and the sizes."""
    images = np.zeros((len(batch), _SIDE, _SIDE, 3), np.uint8)
    for image, picture in zip(images, batch, strict=True):
        image[: picture.height, : picture.width] = np.asarray(picture)
    return {"images": images, "sizes": np.array([(one.height, one.width) for one in batch], np.int32)}


_INPUTS = {ENCODED: _encoded, SERVING: _same_size, PADDED: _padded}
