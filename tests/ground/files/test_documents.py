"""Reports written and read back: of every class, what types may be in them, and what is wrong with a file."""

import dataclasses
import json
import math
import os
import types
import typing
from pathlib import Path
from typing import ClassVar

import pytest

import tftrt_yolo
from tftrt_yolo.benchmarking.results.measurements import Measurement
from tftrt_yolo.exporter.export_report import ExportReport
from tftrt_yolo.ground.errors import BenchmarkError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.selection import Selection

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
REPORTS = [
    kind
    for kind in (getattr(tftrt_yolo, name) for name in tftrt_yolo.__all__)
    if dataclasses.is_dataclass(kind)
    and not issubclass(kind, tftrt_yolo.ground.arguments.Options)
    and kind not in (tftrt_yolo.Frame, tftrt_yolo.VideoInfo)  # of a source, not of what was done
]
# What checks its own values.
_SOUND = {
    Selection: Selection(),
    Measurement: Measurement("a", "dense", 1, 0.5, 1.0, 2.0, 3.0, 10, (1.0, 2.0, 3.5)),
    ExportReport: ExportReport(Path("a"), "b.pt", "classify", (64, 32), 10, 99, {"probabilities": 1e-7}, 5, 0.5),
}


def _sample(annotation, *, filled):
    """A value of a type: with all that is optional, or without it."""
    origin, of = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _SOUND:
        return _SOUND[annotation]
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        fields = dataclasses.fields(annotation)
        return annotation(**{field.name: _sample(hints[field.name], filled=filled) for field in fields})
    if origin in (typing.Union, types.UnionType):
        if types.NoneType in of and not filled:
            return None
        return _sample(of[0], filled=filled)
    if origin is tuple:
        if len(of) == 2 and of[1] is Ellipsis:
            return tuple(_sample(of[0], filled=filled) for _ in range(2 * filled))
        return tuple(_sample(kind, filled=filled) for kind in of)
    if origin is dict:
        return {_sample(of[0], filled=filled): _sample(of[1], filled=filled)} if filled else {}
    return {bool: True, int: 7, float: 0.1, str: "ä 'b'\n", object: "any", Path: Path("a") / "b"}[annotation]


def _again(report):
    return documents.parse(json.loads(documents.to_json(report)), type(report))


def test_there_are_reports():
    assert {kind.__name__ for kind in REPORTS} >= {
        "BakedReport",
        "BenchmarkReport",
        "DemoReport",
        "EngineReport",
        "Environment",
        "EvaluationReport",
        "ExportReport",
        "PredictionReport",
        "SavedModelReport",
        "SensitivityReport",
    }


@pytest.mark.parametrize("filled", [True, False])
@pytest.mark.parametrize("kind", REPORTS, ids=lambda kind: kind.__name__)
def test_every_report_survives_a_round_trip(kind, filled):
    report = _sample(kind, filled=filled)
    assert _again(report) == report


@dataclasses.dataclass(frozen=True)
class _Part:
    name: str
    size_hw: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class _Report:
    parts: tuple[_Part, ...]
    names: dict[int, str]
    curves: dict[str, tuple[tuple[float, ...], ...]]
    best: _Part | None
    threshold: int | str
    share: float
    is_whole: bool
    path: Path
    note: str = "none"
    extra: dict[str, float] = dataclasses.field(default_factory=dict)

    DERIVED: ClassVar = ("num_parts",)
    FORMAT_VERSION: ClassVar = 3

    @property
    def num_parts(self):
        return len(self.parts)


REPORT = _Report(
    parts=(_Part("a", (1, 2)), _Part("b", (3, 4))),
    names={0: "zero", 10: "ten"},
    curves={"box": ((0.5, 1.0), ()), "mask": ()},
    best=_Part("a", (1, 2)),
    threshold="auto",
    share=0.5,
    is_whole=True,
    path=Path("a") / "b",
)


def _document():
    return json.loads(documents.to_json(REPORT))


def test_nested_types_come_back_as_they_were():
    again = _again(REPORT)
    assert again == REPORT
    assert list(again.names) == [0, 10]
    assert again.curves["box"] == ((0.5, 1.0), ())
    assert isinstance(again.path, Path)
    for changes in ({"best": None}, {"threshold": 5}, {"note": "some"}, {"extra": {"a": 1.5}}, {"parts": ()}):
        other = dataclasses.replace(REPORT, **changes)
        assert _again(other) == other
        assert other != REPORT


def test_what_is_derived_is_written_and_not_read():
    assert _document()["num_parts"] == 2
    assert documents.parse(_document() | {"num_parts": 99}, _Report).num_parts == 2


def test_what_has_a_default_may_be_missing():
    document = _document()
    del document["note"], document["extra"], document["num_parts"], document["format_version"]
    assert documents.parse(document, _Report) == REPORT


def test_whole_numbers_are_numbers_and_null_is_nan():
    assert documents.parse(_document() | {"share": 1}, _Report).share == 1
    assert math.isnan(documents.parse(_document() | {"share": None}, _Report).share)


# Changes of a document to the message, which names the place.
WRONG = [
    ({"parts": {}}, r"_Report\.parts is a dict of 0; expected list"),
    ({"parts": [{"name": "a"}]}, r"_Report\.parts\[0\] lacks 'size_hw'"),
    ({"parts": [{"name": "a", "size_hw": [1]}]}, r"_Report\.parts\[0\]\.size_hw has 1 value; expected 2"),
    ({"parts": [{"name": "a", "size_hw": [1, 2.5]}]}, r"_Report\.parts\[0\]\.size_hw\[1\] is 2\.5; expected int"),
    ({"parts": [{"name": "a", "size_hw": [1, True]}]}, r"_Report\.parts\[0\]\.size_hw\[1\] is True; expected int"),
    ({"parts": [5]}, r"_Report\.parts\[0\] is 5; expected dict"),
    ({"names": []}, r"_Report\.names is a list of 0; expected dict"),
    ({"names": {"zero": "a"}}, r"_Report\.names has the key 'zero'; expected int"),
    ({"names": {"0": 5}}, r"_Report\.names\['0'\] is 5; expected str"),
    ({"curves": {"box": [[0.5], "x"]}}, r"_Report\.curves\['box'\]\[1\] is 'x'; expected list"),
    ({"curves": {"box": [["x"]]}}, r"_Report\.curves\['box'\]\[0\]\[0\] is 'x'; expected float"),
    ({"best": 5}, r"_Report\.best is 5; expected dict"),
    ({"threshold": 2.5}, r"_Report\.threshold is 2\.5; expected str"),
    ({"threshold": None}, r"_Report\.threshold is None; expected str"),
    ({"share": "much"}, r"_Report\.share is 'much'; expected float"),
    ({"share": True}, r"_Report\.share is True; expected float"),
    ({"share": 10**4_000}, r"_Report\.share is a whole number of 13,288 bits; expected a number of at most 64 bits"),
    ({"is_whole": 10**90}, r"_Report\.is_whole is a whole number of 299 bits; expected bool"),
    ({"note": ["\x1b[31m"]}, r"_Report\.note is a list of 1; expected str"),
    ({"\x1b[31m": 1}, r"_Report has '\\x1b\[31m', which is none of its fields"),
    ({"is_whole": 1}, r"_Report\.is_whole is 1; expected bool"),
    ({"path": 5}, r"_Report\.path is 5; expected str"),
    ({"note": None}, r"_Report\.note is None; expected str"),
    ({"colour": "red"}, r"_Report has 'colour', which is none of its fields"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_value_of_another_type_is_named(changes, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}$"):
        documents.parse(_document() | changes, _Report)


@pytest.mark.parametrize("name", ["parts", "names", "best", "share"])
def test_a_field_that_is_missing_is_named(name):
    document = _document()
    del document[name]
    with pytest.raises(ValueError, match=rf"^_Report lacks '{name}'$"):
        documents.parse(document, _Report)


@pytest.mark.parametrize("document", [[], "text", 5, None])
def test_a_document_that_is_no_object(document):
    with pytest.raises(TypeError, match=r"^_Report is .*; expected dict$"):
        documents.parse(document, _Report)


def _read(path):
    return documents.read(path, "report.json", _Report, BenchmarkError, origin="a test", remedy="do it again")


def test_reading_takes_a_file_or_its_directory(tmp_path):
    documents.write(REPORT, tmp_path / "report.json")
    assert _read(tmp_path) == _read(str(tmp_path)) == _read(tmp_path / "report.json") == REPORT


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (3, r"is damaged \(ValueError: _Report lacks 'share'\)"),
        (2, r"was written by an older version of tftrt_yolo and does not fit this one \(ValueError: _Report lacks"),
        (None, r"is damaged, or was written by an older version of tftrt_yolo"),  # before versions were written
        (4, r"was written by a newer version of tftrt_yolo and does not fit this one \(ValueError"),
        ("3", r"is damaged"),
    ],
)
def test_what_is_wrong_with_a_file_of_another_version(tmp_path, version, message):
    document = {key: value for key, value in _document().items() if key not in ("share", "format_version")}
    if version is not None:
        document["format_version"] = version
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(BenchmarkError, match=rf"report\.json {message}.*Expected a report\.json of this.*do it again"):
        _read(tmp_path)


@pytest.mark.parametrize("version", [0, 2, 3, 4])
def test_a_file_of_another_version_that_fits_is_read(tmp_path, version):
    (tmp_path / "report.json").write_text(json.dumps(_document() | {"format_version": version}))
    assert _read(tmp_path) == REPORT


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", documents.to_json(REPORT).encode()[:-10]),
        *(b"[" * 100_000, b'{"parts": ' * 100_000),
    ],
    ids=lambda content: content[:8].decode(errors="replace"),
)
def test_damaged_files(tmp_path, content):
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(BenchmarkError, match=r"report\.json .*Expected a report\.json of this version; do it again"):
        _read(tmp_path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("folder", "is a folder"),
        ("fifo", "is a device, a pipe or a socket"),
        ("zero", "is a device, a pipe or a socket"),
        ("sparse", r"has 10,737,418,240 bytes; at most 67,108,864 are read"),
    ],
)
def test_what_is_no_file_of_ours(tmp_path, kind, message):
    path = tmp_path / "folder" / "report.json"
    path.parent.mkdir()
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "sparse":
            path.touch()
            os.truncate(path, 10 << 30)
    with pytest.raises(BenchmarkError, match=rf"report\.json is damaged \(UnreadableError: {message}"):
        _read(path.parent)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.json"):
        with pytest.raises(BenchmarkError, match=r"cannot be read: No such file.*Expected a report\.json of a test"):
            _read(path)


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*/benchmark.json")), ids=lambda path: path.parent.name)
def test_the_benchmarks_of_this_repository_are_read(path):
    """Most are of older versions; a value of each is compared with what the file holds."""
    report, document = tftrt_yolo.BenchmarkReport.read(path), json.loads(path.read_text())
    assert report.machine.cpu == document["machine"]["cpu"]
    assert [m.p50_ms for m in report.measurements] == [m["p50_ms"] for m in document["measurements"]]
    assert len(report.measurements) > 3
    assert _again(report) == report
