"""What damaged parts of a data set do to an evaluation: refused by name, or left out of every figure and listed."""

import json

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, TINY_WEIGHTS
from tests.evaluation.digits import NAMES, data_yaml
from tftrt_yolo import DataOptions, EvaluationReport
from tftrt_yolo.cli import command_line as cli

_SKIP = DataOptions(skip_unreadable=True)
_JPEG, _PNG = IMAGES[2].read_bytes(), b"\x89PNG\r\n\x1a\n"
# What a data set's damaged files are like, and what is said of each.
_DAMAGES = {
    "cut short": (_JPEG[:2_000], "cannot be decoded"),
    "empty": (b"", "is empty"),
    "a signature alone": (_PNG, "cannot be decoded"),
    "a page": (b"<!DOCTYPE html><html>404</html>", ""),
    "zeros": (bytes(5_000), ""),
}


def _damage(image, data=_JPEG[:2_000]):
    """Puts another file in an image's place, which may be a link."""
    image.unlink()
    image.write_bytes(data)


def _figures(report):
    """All that is measured, without times."""
    return (
        [(metric.name, metric.value, metric.per_class) for model in report.models for metric in model.metrics],
        report.classes,
        (report.num_images, report.num_objects, report.num_backgrounds, report.num_crowds),
    )


@pytest.fixture
def ten(tmp_path):
    """A data.yaml of ten pictures and the folder of its images."""
    return data_yaml(tmp_path / "data", "detect", num_images=10), tmp_path / "data" / "images"


def _without(tmp_path, *left_out):
    """The same ten pictures without some of them, as its own data set."""
    path = data_yaml(tmp_path / "others", "detect", num_images=10)
    for index in left_out:
        (tmp_path / "others" / "images" / IMAGES[index].name).unlink()
        (tmp_path / "others" / "labels" / f"{IMAGES[index].stem}.txt").unlink()
    return path


@pytest.mark.parametrize("damage", _DAMAGES)
def test_an_unreadable_image_leaves_nothing(tiny_export, tmp_path, damage):
    """It is refused with its file and the remedy."""
    data, message = _DAMAGES[damage]
    path = data_yaml(tmp_path / "data", "detect", num_images=3)
    _damage(tmp_path / "data" / "images" / "000002.jpg", data)
    with pytest.raises(
        tftrt_yolo.ImageError, match=rf"000002\.jpg {message}.*\. skip_unreadable=True leaves such images out\.$"
    ):
        tftrt_yolo.evaluate(tiny_export, path, output_dir=tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("batch_size", [1, 4, 16])
@pytest.mark.parametrize(
    "damaged",
    [
        (0,),
        (9,),
        (4, 5, 6, 7),  # a whole batch of 4
        (6, 7, 8, 9),  # nothing is left of the last ones
        (1, 2, 5, 8, 9),
    ],
)
def test_they_are_left_out_of_every_figure(tiny_export, ten, tmp_path, damaged, batch_size):
    """The figures are those of the data set without them, wherever they stand in a batch."""
    path, images = ten
    for index, (data, _) in zip(damaged, [*_DAMAGES.values()], strict=False):
        _damage(images / IMAGES[index].name, data)
    progress = []
    report = tftrt_yolo.evaluate(
        tiny_export,
        path,
        data_options=_SKIP,
        batch_size=batch_size,
        on_progress=lambda *done: progress.append(done),
        output_dir=tmp_path / "out",
    )
    expected = tftrt_yolo.evaluate(tiny_export, _without(tmp_path, *damaged), batch_size=batch_size)
    assert _figures(report) == _figures(expected)
    assert report.num_images == 10 - len(damaged)
    assert progress[-1] == (10, 10)
    assert progress == sorted(set(progress))
    assert [reason.split(".jpg ")[0].rpartition("/")[2] for reason in report.unreadable_images] == [
        IMAGES[index].stem for index in damaged
    ]
    count = "1 unreadable image was" if len(damaged) == 1 else f"{len(damaged)} unreadable images were"
    assert f"  {count} skipped, first {report.unreadable_images[0]}" in str(report)
    assert EvaluationReport.read(tmp_path / "out") == report


def test_beside_the_weights(tiny_export, ten):
    """Both networks see the same frames and truths."""
    pytest.importorskip("torch")
    path, images = ten
    for index in (0, 3):
        _damage(images / IMAGES[index].name)
    report = tftrt_yolo.evaluate(tiny_export, path, data_options=_SKIP, batch_size=3, compare_to=TINY_WEIGHTS)
    assert report.num_images == 8
    assert all(abs(report.difference(metric.name)) < 0.002 for metric in report.models[0].metrics)


def test_a_model_for_xla(models, ten, tmp_path):
    """Its last batch is filled up to a compiled size, without truths for what fills it."""
    path, images = ten
    for index in (2, 7, 9):
        _damage(images / IMAGES[index].name)
    converted = tmp_path / "xla_saved_model"
    tftrt_yolo.convert(models.exported("tiny"), converted, accelerator="xla", precision_mode="FP32")
    report = tftrt_yolo.evaluate(converted, path, data_options=_SKIP, batch_size=4)
    expected = tftrt_yolo.evaluate(converted, _without(tmp_path, 2, 7, 9), batch_size=4)
    assert _figures(report) == _figures(expected)
    assert report.num_images == 7


def test_nothing_is_left(tiny_export, tmp_path):
    path = data_yaml(tmp_path / "data", "detect", num_images=2)
    for image in (tmp_path / "data" / "images").iterdir():
        _damage(image)
    with pytest.raises(
        tftrt_yolo.DatasetError,
        match=r"data\.yaml has no image left to measure on\. Expected .*\. 2 images left out: .*000000\.jpg cannot be",
    ):
        tftrt_yolo.evaluate(tiny_export, path, data_options=_SKIP, output_dir=tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_class_folders(models, tmp_path):
    """Of a classifier; a class whose only image cannot be read has none."""
    crops = [next(crop for crop in CROPS if crop.parent.name == name) for name in "012"]
    for crop in crops:
        (tmp_path / "val" / crop.parent.name).mkdir(parents=True)
        (tmp_path / "val" / crop.parent.name / "a.jpg").symlink_to(crop)
    _damage(tmp_path / "val" / "1" / "a.jpg", crops[1].read_bytes()[:60])
    with pytest.raises(tftrt_yolo.ImageError, match=r"1/a\.jpg cannot be decoded.* skip_unreadable=True leaves"):
        tftrt_yolo.evaluate(models.exported("classify"), tmp_path)
    report = tftrt_yolo.evaluate(models.exported("classify"), tmp_path, data_options=_SKIP)
    assert [one.name for one in report.classes] == ["0", "2"]
    assert (report.num_images, report.num_objects) == (2, 2)
    assert [*report.models[0].metrics[0].per_class] == [0, 2]
    assert "1/a.jpg cannot be decoded" in report.unreadable_images[0]


def _coco(folder, num_images=6):
    """The sizes of some pictures as COCO's JSON, an object on each; returns the document."""
    import PIL.Image

    images = []
    for index, image in enumerate(IMAGES[:num_images]):
        with PIL.Image.open(image) as opened:
            width, height = opened.size
        images.append({"id": index, "file_name": image.name, "height": height, "width": width})
        (folder / image.name).symlink_to(image)
    annotations = [
        {"image_id": index, "category_id": index % 2, "bbox": [9, 9, 30, 30], "iscrowd": int(index == 5)}
        for index in range(num_images)
    ]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in NAMES.items()],
    }


def test_coco_json_with_other_sizes_and_damaged_images(tiny_export, tmp_path):
    """Each kind has its own option, and what one leaves out is in no figure."""
    images_dir = tmp_path / "images"
    images_dir.mkdir()
    document, path = _coco(images_dir), tmp_path / "instances.json"
    document["images"][3]["width"] += 1
    path.write_text(json.dumps(document))
    message = (
        r"000003\.jpg is of \[\d+, \d+\], height and width, and its labels say \[\d+, \d+\]\. Give .*\. "
        r"skip_bad_labels=True leaves such images out\.$"
    )
    for options in (DataOptions(images_dir=images_dir), DataOptions(images_dir=images_dir, skip_unreadable=True)):
        with pytest.raises(tftrt_yolo.DatasetError, match=message):
            tftrt_yolo.evaluate(tiny_export, path, data_options=options)
    bad_labels = DataOptions(images_dir=images_dir, skip_bad_labels=True)
    document["annotations"][1]["bbox"] = [0, 0]
    path.write_text(json.dumps(document))
    report = tftrt_yolo.evaluate(tiny_export, path, data_options=bad_labels, batch_size=2)
    assert (report.num_images, report.num_objects, report.num_crowds) == (4, 3, 1)
    assert [one.num_objects for one in report.classes] == [3]
    assert len(report.skipped_labels) == 2
    assert "000003.jpg is of" in report.skipped_labels[1]
    assert "2 bad labels were skipped with their images" in str(report)
    _damage(images_dir / IMAGES[5].name, IMAGES[5].read_bytes()[:2_000])
    with pytest.raises(tftrt_yolo.ImageError, match=r"000005\.jpg cannot be decoded.* skip_unreadable=True"):
        tftrt_yolo.evaluate(tiny_export, path, data_options=bad_labels)
    both = DataOptions(images_dir=images_dir, skip_bad_labels=True, skip_unreadable=True)
    report = tftrt_yolo.evaluate(tiny_export, path, data_options=both)
    assert (report.num_images, report.num_objects, report.num_crowds) == (3, 3, 0)
    assert (len(report.skipped_labels), len(report.unreadable_images)) == (2, 1)


def test_the_command(tiny_export, tmp_path, capfd):
    """The flag is in the remedy, and does what it says."""
    path = data_yaml(tmp_path / "data", "detect", num_images=3)
    _damage(tmp_path / "data" / "images" / "000001.jpg", np.zeros(9, np.uint8).tobytes())
    flags = [f"--saved_model_dir={tiny_export}", f"--data={path}"]
    assert cli.main(["evaluate", *flags]) == 1
    captured = capfd.readouterr()
    assert "000001.jpg" in captured.err
    assert "--skip_unreadable leaves such images out." in captured.err
    assert "Traceback" not in captured.err
    assert cli.main(["evaluate", *flags, "--skip_unreadable"]) == 0
    assert "1 unreadable image was skipped, first " in capfd.readouterr().out
