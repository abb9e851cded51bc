"""Engines are loaded by what built them: a rehearsal's in a rehearsal, TensorRT's with TensorRT."""

import dataclasses
import gc
import shutil
import weakref

import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import IMAGES
from tests.saved_model.edits import copied, edit_graph, edit_metadata, forget_digests, renew_digests, with_built_engine
from tftrt_yolo import contract
from tftrt_yolo.saved_model import load, saved_model_pb
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.loaded.backend import Backend
from tftrt_yolo.saved_model.trust import believed


@pytest.fixture
def handle(tiny_conversion):
    """A conversion, with what its report says of the builder changed."""
    opened = open_saved_model(tiny_conversion)
    return lambda **facts: dataclasses.replace(opened, conversion=opened.conversion | facts)


def test_engines_of_a_rehearsal_are_refused_where_tensorrt_is(handle):
    with pytest.raises(
        tftrt_yolo.SavedModelError,
        match=r"tiny_tensorrt_saved_model holds engines of a rehearsal, which the stand-in for TensorRT built, and "
        r"here TensorRT is loaded, which cannot read them\. Convert the export again\.",
    ):
        load._check_builder(handle(has_stand_in=True), has_stand_in=False)


def test_tensorrts_engines_are_refused_in_a_rehearsal(handle):
    with pytest.raises(
        tftrt_yolo.SavedModelError,
        match=r"tiny_tensorrt_saved_model holds engines that TensorRT built, and here the stand-in for TensorRT is "
        r"loaded.* convert the export again in the rehearsal\.",
    ):
        load._check_builder(handle(has_stand_in=False), has_stand_in=True)


def test_engines_of_the_same_builder_are_not(handle):
    load._check_builder(handle(has_stand_in=True), has_stand_in=True)
    load._check_builder(handle(has_stand_in=False), has_stand_in=False)
    older = handle()
    del older.conversion["has_stand_in"]  # a file of an older version, which knew no rehearsal
    load._check_builder(older, has_stand_in=False)
    with pytest.raises(tftrt_yolo.SavedModelError, match="holds engines that TensorRT built"):
        load._check_builder(older, has_stand_in=True)


def test_what_a_backend_is_called():
    assert Backend("TensorRT stand-in", "GPU", "engines built ahead").is_stand_in
    assert not Backend("TensorRT", "GPU", "engines built ahead").is_stand_in
    assert not Backend("TensorFlow", "CPU", "the model was not converted").is_stand_in


@pytest.mark.parametrize(("built_by", "loaded"), [("8.6.1", "10.8.0"), ("10.8.0", "8.6.1"), ("8.6.1", "8.6.2")])
def test_engines_of_another_tensorrt_are_refused(handle, built_by, loaded):
    words = rf"holds engines that TensorRT {built_by} built, and here TensorRT {loaded} is loaded, which cannot read"
    with pytest.raises(tftrt_yolo.SavedModelError, match=words):
        load._check_version(handle(loaded_tensorrt=built_by), loaded)
    load._check_version(handle(loaded_tensorrt=loaded), loaded)
    load._check_version(handle(loaded_tensorrt=None), loaded)  # converted without TensorRT: it holds no engines


def test_what_is_no_version_is_shown_as_a_text(handle):
    """conversion.json is a stranger's."""
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"that TensorRT 8\\x1b\[2J built, and here TensorRT 8\.6\.1"):
        load._check_version(handle(loaded_tensorrt="8\x1b[2J"), "8.6.1")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"that TensorRT x{13} \.\.\. x+ built"):
        load._check_version(handle(loaded_tensorrt="x" * 1_000), "8.6.1")


@pytest.fixture
def no_collector():
    """Objects go when nobody refers to them, or not at all."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("key", contract.ALL_SIGNATURES)
def test_a_signature_keeps_what_it_was_loaded_with(tiny_export, no_collector, key):
    """Variables and engines go with the loaded object: one signature must keep it, and the last one let it go at once.

    Left to Python's collector, a model that nobody uses any more would hold the GPU's memory for minutes.
    """
    signatures, _ = load.load(open_saved_model(tiny_export), strict=False)
    signature = signatures[key]
    loaded = weakref.ref(signature.loaded)
    del signatures
    assert loaded() is not None
    gc.collect()
    assert loaded() is not None
    del signature
    assert loaded() is None


def test_a_network_keeps_what_it_was_loaded_with(tiny_export, no_collector):
    from tftrt_yolo.saved_model.network import SavedModelNetwork

    network = SavedModelNetwork(open_saved_model(tiny_export), strict=False)
    loaded = weakref.ref(network._network.loaded)
    gc.collect()
    assert loaded() is not None
    del network
    assert loaded() is None


@pytest.fixture(scope="module")
def built(tiny_conversion, tmp_path_factory):
    """A conversion with a built engine, which TensorFlow loads here and cannot run."""
    return with_built_engine(tiny_conversion, tmp_path_factory.mktemp("built") / "x")


def _loaded(model, device="GPU"):
    handle = open_saved_model(model)
    built = saved_model_pb.built_engine_bytes(handle.directory)
    return load._load_with_engines(handle, believed.read(handle), built, device)


def test_a_conversion_with_built_engines_is_believed(built, tiny_conversion):
    """TensorFlow keeps the path of an engine's file in a variable, which is no export's."""
    graph = saved_model_pb.read(built).meta_graphs[0].graph_def
    [variable] = [node for node in saved_model_pb.all_nodes(graph) if node.op == "VarHandleOp"]
    assert variable.attr["dtype"].type == tf.string.as_datatype_enum
    assert list(tftrt_yolo.inspect(built).built_engine_bytes.values()) == [6]
    if tftrt_yolo.check().can_build_engines:
        pytest.skip("its engine cannot be read where there is TensorRT")
    predictor = tftrt_yolo.Predictor(built)
    assert predictor.backend.name == "TensorFlow"
    [found], [expected] = predictor(IMAGES[:1]), tftrt_yolo.Predictor(tiny_conversion)(IMAGES[:1])
    assert (found.xyxy == expected.xyxy).all()


def test_such_a_variable_without_a_built_engine_is_not(built, tmp_path):
    model = copied(built, tmp_path)
    [engine] = (model / "assets").iterdir()
    engine.write_bytes(b"")
    with pytest.raises(tftrt_yolo.SavedModelError, match="has variables of an export in its graph"):
        tftrt_yolo.inspect(renew_digests(model))


def test_built_engines_are_loaded_once(built, tmp_path, no_collector):
    """TF-TRT cannot load a process's engine of a name twice ("Expect engine cache to be empty")."""
    first, again = _loaded(built), _loaded(built)
    assert again[contract.SERVING].loaded is first[contract.NETWORK].loaded
    moved = _loaded(shutil.copytree(built, tmp_path / "moved_saved_model"))
    assert moved[contract.NETWORK].loaded is first[contract.NETWORK].loaded
    loaded = weakref.ref(first[contract.NETWORK].loaded)
    del first, again, moved
    assert loaded() is None


def _with_another_graph(model, folder):
    def change(meta_graph):
        meta_graph.meta_info_def.meta_graph_version = "another"

    return edit_graph(copied(model, folder), change)


def test_engines_of_the_same_names_are_another_models(built, tmp_path):
    """TF-TRT would run those that it has; when nobody uses these any more, the other model can be loaded."""
    other = _with_another_graph(built, tmp_path)
    first = _loaded(built)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"edited_saved_model holds engines of the same names as ano"):
        _loaded(other)
    loaded = first[contract.NETWORK].loaded
    del first
    circle = [loaded]
    circle.append(circle)
    del loaded, circle
    second = _loaded(other)
    with pytest.raises(tftrt_yolo.SavedModelError, match="holds engines of the same names as another SavedModel"):
        _loaded(built)
    del second
    _loaded(built)


def test_engines_are_on_one_device_of_a_process(built):
    first = _loaded(built, device="GPU:0")
    with pytest.raises(tftrt_yolo.SavedModelError, match="or as itself on another device"):
        _loaded(built, device="GPU:1")
    del first


def test_some_engines_of_the_same_names_are_another_models_too(built, tmp_path):
    other = open_saved_model(_with_another_graph(built, tmp_path))
    first = _loaded(built)
    names = [*saved_model_pb.built_engine_bytes(built), "TRTEngineOp_000_001"]
    with pytest.raises(tftrt_yolo.SavedModelError, match="holds engines of the same names as another SavedModel"):
        load._load_with_engines(other, believed.read(other), names, "GPU")
    del first


def test_the_metadata_of_what_is_loaded_already_are_compared(built, tmp_path):
    """Graph and engines are the same, and metadata.yaml says something else of what the functions give."""
    model = edit_metadata(copied(built, tmp_path), lambda document: document.update(names=["a", "b"]))
    handle = open_saved_model(forget_digests(model))
    first = _loaded(built)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"In metadata\.yaml the number of names is 2"):
        load._load_with_engines(handle, None, saved_model_pb.built_engine_bytes(handle.directory), "GPU")
    del first
