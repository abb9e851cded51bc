"""A version for TensorFlow Serving: its records are replayed, its files parsed by the server's own messages."""

import asyncio
import contextlib
import errno
import itertools
import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

import tftrt_yolo
from tests.conftest import IMAGES
from tests.serving.tf_serving_files.messages import batching_parameters
from tftrt_yolo.ground.files import directories
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.serving.tf_serving_files import warmup

pytest.importorskip("tensorflow_serving")
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

TASKS = ("tiny", "segment", "pose", "obb", "classify", "semantic", "depth")


def _requests(version_dir):
    """Signature, batch size and tensors of each record, in their order."""
    for record in tf.data.TFRecordDataset(str(version_dir / warmup.FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        tensors = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()}
        yield request.model_spec, tensors


def _replay(version_dir, signatures):
    """Runs every record; gives the signatures and batch sizes."""
    seen = []
    for spec, tensors in _requests(version_dir):
        assert spec.name == version_dir.parent.name
        outputs = signatures[spec.signature_name](**tensors)
        [size] = {len(value) for value in tensors.values()}
        assert {len(values) for values in outputs.values()} == {size}
        if "status" in outputs:
            assert set(outputs["status"].numpy()) == {b""}
        seen.append((spec.signature_name, size))
    return seen


@pytest.mark.parametrize("name", TASKS)
def test_records_are_replayed_by_the_signatures(models, tmp_path, name):
    report = tftrt_yolo.tf_serving(models.exported(name), tmp_path / "digits", batch_sizes=(3, 1))
    version_dir = tmp_path / "digits" / "1"
    seen = _replay(version_dir, tf.saved_model.load(str(version_dir)).signatures)
    assert seen == list(
        itertools.product((1, 3), warmup.SIGNATURES),
    ) or sorted(seen) == sorted((signature, size) for size in (1, 3) for signature in warmup.SIGNATURES)
    assert (report.version, report.model_name, report.records, report.batch_sizes) == (1, "digits", 6, (1, 3))
    assert report.warmup_bytes == (version_dir / warmup.FILE).stat().st_size < 1_000_000


@pytest.fixture(scope="module")
def compiled(toy_export, tmp_path_factory):
    """The toy for XLA, compiled for 1 and 4."""
    path = tmp_path_factory.mktemp("compiled") / "toy_xla_saved_model"
    options = tftrt_yolo.BakedOptions(batch_sizes=(4, 1), parity_images=str(IMAGES[0]))
    tftrt_yolo.convert(toy_export, path, accelerator="xla", precision_mode="FP32", baked=options)
    return path


def test_a_model_for_xla_is_warm_for_what_it_is_compiled_for(compiled, tmp_path):
    report = tftrt_yolo.tf_serving(compiled, tmp_path / "toy")
    assert report.batch_sizes == (1, 4)
    seen = _replay(tmp_path / "toy" / "1", tf.saved_model.load(str(tmp_path / "toy" / "1")).signatures)
    assert {size for _, size in seen} == {1, 4}
    assert "--xla_cpu_compilation_enabled=true" in report.docker_command
    assert "-gpu" not in report.docker_command
    assert report.needs[0].startswith("the flag for XLA in the command, on GPUs too")


def test_engines_that_are_built_at_first_use_meet_one_size(tiny_conversion, tmp_path):
    """TF-TRT builds for the first batch that it meets; the rest would be TensorFlow's."""
    report = tftrt_yolo.tf_serving(tiny_conversion, tmp_path / "digits")
    handle = open_saved_model(tmp_path / "digits" / "1")
    largest = max(handle.conversion["batch_sizes"])
    if handle.conversion["engines_built"]:
        pytest.skip("engines can be built here")
    assert report.batch_sizes == (largest,)
    signatures, _ = load.load(handle, strict=False)
    assert {size for _, size in _replay(handle.directory, signatures)} == {largest}
    assert "--gpus all" in report.docker_command
    assert "-gpu --model_config_file" in report.docker_command
    assert report.needs[0] == "a GPU, and a TensorFlow with TF-TRT: the -gpu image"
    assert "builds the engines while it warms up" in report.needs[1]


def test_it_is_the_saved_model_that_it_was(tiny_export, tmp_path):
    """The seal holds, and Predictor and inspect take it."""
    tftrt_yolo.tf_serving(tiny_export, tmp_path / "digits", batch_sizes=(1,))
    version_dir = tmp_path / "digits" / "1"
    handle = open_saved_model(version_dir)
    assert handle.files == open_saved_model(tiny_export).files
    digests.check(handle)
    assert tftrt_yolo.inspect(version_dir).metadata == tftrt_yolo.inspect(tiny_export).metadata
    [found], [expected] = (tftrt_yolo.Predictor(path)(IMAGES[:1]) for path in (version_dir, tiny_export))
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    again = tftrt_yolo.tf_serving(version_dir, tmp_path / "digits")  # of a version another
    assert again.version == 2
    assert again.records == 12


def test_what_the_server_reads_beside_it(toy_export, tmp_path):
    report = tftrt_yolo.tf_serving(toy_export, tmp_path / "a b" / "digits-v8.1")
    base = tmp_path / "a b" / "digits-v8.1"
    config = text_format.Parse((base / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("digits-v8.1", "/models/digits-v8.1", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1
    parameters = batching_parameters((base / "batching_parameters.txt").read_text())
    assert parameters.max_batch_size.value == 8
    assert list(parameters.allowed_batch_sizes) == [1, 2, 4, 8]
    assert parameters.batch_timeout_micros.value == 1000
    assert parameters.num_batch_threads.value == 2
    assert not parameters.pad_variable_length_inputs
    assert (base / "1" / "batching_params.pbtxt").read_text() == (base / "batching_parameters.txt").read_text()
    command = shlex.split(report.docker_command)
    assert f"{base}:/models/digits-v8.1:ro" in command
    assert "127.0.0.1:8501:8501" in command
    assert "gpu" not in report.docker_command
    assert any(word.startswith("tensorflow/serving:2.") for word in command)
    assert {path.name for path in base.iterdir()} == {"1", "models.config", "batching_parameters.txt"}


def test_its_curl_line_is_what_the_rest_interface_takes(toy_export, tmp_path):
    """Up to curl itself: the body is one JSON document with the file in it."""
    report = tftrt_yolo.tf_serving(toy_export, tmp_path / "digits", batch_sizes=(1,))
    make, _, send = report.curl_command.partition(" | ")
    (tmp_path / "photo.jpg").write_bytes(IMAGES[0].read_bytes())
    body = subprocess.run(["bash", "-c", make], cwd=tmp_path, capture_output=True, check=True).stdout
    document = json.loads(body)
    assert document["signature_name"] == "encoded"
    assert tf.io.decode_base64(
        document["instances"][0]["b64"].replace("+", "-").replace("/", "_").rstrip("=")
    ).numpy() == (IMAGES[0].read_bytes())
    assert send == f"curl --data @- {report.rest_url}:predict"
    assert report.rest_url == "http://127.0.0.1:8501/v1/models/digits"


def test_versions_are_counted_on_and_never_replaced(toy_export, tmp_path):
    base = tmp_path / "digits"
    (base / "007").mkdir(parents=True)
    (base / "notes").mkdir()
    assert tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,)).version == 8
    with pytest.raises(FileExistsError, match=r"digits has a version 7 already.*the next is 9, which is taken where"):
        tftrt_yolo.tf_serving(toy_export, base, version=7)
    before = (base / "8" / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match=r"has a version 8 already, and none is ever replaced"):
        tftrt_yolo.tf_serving(toy_export, base, version=np.int64(8))
    assert (base / "8" / "saved_model.pb").stat().st_mtime_ns == before
    report = tftrt_yolo.tf_serving(toy_export, base, version=2, batch_sizes=(1,))
    assert report.notes == ("version 8 is there, and a server that serves the latest serves that",)
    assert sorted(path.name for path in base.iterdir() if path.is_dir()) == ["007", "2", "8", "notes"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"version": 0}, ValueError, r"^version is 0; it must be a whole number from 1 to 9223372036854775807\. Leave"),
        ({"version": -1}, ValueError, r"^version is -1; .* for the next, 1\.$"),
        ({"version": "two"}, ValueError, r"^version is 'two'; it must be"),
        ({"version": "2"}, ValueError, r"^version is '2'; it must be"),
        ({"version": True}, ValueError, r"^version is True; it must be"),
        ({"version": 1.5}, ValueError, r"^version is 1\.5; it must be"),
        ({"version": 1 << 63}, ValueError, r"^version is 9223372036854775808; it must be"),
        ({"batch_sizes": ()}, ValueError, r"^batch_sizes is \(\); expected one or more"),
        ({"batch_sizes": (0, 1)}, ValueError, r"^batch_sizes is \(0, 1\); expected one or more whole numbers"),
        ({"batch_sizes": 8}, ValueError, r"^batch_sizes is 8; expected whole numbers"),
        ({"batch_sizes": range(1, 335)}, ValueError, r"334 sizes, .* 1,002 warm-up .* takes 1,000\. Give at most 333"),
        ({"batch_sizes": (65_536,)}, ValueError, r"up to 65,536, whose .* could take 5,436 MB; at most 268"),
        ({"base_path": "my digits"}, ValueError, r"^base_path is my digits, whose name 'my digits' .* expected let"),
        ({"base_path": "/"}, ValueError, r"^base_path is /, whose name '' would be"),
        ({"base_path": "file"}, FileExistsError, r"^file/version cannot be written, for file is a file; expected"),
        ({"base_path": "file/digits"}, FileExistsError, r"^file/digits/version cannot be written, for file is a file"),
        ({"saved_model_dir": "nowhere"}, tftrt_yolo.SavedModelError, r"^nowhere is no directory\. Expected"),
        ({"saved_model_dir": "empty"}, tftrt_yolo.SavedModelError, r"^empty has no saved_model\.pb\."),
        ({"saved_model_dir": "plain"}, tftrt_yolo.SavedModelError, r"^plain has no metadata\.yaml, so it is"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(toy_export, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "saved_model.pb").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        tftrt_yolo.tf_serving(**{"saved_model_dir": toy_export, "base_path": "digits"} | arguments)
    assert sorted(tmp_path.rglob("*")) == before


def test_sizes_that_a_conversion_was_not_made_for(compiled, tiny_conversion, tmp_path):
    with pytest.raises(ValueError, match=r"^batch_sizes has 2, and .* is compiled for 1, 4; expected some of 1, 4\. "):
        tftrt_yolo.tf_serving(compiled, tmp_path / "digits", batch_sizes=(1, 2))
    if not open_saved_model(tiny_conversion).conversion["engines_built"]:
        with pytest.raises(ValueError, match=r"has 3, and .* has engines that are built for the first batch"):
            tftrt_yolo.tf_serving(tiny_conversion, tmp_path / "digits", batch_sizes=(3,))
    assert list(tmp_path.iterdir()) == []


def test_a_base_within_the_saved_model(toy_export):
    with pytest.raises(ValueError, match=r"base_path is .*, which lies in the SavedModel .*Expected a folder"):
        tftrt_yolo.tf_serving(toy_export, toy_export / "versions")
    assert not (toy_export / "versions").exists()


def test_a_damaged_model_is_not_handed_on(toy_export, tmp_path):
    damaged = tmp_path / "toy_saved_model"
    subprocess.run(["cp", "-r", toy_export, damaged], check=True)
    with open(damaged / "variables" / "variables.index", "ab") as file:
        file.write(b"x")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"variables\.index is not as it was written"):
        tftrt_yolo.tf_serving(damaged, tmp_path / "digits")
    assert not (tmp_path / "digits").exists()


def test_a_models_config_of_others_is_kept_and_extended(toy_export, tmp_path):
    base = tmp_path / "digits"
    base.mkdir()
    others = '# ours\nmodel_config_list {\n  config { name: "cats" base_path: "/models/cats" }  # }\n}\n# the end }\n'
    (base / "models.config").write_text(others)
    tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    text = (base / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert [model.name for model in config.model_config_list.config] == ["cats", "digits"]
    assert all(line in text for line in others.splitlines())
    tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    assert (base / "models.config").read_text() == text


def test_a_models_config_that_names_versions_is_said(toy_export, tmp_path):
    base = tmp_path / "digits"
    base.mkdir()
    policy = "model_version_policy { specific { versions: 3 versions: 4 } }"
    text = f'model_config_list {{ config {{ name: "digits" base_path: "/models/digits/" {policy} }} }}'
    (base / "models.config").write_text(text)
    report = tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    [note] = report.notes
    assert note.startswith("models.config names the versions 3, 4 of this model, so this one is not served until")
    assert (base / "models.config").read_text() == text
    assert note in str(report)


def test_batching_that_somebody_changed_stays(toy_export, tmp_path):
    base = tmp_path / "digits"
    tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    report = tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1, 4))
    assert report.notes == ("batching_parameters.txt has the batch sizes of this version now",)
    assert batching_parameters((base / "batching_parameters.txt").read_text()).max_batch_size.value == 4
    (base / "batching_parameters.txt").write_text("max_batch_size { value: 5 }\n")
    report = tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    assert report.notes[0].startswith(
        "batching_parameters.txt was changed by somebody and stays as it is; this version"
    )
    assert (base / "batching_parameters.txt").read_text() == "max_batch_size { value: 5 }\n"
    assert list(batching_parameters((base / "3" / "batching_params.pbtxt").read_text()).allowed_batch_sizes) == [1]


@contextlib.contextmanager
def _mounted(path, size):
    """A small disk, where that may be made."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("size", ["64k", "4k"])
def test_a_full_disk_leaves_nothing(toy_export, tmp_path, size):
    with _mounted(tmp_path / "disk", size) as disk:
        with pytest.raises(OSError, match=r"No space left|full|failed") as raised:
            tftrt_yolo.tf_serving(toy_export, disk / "deep" / "digits", batch_sizes=(1,))
        assert raised.value.errno == errno.ENOSPC
        assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_base_as_it_was(toy_export, tmp_path):
    """A size that holds one version, and the beginning of another."""
    size = int(directories.size_bytes(toy_export) * 1.5) + 300_000
    with _mounted(tmp_path / "disk", size) as disk:
        tftrt_yolo.tf_serving(toy_export, disk / "digits", batch_sizes=(1,))
        before = {path: path.read_bytes() for path in (disk / "digits").rglob("*") if path.is_file()}
        with pytest.raises(OSError, match=r"No space left"):
            tftrt_yolo.tf_serving(toy_export, disk / "digits", batch_sizes=(2,))
        assert {path: path.read_bytes() for path in (disk / "digits").rglob("*") if path.is_file()} == before


def test_a_base_that_cannot_be_written(toy_export, tmp_path):
    with _mounted(tmp_path / "disk", "1m") as disk:
        (disk / "digits").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OSError, match=r"Read-only file system"):
            tftrt_yolo.tf_serving(toy_export, disk / "digits")
        with pytest.raises(OSError, match=r"Read-only file system"):
            tftrt_yolo.tf_serving(toy_export, disk / "deep" / "digits")


def test_a_version_never_is_there_by_half(toy_export, tmp_path, monkeypatch):
    """Whenever the server looks, what has a number is whole: here it looks before every record."""
    base, looks = tmp_path / "digits", []
    records = warmup.records

    def looking(*arguments):
        for record in records(*arguments):
            looks.append([path.name for path in base.iterdir() if path.name.isdecimal()])
            yield record

    monkeypatch.setattr(warmup, "records", looking)
    tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    assert looks == [[], [], []]
    monkeypatch.setattr(warmup, "records", lambda *_: (1 / 0 for _ in "x"))
    before = sorted(base.rglob("*"))
    with pytest.raises(ZeroDivisionError):
        tftrt_yolo.tf_serving(toy_export, base)
    assert sorted(base.rglob("*")) == before
    with pytest.raises(ZeroDivisionError):
        tftrt_yolo.tf_serving(toy_export, tmp_path / "deep" / "other")
    assert not (tmp_path / "deep").exists()


def test_who_comes_second_is_told(toy_export, tmp_path, monkeypatch):
    records, base = warmup.records, tmp_path / "digits"

    def meanwhile(*arguments):
        (base / "1").mkdir()
        (base / "1" / "saved_model.pb").touch()
        return records(*arguments)

    monkeypatch.setattr(warmup, "records", meanwhile)
    with pytest.raises(FileExistsError, match=r"has a version 1 already, and none is ever replaced.*next is 2"):
        tftrt_yolo.tf_serving(toy_export, base, batch_sizes=(1,))
    assert [path.name for path in base.rglob("*")] == ["1", "saved_model.pb"]


def test_without_the_extra(toy_export, tmp_path):
    from tests.workflows.accepting import hidden

    environment = os.environ | {"PYTHONPATH": hidden.python_path(tmp_path, "tensorflow_serving")}
    command = [sys.executable, "-m", "tftrt_yolo", "tf_serving", f"--saved_model_dir={toy_export}"]
    command.append(f"--base_path={tmp_path / 'digits'}")
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 1
    assert (
        "tensorflow_serving cannot be imported; expected tensorflow-serving-api. pip install 'tftrt_yolo[serve]'"
        in (result.stderr)
    )
    assert not (tmp_path / "digits").exists()


def test_the_command(toy_export, tmp_path):
    flags = [f"--saved_model_dir={toy_export}", f"--base_path={tmp_path / 'digits'}", "--version=3", "--json"]
    flags.append("--batch_sizes=1,2")
    result = subprocess.run(
        [sys.executable, "-m", "tftrt_yolo", "tf_serving", *flags], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["version"], document["records"], document["batch_sizes"]) == (3, 6, [1, 2])
    assert (tmp_path / "digits" / "3" / warmup.FILE).is_file()


def test_the_servers_client_gets_answers_to_every_record_from_serve(toy_export, compiled, tiny_conversion, tmp_path):
    """Its own stub sends them; each folder is a model in a repository of ours, whatever else lies in it."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    from tftrt_yolo.serving.server import Server, Settings

    requests = []
    for name, path in {"toy": toy_export, "compiled": compiled, "engines": tiny_conversion}.items():
        report = tftrt_yolo.tf_serving(path, tmp_path / "models" / name, version=3)
        version_dir = tmp_path / "models" / name / str(report.version)
        records = tf.data.TFRecordDataset(str(version_dir / warmup.FILE)).take(len(warmup.SIGNATURES))
        requests += [prediction_log_pb2.PredictionLog.FromString(one.numpy()).predict_log.request for one in records]

    def ask(address):
        with grpc.insecure_channel(address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return [stub.Predict(request, timeout=120) for request in requests]

    async def serve():
        models = tftrt_yolo.ModelOptions(model_repository=tmp_path / "models")
        batching = tftrt_yolo.BatchingOptions(max_batch_size=8)
        listen = tftrt_yolo.ListenOptions(http_port=0, grpc_port=0)
        async with Server(Settings(models, batching, listen)) as server:
            return await asyncio.to_thread(ask, server.serving.grpc_address)

    assert len(requests) == 9
    for request, response in zip(requests, asyncio.run(serve()), strict=True):
        assert response.model_spec.name == request.model_spec.name
        assert response.model_spec.version.value == 3
        assert response.model_spec.signature_name == request.model_spec.signature_name
        [size] = {proto.tensor_shape.dim[0].size for proto in request.inputs.values()}
        assert {proto.tensor_shape.dim[0].size for proto in response.outputs.values()} == {size}
