"""metadata.yaml as a stranger may write it: what is taken, and what is said of the rest."""

import os
import re
import time

import pytest
import yaml

import tftrt_yolo
from tests.saved_model.edits import edit_metadata
from tftrt_yolo import contract
from tftrt_yolo.selection import Selection

NAMES = {index: f"class {index}" for index in range(10)}


@pytest.fixture
def model(tmp_path):
    """A directory with metadata.yaml and nothing else that is looked at."""
    (tmp_path / "saved_model.pb").touch()
    metadata = contract.Metadata("detect", NAMES, (64, 96), 32, Selection(), "yolov8n.pt")
    contract.write_metadata(tmp_path, metadata)
    return tmp_path


def _refusal(model):
    with pytest.raises(tftrt_yolo.SavedModelError) as caught:
        contract.read_metadata(model)
    return str(caught.value)


def _in(section, **values):
    return lambda document: document[section].update(values)


def _ours(**values):
    return _in("tftrt_yolo", **values)


def _selection(**values):
    return lambda document: document["tftrt_yolo"]["selection"].update(values)


def _top(**values):
    return lambda document: document.update(values)


def _without(*path):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return change


_WHOLE = "expected a whole number from 1 to 16,384"
FAULTS = [
    (_without("task"), "it lacks 'task'; expected one of detect, segment, pose, obb, classify"),
    (_top(task="flow"), "its task is 'flow'; known are detect, segment, pose, obb, classify, semantic, depth"),
    (_top(task=["detect"]), "its task is a list of 1; known are"),
    (_top(task="\x1b[31m"), r"its task is '\x1b[31m'; known are"),
    (_top(stride=float("inf")), f"it has 'stride': inf; {_WHOLE}"),
    (_top(stride=32.0), f"it has 'stride': 32.0; {_WHOLE}"),
    (_top(stride="32"), f"it has 'stride': '32'; {_WHOLE}"),
    (_top(stride=True), f"it has 'stride': True; {_WHOLE}"),
    (_top(stride=0), f"it has 'stride': 0; {_WHOLE}"),
    (_top(stride=None), f"it has 'stride': None; {_WHOLE}"),
    (_without("stride"), f"it lacks 'stride'; {_WHOLE}"),
    (_top(stride=48), "it has 'imgsz': 64 x 96 (height x width) and 'stride': 48; expected multiples of the stride"),
    (_top(imgsz=64), "it has 'imgsz': 64; expected 2 whole numbers from 1 to 16,384"),
    (_top(imgsz="640"), "it has 'imgsz': '640'; expected 2 whole numbers"),
    (_top(imgsz=[0, 64]), "it has 'imgsz': [0, 64]; expected 2 whole numbers"),
    (_top(imgsz=[10**9, 64]), "it has 'imgsz': [1000000000, 64]; expected 2 whole numbers"),
    (_top(imgsz=[64.0, "64"]), "it has 'imgsz': [64.0, '64']; expected 2 whole numbers"),
    (_top(imgsz=[64] * 1_000), "it has 'imgsz': a list of 1,000; expected 2 whole numbers"),
    (_top(imgsz={0: 64, 1: 64}), "it has 'imgsz': a dict of 2; expected 2 whole numbers"),
    (_top(names={}), "it has 'names': a dict of 0; expected 1 to 100,000 names of classes"),
    (_top(names="digits"), "it has 'names': 'digits'; expected 1 to 100,000 names of classes"),
    (_top(names=None), "it has 'names': None; expected 1 to 100,000 names of classes"),
    (_without("names"), "it lacks 'names'; expected the classes' names"),
    (_top(names={0: "a", 2: "b"}), "it has 'names' with the class 2 among 2; expected the indices 0 to 1 without gaps"),
    (_top(names={-1: "a", 0: "b"}), "it has 'names' with the class -1 among 2"),
    (_top(names={"0": "a"}), "it has 'names' with the class '0' among 1"),
    (_top(names={0.0: "a"}), "it has 'names' with the class 0.0 among 1"),
    (_top(names={False: "a"}), "it has 'names' with the class False among 1"),
    (_top(names={0: 5}), "it has 0: 5; expected a text"),
    (_top(names=["a", None]), "it has 1: None; expected a text"),
    (_top(end2end="no"), "it has 'end2end': 'no'; expected true or false"),
    (_top(end2end=0), "it has 'end2end': 0; expected true or false"),
    (_top(kpt_shape=[17, 3]), "it has 'kpt_shape': [17, 3] of a model for detect; expected 2 or 3 numbers a key point"),
    (_top(task="pose"), "it lacks 'kpt_shape'; expected 2 whole numbers from 1 to 10,000"),
    (_top(task="pose", kpt_shape=[17, 4]), "it has 'kpt_shape': [17, 4] of a model for pose; expected 2 or 3 numbers"),
    (_top(task="pose", kpt_shape=[0, 3]), "it has 'kpt_shape': [0, 3]; expected 2 whole numbers"),
    (_top(task="pose", kpt_shape=[10**9, 3]), "it has 'kpt_shape': [1000000000, 3]; expected 2 whole numbers"),
    (_without("tftrt_yolo"), "it lacks 'tftrt_yolo'; expected a mapping. Expected Ultralytics' keys and a section"),
    (_top(tftrt_yolo=[]), "it has 'tftrt_yolo': a list of 0; expected a mapping"),
    (_ours(weights=5), "it has 'weights': 5; expected a text"),
    (_without("tftrt_yolo", "weights"), "it lacks 'weights'; expected a text"),
    (_ours(weights_sha256="abc"), "it has 'weights_sha256': 'abc'; expected a SHA-256, 64 hexadecimal digits"),
    (_ours(weights_sha256=10**63), "; expected a SHA-256, 64 hexadecimal digits"),
    (
        _ours(colour=1),
        "it has 'colour' in its section tftrt_yolo, which this version of tftrt_yolo does not know",
    ),
    (_without("tftrt_yolo", "selection"), "it lacks 'selection'; expected a mapping"),
    (_selection(score=0.5), "it has 'score' in its selection, which this version of tftrt_yolo does not know"),
    (_selection(score_threshold="0.5"), "it has 'score_threshold': '0.5'; expected a number from 0 to 1"),
    (_selection(score_threshold=1.5), "it has 'score_threshold': 1.5; expected a number from 0 to 1"),
    (_selection(score_threshold=float("nan")), "it has 'score_threshold': nan; expected a number from 0 to 1"),
    (_selection(iou_threshold=True), "it has 'iou_threshold': True; expected a number from 0 to 1"),
    (_selection(iou_threshold=-(10**400)), "it has 'iou_threshold': a whole number of 1,329 bits; expected a number"),
    (_selection(max_detections=10**18), "it has 'max_detections': 1000000000000000000; expected a whole number from 1"),
    (_selection(max_detections=300.0), "it has 'max_detections': 300.0; expected a whole number from 1 to 100,000"),
    (_selection(max_candidates=0), "it has 'max_candidates': 0; expected a whole number from 1 to 100,000"),
    (_ours(files=[]), "it has 'files': a list of 0; expected a mapping"),
    (_ours(files={"saved_model.pb": "abc"}), "it has 'saved_model.pb': 'abc'; expected a SHA-256"),
    (_ours(files={}), "it does not list saved_model.pb among its files"),
    (_ours(files={"../../etc/passwd": "0" * 64}), "it lists '../../etc/passwd' among its files"),
    (_ours(files={"variables/../../a": "0" * 64}), "it lists 'variables/../../a' among its files"),
    (_ours(files={"metadata.yaml": "0" * 64}), "it lists 'metadata.yaml' among its files"),
    (_ours(files={5: "0" * 64}), "it lists 5 among its files"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=[message[:50] for _, message in FAULTS])
def test_a_value_that_does_not_fit_is_named(model, change, message):
    said = _refusal(edit_metadata(model, change))
    assert message in said
    assert said.startswith(f"{model}/metadata.yaml cannot be used: it ")
    assert said.endswith("or export the checkpoint again with `tftrt-yolo export`.")
    assert "--" not in said  # no flags: the caller gave none


def _aliases():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines)


TEXTS = [
    ("[" * 100_000, "it is nested more than 32 levels deep"),
    ("{a: " * 100_000, "it is nested more than 32 levels deep"),
    ("- " * 100_000, "it is nested more than 32 levels deep"),
    (_aliases(), "it refers to an anchor in line 2; write the value itself"),
    ("&a [*a]", "it refers to an anchor in line 1"),
    ("a: " + "1:" * 20_000 + "1", "it holds a value of 40,001 characters; at most 4,096 are read"),
    ("a: " + "9" * 4_500, "it holds a value of 4,500 characters"),
    ("!!python/object/apply:os.system ['touch canary']", "it is no YAML (could not determine a constructor"),
    ("a: 2001-99-99", "it is no YAML (month must be in 1..12"),
    ("a: !!int ''", "it is no YAML (string index out of range)"),
    ("a: !!bool maybe", "it is no YAML ('maybe')"),
    ("a: !!float x", "it is no YAML (could not convert string to float"),
    ("a: !!timestamp x", "it is no YAML ('NoneType' object has no attribute"),
    ("{ not: [yaml", "it is no YAML ("),
    ("", "it holds None and no mapping"),
    ("- a", "it holds a list of 1 and no mapping"),
    ("5", "it holds 5 and no mapping"),
    ("a: \x07", "it is no YAML ("),
]


@pytest.mark.parametrize(("text", "message"), TEXTS, ids=[message[:40] for _, message in TEXTS])
def test_a_text_that_is_no_metadata(model, text, message):
    (model / "metadata.yaml").write_text(text)
    start = time.monotonic()
    assert message in _refusal(model)
    assert time.monotonic() - start < 20  # not for ever, however slow the machine is


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (os.mkfifo, "it is a device, a pipe or a socket and no file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, a pipe or a socket and no file"),
        (lambda path: path.symlink_to("nowhere"), "metadata.yaml cannot be read: No such file or directory"),
        (lambda path: path.symlink_to(path.name), "metadata.yaml cannot be read: Too many levels of symbolic links"),
        (lambda path: (path.touch(), os.truncate(path, 10 << 30)), "it has 10,737,418,240 bytes; at most 4,194,304"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "it is no text in utf-8 (invalid start byte at byte 0)"),
    ],
)
def test_what_is_no_file_of_ours(model, put, message):
    (model / "metadata.yaml").unlink()
    put(model / "metadata.yaml")
    assert message in _refusal(model)


def test_names_in_a_list_are_those_of_a_mapping(model):
    edit_metadata(model, _top(names=list(NAMES.values())))
    assert contract.read_metadata(model).names == NAMES


def test_names_come_in_the_order_of_their_classes(model):
    edit_metadata(model, _top(names=dict(reversed(NAMES.items()))))
    assert list(contract.read_metadata(model).names.items()) == list(NAMES.items())


def test_what_older_versions_did_not_write_is_absent(model):
    def change(document):
        del document["tftrt_yolo"]["selection"]["max_candidates"]

    metadata = contract.read_metadata(edit_metadata(model, change))
    assert metadata.selection == Selection()
    assert metadata.weights_sha256 is None
    assert contract.read_recorded(model)[1] is None


def test_keys_that_others_add_at_the_top_are_theirs(model):
    before = contract.read_metadata(model)
    assert contract.read_metadata(edit_metadata(model, _top(dla=None, args={"int8": True}, docs="x" * 4_000))) == before


@pytest.mark.parametrize("name", ["max_detections", "max_candidates"])
def test_a_caller_may_ask_for_so_many_and_no_more(name):
    assert getattr(Selection(**{name: 100_000}), name) == 100_000
    with pytest.raises(ValueError, match=rf"^{name} is 100,001; it must be at most 100,000\.$"):
        Selection(**{name: 100_001})


def test_a_path_that_cannot_be_one(tmp_path):
    for path in ("a" * 5_000, "a\0b", str(tmp_path / "x" / "y")):
        with pytest.raises(tftrt_yolo.SavedModelError, match=r"is no directory\. Expected a SavedModel directory"):
            contract.read_metadata(path)


def test_every_name_that_is_written_is_read(model):
    """Letters of every script, quotation marks, line breaks, and what a terminal would obey."""
    names = dict(enumerate(["Grün", "人", "a 'b' \"c\"", "null", "5", "true", "", "a\nb", "\x1b[31m", "&a", "*b", "~"]))
    metadata = contract.Metadata("detect", names, (64, 64), 32, Selection(), "ä\n.pt")
    contract.write_metadata(model, metadata)
    assert contract.read_metadata(model) == metadata
    assert re.search("end2end", (model / "metadata.yaml").read_text())
    assert yaml.safe_load((model / "metadata.yaml").read_text())["names"] == names
