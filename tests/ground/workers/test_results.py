"""What a worker gives back: all that ours give arrives as it was, and nothing else is put together."""

import contextlib
import dataclasses
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.calls import Calls, without_memory
from tftrt_yolo.contract import HeadSpec, ModelFacts
from tftrt_yolo.ground.errors import CheckpointError, NotAnExportError
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.ground.workers import results
from tftrt_yolo.ground.workers.progress import Progress
from tftrt_yolo.ground.workers.results import NotTakenError, packed, unpacked

_FACTS = ModelFacts("detect", {0: "a"}, HeadSpec((8,), 16, "Detect", 1), 8, 10)


def _there_and_back(value):
    return unpacked(io.BytesIO(packed(value)))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [True, -(1 << 80), 1.5, float("inf"), "a\udc80", b"\0", {1}, frozenset({2})],
        {"a": [{"b": ()}], 1: None},
        Path("/a/b"),
        _FACTS,
        [Progress(1, 2), {"facts": _FACTS}],
        np.float32(1.5),
        np.int64(3),
        np.bool_(True),
        np.str_("a"),
    ],
)
def test_it_arrives_as_it_was(value):
    found = _there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(6)[::2],
        np.zeros((0, 4), np.float16),
        np.array(7, np.uint8),
        np.array([True, False]),
        np.array(["a", "bcd"]),
        np.array([1 + 2j]),
        np.array([1, 2], ">i4"),
    ],
)
def test_an_array_arrives_as_it_was(array):
    found = _there_and_back({"array": array})["array"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    assert found.flags.writeable


def test_a_named_tuple_arrives_as_it_was():
    fields = dict.fromkeys(Placement._fields, 1.0)
    found = _there_and_back(Placement(**fields))
    assert (type(found), found) == (Placement, Placement(**fields))


@pytest.mark.parametrize("kind", [CheckpointError, NotAnExportError])
def test_an_error_arrives_as_it_was(kind):
    error = kind("what was got", 3)
    error.add_note("a note") if hasattr(error, "add_note") else None
    error.detail = [1]
    found = _there_and_back(error)
    assert (type(found), found.args, vars(found)) == (kind, error.args, vars(error))


def test_several_in_one_pipe():
    file = io.BytesIO(packed(1) + packed({"a": np.ones(3)}) + packed("c"))
    assert unpacked(file) == 1
    assert list(unpacked(file)["a"]) == [1, 1, 1]
    assert unpacked(file) == "c"
    with pytest.raises(EOFError):
        unpacked(file)


def _global(module, name):
    return (
        b"\x80\x04\x8c"
        + bytes([len(module)])
        + module.encode()
        + b"\x8c"
        + bytes([len(name)])
        + name.encode()
        + b"\x93"
    )


_RESULTS = "tftrt_yolo.ground.workers.results"


@pytest.mark.parametrize(
    "data",
    [
        without_memory(Calls(os.system, "touch canary")),
        pickle.dumps(Calls(os.system, "touch canary")),
        pickle.dumps(Calls(eval, "open('canary', 'w')"), protocol=0),
        pickle.dumps(Calls(exec, "open('canary', 'w')"), protocol=2),
        without_memory(Calls(open, "canary", "w")),
        without_memory(Path("/a")),  # as pickle would
        without_memory(_FACTS),
        without_memory(np.ones(3)),
        without_memory(ModelFacts),
        without_memory([Progress]),
        _global("tftrt_yolo.ground.files.directories", "os.system") + b".",
        _global(_RESULTS, "sys") + b".",
        _global(_RESULTS, "_class_of") + b".",
        _global(_RESULTS, "_record.__globals__") + b".",
        _global(_RESULTS, "_MAKERS") + b".",
        _global("tftrt_yolo.__main__", "run") + b".",
        _global("builtins", "dict") + b".",
        b"\x80\x02\x82\x01.",  # an entry of copyreg's registry
        b"\x80\x02Pname\n.",  # a persistent object
    ],
)
def test_nothing_else_is_put_together(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotTakenError, match=r"a result (with a .* in it|in an old form)"):
        unpacked(io.BytesIO(data))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("_record", ("os", "system", {}), "with a 'os.system' in it"),
        ("_record", ("tftrt_yolo.contract", "Path", {}), "with a 'tftrt_yolo.contract.Path' in it"),
        ("_record", ("tftrt_yolo.contract", "ModelFacts", {"task": 1}), "a ModelFacts whose fields are 'task'"),
        (
            "_record",
            ("tftrt_yolo.ground.workers.progress", "Progress", {"done": 1, "total": 2, "__class__": 3}),
            "a Progress whose fields are 'done, total, __class__'",
        ),
        ("_record", ("tftrt_yolo.ground.errors", "CheckpointError", {}), "with a .*CheckpointError' in it"),
        ("_record", ("tftrt_yolo.ground.workers.worker", "os.system", {}), "with a .*os.system' in it"),
        ("_record", ("tftrt_yolo.exporter.pytorch_half", "work", {}), "with a .*pytorch_half.work' in it"),
        ("_error", ("builtins", "SystemExit", (), {}), "with a 'builtins.SystemExit' in it"),
        ("_error", ("tftrt_yolo.contract", "ModelFacts", (), {}), "with a .*ModelFacts' in it"),
        ("_error", ("tftrt_yolo.ground.workers.worker", "Worker", (), {}), "with a .*Worker' in it"),
        ("_entry", ("tftrt_yolo.contract", "ModelFacts", ()), "with a .*ModelFacts' in it"),
        ("_array", ("|O", (1,), b"\0" * 8, True), r"an array of '\|O' and the shape"),
        ("_array", ("<f4", (1 << 40,), b"\0" * 8, True), r"shape '\(1099511627776,\)' in 8 bytes"),
        ("_array", ("<f4", (-1, -2), b"\0" * 8, True), r"shape '\(-1, -2\)' in 8 bytes"),
        ("_array", ("<f4", (True, 2), b"\0" * 8, True), r"shape '\(True, 2\)' in 8 bytes"),
        ("_array", ("<f4", [2], b"\0" * 8, True), r"shape '\[2\]' in 8 bytes"),
        ("_array", ("|u1", (1,), [0], True), "in 1 bytes"),
        ("_array", ("f4,O", (0,), b"", True), "an array of 'f4,O'"),
        ("_array", ("U0", (1 << 40,), b"", True), "an array of 'U0'"),
        ("_array", (7, (1,), b"", True), "an array of 7"),
        ("_path", (7,), "cannot be put together here"),
    ],
)
def test_the_makers_take_what_they_are_for(name, arguments, message):
    data = without_memory(Calls(getattr(results, name), *arguments))
    with pytest.raises(NotTakenError, match=message):
        unpacked(io.BytesIO(data))


@pytest.mark.parametrize("name", ["_record", "_error", "_path", "_array", "_entry"])
@pytest.mark.parametrize(
    "state", [{"__code__": 1}, (None, {"__code__": 1, "__defaults__": (1,)}), (None, {"__call__": 1})]
)
def test_nothing_is_set_on_a_maker(name, state):
    data = _global(_RESULTS, name) + without_memory(state, protocol=2)[2:-1] + b"b."
    with pytest.raises(NotTakenError, match="with a BUILD in it"):
        unpacked(io.BytesIO(data))


def _call(name, arguments):
    return b"\x80\x04" + _global(_RESULTS, name)[2:] + arguments + b"tR"


def _number(value):
    return b"J" + struct.pack("<i", value)


def _text(length):
    return b"\x8c" + bytes([length]) + b"X" * length


def _framed(hidden):
    """A text, in which a frame ends, and bytes.

    Python's unpickler forgets the three bytes of the frame, takes the ten of the text from behind them, and so goes on
    at the length of the bytes, 48, which is the opcode POP, and with what they hide.
    """
    assert len(hidden) == 48
    return b"\x80\x04\x95" + struct.pack("<Q", 3) + _text(10) + b"C" + bytes([48]) + hidden + b"\x86."


def test_a_frame_hides_nothing():
    hidden = b"K\7.".ljust(48)
    assert unpacked(io.BytesIO(_framed(hidden))) == ("X" * 10, hidden)


_ONE_OF_THE_SAME = b"".join(b"h" + bytes([at]) + b"h" + bytes([at]) + b"\x86\x94" for at in range(40))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.", None),  # a frame's length
        (b"\x80\x04B" + struct.pack("<I", (1 << 32) - 1) + b"abc", "cut short"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc", "cut short"),
        (b"\x80\x04\x8b" + struct.pack("<i", (1 << 31) - 1) + b"abc", "cut short|not enough data"),
        (_framed((b"N" + b"r" + struct.pack("<I", 1 << 26) + b".").ljust(48)), None),  # a place in the memory
        (b"\x80\x04Nr" + struct.pack("<I", 1 << 26) + b".", "a LONG_BINPUT in it"),
        (b"\x80\x04]\x94" + _ONE_OF_THE_SAME + b".", "a MEMOIZE in it"),
        (_call("_array", b"(\x8c\x03|u1(C\2ab" + _number(1 << 26) + b"tC\0\x88") + b".", "shape .*in 0 bytes"),
        (_call("_array", b"(\x8c\x03|u1(" + _number(1 << 26) + b"]" + b"tC\0\x88") + b".", "shape .*in 0 bytes"),
        (_call("_array", b"(\x8c\x0bS2147483647K\0\x85C\0\x88") + b".", None),  # none of something large
        (b"\x80\x04})" + b"\x85" * 200 + b"Ns.", "more than 100 levels"),
    ],
)
def test_a_small_file_takes_little_memory(data, message):
    unpacked(io.BytesIO(packed(np.ones(1))))  # what is imported at first
    tracemalloc.start()
    try:
        with pytest.raises((NotTakenError, EOFError), match=message) if message else contextlib.nullcontext():
            unpacked(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04NK\1K\2s.",  # an item of None
        _call("_array", b"(\x8c\x03|u1K\1\x85C\1a\x88") + b"K\0K\1s.",  # of an array
        b"\x80\x04NNa.",
        b"\x80\x04(K\1R.",  # a call of what stands below a mark
        b"\x80\x04NN\x93.",
    ],
)
def test_an_opcode_gets_what_it_is_for(data):
    with pytest.raises(NotTakenError, match=r"something else where .* belongs"):
        unpacked(io.BytesIO(data))


def test_the_levels_of_a_result():
    """A long list, which is written in many pieces, is no deeper than a short one."""
    assert _there_and_back([[]] * 200_000) == [[]] * 200_000
    nested = None
    for _ in range(results._MOST_LEVELS - 2):  # None is a level, and so is the end
        nested = [nested]
    assert _there_and_back(nested) == nested
    with pytest.raises(NotTakenError, match="a result of more than 100 levels"):
        _there_and_back([nested])


def test_what_is_there_twice_arrives_as_two():
    array = np.ones(3)
    first, second = _there_and_back([array, array])
    assert list(first) == list(second) == [1, 1, 1]
    assert not np.shares_memory(first, second)


def test_what_holds_itself_is_not_packed():
    circle = []
    circle.append(circle)
    with pytest.raises(TypeError, match=r"work\(\) gave a list that cannot be pickled"):
        packed(circle)


def test_bytes_at_random():
    """Whole results with bytes changed: they give a value, their end, or a refusal."""
    rng = np.random.default_rng(0)
    whole = packed([_FACTS, {"scores": np.ones((2, 3)), "path": Path("/a")}, CheckpointError("text")])
    outcomes = []
    for _ in range(3000):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        try:
            unpacked(io.BytesIO(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.2 else data)))
            outcomes.append("taken")
        except (NotTakenError, EOFError) as error:
            outcomes.append(type(error).__name__)
    assert set(outcomes) == {"taken", "NotTakenError", "EOFError"}


def test_a_record_is_made_without_its_constructor():
    """What the parent's checks would refuse, the worker's would have refused too."""

    assert dataclasses.asdict(_there_and_back(Progress(5, -1))) == {"done": 5, "total": -1}
