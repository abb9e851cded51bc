"""Scores that shift too far, limits of which nothing is known, and images that calibrate and measure at once."""

import shutil

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tftrt_yolo import Int8Options, contract
from tftrt_yolo.converter.conversion_report import QuantizationReport
from tftrt_yolo.converter.int8 import accuracy
from tftrt_yolo.converter.int8.calibration_images import Calibration, count_shared
from tftrt_yolo.converter.parity import Parity
from tftrt_yolo.evaluation.certainty import score_shift
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.selection import Selection


def _convert(source, output, **options):
    return tftrt_yolo.convert(source, output, precision_mode="INT8", int8=Int8Options(**options))


def test_a_shift_that_is_too_large_writes_nothing(toy_export, tmp_path):
    """Compared on the calibration images, which have no labels; INT8 shifts at least a little."""
    with pytest.raises(
        tftrt_yolo.ConversionError,
        match=r"INT8 shifts scores by [+-]0\.\d{4} on average \(95 %: [+-]0\.\d{4} to [+-]0\.\d{4}\), over [\d,]+ pairs"
        r" on 12 calibration images; at most 1e-08 was allowed, up or down\. Calibrate with more .* or use FP16",
    ):
        _convert(
            toy_export,
            tmp_path / "a_saved_model",
            calibration_data=str(DATA / "images" / "0000[01][1-6].jpg"),
            maximum_score_shift=1e-8,
        )
    assert not list(tmp_path.iterdir())


def test_a_limit_of_which_nothing_is_known():
    """Neither model finds anything on three images."""
    metadata = contract.Metadata("detect", {0: "a"}, (64, 64), 32, Selection(), "a.pt")
    shift = score_shift.gather(metadata)
    nothing = {"boxes": np.zeros((3, 8, 4), np.float32), "scores": np.zeros((3, 8, 1), np.float32)}
    shift.add(nothing, nothing)
    parity = Parity(images=3, detections=0, matched=0, extra=0, differences={}, device="CPU")
    report = QuantizationReport(
        method="max", layers=1, images=3, unreadable=(), parity=parity, dense={}, score_shift=shift.result()
    )
    accuracy._check_shift(report, None)
    with pytest.raises(
        tftrt_yolo.ConversionError,
        match=r"maximum_score_shift is 0\.5, and how far .* on 3 calibration images there is no pair of detections",
    ):
        accuracy._check_shift(report, 0.5)


def _data(folder, names, label):
    """A data set of two pictures, of which one has the label and the other none."""
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for image, name in zip(IMAGES[:2], "ab", strict=True):
        shutil.copy(image, folder / "images" / f"{name}.jpg")
    (folder / "labels" / "a.txt").write_text(label)
    (folder / "data.yaml").write_text(f"path: .\nval: images\nnames: {names}\n")
    return folder / "data.yaml"


@pytest.mark.parametrize(
    ("label", "content", "error", "message"),
    [
        ("", None, tftrt_yolo.DatasetError, "has no label on any image, so it says nothing of what INT8 loses"),
        ("0 0.5 0.5 0.2 0.2", b"", tftrt_yolo.ImageError, r"b\.jpg is empty\..* Mend it, or take the image out of"),
        ("0 0.5 0.5 0.2 0.2", b"<html>404</html>", tftrt_yolo.ImageError, r"b\.jpg is a web page .* Mend it, or take"),
    ],
)
def test_what_a_beginning_tells_is_said_with_the_labels(toy_export, tmp_path, label, content, error, message):
    """Which is before the calibration; what else is wrong with an image shows where it is decoded."""
    data = _data(tmp_path, tftrt_yolo.inspect(toy_export).metadata.names, label)
    if content is not None:
        (tmp_path / "images" / "b.jpg").write_bytes(content)
    wanted = accuracy.Quantization(Calibration((), "max"), str(data))
    with pytest.raises(error, match=message):
        accuracy.read_labels(open_saved_model(toy_export), wanted)


def test_a_mask_of_another_size_is_said_with_the_labels(models, tmp_path):
    source = open_saved_model(models.exported("semantic"))
    (tmp_path / "masks").mkdir()
    data = _data(tmp_path, list(source.metadata.names.values()), "")
    for image, name in zip(IMAGES[:2], "ab", strict=True):
        with PIL.Image.open(image) as picture:
            size = picture.size
        PIL.Image.new("L", size if name == "a" else (size[0], size[1] - 1)).save(tmp_path / "masks" / f"{name}.png")
    with pytest.raises(
        tftrt_yolo.DatasetError, match=r"b\.jpg is of .* and its labels say .*Mend it, or take the image"
    ):
        accuracy.read_labels(source, accuracy.Quantization(Calibration((), "max"), str(data)))


@pytest.mark.parametrize("accelerator", ["tensorrt", "onednn"])
def test_a_bad_label_is_said_before_anything_is_calibrated(toy_export, tmp_path, accelerator):
    """And what `evaluate` could leave out is not advised here, where there is no such option."""
    data, progress = _data(tmp_path, tftrt_yolo.inspect(toy_export).metadata.names, "0 0.5 0.5 0.2\n"), []
    with pytest.raises(
        tftrt_yolo.DatasetError, match=r"a\.txt.* Mend it, or take .* out of evaluation_data\.$"
    ) as found:
        tftrt_yolo.convert(
            toy_export,
            tmp_path / "a_saved_model",
            accelerator=accelerator,
            precision_mode="INT8",
            int8=Int8Options(calibration_data=IMAGES[0].parent, evaluation_data=data),
            on_progress=lambda done, total: progress.append(done),
        )
    assert "skip_bad_labels" not in str(found.value)
    assert progress == []


def test_images_that_are_missing_are_said_so_too(toy_export, tmp_path):
    data = _data(tmp_path, tftrt_yolo.inspect(toy_export).metadata.names, "0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "val.txt").write_text("./images/a.jpg\n./images/gone.jpg\n")
    data.write_text(data.read_text().replace("val: images", "val: val.txt"))
    options = Int8Options(calibration_data=IMAGES[0].parent, evaluation_data=data)
    with pytest.raises(
        tftrt_yolo.DatasetError, match=r"(?s)gone\.jpg\nCopy them there, or take them out of evaluation_data\.$"
    ):
        tftrt_yolo.convert(toy_export, tmp_path / "a_saved_model", precision_mode="INT8", int8=options)


def test_images_that_calibrate_and_measure(tmp_path):
    """The same file, a link to it, a copy of it; not the picture saved anew, nor another file of the same size."""
    link, copy, anew, other = (tmp_path / name for name in ("link.jpg", "copy.jpg", "anew.png", "other.jpg"))
    link.symlink_to(IMAGES[0])
    shutil.copy(IMAGES[1], copy)
    PIL.Image.open(IMAGES[2]).save(anew)
    other.write_bytes(bytes(IMAGES[0].stat().st_size))
    calibrated = [str(path) for path in IMAGES[:3]]
    assert count_shared([IMAGES[2], link, copy, anew, other, IMAGES[5]], calibrated) == 3
    assert count_shared([], calibrated) == count_shared([anew], []) == 0
