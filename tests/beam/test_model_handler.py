"""What the handler takes, says and holds, without a pipeline."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="make test-beam has Apache Beam")

from apache_beam.internal import pickler
from apache_beam.io import fileio

from tftrt_yolo.beam import ModelHandler

MODEL = "/models/digits_saved_model"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"saved_model_dir": "gs://bucket/model"}, r"is gs://bucket/model, a URL; expected a directory that each"),
        ({"saved_model_dir": Path("s3://bucket/model")}, r"is s3:/bucket/model, a URL; expected a directory"),
        ({"saved_model_dir": None}, r"saved_model_dir is None; expected a directory's path"),
        ({"saved_model_dir": ""}, r"saved_model_dir is ''; expected a directory's path"),
        ({"strict": "yes"}, r"strict is 'yes'; it must be True or False"),
        ({"large_model": 2}, r"large_model is 2; it must be True or False"),
        ({"keep_examples": None}, r"keep_examples is None; it must be True or False"),
        ({"max_batch_size": 0}, r"max_batch_size is 0; it must be a whole number of at least 1"),
        ({"min_batch_size": 2.5}, r"min_batch_size is 2.5; it must be a whole number of at least 1"),
        ({"min_batch_size": 9, "max_batch_size": 4}, r"min_batch_size is 9 and max_batch_size 4; expected a minimum"),
        ({"max_batch_duration_secs": 0}, r"max_batch_duration_secs is 0; it must be a number of seconds above 0"),
        ({"max_batch_duration_secs": float("nan")}, r"max_batch_duration_secs is nan; it must be a number"),
        ({"model_copies": 0}, r"model_copies is 0; it must be a whole number of at least 1"),
    ],
)
def test_arguments_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ModelHandler(**{"saved_model_dir": MODEL} | arguments)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"conf": 0.5}, TypeError, r"has 'conf'. Ultralytics' conf is score_threshold here. Expected one of score_"),
        ({"vid_stride": 2}, TypeError, r"has 'vid_stride'. Expected one of score_threshold, iou_threshold, max_det"),
        ({3: 2}, TypeError, r"inference_args has 3. Expected one of score_threshold"),
        ([0.5], TypeError, r"inference_args is a list of 1; expected a dictionary of fields of SelectionOptions"),
        ({"score_threshold": 1.5}, ValueError, r"score_threshold is 1.5; it must be a number between 0 and 1"),
        ({"classes": []}, ValueError, r"classes is empty; expected at least one class"),
    ],
)
def test_inference_args_that_are_refused_with_the_pipeline(asked, error, message):
    with pytest.raises(error, match=message):
        ModelHandler(MODEL).validate_inference_args(asked)


def _file_of_beam():
    return fileio.ReadableFile(None)


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ("photos/bus.jpg", r"is 'photos/bus.jpg'; expected the bytes of an image file. If it is a path, read the file"),
        (("bus.jpg", b"\xff\xd8"), r"is a tuple of 2 parts; expected .* use KeyedModelHandler\(ModelHandler\(...\)\)"),
        (_file_of_beam(), r"is a ReadableFile; expected .* Read it before: beam.Map\(lambda file"),
        (np.zeros((4, 4, 3), np.uint8), r"is a ndarray; expected .* were decoded are for tftrt_yolo.Predictor"),
        (None, r"An element is None; expected the bytes of an image file"),
    ],
)
def test_elements_that_are_no_files(element, message):
    """They are named before the model is asked, whatever stands beside them."""
    with pytest.raises(TypeError, match=message):
        ModelHandler(MODEL).run_inference([b"\xff\xd8", element], None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (8, 8)),
        ({"max_batch_size": 32}, (32, 32)),
        ({"min_batch_size": 4}, (4, 8)),
        ({"min_batch_size": 64}, (64, 64)),
        ({"min_batch_size": 1, "max_batch_size": np.int64(16)}, (1, 16)),
    ],
)
def test_batching(given, expected):
    least, most = expected
    batching = ModelHandler(MODEL, **given).batch_elements_kwargs()
    assert batching == {"min_batch_size": least, "max_batch_size": most}
    assert ModelHandler(MODEL, **given, max_batch_duration_secs=2).batch_elements_kwargs() == {
        **batching,
        "max_batch_duration_secs": 2,
    }


def test_sharing():
    assert not ModelHandler(MODEL).share_model_across_processes()
    assert ModelHandler(MODEL, large_model=True).share_model_across_processes()
    several = ModelHandler(MODEL, model_copies=3)
    assert (several.share_model_across_processes(), several.model_copies()) == (True, 3)


@pytest.mark.parametrize("dumps", [pickle.dumps, pickler.dumps], ids=["pickle", "of Beam"])
def test_a_pickle_has_the_path_and_little_more(tiny_export, dumps):
    handler = ModelHandler(tiny_export, max_batch_size=4)
    data = dumps(handler)
    assert len(data) < 1_000
    again = (pickle if dumps is pickle.dumps else pickler).loads(data)
    assert again.batch_elements_kwargs() == handler.batch_elements_kwargs()
    assert repr(again) == f"<ModelHandler {tiny_export}>"


def test_who_makes_a_pipeline_loads_no_tensorflow():
    code = (
        "import pickle, sys\nfrom tftrt_yolo.beam import ModelHandler\n"
        "pickle.dumps(ModelHandler('gone_saved_model'))\nprint('tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_a_relative_path_is_of_where_the_pipeline_is_made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert repr(ModelHandler("digits_saved_model")) == f"<ModelHandler {tmp_path / 'digits_saved_model'}>"
