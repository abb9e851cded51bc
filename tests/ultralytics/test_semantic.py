"""What Ultralytics' own validator finds on class maps that it draws from polygons, and what `evaluate` finds.

It needs a torchvision that works: `make test-ultralytics`.
"""

import math

import PIL.Image
import pytest
import yaml

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tests.evaluation.digits import data_yaml

pytestmark = pytest.mark.torchvision

SIDE = 160


def _scales_alike(image):
    """Whether the validator, which rounds a scaled side up, gives it the size that the SavedModel's frame does."""
    with PIL.Image.open(image) as picture:
        short = min(picture.size) * SIDE / max(picture.size)
    return math.ceil(short) == round(short)


def test_polygons_give_the_validators_figures(models, tmp_path):
    from ultralytics import YOLO

    data = data_yaml(tmp_path, "segment")
    others = [image for image in IMAGES if not _scales_alike(image)]
    assert 10 <= len(others) <= 30
    for image in others:
        (tmp_path / "images" / image.name).unlink()
        (tmp_path / "labels" / f"{image.stem}.txt").unlink()
    report = tftrt_yolo.evaluate(models.exported("semantic"), data)
    data.write_text(yaml.safe_dump(yaml.safe_load(data.read_text()) | {"path": str(tmp_path), "train": "images"}))
    options = {"imgsz": SIDE, "rect": False, "workers": 0, "plots": False, "verbose": False}
    weights = str(DATA / "yolo26n-tiny-semantic.pt")
    theirs = YOLO(weights).val(data=str(data), project=str(tmp_path / "runs"), **options).results_dict
    assert report.value("mIoU") == pytest.approx(theirs["metrics/mIoU"], abs=1e-4)
    assert report.value("pixel accuracy") == pytest.approx(theirs["metrics/pixel_acc"], abs=1e-4)
