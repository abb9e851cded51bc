"""Class maps drawn from polygons, against Ultralytics' own data set, and what is said of labels that are none."""

import json

import numpy as np
import PIL.Image
import pytest

from tests.evaluation.digits import NAMES, data_yaml, model
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.ground.errors import DatasetError

MODEL = model("semantic")
BINARY = LabelSpec("semantic", {0: "digit"})
SIZE = (60, 80)


def _theirs(data, model, side):
    """Ultralytics' masks of a data set: an image's name to its class map."""
    datasets = pytest.importorskip("ultralytics.data.dataset")
    if not hasattr(datasets, "PolygonSemanticDataset"):
        pytest.skip("this Ultralytics draws no class maps")
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset

    names = dict(enumerate(json.loads(data.read_text())["names"]))
    document = {"names": names, "nc": len(names), "channels": 3}
    options = get_cfg(overrides={"task": "semantic", "imgsz": side})
    found = build_yolo_dataset(options, str(data.parent / "images"), 1, document, mode="val")
    assert document["names"] == model.names
    labels = [found.get_image_and_label(index) for index in range(len(found))]
    return {label["im_file"].rpartition("/")[2]: label["semantic_mask"] for label in labels}


def _same(data, model, side):
    examples = open_dataset(data, model, DataOptions()).examples
    expected = _theirs(data, model, side)
    assert len(expected) == len(examples)
    for example in examples:
        mask = expected[example.path.name]
        np.testing.assert_array_equal(example.truth.drawn(mask.shape), mask)
    return examples


@pytest.mark.parametrize("side", [160, 321])
def test_digits_are_drawn_as_ultralytics_draws_them(tmp_path, side):
    examples = _same(data_yaml(tmp_path, "semantic", num_images=12), MODEL, side)
    drawn = examples[0].truth.in_pixels((100, 200))
    assert drawn.num_objects == sum(drawn.class_counts().values()) == 20_000
    assert examples[0].truth.class_counts().keys() | {10} == drawn.class_counts().keys()


@pytest.fixture
def one(tmp_path):
    """A data set of one image, whose label a test writes."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    PIL.Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    path = tmp_path / "data.yaml"
    path.write_text(json.dumps({"path": ".", "val": "images", "names": list(NAMES.values())}))
    return path


def _label(path, *rows):
    (path.parent / "labels" / "a.txt").write_text("\n".join(" ".join(map(str, row)) for row in rows))


def test_polygons_that_overlap_and_leave_the_image(one):
    """Of three to nine corners that cross each other, some a hundredth outside; a line twice; 300 of them."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(12):
        center, reach = rng.random((1, 2)), rng.uniform(0.05, 0.6)
        corners = np.clip(center + reach * rng.uniform(-1, 1, (rng.integers(3, 10), 2)), -0.01, 1.01)
        rows.append([rng.integers(10), *corners.ravel().tolist()])
    _label(one, *rows, rows[3])
    _same(one, MODEL, 80)
    # So many that Ultralytics counts beyond a byte, of which none has as many pixels as another that it touches.
    places = [(column, row) for row in range(15) for column in range(20)]
    squares = [
        np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [2 / 80, 2 / 60] + [x * 4 / 80, y * 4 / 60] for x, y in places
    ]
    _label(one, *([index % 10, *square.ravel().tolist()] for index, square in enumerate(squares)), rows[0])
    _same(one, MODEL, 80)


def test_the_smaller_one_is_seen_whatever_its_line(one):
    """By hand: an outline is of its polygon, and of two that are as large as each other the last one lies above."""
    large, small = [0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5], [1, 0.1, 0.1, 0.2, 0.1, 0.2, 0.2, 0.1, 0.2]
    for rows in ((large, small), (small, large)):
        _label(one, *rows)
        [example] = open_dataset(one, MODEL, DataOptions()).examples
        expected = np.full(SIZE, 10)
        expected[:31, :41], expected[6:13, 8:17] = 0, 1
        np.testing.assert_array_equal(example.truth.drawn(SIZE), expected)
        assert example.truth.in_pixels(SIZE).class_counts() == {0: 31 * 41 - 63, 1: 63, 10: 4_800 - 31 * 41}
    _label(one, large, [2, *large[1:]])
    [example] = open_dataset(one, MODEL, DataOptions()).examples
    assert example.truth.in_pixels(SIZE).class_counts() == {2: 31 * 41, 10: 4_800 - 31 * 41}


def test_one_class_is_one_beside_nothing(one):
    one.write_text(json.dumps({"path": ".", "val": "images", "names": ["digit"]}))
    _label(one, [0, 0, 0, 0.5, 0, 0.5, 0.5])
    [example] = _same(one, BINARY, 80)
    drawn = example.truth.in_pixels(SIZE)
    assert (drawn.num_objects, list(drawn.class_counts())) == (4_800, [0])


@pytest.mark.parametrize("content", [None, ""])
def test_an_image_without_labels_is_background(one, content):
    if content is not None:
        (one.parent / "labels" / "a.txt").write_text(content)
    [example] = _same(one, MODEL, 80)
    assert example.truth.in_pixels(SIZE).class_counts() == {10: 4_800}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            [0, 0.5, 0.5, 0.2, 0.2],
            "4 values behind the class, as of a box. A model for semantic needs at least 6 and an",
        ),
        ([0, 0.1, 0.1, 0.2, 0.1, 0.2], "5 values behind the class. A model for semantic needs at least 6"),
        ([0, 0.1, 0.1], "2 values behind the class"),
        ([0, 1, 1, 60, 1, 60, 60], "the coordinate 60 lies outside of the image"),
        (
            [10, 0, 0, 0.5, 0, 0.5, 0.5],
            "class 10; polygons have the classes 0 to 9",
        ),  # the background is never labelled
        ([0, 0, 0, 0.5, 0, 0.5, "nan"], "a value is not finite"),
        ([0.5, 0, 0, 0.5, 0, 0.5, 0.5], "class 0.5; polygons have"),
        ([0, 0, 0, 0.5, 0, 0.5, "x"], "'x' is no number"),
    ],
)
def test_a_label_that_is_no_polygon(one, row, message):
    """Named with its line, also behind good ones; left out with its image where that is asked for."""
    _label(one, [1, 0, 0, 0.5, 0, 0.5, 0.5], row)
    with pytest.raises(
        DatasetError, match=rf"a\.txt, line 2: .*{message}.*skip_bad_labels=True leaves such images out"
    ):
        open_dataset(one, MODEL, DataOptions())
    (one.parent / "images" / "b.png").symlink_to("a.png")
    dataset = open_dataset(one, MODEL, DataOptions(skip_bad_labels=True))
    assert [example.path.name for example in dataset.examples] == ["b.png"]
    assert "line 2" in dataset.skipped_labels[0]


@pytest.mark.parametrize(
    ("names", "model_names", "message"),
    [
        # A model that was trained on masks of the same ten classes.
        (
            NAMES,
            NAMES,
            r"with what its polygons leave as 'background', has 11 classes, and the model has 10\..*masks_dir",
        ),
        (NAMES, {**NAMES, 10: "sky"}, "calls class 10 'background', and the model calls it 'sky'"),
        (NAMES, {**NAMES, 9: "nine", 10: "background"}, "calls class 9 '9', and the model calls it 'nine'"),
        ({0: "a"}, {0: "a", 1: "background"}, "has 1 class, and the model has 2"),
        (dict.fromkeys(range(255), "a"), {}, "has no masks and 255 classes. Expected at most 254"),
    ],
)
def test_other_classes_than_the_models(one, names, model_names, message):
    one.write_text(json.dumps({"path": ".", "val": "images", "names": list(names.values())}))
    with pytest.raises(DatasetError, match=message):
        open_dataset(one, LabelSpec("semantic", model_names), DataOptions())


def test_numbers_for_names_are_compared_by_their_count(one):
    model = LabelSpec("semantic", {index: str(index) for index in range(3)})  # as of a YAML with nc
    one.write_text(json.dumps({"path": ".", "val": "images", "names": ["cat", "dog"]}))
    assert "only numbers for names" in open_dataset(one, model, DataOptions()).notes[0]


def test_evaluate_compares_what_masks_of_the_same_say(models, tmp_path):
    """Figures and counts of polygons are those of the masks that they are drawn as."""
    import tftrt_yolo

    saved_model = models.exported("semantic")
    data = data_yaml(tmp_path / "polygons", "segment", num_images=4)
    of_polygons = tftrt_yolo.evaluate(saved_model, data, output_dir=tmp_path / "out")
    masks = data_yaml(tmp_path / "masks", "segment", num_images=4, names=list(MODEL.names.values()), masks_dir="drawn")
    for example in open_dataset(data, MODEL, DataOptions()).examples:
        with PIL.Image.open(example.path) as image:
            drawn = example.truth.drawn(image.size[::-1])
        (tmp_path / "masks" / "drawn").mkdir(exist_ok=True)
        PIL.Image.fromarray(drawn).save(tmp_path / "masks" / "drawn" / f"{example.path.stem}.png")
    of_masks = tftrt_yolo.evaluate(saved_model, masks)
    assert of_polygons.classes == of_masks.classes
    assert (of_polygons.num_objects, of_polygons.num_backgrounds) == (of_masks.num_objects, 0)
    # The masks are then put by the nearest pixel, and the polygons drawn anew.
    for metric in of_masks.models[0].metrics:
        assert of_polygons.value(metric.name) == pytest.approx(metric.value, abs=0.01)
    assert (tmp_path / "out" / "evaluation.json").is_file()
