"""Model repositories for Triton, as files: what is in them, and what is refused. triton_server/ runs them."""

import dataclasses
import json
import os
import shutil
import stat
import sys

import pytest

import tftrt_yolo
from tests.engines.rehearsal import SIDE, facts, metadata, profile
from tftrt_yolo.engines import engine_file
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.serving.triton_repository import configuration

pytest.importorskip("tritonclient.grpc", reason="the extra triton is not installed")

PLAN = b"what TensorRT built" * 100
IMAGES = IOTensor("images", "FLOAT", (-1, 3, SIDE, SIDE), is_input=True)
OUTPUT = IOTensor("output0", "HALF", (-1, 7, 40), is_input=False)


def _tensors(tensors):
    return [configuration.described(one) for one in tensors]


def _names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def model(tiny_export, tmp_path):
    """A repository with version 1 of the tiny model."""
    tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "models")
    return tmp_path / "models" / "tiny"


@pytest.fixture
def engine(tmp_path):
    """Writes an engine file; gives its path."""

    def write(name="digits.engine", tensors=(IMAGES, OUTPUT), **others):
        others = {"batch_sizes": (1, 8), "profiles": {"images": (profile(1, 8),)}} | others
        path = tmp_path / name
        engine_file.write(path, metadata("detect"), facts(tensors, PLAN, **others), PLAN)
        return path

    return write


def test_a_repository_of_an_export(tiny_export, tmp_path):
    report = tftrt_yolo.triton(
        tiny_export,
        model_repository=tmp_path / "deep" / "models",
        device="GPU",
        batching=tftrt_yolo.BatchingOptions(
            max_batch_size=8, max_delay_ms=2.5, queue_size=64, request_timeout_s=1.5, processes=2
        ),
    )
    assert (report.name, report.version, report.backend, report.is_new_model) == ("tiny", 1, "python", True)
    assert str(report).splitlines()[-1] == f"  tritonserver --model-repository={tmp_path / 'deep' / 'models'}"
    folder = tmp_path / "deep" / "models" / "tiny"
    copied = [f"1/model.savedmodel/{name}" for name in _names(tiny_export)]
    assert _names(folder) == sorted(["1/model.py", "config.pbtxt", "labels.txt", "warmup/image_bytes", *copied])
    assert (folder / "labels.txt").read_text() == "".join(f"{digit}\n" for digit in range(10))
    config = configuration.read(folder / "config.pbtxt")
    assert (config.name, config.backend, config.max_batch_size) == ("tiny", "python", 8)
    assert _tensors(config.input) == ["image_bytes TYPE_STRING [1]"]
    assert _tensors(config.output) == [
        "boxes TYPE_FP32 [-1, 4]",
        "classes TYPE_INT32 [-1]",
        "num_detections TYPE_INT32 [1]",
        "scores TYPE_FP32 [-1]",
        "status TYPE_STRING [1]",
    ]
    batching = config.dynamic_batching
    assert (list(batching.preferred_batch_size), batching.max_queue_delay_microseconds) == ([8], 2_500)
    policy = batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (64, 1_500_000)
    [group] = config.instance_group
    assert (group.count, group.Kind.Name(group.kind)) == (2, "KIND_GPU")
    assert [record.batch_size for record in config.model_warmup] == [1, 8]
    assert {record.inputs["image_bytes"].input_data_file for record in config.model_warmup} == {"image_bytes"}
    record = (folder / "warmup" / "image_bytes").read_bytes()
    assert int.from_bytes(record[:4], "little") == len(record) - 4
    [found] = tftrt_yolo.Predictor(folder / "1" / "model.savedmodel")(record[4:])
    assert len(found) > 0
    assert "EXECUTION_ENV_PATH" in (folder / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("task", "signature", "inputs", "outputs"),
    [
        (
            "segment",
            "encoded",
            ["image_bytes TYPE_STRING [1]"],
            ["mask_corners TYPE_INT32 [-1, 2]", "masks TYPE_STRING [-1]"],
        ),
        # what a picture has once keeps its axes
        (
            "segment",
            "padded",
            ["images TYPE_UINT8 [-1, -1, 3]", "sizes TYPE_INT32 [2]"],
            ["prototypes TYPE_FP32 [80, 80, 32]"],
        ),
        ("pose", "serving_default", ["images TYPE_UINT8 [-1, -1, 3]"], ["keypoints TYPE_FP32 [-1, 3, 3]"]),
        # of anchors there is always the same number
        ("obb", "network", ["frames TYPE_FP32 [320, 320, 3]"], ["boxes_xywhr TYPE_FP32 [2100, 5]"]),
        (
            "classify",
            "encoded",
            ["image_bytes TYPE_STRING [1]"],
            ["probabilities TYPE_FP32 [10]", "status TYPE_STRING [1]"],
        ),
    ],
)
def test_tensors_of_every_task_and_signature(models, tmp_path, task, signature, inputs, outputs):
    report = tftrt_yolo.triton(models.exported(task), model_repository=tmp_path, signature=signature)
    assert list(report.inputs) == inputs
    assert set(outputs) <= set(report.outputs)
    config = configuration.read(tmp_path / task / "config.pbtxt")
    labelled = [output.name for output in config.output if output.label_filename]
    assert labelled == (["probabilities"] if task == "classify" else [])
    assert all(set(record.inputs) == {one.name for one in config.input} for record in config.model_warmup)
    for record in config.model_warmup:
        for value in record.inputs.values():
            assert min(value.dims) > 0
            assert value.zero_data or (tmp_path / task / "warmup" / value.input_data_file).is_file()


def test_preferred_sizes_are_those_of_a_conversion(tiny_export, tmp_path):
    xla = tmp_path / "fast_saved_model"
    shutil.copytree(tiny_export, xla)
    report = {"accelerator": "xla", "precision_mode": "FP16", "batch_sizes": [1, 2, 4, 32]}
    (xla / "conversion.json").write_text(json.dumps(report))
    text = (xla / "metadata.yaml").read_text()
    (xla / "metadata.yaml").write_text(text[: text.index("  files:")])  # as older versions wrote it
    tftrt_yolo.triton(xla, model_repository=tmp_path / "models")
    config = configuration.read(tmp_path / "models" / "fast" / "config.pbtxt")
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 4, 16]
    assert [record.batch_size for record in config.model_warmup] == [1, 2, 4, 16]


def test_an_export_of_an_older_version_gets_a_status(tiny_export, tmp_path):
    from tftrt_yolo.saved_model import saved_model_pb

    old = tmp_path / "old_saved_model"
    shutil.copytree(tiny_export, old)
    message = saved_model_pb.read(old)
    del message.meta_graphs[0].signature_def["encoded"].outputs["status"]
    (old / "saved_model.pb").write_bytes(message.SerializeToString())
    text = (old / "metadata.yaml").read_text()
    (old / "metadata.yaml").write_text(text[: text.index("  files:")])
    report = tftrt_yolo.triton(old, model_repository=tmp_path / "models")
    assert "status TYPE_STRING [1]" in report.outputs


def test_a_version_more(tiny_export, model):
    config = model / "config.pbtxt"
    edited = config.read_text().replace("max_queue_delay_microseconds: 1000", "max_queue_delay_microseconds: 7")
    config.write_text(edited)
    before = _names(model)
    report = tftrt_yolo.triton(tiny_export, model_repository=model.parent)
    assert (report.version, report.is_new_model) == (2, False)
    assert "config.pbtxt       as it was" in str(report)
    assert config.read_text() == edited  # it is the operator's
    assert set(before) < set(_names(model))
    assert tftrt_yolo.triton(tiny_export, model_repository=model.parent, version=20_261_127).version == 20_261_127
    assert tftrt_yolo.triton(tiny_export, model_repository=model.parent).version == 20_261_128
    assert sorted(path.name for path in model.iterdir() if path.is_dir()) == [
        "1",
        "2",
        "20261127",
        "20261128",
        "warmup",
    ]


def test_a_version_is_never_overwritten(tiny_export, model):
    (model / "1" / "mine.txt").touch()
    before = _names(model)
    with pytest.raises(
        FileExistsError,
        match=r"tiny/1 exists already, and a version is never overwritten\. Leave version out for version 2",
    ):
        tftrt_yolo.triton(tiny_export, model_repository=model.parent, version=1)
    assert _names(model) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batching": tftrt_yolo.BatchingOptions(max_batch_size=4)},
            r"config\.pbtxt has max_batch_size 16, and the new version 4; expected the same",
        ),
        (
            {"signature": "serving_default"},
            r"has the inputs image_bytes TYPE_STRING \[1\], and the new version images TYPE_UINT8",
        ),
        (
            {"task": "classify"},
            r"has the outputs boxes TYPE_FP32 .*, and the new version probabilities .*Choose another name, or edit",
        ),
    ],
)
def test_a_version_of_another_kind(models, tiny_export, model, options, message):
    source = models.exported(options.pop("task")) if "task" in options else tiny_export
    before = _names(model)
    with pytest.raises(tftrt_yolo.ServingError, match=message):
        tftrt_yolo.triton(source, model_repository=model.parent, name="tiny", **options)
    assert _names(model) == before


def test_a_version_of_other_classes(tiny_export, model, tmp_path):
    (model / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(
        tftrt_yolo.ServingError, match=r"config\.pbtxt has other classes in labels\.txt; expected the same"
    ):
        tftrt_yolo.triton(tiny_export, model_repository=model.parent)
    (model / "labels.txt").unlink()  # an operator who wants none
    assert tftrt_yolo.triton(tiny_export, model_repository=model.parent).version == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"max_batch_size: many", r"cannot be read as Triton's configuration: 1:17 : .*Mend it, or take another name"),
        (b"\xff\xfe", "cannot be read as Triton's configuration: 'utf-8' codec"),
        (b"#" * (1 << 20) + b"#", "cannot be read as Triton's configuration: .*1,048,577"),
    ],
)
def test_a_configuration_that_is_none(tiny_export, model, content, message):
    (model / "config.pbtxt").write_bytes(content)
    with pytest.raises(tftrt_yolo.ServingError, match=message):
        tftrt_yolo.triton(tiny_export, model_repository=model.parent)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a b", "-a", "nämlich", "a" * 129, "a\n", 5])
def test_names_that_are_none(tiny_export, tmp_path, name):
    with pytest.raises(ValueError, match=r"name is .*; expected letters, digits, dots, underscores and dashes"):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "models", name=name)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (0, "version is 0; it must be"),
        (-1, "version is -1"),
        (1.5, "version is 1.5"),
        (True, "version is True"),
        (1 << 31, r"version is 2,147,483,648; Triton's versions go to 2,147,483,647"),
    ],
)
def test_versions_that_are_none(tiny_export, tmp_path, version, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "models", version=version)
    assert not (tmp_path / "models").exists()


def test_what_is_in_the_way(tiny_export, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match=r"cannot be written, for .*file is a file"):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "file")
    (tmp_path / "tiny").mkdir()
    with pytest.raises(FileExistsError, match=r"tiny exists and has no config\.pbtxt, so it is no model of Triton's"):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path)
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match=r"tiny exists and has no config\.pbtxt"):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path)


def test_it_appears_whole_or_not_at_all(tiny_export, model, tmp_path):
    source = tmp_path / "cut_saved_model"
    shutil.copytree(tiny_export, source)
    data = source / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    for name, repository in (("tiny", model.parent), ("new", tmp_path / "others")):
        with pytest.raises(tftrt_yolo.SavedModelError, match=r"variables\.data-00000-of-00001"):
            tftrt_yolo.triton(source, model_repository=repository, name=name)
    assert [path.name for path in model.parent.iterdir()] == ["tiny"]
    assert sorted(path.name for path in model.iterdir()) == ["1", "config.pbtxt", "labels.txt", "warmup"]
    assert not (tmp_path / "others").exists()


def test_what_others_put_beside_a_saved_model_stays_there(tiny_export, tmp_path):
    source = tmp_path / "mine_saved_model"
    shutil.copytree(tiny_export, source)
    (source / "notes").mkdir()
    (source / "notes" / "secret.txt").touch()
    os.mkfifo(source / "pipe")  # of which a copy would wait for ever
    tftrt_yolo.triton(source, model_repository=tmp_path / "models")
    assert _names(tmp_path / "models" / "mine" / "1" / "model.savedmodel") == _names(tiny_export)


def test_it_can_be_read_by_the_server(model):
    """Triton often runs as another user."""
    for path in [model, *model.rglob("*")]:
        mode = path.stat().st_mode
        assert mode & stat.S_IRGRP
        assert not path.is_dir() or mode & stat.S_IXGRP


def test_labels_are_a_line_each(tiny_export, tmp_path):
    from tftrt_yolo.serving.triton_repository import repository

    assert repository.labels_text({1: "a\nb", 0: "\x1b[31m", 2: "名"}) == "\\x1b[31m\na b\n名\n"


def test_without_tritons_client(tiny_export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with pytest.raises(
        tftrt_yolo.ServingError, match=r"expected tritonclient\. Install it: pip install 'tftrt_yolo\[triton\]'"
    ):
        tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_an_engine(engine, tmp_path):
    path = engine()
    report = tftrt_yolo.triton(engine_path=path, model_repository=tmp_path / "models")
    folder = tmp_path / "models" / "digits"
    assert _names(folder) == ["1/model.plan", "config.pbtxt", "labels.txt"]
    assert (folder / "1" / "model.plan").read_bytes() == PLAN  # without the header
    config = configuration.read(folder / "config.pbtxt")
    assert (config.platform, config.backend, config.max_batch_size) == ("tensorrt_plan", "tensorrt", 8)
    assert _tensors(config.input) == [f"images TYPE_FP32 [3, {SIDE}, {SIDE}]"]
    assert _tensors(config.output) == ["output0 TYPE_FP16 [7, 40]"]
    [group] = config.instance_group
    assert (group.Kind.Name(group.kind), list(group.profile)) == ("KIND_GPU", ["0"])
    assert "built by TensorRT-RTX 1.7.1.116, and Triton's TensorRT backend has TensorRT and cannot read" in str(report)
    assert "not run here" in str(report)
    assert tftrt_yolo.triton(engine_path=path, model_repository=tmp_path / "models").version == 2


def test_an_engine_with_several_profiles(engine, tmp_path):
    profiles = {"images": (profile(1, 1), profile(4, 32))}
    path = engine(builder="TensorRT", profiles=profiles, batch_sizes=(1, 32))
    report = tftrt_yolo.triton(engine_path=path, model_repository=tmp_path / "models", name="n", version=3)
    config = configuration.read(tmp_path / "models" / "n" / "config.pbtxt")
    assert (config.max_batch_size, list(config.instance_group[0].profile), report.version) == (32, ["0", "1"], 3)
    assert "for compute capability 8.9: Triton's must be the same" in str(report)


def test_an_engine_of_one_batch_size(engine, tmp_path):
    """Triton makes no batches for it: the batch is one of its axes."""
    tensors = [dataclasses.replace(one, dims=(2, *one.dims[1:])) for one in (IMAGES, OUTPUT)]
    tftrt_yolo.triton(
        engine_path=engine(tensors=tensors, profiles={}, batch_sizes=(2,)), model_repository=tmp_path / "m"
    )
    config = configuration.read(tmp_path / "m" / "digits" / "config.pbtxt")
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert _tensors(config.input) == [f"images TYPE_FP32 [2, 3, {SIDE}, {SIDE}]"]


def test_engines_that_are_none(engine, tiny_export, tmp_path):
    path = engine()
    cases = {
        "cut.engine": (path.read_bytes()[:-1], "is cut short"),
        "plan.engine": (PLAN, "has no header"),
        "changed.engine": (path.read_bytes()[:-1] + b"!", "is damaged: the SHA-256"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(tftrt_yolo.EngineError, match=message):
            tftrt_yolo.triton(engine_path=tmp_path / name, model_repository=tmp_path / "models")
    strange = engine("strange.engine", tensors=(IMAGES, dataclasses.replace(OUTPUT, type="FP8")))
    with pytest.raises(
        tftrt_yolo.ServingError, match=r"output0 FP8 .* is of a type that Triton's configuration has no word"
    ):
        tftrt_yolo.triton(engine_path=strange, model_repository=tmp_path / "models")
    with pytest.raises(tftrt_yolo.EngineError, match=r"does not say what its tensors are"):
        tftrt_yolo.triton(engine_path=engine("none.engine", tensors=()), model_repository=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_an_engine_beside_versions_of_a_saved_model(engine, model):
    with pytest.raises(tftrt_yolo.ServingError, match=r"has platform '', and the new version 'tensorrt_plan'"):
        tftrt_yolo.triton(engine_path=engine(), model_repository=model.parent, name="tiny")


def test_on_the_command_line(tiny_export, tmp_path, capfd):
    from tftrt_yolo.cli import command_line as cli

    flags = [f"--saved_model_dir={tiny_export}", f"--model_repository={tmp_path}", "--max_batch_size=4", "--json"]
    assert cli.main(["triton", *flags]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["name"], report["version"], report["max_batch_size"]) == ("tiny", 1, 4)
    assert report["outputs"][0] == "boxes TYPE_FP32 [-1, 4]"
