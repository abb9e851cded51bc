"""Detections of many images with Spark: one Predictor in each Python worker process.

files = spark.read.format("binaryFile").load("photos").repartition(64)
found = files.mapInPandas(yolo_on_spark.detect("/models/yolov8n_saved_model"), yolo_on_spark.SCHEMA)
found.write.parquet("found")
"""

import functools

import pandas

import tftrt_yolo

SCHEMA = (
    "path string, error string, "
    "detections array<struct<class: int, name: string, score: float, x1: float, y1: float, x2: float, y2: float>>"
)


@functools.cache
def predictor_of(saved_model_dir):
    """The process's own: this module is imported, not pickled, so its cache lives as long as the worker does."""
    return tftrt_yolo.Predictor(saved_model_dir)


def detect(saved_model_dir, batch_size=8, **options):
    """What `mapInPandas` takes; options as of `Predictor.stream`, such as score_threshold."""
    return functools.partial(_detected, saved_model_dir=saved_model_dir, batch_size=batch_size, **options)


def _detected(tables, *, saved_model_dir, batch_size, **options):
    """A row for each row, in order; where a picture cannot be read, the reason stands in `error`."""
    predictor = predictor_of(saved_model_dir)
    for table in tables:
        contents, errors = list(table["content"]), {}
        found = predictor.stream(
            contents,
            batch_size=batch_size,
            on_unreadable=lambda content, error, errors=errors: errors.setdefault(id(content), str(error)),
            **options,
        )
        results = list(found)  # of at most spark.sql.execution.arrow.maxRecordsPerBatch images
        reasons = [errors.get(id(content)) for content in contents]
        left = iter(results)
        yield pandas.DataFrame(
            {
                "path": table["path"],
                "error": reasons,
                "detections": [[] if reason else _rows(next(left)) for reason in reasons],
            }
        )


def _rows(result):
    """The detections of an image."""
    names = result.data["class_name"]
    return [
        {"class": index, "name": name, "score": score, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
        for index, name, score, (x1, y1, x2, y2) in zip(
            result.class_id.tolist(), names.tolist(), result.confidence.tolist(), result.xyxy.tolist(), strict=True
        )
    ]
