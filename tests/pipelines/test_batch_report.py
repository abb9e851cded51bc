"""The report of a job in words: a rate where there is one, and the whole time where all images came at once."""

import dataclasses
import math
from pathlib import Path

import pytest

from tftrt_yolo.pipelines.batch_report import BatchReport


@pytest.mark.parametrize(
    ("rate", "line"),
    [
        (12.5, "  computed     2 images in 1.5 s, 12.5 a second, by 1 predictor; 14.0 s until the first came"),
        (math.nan, "  computed     2 images in 15.5 s, by 1 predictor"),
    ],
)
def test_how_long_it_took(rate, line):
    assert str(_report(rate)).splitlines()[3] == line


def _report(rate):
    return BatchReport(
        output_dir=Path("found"),
        form="parquet",
        task="detect",
        model_sha256="f" * 64,
        backend=(),
        num_images=2,
        num_unreadable=0,
        num_detections=3,
        class_counts={"7": 3},
        num_shards=1,
        num_shards_before=0,
        num_computed=2,
        num_bytes=4_000,
        seconds=1.5,
        starting_seconds=14.0,
        images_per_second=rate,
        predictors=1,
    )


def test_a_depth_has_no_classes():
    fields = {"num_detections": 0, "class_counts": {}, "task": "depth"}
    report = dataclasses.replace(_report(1.0), **fields)
    assert "classes" not in str(report)
    assert "classes      none" in str(dataclasses.replace(report, task="detect"))
