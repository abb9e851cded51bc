"""What is drawn: the image's size, names in every script, and the colours of persons."""

import itertools

import numpy as np
import pytest
import supervision as sv

from tests.conftest import IMAGES
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.tasks import classify, detect, obb, pose
from tftrt_yolo.tasks.drawing import lettering

_SCRIPTS = {
    "ascii": ("dog", "cat"),
    "latin": ("Hündin", "čaj"),
    "decomposed": ("cafe\u0301", "o\u0302"),
    "greek": ("Ψυχή", "σκύλος"),
    "cyrillic": ("пёс", "кішка"),
    "arabic": ("كلب", "قطة"),
    "hebrew": ("כלב", "חתול"),
    "signs": ("x²", "→ ☺"),
}
_UNKNOWN = ("犬", "猫 cat", "개", "कुत्ता")  # to DejaVu Sans


@pytest.fixture(autouse=True)
def no_fonts_of_the_machine(monkeypatch):
    monkeypatch.setattr(lettering, "_FOLDERS", ())
    lettering._of.cache_clear()
    yield
    lettering._of.cache_clear()


def _detections(names, size_hw=(400, 400), count=4):
    rng, (height, width) = np.random.default_rng(0), size_hw
    corners = rng.uniform(0, 0.6, (count, 2)) * (width, height)
    classes = np.arange(count) % len(names)
    return sv.Detections(
        xyxy=np.concatenate([corners, corners + np.array([width, height]) * 0.3], -1).astype(np.float32),
        confidence=np.linspace(0.9, 0.5, count).astype(np.float32),
        class_id=classes,
        data={"class_name": np.array(names)[classes]},
    )


def _classifications(count):
    return sv.Classifications(class_id=np.arange(count), confidence=np.linspace(0.9, 0.1, count).astype(np.float32))


@pytest.mark.parametrize("script", _SCRIPTS)
def test_names_are_drawn_as_they_are(script, caplog):
    names = _SCRIPTS[script]
    letters = lettering.of(np.array(names))
    assert (letters.font_path is None) == (script == "ascii")
    assert len(letters.texts) == len(set(letters.texts)) == 2
    assert not any("#" in text or "?" in text for text in letters.texts)
    assert not caplog.records


@pytest.mark.parametrize("script", [*_SCRIPTS, "unknown"])
def test_labels_differ_where_names_do(script):
    """And a name is not drawn as question marks are."""
    names = np.array(_SCRIPTS.get(script, _UNKNOWN))
    image = np.full((400, 400, 3), 200, np.uint8)
    drawn = []
    for name in (*names, "?" * len(names[0])):
        own = np.array([name, *names[1:]])  # the same lettering, as far as it can be
        found = _detections(own, count=1)
        drawn.append(detect.draw(image, found, own))
        drawn.append(classify.draw(image, sv.Classifications(np.array([0]), np.float32([0.5])), own))
    for one, other in itertools.combinations(drawn, 2):
        assert (one != other).any() or script == "unknown"
    assert all(picture.shape == image.shape for picture in drawn)


def test_names_that_no_font_knows_are_told_apart_and_warned_of_once(caplog):
    names = np.array(["犬", "猫 cat", "dog", "개 (개)"])
    for _ in range(3):
        letters = lettering.of(names)
    assert letters.texts == ("#0", "#1 cat", "dog", "#3")
    [record] = caplog.records
    assert "3 of 4 class names cannot be drawn with a font of this machine (犬, 猫 cat, 개 (개))" in record.getMessage()
    assert "pictures show #0, #1, #3 instead. Install a font" in record.getMessage()
    image = np.full((300, 300, 3), 200, np.uint8)
    pictures = []
    for index in range(4):
        found = sv.Detections(
            np.float32([[50, 50, 200, 200]]), confidence=np.float32([0.5]), class_id=np.array([index])
        )
        pictures.append(detect.draw(image, found, names)[30:50])
    assert all((one != other).any() for one, other in itertools.combinations(pictures, 2))


def test_a_font_of_the_machine_is_taken_where_it_knows_more(tmp_path, monkeypatch, caplog):
    ttlib = pytest.importorskip("fontTools.ttLib")
    made = ttlib.TTFont(lettering._dejavu_path())
    for table in made["cmap"].tables:
        if table.isUnicode():
            table.cmap[ord("犬")] = "A"
    made.save(tmp_path / "made.ttf")
    (tmp_path / "damaged.ttf").write_bytes(b"\0\1\0\0" + bytes(50))
    monkeypatch.setattr(lettering, "_FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    letters = lettering.of(np.array(["犬", "dog"]))
    assert letters.font_path == str(tmp_path / "made.ttf")
    assert letters.texts == ("犬", "dog")
    assert not caplog.records


def test_letters_that_need_shaping_without_raqm(monkeypatch):
    """Written from left to right, and each by itself, they would say something else."""
    monkeypatch.setattr(lettering.PIL.features, "check", lambda _: False)
    assert lettering.of(np.array(["كلب", "Ψυχή"])).texts == ("#0", "Ψυχή")


def test_names_that_a_terminal_would_obey():
    names = np.array(["a\nb", "\x1b[31m", "\u202eabc", "x" * 5_000, "é\n"])
    letters = lettering.of(names)
    assert letters.texts[:3] == ("a\\nb", "\\x1b[31m", "\\u202eabc")
    assert len(letters.texts[3]) <= 110
    image = np.zeros((100, 100, 3), np.uint8)
    assert detect.draw(image, _detections(names, (100, 100), 5), names).shape == image.shape
    assert classify.draw(image, _classifications(5), names).shape == image.shape


@pytest.mark.parametrize("names", [("dog", "cat"), ("犬", "Ψυχή"), ("a long name of a class", "é")])
@pytest.mark.parametrize(
    "size_hw", [(1, 1), (2, 500), (500, 2), (8, 8), (28, 28), (64, 48), (300, 400), (1_100, 1_300)]
)
def test_pictures_have_the_images_size(names, size_hw):
    image = np.full((*size_hw, 3), 120, np.uint8)
    before = image.copy()
    names, found = np.array(names), _detections(names, size_hw)
    found.data |= {"xyxyxyxy": np.repeat(found.xyxy.reshape(-1, 2, 2), 2, axis=1)}
    key_points = sv.KeyPoints(
        xy=np.random.default_rng(0).uniform(0, size_hw[1], (4, 17, 2)).astype(np.float32),
        keypoint_confidence=np.ones((4, 17), np.float32),
        detection_confidence=found.confidence,
        class_id=found.class_id,
        data={"class_name": found.data["class_name"], "xyxy": found.xyxy},
    )
    for picture in (
        detect.draw(image, found, names),
        obb.draw(image, found, names),
        pose.draw(image, key_points, names),
        classify.draw(image, _classifications(2), names),
    ):
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("side", [28, 32, 64, 224, 640])
def test_classes_can_be_read_on_small_images(side):
    """A short name is there whole; not more than about half of the image is covered."""
    image = np.full((side, side, 3), 120, np.uint8)
    names = np.array(["3", "8"])
    three, eight = (classify.draw(image, sv.Classifications(np.array([0, 1]), confidence), names) for confidence in
                    (np.float32([0.9, 0.1]), np.float32([0.1, 0.9])))  # fmt: skip
    assert (three != eight).any()
    changed = (three != image).any(-1)
    assert changed[:14].any()
    assert not changed[side // 2 + 6 :].any()


def test_a_long_name_is_cut_on_a_small_image():
    image = np.full((32, 40, 3), 120, np.uint8)
    drawn = [
        classify.draw(image, _classifications(1), np.array([name])) for name in ("abcdefghijklmn", "nmlkjihgfedcba")
    ]
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[0] != image).any()


def test_labels_keep_apart_and_within_the_picture():
    """Of a TrueType font as of OpenCV's strokes."""
    names = np.array(["Ψυχή"])
    found = sv.Detections(
        xyxy=np.float32([[-5, -5, 60, 60], [-4, -4, 61, 61], [380, 390, 399, 399], [381, 391, 399, 399]]),
        confidence=np.float32([0.9, 0.8, 0.7, 0.6]),
        class_id=np.zeros(4, int),
    )
    image = np.full((400, 400, 3), 255, np.uint8)
    picture = detect.draw(image, found, names)
    color = sv.ColorPalette.DEFAULT.by_idx(0).as_bgr()
    filled = (picture == np.array(color, np.uint8)).all(-1) | (picture.max(-1) < 60)
    alone = detect.draw(image, found[:1], names)
    filled_alone = (alone == np.array(color, np.uint8)).all(-1) | (alone.max(-1) < 60)
    assert filled.sum() > 3 * filled_alone.sum()


def _person(points):
    return sv.KeyPoints(
        xy=points[np.newaxis].astype(np.float32),
        keypoint_confidence=np.ones((1, len(points)), np.float32),
        detection_confidence=np.float32([0.9]),
        class_id=np.array([0]),
        data={"class_name": np.array(["person"]), "xyxy": np.float32([[1, 380, 9, 399]])},
    )


def _on_a_circle(count):
    angles = np.arange(count) * 2 * np.pi / count
    return np.stack([200 + 150 * np.cos(angles), 200 + 150 * np.sin(angles)], -1).astype(int)


def test_persons_have_the_colours_of_ultralytics():
    plotting = pytest.importorskip("ultralytics.utils.plotting")
    image, points = np.zeros((400, 400, 3), np.uint8), _on_a_circle(17)
    theirs = plotting.Annotator(image.copy())
    picture = pose.draw(image, _person(points), np.array(["person"]))
    for (x, y), color in zip(points, theirs.kpt_color, strict=True):
        assert picture[y, x].tolist() == color[::-1].tolist()  # theirs is drawn as BGR
    for limb, color in zip(theirs.skeleton, theirs.limb_color, strict=True):
        only = _person(points)
        only.keypoint_confidence[:] = 0
        only.keypoint_confidence[0, np.array(limb) - 1] = 1
        x, y = points[np.array(limb) - 1].mean(axis=0).astype(int)
        near = pose.draw(image, only, np.array(["person"]))[y - 3 : y + 4, x - 3 : x + 4]
        assert color[::-1].tolist() in near.reshape(-1, 3).tolist()


@pytest.mark.parametrize("count", [1, 5, 16, 21])
def test_other_skeletons_have_a_colour_a_point_and_no_limbs(count):
    image, points = np.zeros((400, 400, 3), np.uint8), _on_a_circle(count)
    picture = pose.draw(image, _person(points), np.array(["person"]))
    colors = {tuple(picture[y, x].tolist()) for x, y in points}
    assert len(colors) == min(count, len(sv.ColorPalette.DEFAULT.colors))
    assert (0, 0, 0) not in colors
    assert not picture[150:250, 150:250].any()


def test_points_that_are_not_there():
    """Not sure enough, at 0, 0 as of a head that knows no confidence, or without a number."""
    image, points = np.zeros((400, 400, 3), np.uint8), _on_a_circle(17)
    person = _person(points)
    person.keypoint_confidence[0, :5] = 0.25
    person.xy[0, 5:10] = 0
    person.xy[0, 10:12] = np.nan
    picture = pose.draw(image, person, np.array(["person"]))
    for index, (x, y) in enumerate(points):
        assert picture[y, x].any() == (index >= 12)
    assert not picture[:8, :8].any()


def test_boxes_keep_the_colours_of_their_classes():
    image = read_image(IMAGES[0])
    found = _detections(("a", "b"), image.shape[:2])
    for names in (np.array(["a", "b"]), np.array(["é", "b"])):
        picture = detect.draw(image, found, names)
        for box, index in zip(found.xyxy.astype(int), found.class_id, strict=True):
            edge = picture[box[3] - 1 : box[3] + 2, box[0] : box[2]]
            assert sv.ColorPalette.DEFAULT.by_idx(index).as_bgr() in set(map(tuple, edge.reshape(-1, 3).tolist()))
