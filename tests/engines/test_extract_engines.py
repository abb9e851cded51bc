"""Plans in a conversion's assets, written by TensorFlow's own writer of records."""

import dataclasses
import json
import os
import re
import shutil

import pytest
import tensorflow as tf

import tftrt_yolo
from tests.preflighting.test_preflight import _small_disk as small_disk
from tftrt_yolo import contract
from tftrt_yolo.engines import engine_file, extract_engines
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.rehearsal import engine_bytes
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.trust import digests

PLAN = b"a plan of TensorRT 8.6.1" * 1000


def _record(plan):
    """What TF-TRT writes for an engine: TRTEngineInstance, spelt out in protobuf's wire format."""
    shape = b"\x0a\x0a" + b"".join(b"\x12\x02\x08" + bytes([size]) for size in (1, 3)) + b"\x12\x00"
    length, digits = len(plan), bytearray()
    while True:
        digits.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return shape + b"\x12" + bytes(digits) + plan


@pytest.fixture
def built(tiny_conversion, tmp_path):
    """A conversion as TensorRT 8.6.1 would leave it; `plans` are the records of its one asset."""

    def make(*plans, raw=None, **report):
        path = tmp_path / "built_saved_model"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(tiny_conversion, path)
        (path / "assets").mkdir(exist_ok=True)
        graph_def = saved_model_pb.read(path).meta_graphs[0].graph_def
        [name] = saved_model_pb.engine_nodes(graph_def)
        asset = path / "assets" / f"trt-serialized-engine.{name}"
        with tf.io.TFRecordWriter(str(asset)) as writer:
            for plan in plans:
                writer.write(_record(plan))
        if raw is not None:
            asset.write_bytes(raw(asset.read_bytes()))
        document = json.loads((path / contract.CONVERSION_FILE).read_text())
        document |= {"engines_built": True, "why_not_built": "", "loaded_tensorrt": "8.6.1"} | report
        (path / contract.CONVERSION_FILE).write_text(json.dumps(document))
        digests.seal(path, contract.read_metadata(path))
        return path, name

    return make


def test_plans_are_taken_out(built, tmp_path):
    path, name = built(PLAN, b"another")
    report = tftrt_yolo.extract_engines(path, tmp_path / "engines")
    assert report.engines == {f"{name}.engine": len(PLAN), f"{name}_2.engine": 7}
    assert sorted(os.listdir(tmp_path / "engines")) == sorted([*report.engines, "engines.json"])
    assert json.loads((tmp_path / "engines" / "engines.json").read_text())["built_by"] == "TensorRT 8.6.1"
    assert str(report).startswith(f"Took 2 plans of TensorRT 8.6.1 out of {path}")
    file = engine_file.read(tmp_path / "engines" / f"{name}.engine")
    assert file.plan() == PLAN
    frame = file.metadata.image_size_hw
    metadata = tftrt_yolo.Predictor(path).metadata
    assert file.metadata == dataclasses.replace(metadata, trained_size_hw=None)  # which its header does not have
    assert (file.facts.builder, file.facts.builder_version) == ("TensorRT", "8.6.1")
    assert file.facts.compute_capability == "of the GPU that it was built on"  # this machine may be another
    assert file.facts.tensors[0] == IOTensor("TensorRTInputPH_0", "FLOAT", (-1, *frame, 3), is_input=True)
    assert {tensor.name for tensor in file.facts.tensors[1:]} == {"TensorRTOutputPH_0", "TensorRTOutputPH_1"}
    alone = tftrt_yolo.extract_engines(path, tmp_path / "plans", header=False)
    assert alone.engines == {f"{name}.plan": len(PLAN), f"{name}_2.plan": 7}
    assert (tmp_path / "plans" / f"{name}.plan").read_bytes() == PLAN
    tftrt_yolo.extract_engines(path, tmp_path / "plans", overwrite=True)  # what an earlier call wrote is replaced
    assert sorted(os.listdir(tmp_path / "plans")) == sorted([*report.engines, "engines.json"])
    with pytest.raises(EngineError, match=r"has the tensors TensorRTInputPH_0 .*expected images"):
        tftrt_yolo.EnginePredictor(file.path)  # it is in TF-TRT's layout


def test_earlier_engines_are_replaced_only_if_asked(built, tmp_path):
    path, name = built(PLAN)
    tftrt_yolo.extract_engines(path, tmp_path / "engines")
    with pytest.raises(FileExistsError, match="exists already"):
        tftrt_yolo.extract_engines(path, tmp_path / "engines")
    path, name = built(b"new")
    assert tftrt_yolo.extract_engines(path, tmp_path / "engines", overwrite=True).engines == {f"{name}.engine": 3}


def test_a_full_disk(built, tmp_path):
    path, _ = built(PLAN * 20)
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(OSError, match="No space left on device"):  # to which the command line adds what to do
            tftrt_yolo.extract_engines(path, disk / "engines")
        assert not list(disk.iterdir())


def test_no_built_engine(built, tiny_conversion, tiny_export, tmp_path):
    target = tmp_path / "engines"
    with pytest.raises(EngineError, match=r"holds no built engine: no GPU.*`tftrt-yolo engine`"):
        tftrt_yolo.extract_engines(tiny_conversion, target)
    for plans in ((), (b"",)):
        with pytest.raises(EngineError, match="holds no built engine: its assets are empty"):
            tftrt_yolo.extract_engines(built(*plans)[0], target)
    with pytest.raises(
        EngineError, match="is an export and has no TensorRT engines; expected what `tftrt-yolo convert`"
    ):
        tftrt_yolo.extract_engines(tiny_export, target)
    with pytest.raises(tftrt_yolo.SavedModelError, match="is no directory"):
        tftrt_yolo.extract_engines(tmp_path / "nowhere", target)
    assert not target.exists()


def test_a_rehearsals_engines_are_no_engines(built, tmp_path):
    path, _ = built(PLAN, has_stand_in=True)
    with pytest.raises(EngineError, match=r"stand-in for TensorRT in a rehearsal: no TensorRT can load them\."):
        tftrt_yolo.extract_engines(path, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_plans_of_the_stand_in_are_known_by_their_bytes(built, tmp_path):
    path, _ = built(engine_bytes.WORDS + PLAN)  # conversion.json says nothing of it
    with pytest.raises(EngineError, match=r"stand-in for TensorRT in a rehearsal: no TensorRT can load them\."):
        tftrt_yolo.extract_engines(path, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def _longer(data):
    return (1 << 40).to_bytes(8, "little") + data[8:]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (lambda data: data[:-1], "holds a record cut short"),
        (lambda data: data[:5], "holds a record cut short"),
        (_longer, "holds a record cut short"),
        (lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:], r"is damaged \(.*corrupted record"),
        (lambda data: data * 100, "holds more than 64 records"),
    ],
    ids=["cut", "cut at the start", "a length that is a lie", "a flipped bit", "many"],
)
def test_a_damaged_asset(raw, message, built, tmp_path):
    path, name = built(PLAN, raw=raw)
    with pytest.raises(EngineError, match=f"asset trt-serialized-engine.{re.escape(name)} {message}"):
        tftrt_yolo.extract_engines(path, tmp_path / "engines")
    assert not (tmp_path / "engines").exists()


def test_a_record_that_is_no_message(built, tmp_path):
    path, name = built(PLAN)
    asset = path / "assets" / f"trt-serialized-engine.{name}"
    with tf.io.TFRecordWriter(str(asset)) as writer:
        writer.write(b"\xff" * 10)
    digests.seal(path, contract.read_metadata(path))
    with pytest.raises(EngineError, match=r"is damaged \(Error parsing message.*Copy or convert the model again"):
        tftrt_yolo.extract_engines(path, tmp_path / "engines")


def test_a_message_with_what_a_newer_version_adds():
    found = extract_engines._instance_class().FromString(_record(PLAN) + b"\x1a\x01a")
    assert found.serialized_engine == PLAN
    assert [dim.size for dim in found.input_shapes[0].dim] == [1, 3, 0]
