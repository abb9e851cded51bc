"""Engine files: written, read, damaged, and read by Ultralytics' own code."""

import dataclasses
import json
import os
import re

import pytest

from tests.engines.rehearsal import SIDE, facts, metadata, profile, rewritten
from tftrt_yolo.engines import engine_file
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.selection import Selection

PLAN = b"what TensorRT built" * 100
TENSORS = (
    IOTensor("images", "FLOAT", (-1, 3, SIDE, SIDE), is_input=True),
    IOTensor("output0", "FLOAT", (-1, 7, 40), is_input=False),
)
FACTS = facts(TENSORS, PLAN, batch_sizes=(1, 8), profiles={"images": (profile(1, 8),)})
MODEL = metadata("detect", weights_sha256="a" * 64)


@pytest.fixture
def path(tmp_path):
    engine_file.write(tmp_path / "model.engine", MODEL, FACTS, PLAN)
    return tmp_path / "model.engine"


def test_what_is_written_is_read(path):
    file = engine_file.read(path)
    assert file.facts == FACTS
    assert file.metadata == dataclasses.replace(MODEL, selection=FACTS.selection)
    assert file.plan() == PLAN
    assert path.read_bytes()[file.header_bytes :] == PLAN
    assert engine_file.is_ours(path)


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify"])
@pytest.mark.parametrize("once", [False, True])
def test_ultralytics_reads_the_header(task, once, tmp_path):
    """Its own backend finds where the plan begins, and makes its attributes of the keys."""
    from ultralytics.nn.autobackend import check_class_names
    from ultralytics.nn.backends.base import BaseBackend

    class Backend(BaseBackend):
        def load_model(self, weight):
            self.offset, metadata = self.engine_header(weight)
            self.apply_metadata(metadata)

        def forward(self, im):
            raise AssertionError

    model, target = metadata(task, is_end_to_end=once), tmp_path / "model.engine"
    engine_file.write(target, model, FACTS, PLAN)
    backend = Backend(target, "cpu")
    assert target.read_bytes()[backend.offset :] == PLAN
    assert (backend.task, backend.stride, backend.batch, backend.channels) == (task, 32, 8, 3)
    assert (tuple(backend.imgsz), backend.end2end, backend.dynamic) == ((SIDE, SIDE), once, True)
    assert check_class_names(backend.names) == model.names
    if task == "pose":
        assert tuple(backend.kpt_shape) == model.keypoint_shape
    assert BaseBackend.read_metadata(target)["tftrt_yolo"]["builder"] == "TensorRT-RTX"


def _ultralytics(target, **others):
    """A file as Ultralytics writes it: ultralytics.utils.export.engine.onnx2engine."""
    document = {
        "description": "Ultralytics YOLOv8n model trained on coco8.yaml",
        "author": "Ultralytics",
        "stride": 32,
        "task": "detect",
        "head": "Detect",
        "batch": 1,
        "imgsz": [SIDE, SIDE],
        "names": {"0": "person", "1": "bicycle", "2": "car"},
        "args": {"batch": 1, "half": False},
        "channels": 3,
        "end2end": False,
    } | others
    text = json.dumps({key: value for key, value in document.items() if value != "nothing"})
    with open(target, "wb") as file:
        file.write(len(text).to_bytes(4, byteorder="little", signed=True))
        file.write(text.encode())
        file.write(PLAN)
    return target


def test_an_engine_of_ultralytics_gets_defaults(tmp_path):
    file = engine_file.read(_ultralytics(tmp_path / "a.engine", end2end="nothing"))
    assert file.facts is None
    assert file.metadata.names == {0: "person", 1: "bicycle", 2: "car"}
    assert (file.metadata.selection, file.metadata.is_end_to_end) == (Selection(), False)
    assert (file.metadata.weights, file.plan()) == ("Ultralytics YOLOv8n model trained on coco8.yaml", PLAN)
    assert not engine_file.is_ours(file.path)
    suppressed = engine_file.read(_ultralytics(tmp_path / "b.engine", args={"nms": True}))
    assert suppressed.metadata.is_end_to_end  # it gives each object once


def test_names_that_a_terminal_obeys(tmp_path):
    model = dataclasses.replace(MODEL, names={0: "\x1b[31m", 1: "名", 2: '"'})
    engine_file.write(tmp_path / "a.engine", model, FACTS, PLAN)
    assert engine_file.read(tmp_path / "a.engine").metadata.names == model.names


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", "flow", "its task is 'flow'; known are detect"),
        ("task", None, "lacks 'task'; expected one of"),
        ("names", None, "has 'names': None; expected 1 to"),
        ("names", {"0": "a", "2": "b"}, "has 'names' with the class 2 among 2"),
        ("names", {"x": "a"}, "has 'names' with the class 'x' among 1"),
        ("names", {"0": 5}, "has 0: 5; expected a text"),
        ("names", {"9" * 5000: "a"}, "has 'names' with the class '9999"),
        ("stride", "32", "has 'stride': '32'; expected a whole number"),
        ("imgsz", [SIDE], rf"has 'imgsz': \[{SIDE}\]; expected 2 whole numbers"),
        ("imgsz", [33, 33], "has 'imgsz': 33 x 33"),
        ("end2end", "no", "has 'end2end': 'no'; expected true or false"),
        ("args", "nms", "has 'args': 'nms'; expected a mapping"),
        ("tftrt_yolo", 5, "its section tftrt_yolo is damaged, or of another version of tftrt_yolo"),
        ("tftrt_yolo", {}, r"EngineFacts lacks 'weights'"),
        ("tftrt_yolo", {"more": 1}, "has 'more', which is none of its fields"),
    ],
)
def test_keys_that_do_not_fit(path, key, value, message):
    changed = rewritten(path, path.with_name("b.engine"), lambda document: document.update({key: value}))
    with pytest.raises(EngineError, match=f"b.engine cannot be used: .*{message}"):
        engine_file.read(changed)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_sizes", "1", "EngineFacts.batch_sizes is '1'; expected list"),
        ("tensors", [{"name": 5}], "lacks 'type'|is 5; expected str"),
        ("plan_bytes", "much", "EngineFacts.plan_bytes is 'much'; expected int"),
        ("selection", {"score_threshold": 7.0}, "score_threshold is 7.0; it must be"),
    ],
)
def test_facts_that_do_not_fit(path, key, value, message):
    changed = rewritten(path, path.with_name("b.engine"), lambda document: document["tftrt_yolo"].update({key: value}))
    with pytest.raises(EngineError, match=message):
        engine_file.read(changed)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("builder", "\x1b[31mX", r"has the builder '\\x1b\[31mX'; known are TensorRT-RTX, TensorRT\."),
        ("precision_mode", "FP8", "has the precision_mode 'FP8'; known are FP32, FP16, INT8"),
        ("builder_version", "1" * 100_000, r"has the builder_version '1{80}' \.\.\.; expected a few printable"),
        ("builder_version", "", "has the builder_version ''"),
        ("compute_capability", "8.9\x1b[2J", r"has the compute_capability '8.9\\x1b\[2J'"),
        ("batch_sizes", [4, -1], "has the batch size -1; expected 1 or more"),
        ("tensors", [dataclasses.asdict(TENSORS[0])] * 2, "names 2 tensors; expected 64 or fewer, each once"),
    ],
)
def test_words_that_no_engine_has(path, key, value, message):
    """Messages and `backend` show them, and a terminal obeys what it is shown."""
    changed = rewritten(path, path.with_name("b.engine"), lambda document: document["tftrt_yolo"].update({key: value}))
    with pytest.raises(EngineError, match=message) as caught:
        engine_file.read(changed)
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


def test_a_tensors_name_is_escaped():
    assert str(dataclasses.replace(TENSORS[0], name="\x1b[31m" + "a" * 1_000)).startswith(r"\x1b[31maaa")
    assert len(str(dataclasses.replace(TENSORS[0], name="a" * 1_000))) < 150


@pytest.mark.parametrize("length", [0, 2, 3, 4, 5, 100])
def test_a_header_that_is_cut_short(path, length):
    path.write_bytes(path.read_bytes()[:length])
    message = f"is cut short: it has {length} bytes" if length < 4 else "is cut short: its header has"
    with pytest.raises(EngineError, match=message):
        engine_file.read(path)
    assert not engine_file.is_ours(path)


@pytest.mark.parametrize(
    ("lost", "message"),
    [(1, "cut short: .*1,899 bytes"), (len(PLAN), "cut short: .*0 bytes"), (-3, "too long: .*1,903 bytes")],
)
def test_a_plan_of_another_length(path, lost, message):
    data = path.read_bytes()
    path.write_bytes(data[:-lost] if lost > 0 else data + b"abc")
    with pytest.raises(EngineError, match=f"model.engine is {message}, and its header says 1,900"):
        engine_file.read(path)


def test_a_plan_that_was_changed(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    file = engine_file.read(path)
    with pytest.raises(EngineError, match="is damaged: the SHA-256 of its plan is not the one in its header"):
        file.plan()


def test_no_plan_behind_a_header_of_ultralytics(tmp_path):
    path = _ultralytics(tmp_path / "a.engine")
    path.write_bytes(path.read_bytes()[: -len(PLAN)])
    with pytest.raises(EngineError, match="its plan has 0 bytes, and there is none behind its header"):
        engine_file.read(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ptrt" + bytes(100), "has no header: its first four bytes are 1,953,657,968"),  # a plan alone
        (bytes(100), "has no header: its first four bytes are 0"),
        ((1 << 31).to_bytes(4, "little") + bytes(9), "has no header: its first four bytes are 2,147,483,648"),
        (b"\x02\0\0\0[]plan", "has a header that holds no mapping"),
        (b"\x02\0\0\0\xff\xfeplan", "has no header, or a damaged one"),
        (b"\x04\0\0\0nopeplan", "has no header, or a damaged one: it is no JSON"),
        ((200).to_bytes(4, "little") + b"[" * 200 + b"plan", "is nested more than 32 levels deep"),
    ],
    ids=lambda value: None,
)
def test_what_is_no_engine_file(tmp_path, data, message):
    (tmp_path / "a.engine").write_bytes(data)
    with pytest.raises(EngineError, match=message):
        engine_file.read(tmp_path / "a.engine")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.engine")
    for name, message in {
        "nowhere.engine": "No such file or directory",
        ".": "is a folder",
        "fifo.engine": "is a device, a pipe or a socket",
        "null\0.engine": "embedded null byte",
    }.items():
        with pytest.raises(EngineError, match=f"cannot be read: .*{re.escape(message)}.*Expected an engine file"):
            engine_file.read(tmp_path / name)
