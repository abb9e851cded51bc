"""Masks of classes from strangers: what is read, and what is said of those that are none."""

import cv2
import numpy as np
import PIL.Image
import pytest

from tftrt_yolo import contract
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, LabelSpec
from tftrt_yolo.evaluation.datasets.maps import class_masks
from tftrt_yolo.evaluation.usable_images import UsableImages
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.selection import Selection

MODEL = LabelSpec("semantic", {0: "road", 1: "sky", 2: "car"})


@pytest.fixture
def image(tmp_path):
    """Where an image would be; its mask comes beside it."""
    (tmp_path / "masks" / "val").mkdir(parents=True)
    return tmp_path / "images" / "val" / "one.jpg"


def _mask_path(image, ending=".png"):
    return image.parents[2] / "masks" / "val" / f"one{ending}"


def _read(image, num_classes=3, **document):
    example = class_masks.reader(document, num_classes, "data.yaml")(image)
    return example.truth.drawn(example.size_hw), example


def _save(image, values, mode=None, ending=".png"):
    picture = PIL.Image.fromarray(values)
    (picture if mode is None else picture.convert(mode)).save(_mask_path(image, ending))


def test_values_counts_and_size(image):
    values = np.array([[0, 1, 2, 255], [2, 2, 255, 0]], np.uint8)
    for ending in (".bmp", ".tif", ".png"):  # the last one counts where there are several
        _save(image, values, ending=ending)
        found, example = _read(image)
        np.testing.assert_array_equal(found, values)
    assert (example.size_hw, example.is_in_pixels) == ((2, 4), True)
    assert example.truth.class_counts() == {0: 2, 1: 1, 2: 3}
    assert (example.truth.num_objects, len(example.truth), example.truth.num_crowds) == (6, 6, 0)
    _, one = _read_binary(image)
    assert one.truth.class_counts() == {0: 1}


def _read_binary(image):
    _save(image, np.array([[0, 1, 0, 255]], np.uint8))
    return _read(image, num_classes=1)


def test_a_mapping_as_cityscapes_has_it(image):
    _save(image, np.array([[7, 11, 3, 26, 8]], np.uint8))
    others = {str(value): "ignore_label" for value in range(7)}
    mapping = {-1: "ignore_label", 7: 0, 8: "1", 11: " 1 ", 26: 2} | others | dict.fromkeys(range(30, 34))
    found, _ = _read(image, label_mapping=mapping)
    np.testing.assert_array_equal(found, [[0, 1, 255, 2, 1]])


def test_palettes_bits_and_sixteen_of_them(image):
    values = np.array([[0, 1, 2, 2]], np.uint8)
    palette = PIL.Image.fromarray(values, "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])  # colours stand for indices, greys for themselves
    palette.save(_mask_path(image))
    np.testing.assert_array_equal(_read(image)[0], values)
    palette.putpalette([2, 2, 2, 1, 1, 1, 0, 0, 0])
    palette.save(_mask_path(image))
    np.testing.assert_array_equal(_read(image)[0], [[2, 1, 0, 0]])
    _save(image, np.array([[0, 255]], np.uint8), "1")
    np.testing.assert_array_equal(_read(image)[0], [[0, 1]])
    _save(image, values.astype(np.uint16))
    np.testing.assert_array_equal(_read(image)[0], values)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "LA", "RGB", "RGBA"])
def test_ultralytics_reads_the_same(image, mode):
    utils = pytest.importorskip("ultralytics.data.utils")
    if not hasattr(utils, "read_mask"):
        pytest.skip("this Ultralytics has no semantic segmentation")
    values = np.random.default_rng(0).integers(0, 2 if mode == "1" else 3, (30, 40)).astype(np.uint8)
    if mode in ("1", "I;16"):
        _save(image, values.astype(bool if mode == "1" else np.uint16))
    else:
        _save(image, values, mode)
    with PIL.Image.open(_mask_path(image)) as picture:
        assert picture.mode == mode
        expected = utils.read_mask(str(_mask_path(image)), mode)
    np.testing.assert_array_equal(_read(image)[0], expected)
    np.testing.assert_array_equal(expected, values)


def test_colours_of_sixteen_bits_are_refused(image):
    """Their upper halves, which is what Pillow gives of them, are 0 for every class."""
    cv2.imwrite(str(_mask_path(image)), np.full((4, 4, 3), 2, np.uint16))
    with pytest.raises(BadLabelError, match="is a picture of RGB, and no class for each pixel"):
        _read(image)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"one.jpg has no mask: .*one.png is not there\. Expected a grey PNG"),
        (b"", r"one.png cannot be read: it is empty\. Expected a grey PNG"),
        (b"hello", r"cannot be read: it is no image: it starts with b'hello'\. .*Expected a grey PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 40, "cannot be decoded|is damaged|cannot be read"),
        (
            np.array([[0, 7, 7]], np.uint8),
            r"has the value 7 at 2 of 3 pixels, which is no class\. Expected 0, 1, 2, as the data set's .* and 255",
        ),
        (np.array([[0, 300]], np.uint16), "has the value 300 at 1 of 2 pixels, which is no class"),
        # Ultralytics makes classes of the brightness, here all 0.
        (np.full((4, 4, 3), [2, 0, 0], np.uint8), r"one.png is a picture in colours, and no class .*Expected a grey"),
    ],
)
def test_a_mask_that_is_none(image, content, message):
    if isinstance(content, bytes):
        _mask_path(image).write_bytes(content)
    elif content is not None:
        _save(image, content)
    with pytest.raises(BadLabelError, match=message):
        _read(image)


def test_a_jpeg_loses_classes(image):
    PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(_mask_path(image), "JPEG")
    with pytest.raises(BadLabelError, match="is a JPEG, whose values are not those that were written"):
        _read(image)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"label_mapping": [1, 2]}, "label_mapping .*Expected the values of a mask to classes"),
        ({"label_mapping": {"a": 1}}, "label_mapping takes 'a' to 1. Expected a whole number"),
        ({"label_mapping": {1: 2.5}}, "label_mapping takes 1 to 2.5"),
        ({"label_mapping": {1: True}}, "label_mapping takes 1 to True"),
    ],
)
def test_a_document_that_does_not_fit(document, message):
    with pytest.raises(DatasetError, match=message):
        class_masks.reader(document, 3, "data.yaml")


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (["a"], "masks_dir is .*Expected text"),
        ("../masks", r"has masks_dir '\.\./masks'. Expected the name of the folder"),
    ],
)
def test_a_folder_that_is_none(folder, message):
    with pytest.raises(DatasetError, match=message):
        class_masks.folder_of({"masks_dir": folder}, "data.yaml")


@pytest.mark.parametrize("document", [{}, {"masks_dir": None}, {"masks_dir": ""}])
def test_without_a_folder_labels_are_polygons(document):
    """As in Ultralytics, which takes an empty name for none."""
    assert class_masks.folder_of(document, "data.yaml") is None


def test_a_data_set(tmp_path):
    """Bad masks are named, and left out if that is asked for; a COCO JSON and a folder are none for maps."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        PIL.Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    PIL.Image.fromarray(np.ones((6, 8), np.uint8)).save(tmp_path / "masks" / "a.png")
    data = tmp_path / "data.yaml"
    data.write_text("path: .\nval: images\nmasks_dir: masks\nnames: [road, sky, car]\n")
    with pytest.raises(DatasetError, match=r"b.png has no mask: .*skip_bad_labels.* leaves such images out"):
        open_dataset(data, MODEL, DataOptions())
    dataset = open_dataset(data, MODEL, DataOptions(skip_bad_labels=True))
    assert [example.path.name for example in dataset.examples] == ["a.png"]
    assert "b.png has no mask" in dataset.skipped_labels[0]
    with pytest.raises(DatasetError, match="is a folder, and the model's task is semantic"):
        open_dataset(tmp_path, MODEL, DataOptions())
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DatasetError):
        open_dataset(tmp_path / "a.json", MODEL, DataOptions())


def _pair(folder, masks, size_hw=(6, 8)):
    """A data set of an image and its mask, in a folder of any name."""
    for name in ("images", masks):
        (folder / name).mkdir()
    PIL.Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(folder / "images" / "a.png")
    PIL.Image.fromarray(np.ones(size_hw, np.uint8)).save(folder / masks / "a.png")
    data = folder / "data.yaml"
    data.write_text("path: .\nval: images\nnames: [road, sky, car]\n")
    return data


def test_the_folder_masks_needs_no_name(tmp_path):
    """As in Ultralytics, which takes it where a data.yaml has no masks_dir; of another name it is not looked for."""
    utils = pytest.importorskip("ultralytics.data.utils")
    (tmp_path / "named").mkdir()
    data = _pair(tmp_path / "named", "masks")
    dataset = open_dataset(data, MODEL, DataOptions())
    np.testing.assert_array_equal(dataset.examples[0].truth.drawn((6, 8)), np.ones((6, 8)))
    data.write_text(data.read_text().replace("path: .", f"path: {data.parent}\ntrain: images"))
    assert utils.check_det_dataset(str(data), autodownload=False).get("masks_dir") == "masks"
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="For want of a masks_dir and of a folder masks its labels are taken for"):
        open_dataset(_pair(tmp_path / "other", "labels_png"), MODEL, DataOptions())


@pytest.mark.parametrize("size_hw", [(3, 4), (6, 9)])
def test_a_mask_of_another_size_than_its_image(tmp_path, size_hw):
    """Refused, or left out and said, as Ultralytics leaves it out, before any image is decoded; never stretched."""
    data = _pair(tmp_path, "masks", size_hw)
    image = tmp_path / "images" / "a.png"
    image.write_bytes(image.read_bytes()[:60])  # a header is all that is there
    with pytest.raises(DatasetError, match=r"a.png is of \[6, 8\], height and width, and its labels say .*skip_bad"):
        open_dataset(data, MODEL, DataOptions())
    with pytest.raises(
        DatasetError, match=r"no image in 'val'.* 1 image with bad labels left out: .*a.png is of \[6, 8\]"
    ):
        open_dataset(data, MODEL, DataOptions(skip_bad_labels=True))


def test_a_mask_on_its_side(tmp_path):
    """A PNG may say behind its pixels that it lies on its side, so this shows when it is decoded."""
    data = _pair(tmp_path, "masks", (8, 6))
    metadata = contract.Metadata("semantic", MODEL.names, (32, 32), 32, Selection(), "a.pt")
    with pytest.raises(DatasetError, match=r"a.png is of \[6, 8\], height and width, and its labels say .*skip_bad"):
        list(UsableImages(open_dataset(data, MODEL, DataOptions()), DataOptions()).framed(metadata, 1))
    options = DataOptions(skip_bad_labels=True)
    images = UsableImages(open_dataset(data, MODEL, options), options)
    assert list(images.framed(metadata, 1)) == []
    with pytest.raises(DatasetError, match=r"has no image left to measure on.*1 image left out"):
        images.measured()
