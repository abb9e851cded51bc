"""Engines are loaded by what built them: a rehearsal's in a rehearsal, TensorRT's with TensorRT."""

import dataclasses

import pytest

import tftrt_yolo
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model


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
    assert load.Backend("TensorRT stand-in", "GPU", "engines built ahead").is_stand_in
    assert not load.Backend("TensorRT", "GPU", "engines built ahead").is_stand_in
    assert not load.Backend("TensorFlow", "CPU", "the model was not converted").is_stand_in


@pytest.mark.parametrize(("built_by", "loaded"), [("8.6.1", "10.8.0"), ("10.8.0", "8.6.1"), ("8.6.1", "8.6.2")])
def test_engines_of_another_tensorrt_are_refused(handle, built_by, loaded):
    words = rf"holds engines that TensorRT {built_by} built, and here TensorRT {loaded} is loaded, which cannot read"
    with pytest.raises(tftrt_yolo.SavedModelError, match=words):
        load._check_version(handle(loaded_tensorrt=built_by), loaded)
    load._check_version(handle(loaded_tensorrt=loaded), loaded)
    load._check_version(handle(loaded_tensorrt=None), loaded)  # converted without TensorRT: it holds no engines
