"""Predictors that travel to other processes: their pickles hold a directory, and it is opened again."""

import concurrent.futures
import copy
import functools
import multiprocessing
import os
import pickle
import shutil

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.engines.rehearsal import ExecutorRuntime, facts, metadata, recorded
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.predictor import reopening
from tftrt_yolo.predictor.reopening import Opening

_SPAWN = multiprocessing.get_context("spawn")


def _found(predictor, path):
    """In another process: which it is, and what was found."""
    return os.getpid(), type(predictor), predictor(path)


def test_a_pickle_is_small_and_opens_the_same(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    pickled = pickle.dumps(predictor)
    assert len(pickled) < 5_000
    again = pickle.loads(pickled)
    assert again is not predictor
    assert again(IMAGES[:3]) == predictor(IMAGES[:3])
    assert pickle.loads(pickle.dumps(again))(IMAGES[0]) == predictor(IMAGES[0])


def test_what_it_was_opened_with_stays(tiny_export, tmp_path, monkeypatch):
    """Also where the directory was given by a path that means nothing elsewhere."""
    shutil.copytree(tiny_export, tmp_path / "a_saved_model")
    monkeypatch.chdir(tmp_path)
    predictor = tftrt_yolo.Predictor("a_saved_model", strict=True, allow_side_effects=True)
    predictor.warm_up((2,))
    pickled = pickle.dumps(predictor)
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    assert again._warm_batch_sizes == (2,)
    assert again._opening == predictor._opening
    assert again._opening.keywords == {"strict": True, "allow_side_effects": True}


def test_copies_are_the_predictor_itself(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    assert copy.copy(predictor) is predictor
    assert copy.deepcopy({"a": [predictor]})["a"][0] is predictor


def test_processes_that_are_spawned(tiny_export):
    """A pool is given one as an argument and inside a partial function."""
    predictor = tftrt_yolo.Predictor(tiny_export)
    expected = [predictor(path) for path in IMAGES[:2]]
    with _SPAWN.Pool(1) as pool:
        found = pool.starmap(_found, [(predictor, path) for path in IMAGES[:2]])
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=_SPAWN) as executor:
        found += executor.map(functools.partial(_found, predictor), IMAGES[:2])
    assert os.getpid() not in {pid for pid, _, _ in found}
    for (_, kind, results), own in zip(found, [*expected, *expected], strict=True):
        assert kind is tftrt_yolo.Predictor
        assert type(results[0]) is type(own[0])
        np.testing.assert_allclose(results[0].xyxy, own[0].xyxy, atol=1e-3)


@pytest.mark.parametrize("package", ["cloudpickle", "dill"])
def test_pickles_of_spark_and_ray(tiny_export, package):
    module = pytest.importorskip(package)
    predictor = tftrt_yolo.Predictor(tiny_export)
    function = module.loads(module.dumps(lambda path: predictor(path)))
    assert function(IMAGES[0]) == predictor(IMAGES[0])


def test_a_model_that_is_gone_or_another(models, tmp_path):
    folder = tmp_path / "a_saved_model"
    shutil.copytree(models.exported("tiny"), folder)
    pickled = pickle.dumps(tftrt_yolo.Predictor(folder))
    shutil.rmtree(folder)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"A pickled Predictor of .* again: .* is no directory\."):
        pickle.loads(pickled)
    shutil.copytree(models.exported("digits"), folder)
    message = r"of .*a_saved_model cannot be opened again: another model is there now than when it was pickled\. Make"
    with pytest.raises(tftrt_yolo.SavedModelError, match=message):
        pickle.loads(pickled)
    (folder / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"A pickled Predictor of .* cannot be opened again: "):
        pickle.loads(pickled)


def test_an_engine_with_a_runtime_of_its_own_stays_where_it_is(tmp_path):
    model = metadata("detect")
    runtime = ExecutorRuntime(with_ultralytics_layout(recorded(model), model, batch_size=1), {})
    path = tmp_path / "a.engine"
    engine_file.write(path, model, facts(runtime.tensors, batch_sizes=(1,), profiles={}), b"a plan")
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    with pytest.raises(TypeError, match=r"EnginePredictor of .*a\.engine cannot be pickled: it was given a runtime"):
        pickle.dumps(predictor)
    assert copy.deepcopy(predictor) is predictor


def test_an_engine_that_is_gone(tmp_path):
    opening = Opening(tmp_path / "a.engine", {}, ())
    with pytest.raises(
        tftrt_yolo.EngineError, match=r"A pickled EnginePredictor of .*a\.engine cannot be opened again"
    ):
        reopening.reopen(tftrt_yolo.EnginePredictor, opening, ())
