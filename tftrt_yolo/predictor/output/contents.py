"""What an output directory of `predict` holds, by which an earlier run's is told from the files of others."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tftrt_yolo.ground.files import directories
from tftrt_yolo.predictor.output.forms import coco, table

DETECTIONS = "detections.jsonl"
_NAMED = ("picture", "video", "labels", "crops", "masks", "maps")  # what a line names its files by


def _listed(output_dir: Path) -> list[str]:
    """The files that detections.jsonl names; none if it is damaged, and then every one is a stranger's."""
    try:
        with open(output_dir / DETECTIONS, encoding="utf-8") as lines:
            return list(dict.fromkeys(name for line in lines for name in _names_of(json.loads(line))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _names_of(line: dict) -> Iterator[str]:
    """The files of one image."""
    for key in _NAMED:
        value = line.get(key)
        names: Iterable = value if isinstance(value, list) else [value]
        yield from (name for name in names if isinstance(name, str))


CONTENTS = directories.Contents(DETECTIONS, (table.FILE, coco.RESULTS, coco.IMAGES), listed=_listed)
