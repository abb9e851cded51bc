"""Keywords of a Predictor's calls: what they are, where they are seen, and what is said of those that are none."""

import dataclasses
import inspect
import typing

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.predictor import call_options
from tftrt_yolo.predictor.call_options import CallOptions

_CALLS = ("__call__", "stream", "with_images")


def test_every_keyword_is_known_described_and_shown():
    """In the type that editors complete by, in the signature that Jupyter completes by, and in the help."""
    assert set(typing.get_type_hints(CallOptions)) == set(call_options.NAMES)
    for kind in (tftrt_yolo.Predictor, tftrt_yolo.EnginePredictor):
        for name in _CALLS:
            function = getattr(kind, name)
            parameters = inspect.signature(function).parameters
            assert list(parameters) == ["self", "images", "batch_size", "on_unreadable", *call_options.NAMES]
            assert {parameters[name].default for name in call_options.NAMES} == {None}
            assert all(f"\n  {name}: " in inspect.getdoc(function) for name in call_options.NAMES)


def test_keywords_are_sorted():
    call = call_options.parse({"classes": "dog", "vid_stride": 2, "scale": 255, "max_retries": None}, "Predictor")
    assert dataclasses.asdict(call)["selection"]["classes"] == ("dog",)
    assert call.source == {"vid_stride": 2}
    assert call.arrays == call_options.ArrayOptions(scale=255)
    assert call_options.parse(dict.fromkeys(call_options.NAMES), "Predictor") == call_options.parse({}, "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "conf",
            r"argument 'conf'\. Ultralytics' conf is score_threshold here\. Expected one of score_threshold,",
        ),
        ("iou", r"Ultralytics' iou is iou_threshold here\."),
        ("max_det", r"Ultralytics' max_det is max_detections here\."),
        ("agnostic_nms", r"Ultralytics' agnostic_nms is class_agnostic here\."),
        ("clases", r"keyword argument 'clases'\. Did you mean classes\?"),
        ("skip_unreadable", r"keyword argument 'skip_unreadable'\."),
        ("verbose", r"^Predictor got an unexpected keyword argument 'verbose'\. Expected one of"),
    ],
)
@pytest.mark.parametrize("call", _CALLS)
def test_unknown_keywords(tiny_export, call, name, message):
    with pytest.raises(TypeError, match=message):
        getattr(tftrt_yolo.Predictor(tiny_export), call)(IMAGES[0], **{name: 1})


@pytest.mark.parametrize("options", [{"channel_order": "bgr"}, {"scale": 255}, {"scale": 1, "channel_order": "rgb"}])
def test_options_of_arrays_are_refused_for_sources(tiny_export, options):
    predictor = tftrt_yolo.Predictor(tiny_export)
    for source in (IMAGES[0], str(IMAGES[0].parent), 0, tftrt_yolo.SourceOptions(source=IMAGES[0])):
        with pytest.raises(ValueError, match=r"(is|are) for images that are arrays or tensors, and a source is read"):
            predictor(source, **options)
