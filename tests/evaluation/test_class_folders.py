"""Folders of classes as ImageNet, Roboflow and torchvision have them."""

import pytest

from tests.conftest import DATA, IMAGES
from tests.evaluation.digits import NAMES, model
from tftrt_yolo import DataOptions, DatasetError
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import LabelSpec

_WNIDS = [f"n0{index:07d}" for index in range(10)]


def _open(path, names=NAMES, split="val", **options):
    return open_dataset(path, LabelSpec("classify", names), DataOptions(split=split, **options))


def _folders(root, names):
    """A folder a name, an image in each; returns the root."""
    for index, name in enumerate(names):
        (root / name).mkdir(parents=True)
        (root / name / f"{index}.jpg").symlink_to(IMAGES[0])
    return root


@pytest.mark.parametrize("names", [NAMES, dict(enumerate("jihgfedcba"))])
def test_other_names_go_by_sorted_order(tmp_path, names):
    """ImageNet's folders; names need not be sorted, their order is that of the folders that were trained on."""
    _folders(tmp_path / "val", reversed(_WNIDS))
    (tmp_path / "val" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "val" / "synsets.txt").write_text("n00000000 tench")
    dataset = _open(tmp_path, names)
    assert {example.path.parent.name: int(example.truth.classes[0]) for example in dataset.examples} == {
        name: index for index, name in enumerate(_WNIDS)
    }
    first = f"{_WNIDS[0]} as {names[0]} first"
    assert dataset.notes == (
        f"the folders are named otherwise than the classes and were matched by sorted order, {first}",
    )


def test_torchvision_orders_the_same(tmp_path):
    """ImageFolder's order: that of Python's strings, capitals and numbers among them."""
    names = ["b", "B", "10", "9", "a b", "_", "é", "Z", "z", "1"]
    dataset = _open(_folders(tmp_path, names), {index: f"c{index}" for index in range(10)})
    found = {example.path.parent.name: int(example.truth.classes[0]) for example in dataset.examples}
    assert found == {name: index for index, name in enumerate(sorted(names))}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (
            ["0", "1", "cat"],
            r"cat is no class of the model, which knows 0, 1, 2, 3, 4, \.\.\.\. Expected .* as 2 other fol",
        ),
        ([*"012345678", "cat"], "cat is no class of the model.* as 9 other folders are, or 10 folders of other names"),
        (_WNIDS[:9], "n00000000 is no class of the model.* as 0 other folders are"),
        ([*_WNIDS, "n1"], "n00000000 is no class of the model"),
    ],
)
def test_names_that_do_not_fit(tmp_path, folders, message):
    with pytest.raises(DatasetError, match=message):
        _open(_folders(tmp_path, folders))


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git/x", "3/__MACOSX", "3/.cache"])
@pytest.mark.parametrize("names", [list("0123456789"), _WNIDS, ["3"]])
def test_folders_that_are_no_data_are_passed_over(tmp_path, names, folder):
    """Beside the classes, in one of them, and beside the splits, whatever is in them."""
    _folders(tmp_path / "val", names)
    count, notes = len(_open(tmp_path).examples), _open(tmp_path).notes
    if not folder.startswith("3/") or "3" in names:
        _folders(tmp_path / "val" / folder, ["3"])
    _folders(tmp_path / folder.replace("3/", ""), ["train"])
    dataset = _open(tmp_path)
    assert (len(dataset.examples), dataset.notes) == (count, notes)


def test_an_empty_folder_of_a_class(tmp_path):
    """It is a class without images, with names of the model and by sorted order."""
    _folders(tmp_path / "a", list("012"))
    (tmp_path / "a" / "3").mkdir()
    (tmp_path / "a" / "4").mkdir()
    (tmp_path / "a" / "4" / "notes.txt").write_text("x")
    dataset = _open(tmp_path / "a")
    assert ([int(example.truth.classes[0]) for example in dataset.examples], dataset.notes) == ([0, 1, 2], ())
    _folders(tmp_path / "b", [*_WNIDS[:4], *_WNIDS[5:]])
    (tmp_path / "b" / _WNIDS[4]).mkdir()
    dataset = _open(tmp_path / "b")
    assert [int(example.truth.classes[0]) for example in dataset.examples] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert len(dataset.notes) == 1


@pytest.mark.parametrize("empty", [["a new folder"], ["a new folder", "z"], ["3"]])
def test_empty_folders_beside_those_of_other_names(tmp_path, empty):
    """They are passed over where the others are as many as the classes, with a note."""
    _folders(tmp_path, _WNIDS)
    for name in empty:
        (tmp_path / name).mkdir()
    (tmp_path / empty[0] / "notes.txt").write_text("x")
    dataset = _open(tmp_path)
    assert {example.path.parent.name: int(example.truth.classes[0]) for example in dataset.examples} == {
        name: index for index, name in enumerate(_WNIDS)
    }
    count = "1 folder without an image was" if len(empty) == 1 else "2 folders without an image were"
    assert dataset.notes[1] == f"{count} passed over, {empty[0]} first"


@pytest.mark.parametrize("names", [list("0123456789"), list("01"), _WNIDS[:8], [*_WNIDS, "n1"], [*_WNIDS[:9], "3"]])
def test_an_empty_folder_of_another_name_is_refused(tmp_path, names):
    _folders(tmp_path, names)
    (tmp_path / "a new folder").mkdir()
    with pytest.raises(DatasetError, match="a new folder is no class of the model, which knows 0, 1, 2"):
        _open(tmp_path)


@pytest.mark.parametrize(
    ("there", "split", "found", "note"),
    [
        (("train", "val"), "val", "val", None),
        (("train", "valid"), "val", "valid", None),
        (("train", "validation"), "val", "validation", None),
        (("train", "validation", "val"), "validation", "validation", None),
        (("train", "val"), "valid", "val", None),
        (("train", "test"), "val", "test", "there is no folder 'val'; 'test' was taken, as Ultralytics does"),
        (("train", "val"), "test", "val", "there is no folder 'test'; 'val' was taken, as Ultralytics does"),
        (("train", "val"), "train", "train", None),
    ],
)
def test_splits(tmp_path, there, split, found, note):
    for name in there:
        _folders(tmp_path / name, ["3"])
    dataset = _open(tmp_path, split=split)
    assert [example.path.parent.parent.name for example in dataset.examples] == [found]
    assert (dataset.split, dataset.notes) == (found, () if note is None else (note,))


def test_classes_without_splits(tmp_path):
    """Also where a class is called like a split."""
    dataset = _open(DATA / "classify")
    assert (dataset.split, dataset.notes) == ("", ())
    assert len(_open(_folders(tmp_path / "a", ["train", "test"]), {0: "test", 1: "train"}).examples) == 2
    _folders(tmp_path / "b" / "train", ["3"])
    with pytest.raises(
        DatasetError, match=r"has no split 'val'; it has train. Expected a folder of this name with a fol"
    ):
        _open(tmp_path / "b")


def test_hidden_files_links_and_other_formats(tmp_path):
    _folders(tmp_path / "val", ["3"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.JPG").symlink_to(IMAGES[1])
    (tmp_path / "val" / "3" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "val" / "3" / "._0.jpg").write_bytes(b"\0")
    (tmp_path / "val" / "3" / "notes.txt").write_text("x")
    assert len(_open(tmp_path).examples) == 2
    (tmp_path / "val" / "3" / "c.heic").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"(?s)1 of the 3 images .* in a format that is not read:\s+\S+/3/c\.heic"):
        _open(tmp_path)
    assert len(_open(tmp_path, skip_missing_images=True).missing) == 1


def test_a_task_with_labels_is_no_folder(tmp_path):
    with pytest.raises(DatasetError, match="is a folder, and the model's task is detect"):
        open_dataset(_folders(tmp_path, ["3"]), model("detect"), DataOptions())
