import json
import re
import shutil

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.ground.files import forms
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.selection import Selection


def test_writes_pictures_and_detections(tiny_export, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in IMAGES[:5]:
        shutil.copy(path, folder)
    (folder / "notes.txt").write_text("no picture")
    progress = []
    report = tftrt_yolo.predict(
        tiny_export, folder, tmp_path / "out", batch_size=2, on_progress=lambda *counts: progress.append(counts)
    )
    assert progress == [(done, 5) for done in range(1, 6)]
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [line["picture"] for line in lines] == [path.name for path in IMAGES[:5]]
    assert report.num_images == 5
    assert report.num_detections == sum(len(line["detections"]) for line in lines) == sum(report.class_counts.values())
    for line, path, detections in zip(lines, IMAGES, tftrt_yolo.Predictor(tiny_export)(IMAGES[:5]), strict=False):
        original, picture = (np.asarray(PIL.Image.open(file), int) for file in (path, tmp_path / "out" / path.name))
        assert (line["height"], line["width"]) == original.shape[:2] == picture.shape[:2]
        np.testing.assert_allclose([row["xyxy"] for row in line["detections"]], detections.xyxy, atol=0.01)
        changed = np.abs(picture - original).max(-1) > 100
        for x1, y1, x2, _ in detections.xyxy.astype(int):
            edge = changed[max(y1 - 2, 0) : y1 + 3, x1:x2]  # the upper edge of each box is drawn
            assert edge.any()


def test_an_unreadable_picture_stops_the_run_or_is_listed(tiny_export, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(IMAGES[0], folder)
    (folder / "broken.jpg").write_text("no picture")
    with pytest.raises(tftrt_yolo.ImageError, match=r"broken\.jpg is no image"):
        tftrt_yolo.predict(tiny_export, folder, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    sources = tftrt_yolo.SourceOptions(source=folder, skip_unreadable=True)
    report = tftrt_yolo.predict(tiny_export, sources, tmp_path / "out")
    assert report.num_images == 1
    assert "broken.jpg" in report.unreadable[0]
    assert "skipped" in str(report)


def test_pictures_that_their_ending_cannot_hold(tiny_export, tmp_path):
    """A name without an ending, and a side that no JPEG and no WebP has: PNG beside the others."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(IMAGES[0], folder / "camera.dat")
    report = tftrt_yolo.predict(tiny_export, folder / "camera.dat", tmp_path / "out")
    assert report.num_images == 1
    assert PIL.Image.open(tmp_path / "out" / "camera.dat.png").format == "PNG"
    strip = PIL.Image.new("RGB", (1, 65_535))
    for name in ("strip.jpg", "strip.webp"):
        strip.save(folder / name, "PNG")  # an ending is only a name
    shutil.copy(IMAGES[0], folder)
    tftrt_yolo.predict(tiny_export, folder, tmp_path / "out", overwrite=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"strip.jpg.png", "strip.webp.png", IMAGES[0].name, "detections.jsonl"}


def test_images_in_every_form_and_under_every_name(tiny_export, tmp_path):
    """Each has its picture, of its own size; what of the folder is left out is said, with the reason."""
    folder = tmp_path / "in"
    folder.mkdir()
    chosen = ("gif animated", "mpo of two pictures", "tiff cmyk", "png grey 16 bit", "webp animated", "bmp 16 bit 565")
    given = {form.name: form for form in forms.forms() if form.name in chosen}
    for number, form in enumerate(given.values()):
        (folder / f"{number}{form.suffix}").write_bytes(form.data)
    (folder / "png in fact.jpg").write_bytes(given["png grey 16 bit"].data)
    (folder / "gif in fact.png").write_bytes(given["gif animated"].data)
    for name in ("old.bak", "photo.JPG.tmp", "clip.mp4", "raw.dng", "more.heic", "notes.txt", "labels.json", ".hidden"):
        (folder / name).write_bytes(IMAGES[0].read_bytes())
    report = tftrt_yolo.predict(tiny_export, folder, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert report.num_images == len(lines) == len(chosen) + 3  # clip.mp4 is a JPEG
    for line in lines:
        with PIL.Image.open(tmp_path / "out" / line["picture"]) as picture:
            assert picture.size == (line["width"], line["height"])
    assert [line.split(":")[0] for line in report.left_out] == [
        "1 file .bak (old.bak)",
        "1 file .dng (raw.dng)",
        "1 file .heic (more.heic)",
        "1 file .tmp (photo.JPG.tmp)",
    ]
    assert "  left out     1 file .heic (more.heic): HEIC, which Pillow does not read; save it as JPEG" in str(report)
    report = tftrt_yolo.predict(tiny_export, str(folder / "*.[bt][am]*"), tmp_path / "globbed")
    assert {path.name for path in (tmp_path / "globbed").glob("*.png")} == {"old.bak.png", "photo.JPG.tmp.png"}
    assert report.left_out == ()


def test_a_folder_without_images_says_what_it_holds_instead(tiny_export, tmp_path):
    for name in ("b.heic", "a.heic", "c.nef", "d.HEIC", "e.heic"):
        (tmp_path / name).touch()
    with pytest.raises(
        tftrt_yolo.ImageError, match=r"Left out: 4 files \.heic \(a\.heic, b\.heic, d\.HEIC, \.\.\.\): HEIC"
    ):
        tftrt_yolo.predict(tiny_export, tmp_path, tmp_path / "out")


def test_find_images_warns_of_what_it_leaves_out(tmp_path, caplog):
    for name in ("a.jpg", "b.gif", "c.mpo", "d.nef", "e.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in image_files.find_images(tmp_path)] == ["a.jpg", "b.gif", "c.mpo"]
    [record] = caplog.records
    assert "1 file .nef (d.nef): a camera's raw file; develop it" in record.getMessage()
    image_files.find_images(tmp_path, warns=False)
    assert len(caplog.records) == 1


def test_the_output_of_an_earlier_run(tiny_export, tmp_path):
    tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "out")
    with pytest.raises(FileExistsError, match="exists already"):
        tftrt_yolo.predict(tiny_export, IMAGES[1], tmp_path / "out")
    tftrt_yolo.predict(tiny_export, IMAGES[1], tmp_path / "out", overwrite=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {IMAGES[1].name, "detections.jsonl"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(FileExistsError, match=r"has no detections\.jsonl"):
        tftrt_yolo.predict(tiny_export, IMAGES[1], tmp_path / "mine", overwrite=True)


def test_pictures_of_one_name_do_not_overwrite_each_other(tiny_export, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(IMAGES[0], tmp_path / folder / "same.jpg")
    report = tftrt_yolo.predict(tiny_export, str(tmp_path / "*" / "same.jpg"), tmp_path / "out")
    assert report.num_images == 2
    assert {path.name for path in (tmp_path / "out").glob("*.jpg")} == {"same.jpg", "same_2.jpg"}


@pytest.mark.parametrize("batch_size", [0, -1, 2.0])
def test_batch_size_is_checked(tiny_export, tmp_path, batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}; it must be a whole number of at least 1"):
        tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "out", batch_size=batch_size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.jpg", "There is no file or folder nothing.jpg"),
        ("nothing/*.jpg", r"No file matches the pattern nothing/\*.jpg"),
        ("empty", "The folder .*empty holds no image"),
    ],
)
def test_sources_without_images(tiny_export, tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        tftrt_yolo.predict(tiny_export, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_find_images_is_sorted_and_takes_globs(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.txt", "d.webp"):
        (tmp_path / name).touch()
    assert [path.name for path in image_files.find_images(tmp_path)] == ["a.jpg", "b.PNG", "d.webp"]
    assert [path.name for path in image_files.find_images(str(tmp_path / "[ab].*"))] == ["a.jpg", "b.PNG"]


def test_pictures_of_others_survive_overwriting(tiny_export, tmp_path):
    out = tmp_path / "out"
    tftrt_yolo.predict(tiny_export, IMAGES[0], out)
    shutil.copy(IMAGES[1], out / "holiday.jpg")
    with pytest.raises(FileExistsError, match=r"out holds what this did not write \(holiday\.jpg\).*Move that"):
        tftrt_yolo.predict(tiny_export, IMAGES[0], out, overwrite=True)
    assert (out / "holiday.jpg").read_bytes() == IMAGES[1].read_bytes()
    (out / "holiday.jpg").unlink()
    (out / "detections.jsonl").write_text("damaged")  # then nobody knows whose the picture is
    with pytest.raises(FileExistsError, match=rf"\({IMAGES[0].name}\)"):
        tftrt_yolo.predict(tiny_export, IMAGES[0], out, overwrite=True)


@pytest.mark.parametrize("source", ["out", "out/*.jpg", f"out/{IMAGES[0].name}"])
def test_the_pictures_that_are_read_are_not_deleted(tiny_export, tmp_path, source):
    tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "out")
    before = (tmp_path / "out" / IMAGES[0].name).read_bytes()
    with pytest.raises(FileExistsError, match=rf"holds .*{IMAGES[0].name}, which is to be read"):
        tftrt_yolo.predict(tiny_export, str(tmp_path / source), tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / IMAGES[0].name).read_bytes() == before


def test_thresholds_of_a_run(tiny_export, tmp_path):
    """The files hold what the predictor gives with them, and the report says which were given."""
    selection = tftrt_yolo.SelectionOptions(
        score_threshold=0.05, classes=("1", 7), max_detections=2, class_agnostic=True
    )
    source = str(IMAGES[0].parent / "00000*.jpg")
    report = tftrt_yolo.predict(tiny_export, source, tmp_path / "out", selection=selection)
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    expected = tftrt_yolo.Predictor(tiny_export)(IMAGES[:10], **selection.asked())
    assert [len(line["detections"]) for line in lines] == [len(found) for found in expected]
    assert {row["class"] for line in lines for row in line["detections"]} == {1, 7}
    assert max(len(line["detections"]) for line in lines) == 2
    assert report.selection == {
        "score_threshold": 0.05,
        "max_detections": 2,
        "classes": (1, 7),
        "class_agnostic": True,
    }
    line = "  selection    score_threshold 0.05, max_detections 2, classes 1 7, class_agnostic True\n"
    assert line in str(report)
    plain = tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "plain", selection=tftrt_yolo.SelectionOptions())
    assert plain.selection == {}
    assert "selection" not in str(plain)


def test_thresholds_that_cannot_be_leave_nothing_behind(tiny_export, models, tmp_path):
    for model, asked, message in (
        (tiny_export, {"classes": [10]}, "classes has 10; expected"),
        (models.exported("classify"), {"score_threshold": 0.5}, "is a model for classify"),
    ):
        options = tftrt_yolo.SelectionOptions(**asked)
        with pytest.raises(ValueError, match=message):
            tftrt_yolo.predict(model, IMAGES[0], tmp_path / "out", selection=options)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("selection", "got"), [(Selection(0.5), "a Selection"), ({"score_threshold": 0.5}, "a dict of 1"), (0.5, "0.5")]
)
def test_a_selection_of_another_type_is_refused(tiny_export, tmp_path, selection, got):
    message = f"selection is {got}; expected SelectionOptions, such as selection=SelectionOptions(score_threshold=...)."
    with pytest.raises(TypeError, match=re.escape(message)):
        tftrt_yolo.predict(tiny_export, IMAGES[0], tmp_path / "out", selection=selection)
    assert not list(tmp_path.iterdir())
