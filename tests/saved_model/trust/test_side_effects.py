"""Operations that touch more than tensors: found wherever they stand, refused before anything runs."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

import tftrt_yolo
from tests.conftest import IMAGES, OTHER_TASKS
from tests.saved_model.edits import copied, edit_graph, forget_digests
from tftrt_yolo import contract
from tftrt_yolo.saved_model import saved_model_pb, write
from tftrt_yolo.saved_model.trust import op_lists, side_effects
from tftrt_yolo.selection import Selection

METADATA = contract.Metadata("detect", {0: "a", 1: "b"}, (32, 32), 32, Selection(max_detections=5), "a.pt")


def _dense(frames):
    """A network that finds nothing."""
    batch = tf.shape(frames)[0]
    return {"boxes": tf.zeros((batch, 21, 4)), "scores": tf.zeros((batch, 21, 2))}


def _written(network, folder, tracked=None):
    model = folder / "strange_saved_model"
    write.save(network, METADATA, model, tracked=tracked)
    return model


class _Initialiser(tf.saved_model.experimental.TrackableResource):
    """Writes a file when a SavedModel that holds it is loaded."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    @tf.function(input_signature=[])
    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.float32)

    @tf.function(input_signature=[])
    def _initialize(self):
        tf.io.write_file(self._path, "written while it was loaded")


class _Aside(tf.Module):
    """Holds a function that nothing calls."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    @tf.function(input_signature=[])
    def aside(self):
        tf.io.write_file(self._path, "never written")


def _in_network(op):
    def network(frames):
        op()
        return _dense(frames)

    return network


def _in_branch(op):
    """Behind a condition that no input meets."""

    def network(frames):
        tf.cond(tf.shape(frames)[0] < 0, lambda: (op(), 0)[1], lambda: 0)
        return _dense(frames)

    return network


@pytest.mark.parametrize("name", ["tiny", "toy", *OTHER_TASKS])
def test_an_export_has_none(models, name):
    report = tftrt_yolo.inspect(models.exported(name))
    assert report.side_effects == {}
    assert "effects" not in str(report)


def test_a_conversion_has_none(tiny_conversion):
    assert tftrt_yolo.inspect(tiny_conversion).side_effects == {}


MODELS = {
    "signature": (lambda path: (_in_network(lambda: tf.io.write_file(path, "written")), None), {"WriteFile": 1}),
    "branch": (lambda path: (_in_branch(lambda: tf.io.write_file(path, "written")), None), {"WriteFile": 1}),
    "initialiser": (lambda path: (_dense, _Initialiser(path)), {"WriteFile": 1}),
    "aside": (lambda path: (_dense, _Aside(path)), {"WriteFile": 1}),
    "reading": (lambda path: (_in_network(lambda: tf.io.read_file("/etc/hostname")), None), {"ReadFile": 1}),
    "names": (lambda path: (_in_network(lambda: tf.io.matching_files("/*")), None), {"MatchingFiles": 1}),
    "printing": (lambda path: (_in_network(lambda: tf.print("a")), None), {"PrintV2": 1}),
    "data set": (
        lambda path: (_in_network(lambda: next(iter(tf.data.TextLineDataset("/etc/hostname")), None)), None),
        None,
    ),
    "Python": (
        lambda path: (_in_network(lambda: tf.numpy_function(lambda: Path(path).write_text("a"), [], tf.int64)), None),
        {"PyFunc": 1},
    ),
    "Python, eager": (
        lambda path: (_in_network(lambda: tf.py_function(lambda: 1, [], tf.int64)), None),
        {"EagerPyFunc": 1},
    ),
    "the end": (
        lambda path: (_in_branch(lambda: tf.raw_ops.Abort(error_msg="the end")), None),
        {"Abort": 1},
    ),
    "a checkpoint": (
        lambda path: (
            _in_network(
                lambda: tf.raw_ops.SaveV2(prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.zeros(1)])
            ),
            None,
        ),
        {"SaveV2": 1},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_listed_and_nothing_runs(tmp_path, name):
    make, ops = MODELS[name]
    path = tmp_path / "canary"
    network, tracked = make(str(path))
    model = _written(network, tmp_path, tracked)
    report = tftrt_yolo.inspect(model)
    assert report.side_effects
    if ops:
        assert {op: report.side_effects[op] for op in ops} == ops
        assert f"{next(iter(ops))} x 1" in next(line for line in str(report).splitlines() if "  effects  " in line)
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=r"holds operations that may touch files.*\w+ x \d+.*Expected none"
    ):
        tftrt_yolo.Predictor(model)
    with pytest.raises(tftrt_yolo.SavedModelError, match="pass allow_side_effects=True to Predictor or predict"):
        tftrt_yolo.predict(model, IMAGES[0], tmp_path / "out")
    assert not path.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["signature", "initialiser"])
def test_it_does_run_where_it_is_allowed(tmp_path, name):
    """So the tests above would see it."""
    path = tmp_path / "canary"
    model = _written(*MODELS[name][0](str(path))[:1], tmp_path, MODELS[name][0](str(path))[1])
    tftrt_yolo.Predictor(model, allow_side_effects=True)(IMAGES[0])
    assert path.exists()
    path.unlink()
    tftrt_yolo.predict(model, IMAGES[0], tmp_path / "out", allow_side_effects=True)
    assert path.exists()


def _evaluated(model, folder):
    tftrt_yolo.evaluate(model, folder / "data.yaml")


def _measured(model, folder):
    tftrt_yolo.sensitivity(model, IMAGES[0])


def _benchmarked(model, folder):
    tftrt_yolo.benchmark(model, folder / "out", contestants="tensorflow-fp32", batch_sizes=[1], seconds=0.1)


def _converted(model, folder, accelerator):
    tftrt_yolo.convert(model, folder / "out", accelerator=accelerator)


USES = {
    **{
        a: functools.partial(lambda m, f, a: tftrt_yolo.convert(m, f / "out", accelerator=a), a=a)
        for a in contract.PRECISION_MODES
    },
    "evaluate": _evaluated,
    "sensitivity": _measured,
}


@pytest.mark.parametrize("use", USES)
def test_nobody_else_takes_it(tmp_path, use):
    path = tmp_path / "canary"
    model = _written(MODELS["signature"][0](str(path))[0], tmp_path, _Initialiser(str(path)))
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=r"WriteFile x 2\. .*Predictor or predict, which alone take it"
    ):
        USES[use](model, tmp_path)
    assert not path.exists()


def test_a_benchmark_measures_nothing_of_it(tmp_path):
    """Each contestant fails by itself; the report says why."""
    path = tmp_path / "canary"
    model = _written(MODELS["signature"][0](str(path))[0], tmp_path, _Initialiser(str(path)))
    with pytest.raises(tftrt_yolo.TftrtYoloError, match="WriteFile x 2"):
        _benchmarked(model, tmp_path)
    assert not path.exists()


def test_the_command_line_lists_and_refuses_it(tmp_path):
    path = tmp_path / "canary"
    model = _written(MODELS["signature"][0](str(path))[0], tmp_path)

    def run(*words):
        command = [sys.executable, "-m", "tftrt_yolo", *words, f"--saved_model_dir={model}"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = run("inspect", "--json")
    assert json.loads(found.stdout)["side_effects"] == {"WriteFile": 1}
    predict = ("predict", f"--source={IMAGES[0]}", f"--output_dir={tmp_path / 'out'}")
    refused = run(*predict)
    assert refused.returncode != 0
    assert "pass --allow_side_effects to Predictor or predict" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not path.exists()
    assert run(*predict, "--allow_side_effects").returncode == 0
    assert path.exists()


def test_an_operation_that_nobody_knows(toy_export, tmp_path):
    def add(meta_graph):
        meta_graph.graph_def.node.add(name="stranger", op="NoSuch\x1b[31mOp")

    model = edit_graph(copied(toy_export, tmp_path), add)
    assert tftrt_yolo.inspect(model).side_effects == {"NoSuch\x1b[31mOp": 1}
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"NoSuch\\x1b\[31mOp x 1\. "):
        tftrt_yolo.Predictor(model)


def _saver_function(meta_graph, which):
    name = {"save": meta_graph.saver_def.save_tensor_name, "restore": meta_graph.saver_def.restore_op_name}[which]
    [node] = [node for node in meta_graph.graph_def.node if node.name == name.partition(":")[0]]
    return node.attr["f"].func.name


@pytest.mark.parametrize("which", ["save", "restore"])
def test_the_saver_s_functions_are_only_the_saver_s(toy_export, tmp_path, which):
    """Called from elsewhere they would write or read any file."""

    def call(meta_graph):
        node = meta_graph.graph_def.node.add(name="stranger", op="StatefulPartitionedCall")
        node.attr["f"].func.name = _saver_function(meta_graph, which)

    found = tftrt_yolo.inspect(edit_graph(copied(toy_export, tmp_path), call)).side_effects
    assert found == (
        {"MergeV2Checkpoints": 1, "SaveV2": 1, "ShardedFilename": 1} if which == "save" else {"RestoreV2": 1}
    )


def test_the_saver_s_functions_are_no_object_s(toy_export, tmp_path):
    """An object's functions may run while it is loaded."""

    def own(meta_graph):
        meta_graph.object_graph_def.concrete_functions[_saver_function(meta_graph, "restore")].SetInParent()

    assert tftrt_yolo.inspect(edit_graph(copied(toy_export, tmp_path), own)).side_effects == {"RestoreV2": 1}


def test_the_saver_may_only_save(toy_export, tmp_path):
    def write_file(meta_graph):
        name = _saver_function(meta_graph, "save")
        [function] = [f for f in meta_graph.graph_def.library.function if f.signature.name == name]
        function.node_def.add(name="stranger", op="WriteFile")

    assert tftrt_yolo.inspect(edit_graph(copied(toy_export, tmp_path), write_file)).side_effects == {"WriteFile": 1}


def test_what_the_lists_are_read_from():
    message = saved_model_pb.SavedModel()
    assert side_effects.find(message.meta_graphs.add()) == {}


def _registry():
    data = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return op_def_pb2.OpList.FromString(data).op


def test_every_operation_of_this_tensorflow_was_judged():
    """A new TensorFlow brings new ones: put each that this names into one of the lists."""
    judged = op_lists.HARMLESS | op_lists.SIDE_EFFECTS
    new = [op.name for op in _registry() if op.is_stateful or op_lists.TELLING.search(op.name)]
    assert len(new) > 500
    assert [name for name in new if name not in judged] == []
    assert frozenset() == op_lists.HARMLESS & op_lists.SIDE_EFFECTS


def test_operations_that_are_known_to_touch_more():
    touching = "ReadFile WriteFile MatchingFiles SaveV2 RestoreV2 PyFunc EagerPyFunc PyFuncStateless PrintV2 Abort Send"
    touching += " ImmutableConst DecodeProtoV2 GenerateVocabRemapping DebugIdentity XlaCustomCallV2 CollectiveReduceV2"
    for op in touching.split():
        assert side_effects.has_side_effects(op)
    for op in ("Conv2D", "VarHandleOp", "StatefulPartitionedCall", "If", "While", "DecodeJpeg", "TRTEngineOp", "Mul"):
        assert not side_effects.has_side_effects(op)


def test_digests_are_no_leave_to_run(tmp_path):
    path = tmp_path / "canary"
    model = forget_digests(_written(MODELS["signature"][0](str(path))[0], tmp_path))
    with pytest.raises(tftrt_yolo.SavedModelError, match="WriteFile x 1"):
        tftrt_yolo.Predictor(model)
    assert not path.exists()
