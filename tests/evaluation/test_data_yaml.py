"""A data.yaml as Roboflow, older Ultralytics and other machines wrote it; the oracle is Ultralytics' own reader."""

import json
import shutil

import pytest

from tests.conftest import DATA, IMAGES
from tests.evaluation.digits import NAMES, data_yaml, model
from tftrt_yolo import DataOptions, DatasetError
from tftrt_yolo.evaluation.datasets.dataset import find_images, open_dataset
from tftrt_yolo.evaluation.datasets.examples import LabelSpec

_WORDS = dict(enumerate("abcdefghij"))
_BY_COUNT = "{} has only numbers for names of classes; that both have 10 is all that could be compared"
_LABEL = "1 .5 .5 .2 .2\n"


def _open(path, spec=None, **options):
    return open_dataset(path, spec or model("detect"), DataOptions(**options))


def _roboflow(folder, **changes):
    """What Roboflow exports: data.yaml beside train, valid and test, and paths that lead out of its folder."""
    for part in ("images", "labels"):
        (folder / "valid" / part).mkdir(parents=True)
    for image in IMAGES[:3]:
        (folder / "valid" / "images" / image.name).symlink_to(image)
        shutil.copy(DATA / "detect" / "labels" / f"{image.stem}.txt", folder / "valid" / "labels")
    document = {"train": "../train/images", "val": "../valid/images", "nc": 10, "names": list(NAMES.values())} | changes
    path = folder / "data.yaml"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "split", "found"),
    [
        ({}, "val", "val"),
        ({}, "valid", "val"),
        ({}, "validation", "val"),
        ({"val": ["../valid/images"]}, "val", "val"),
        ({"val": "valid/images"}, "val", "val"),
        ({"val": "..\\valid\\images"}, "val", "val"),  # written on Windows
        ({"val": None, "validation": "../valid/images"}, "val", "validation"),
        ({"val": None, "valid": "../valid/images"}, "val", "valid"),
        ({"val": None, "valid": "../valid/images"}, "validation", "valid"),
        ({"val": "nowhere", "valid": "valid/images"}, "valid", "valid"),  # the very name goes before the others
        ({"path": "."}, "val", "val"),
        ({"path": "valid", "val": "images"}, "val", "val"),
        ({"minival": "valid/images"}, "minival", "minival"),
    ],
)
def test_where_images_are(tmp_path, changes, split, found):
    dataset = _open(_roboflow(tmp_path, **changes), split=split)
    assert [example.path.resolve() for example in dataset.examples] == [image.resolve() for image in IMAGES[:3]]
    assert all(len(example.truth) for example in dataset.examples)
    assert (dataset.split, dataset.notes, dataset.missing) == (found, (), ())


def test_ultralytics_finds_the_same(tmp_path):
    utils = pytest.importorskip("ultralytics.data.utils")
    path = _roboflow(tmp_path)
    assert utils.check_det_dataset(str(path), autodownload=False)["val"] == str(_open(path).examples[0].path.parent)


@pytest.mark.parametrize("base", ["/content/datasets/digits", "datasets/digits"])
def test_a_path_of_another_machine(tmp_path, base):
    """Images beside the file are taken, and it is said; calibration finds them too."""
    path = _roboflow(tmp_path, path=base)
    [note] = _open(path).notes
    assert note.startswith(f"'../valid/images' was taken from {tmp_path}/valid/images, for it is not in ")
    assert len(find_images(path, ("val", "train"))) == 3
    path = _roboflow(tmp_path / "other", path=base, val="nowhere")
    with pytest.raises(DatasetError, match=rf"names \S*{base}/nowhere, which is not there. Expected a folder of"):
        _open(path)


def test_a_path_from_where_the_program_was_started(tmp_path, monkeypatch):
    """As Ultralytics takes `path`."""
    _roboflow(tmp_path / "datasets" / "digits")
    path = tmp_path / "configs" / "data.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps({"path": "datasets/digits", "val": "valid/images", "names": NAMES}))
    monkeypatch.chdir(tmp_path)
    assert len(_open(path).examples) == 3


@pytest.mark.parametrize("base", ["sets\\digits", ".\\sets\\digits"])
def test_a_path_of_windows(tmp_path, base, monkeypatch):
    """`path` with Windows' separators, from the file or from where the program was started."""
    _roboflow(tmp_path / "sets" / "digits")
    (tmp_path / "configs").mkdir()
    for path in (tmp_path / "data.yaml", tmp_path / "configs" / "data.yaml"):
        path.write_text(json.dumps({"path": base, "val": "valid\\images", "names": NAMES}))
        monkeypatch.chdir(tmp_path)
        assert len(_open(path).examples) == 3


@pytest.mark.parametrize("form", ["./valid/images/{}", "valid/images/{}", "../valid/images/{}", "{absolute}"])
def test_lists(tmp_path, form):
    """Relative to the list, to the data set's root or absolute, with any line ends."""
    path = _roboflow(tmp_path, val="lists/val.txt" if form.startswith("..") or form[0] == "v" else "val.txt")
    place = tmp_path / json.loads(path.read_text())["val"]
    place.parent.mkdir(exist_ok=True)
    lines = [form.format(image.name, absolute=tmp_path / "valid" / "images" / image.name) for image in IMAGES[:3]]
    place.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    dataset = _open(path)
    assert [example.path.name for example in dataset.examples] == [image.name for image in IMAGES[:3]]
    assert all(len(example.truth) for example in dataset.examples)


def test_no_such_split(tmp_path):
    path = _roboflow(tmp_path)
    for split in ("test", "nonsense", "names"):
        with pytest.raises(
            DatasetError, match=rf"has no split '{split}'; it has train, val. Expected a folder, a list"
        ):
            _open(path, split=split)


@pytest.mark.parametrize(
    ("changes", "names", "note"),
    [
        ({"names": None}, NAMES, "the data set"),
        ({"names": None, "nc": "10"}, _WORDS, "the data set"),
        ({"names": None, "nc": 10.0}, _WORDS, "the data set"),
        ({"names": [f"class_{index}" for index in range(10)]}, _WORDS, "the data set"),
        ({}, _WORDS, "the data set"),
        ({"names": list(_WORDS.values())}, NAMES, "the model"),
        ({"names": {str(index): name for index, name in NAMES.items()}}, NAMES, None),
        ({"names": {str(index): index for index in NAMES}}, NAMES, None),
        ({"names": {index: NAMES[index] for index in reversed(NAMES)}, "nc": None}, NAMES, None),
    ],
)
def test_classes(tmp_path, changes, names, note):
    """By name; where one side has only numbers, by count, and the report says so."""
    dataset = _open(_roboflow(tmp_path, **changes), LabelSpec("detect", names))
    assert dataset.notes == (() if note is None else (_BY_COUNT.format(note),))


@pytest.mark.parametrize(
    ("changes", "names", "message"),
    [
        ({"names": None, "nc": 9}, NAMES, "has 9 classes, and the model has 10"),
        ({"names": None, "nc": 1.9}, NAMES, r"has 'nc: 1\.9'. Expected how many classes there are, a whole number"),
        ({"names": None, "nc": "ten"}, NAMES, "has 'nc: 'ten''"),
        ({"names": None, "nc": True}, NAMES, "has 'nc: True'"),
        ({"names": None, "nc": 0}, NAMES, "has 'nc: 0'"),
        ({"names": None, "nc": 10**90}, NAMES, "has 'nc: a whole number of 299 bits'"),
        (
            {"names": None, "nc": None},
            NAMES,
            "has no names. Expected a list of class names, class index to name, or nc",
        ),
        ({"nc": 9}, NAMES, "has 10 names and 'nc: 9'. Expected the same number"),
        (
            {"names": {index + 1: name for index, name in NAMES.items()}},
            NAMES,
            r"the classes 1, 2, 3, 4, 5, \.\.\.\. Exp",
        ),
        ({"names": {"a": "b"}, "nc": None}, NAMES, "an index of names is 'a'. Expected a whole number from 0 on"),
        ({"names": {-1: "b"}, "nc": None}, NAMES, "an index of names is '-1'"),
        ({"names": [*"012345678", "j"]}, NAMES, "calls class 9 'j', and the model calls it '9'"),
        ({"names": [*"klmnopqrst"]}, _WORDS, "calls class 0 'k', and the model calls it 'a'"),
        ({"names": [*"1023456789"]}, NAMES, "calls class 0 '1', and the model calls it '0'"),
    ],
)
def test_other_classes(tmp_path, changes, names, message):
    with pytest.raises(DatasetError, match=message):
        _open(_roboflow(tmp_path, **changes), LabelSpec("detect", names))


def test_strays_among_labels(tmp_path):
    """Texts that are no labels; hidden files, a folder that leads back, an image of no format."""
    path = data_yaml(tmp_path, "detect", num_images=2)
    labels, images = tmp_path / "labels", tmp_path / "images"
    for name, text in (
        ("classes.txt", "0\n1\n"),
        ("names.txt", ""),
        ("README.dataset.txt", "# digits\nhttps://example.com 1 2 3 4 5\n"),
        ("notes.txt", "12 13 14"),
        ("train.txt", "images/000000.jpg\n"),
        ("labels.cache", "x"),
        ("._000001.txt", "\0\1"),
    ):
        (labels / name).write_text(text)
    for name in ("._000001.jpg", ".DS_Store", "Thumbs.db", "notes.md"):
        (images / name).write_bytes(b"\0")
    (images / "again").symlink_to(images)
    assert len(_open(path).examples) == 2


@pytest.mark.parametrize("text", [_LABEL, ""])
def test_a_label_without_its_image(tmp_path, text):
    path = data_yaml(tmp_path, "detect", num_images=2)
    (tmp_path / "labels" / "sub").mkdir()
    (tmp_path / "labels" / "sub" / "x.1.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"(?s)1 of the 3 images of .* are missing:\s+\S+/images/sub/x\.1\.jpg\n"):
        _open(path)


def test_a_label_beside_its_images(tmp_path):
    """Darknet's layout, and a root that holds images and labels."""
    for image in IMAGES[:2]:
        (tmp_path / image.name).symlink_to(image)
        shutil.copy(DATA / "detect" / "labels" / f"{image.stem}.txt", tmp_path)
    path = tmp_path / "data.yaml"
    path.write_text(json.dumps({"val": ".", "names": NAMES}))
    assert [len(example.truth) > 0 for example in _open(path).examples] == [True, True]
    (tmp_path / "x.txt").write_text(_LABEL)
    with pytest.raises(DatasetError, match=r"(?s)are missing:\s+\S+/x\.jpg\n"):
        _open(path)
    root = data_yaml(tmp_path / "b", "detect", num_images=2, val=".")
    (root.parent / "labels" / "x.txt").write_text(_LABEL)
    with pytest.raises(DatasetError, match=r"(?s)1 of the 3 images .*\s+\S+/b/images/x\.jpg\n"):
        _open(root)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".j2k", ".dng"])
@pytest.mark.parametrize("is_labelled", [True, False])
def test_images_of_formats_that_are_not_read(tmp_path, suffix, is_labelled):
    """Said, and never that a .jpg is missing."""
    path = data_yaml(tmp_path, "detect", num_images=2)
    (tmp_path / "images" / f"x{suffix}").write_bytes(b"x")
    if is_labelled:
        (tmp_path / "labels" / "x.txt").write_text(_LABEL)
    expected = rf"(?s)1 of the 3 images of .* are in a format that is not read:\s+\S+/x{suffix}\nConvert them to one of"
    with pytest.raises(DatasetError, match=expected):
        _open(path)
    dataset = _open(path, skip_missing_images=True)
    assert len(dataset.examples) == 2
    assert [name.rpartition("/")[2] for name in dataset.missing] == [f"x{suffix}"]


@pytest.mark.parametrize(
    "line", ["12 .5 .5 .1 .1", "1 1.5 .5 .1 .1", "1 .5 .5 .1", "1 nan .5 .1 .1", "-1 .5 .5 .1 .1", "x"]
)
def test_bad_labels_are_skipped(tmp_path, line):
    """With the whole image, as Ultralytics does it; the first fault of each is listed."""
    path = data_yaml(tmp_path, "detect", num_images=3)
    label = tmp_path / "labels" / "000001.txt"
    label.write_text(_LABEL + line + "\nworse")
    with pytest.raises(DatasetError, match=r"000001\.txt, line 2: .* skip_bad_labels=True leaves such images out"):
        _open(path)
    dataset = _open(path, skip_bad_labels=True)
    assert [example.path.name for example in dataset.examples] == ["000000.jpg", "000002.jpg"]
    [skipped] = dataset.skipped_labels
    assert f"{label}, line 2: " in skipped
    for name in ("000000.txt", "000002.txt"):
        (tmp_path / "labels" / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        DatasetError, match=r"has no image in 'val'. Expected at least one. 3 images with bad labels left"
    ):
        _open(path, skip_bad_labels=True)


# Label files, and whether the task's reader can use them; what Ultralytics makes of each is computed.
_TEXTS = {
    "detect": [
        "1 .5 .5 .2 .2",
        "1 .5 .5 .2 .2\n1 .5 .5 .2 .2",
        "1 .5 .5 .2 .2\n1 .5 .5 .2 .2000000001",  # the same in float32
        "1 .5 .5 .2 .2\n2 .5 .5 .2 .2",
        "1 .5 .5 .2 0.0\n1 .5 .5 .2 -0.0",
        "1 1.005 .5 .2 .2",
        "1 1.02 .5 .2 .2",
        "1 -.005 .5 .2 .2",
        "1 .5 .5 -.005 .2",
        "1.0 .5 .5 0 0",
        "10 .5 .5 .2 .2",
        "1 .5 .5 .2 .2 .9",
        "1 .5 .5 nan .2",
        "",
        "\n \n",
    ],
    "segment": [
        "1 .1 .1 .5 .1 .5 .5",
        "1 .1 .1 .5 .1 .5 .5\n1 .1 .1 .5 .1 .5 .5",
        "1 .1 .1 .5 .1 .5 .5\n1 .1 .1 .5 .5 .1 .5",  # two polygons of one box
        "1 .1 .1 .5 .1 .5 .5\n1 .1 .1 .5 .1 .5 .5\n1 .1 .1 .5 .5 .1 .5",
        "1 .1 .1 .5 .1 .5 .5 .1",
        "1 .1 .1 .5 .1 .5 .5\n1 .3 .3 .2 .2",
        "1 .1 .1 .5 .1 .5 1.2",
    ],
    "pose": [
        "1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 0",
        "1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 0\n1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 1",
        "1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 0\n1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 0",
        "1 .5 .5 .2 .2 .1 .1 -1 .2 .2 1 .3 .3 0",
        "1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 1.3 0",
        "1 .5 .5 .2 .2 .1 .1 2 .2 .2 1",
    ],
}


@pytest.mark.parametrize(("task", "text"), [(task, text) for task, texts in _TEXTS.items() for text in texts])
def test_ultralytics_takes_the_same_labels(tmp_path, task, text):
    """As many objects where it takes the image, and a fault where it leaves it out."""
    utils = pytest.importorskip("ultralytics.data.utils")
    path = data_yaml(tmp_path, task, num_images=1)
    label = tmp_path / "labels" / "000000.txt"
    label.write_text(text)
    keypoints, values = (3, 3) if task == "pose" else (0, 0)
    arguments = (str(IMAGES[0]), str(label), "", task == "pose", 10, keypoints, values, False)
    _, rows, *_, num_corrupt, _ = utils.verify_image_label(arguments)
    try:
        found = len(_open(path, model(task)).examples[0].truth)
    except DatasetError:
        found = None
    assert found == (None if num_corrupt else len(rows))
