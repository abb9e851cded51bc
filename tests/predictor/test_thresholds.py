"""Thresholds that are given with a call: exactly what an export with these gives, in every task, whatever runs it."""

import dataclasses
import gc
import re
import weakref

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import IMAGES
from tests.engines.rehearsal import ExecutorRuntime, facts, metadata, recorded
from tftrt_yolo import contract
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.predictor import framing
from tftrt_yolo.saved_model import load, write
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.network import SavedModelNetwork
from tftrt_yolo.selection import Selection

TASKS = ("tiny", "segment", "pose", "obb")
ASKED = {"score_threshold": 0.03, "iou_threshold": 0.3, "max_detections": 9}


def _arrays(result):
    """All that a result of supervision's holds."""
    if hasattr(result, "detection_confidence"):
        own = [result.xy, result.keypoint_confidence, result.detection_confidence, result.class_id]
        return [*own, result.data["xyxy"]]
    own = [result.xyxy, result.confidence, result.class_id]
    own += [values for name, values in sorted(result.data.items()) if name != "class_name"]
    return own if result.mask is None else [*own, np.asarray(result.mask)]


def _assert_equal(results, expected):
    """To the bit."""
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        for array, wanted in zip(_arrays(result), _arrays(other), strict=True):
            np.testing.assert_array_equal(array, wanted)


def _number(results):
    return sum(len(result) for result in results)


def _written(export, folder, **changes):
    """What `export` writes with other metadata: the same network under a selection of other numbers."""
    handle = open_saved_model(export)
    signatures, _ = load.load(handle, strict=False)
    network = signatures[contract.NETWORK]
    folder.mkdir()
    changed = dataclasses.replace(handle.metadata, **changes)
    write.save(lambda frames: network(frames=frames), changed, folder, tracked=network.loaded)
    return folder


@pytest.fixture(scope="module")
def written(models, tmp_path_factory):
    """Gives the predictor of a task's model, written once for each selection."""
    made = {}

    def get(name, **changes):
        key = name, *sorted(map(str, changes.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp("written") / "a_saved_model"
            made[key] = tftrt_yolo.Predictor(_written(models.exported(name), folder, **changes))
        return made[key]

    return get


@pytest.mark.parametrize("name", TASKS)
def test_it_is_what_an_export_with_these_thresholds_gives(models, written, name):
    predictor = tftrt_yolo.Predictor(models.exported(name))
    expected = written(name, selection=Selection(**ASKED))(IMAGES)
    _assert_equal(predictor(IMAGES, **ASKED), expected)
    assert _number(expected) > _number(predictor(IMAGES))
    assert max(map(len, expected)) == 9


def test_it_is_what_export_itself_gives(tiny_export, tmp_path):
    """The whole way: the checkpoint, exported with other thresholds."""
    from tests.conftest import TINY_WEIGHTS

    asked = {"score_threshold": 0.05, "iou_threshold": 0.4, "max_detections": 6}
    tftrt_yolo.export(TINY_WEIGHTS, tmp_path / "other_saved_model", image_size=320, **asked)
    expected = tftrt_yolo.Predictor(tmp_path / "other_saved_model")(IMAGES)
    _assert_equal(tftrt_yolo.Predictor(tiny_export)(IMAGES, **asked), expected)
    assert max(map(len, expected)) == 6


@pytest.mark.parametrize("name", TASKS)
def test_what_is_given_and_says_the_models_own(models, name):
    """The other path with the same numbers."""
    predictor = tftrt_yolo.Predictor(models.exported(name))
    own = predictor(IMAGES[:16])
    _assert_equal(predictor(IMAGES[:16], score_threshold=0.25), own)
    _assert_equal(predictor(IMAGES[:8], classes=range(10)), own[:8])
    _assert_equal(predictor(IMAGES[:8], class_agnostic=False), own[:8])


CHOICES = [
    {"classes": [1, 2, 7]},
    {"classes": "3"},
    {"class_agnostic": True, "iou_threshold": 0.2},
    {"class_agnostic": True, "classes": [0, 1, 2, 3, 4], "iou_threshold": 0.1},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("name", ["tiny", "obb"])
def test_classes_are_those_of_ultralytics_on_the_same_outputs(models, name, choice):
    torch = pytest.importorskip("torch")
    from ultralytics.utils.nms import non_max_suppression

    export, threshold = models.exported(name), 0.02
    predictor, network = tftrt_yolo.Predictor(export), SavedModelNetwork(export, strict=False)
    classes, frame = choice.get("classes"), np.empty((*predictor.metadata.image_size_hw, 3), np.uint8)
    results = predictor(IMAGES[:20], score_threshold=threshold, **choice)
    is_rotated, found = name == "obb", 0
    for path, result in zip(IMAGES[:20], results, strict=True):
        framing.letterbox(read_image(path), frame)
        dense, _ = network.run(frame[np.newaxis])
        boxes = dense["boxes"]
        rows = [(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2], dense["scores"]]
        if is_rotated:
            rows = [dense["boxes_xywhr"][..., :4], dense["scores"], dense["boxes_xywhr"][..., 4:]]
        [expected] = non_max_suppression(
            torch.from_numpy(np.concatenate(rows, -1).transpose(0, 2, 1).copy()),
            threshold,
            choice.get("iou_threshold", 0.7),
            classes=[int(classes)] if isinstance(classes, str) else classes,
            agnostic=choice.get("class_agnostic", False),
            nc=10,
            rotated=is_rotated,
        )
        np.testing.assert_array_equal(result.class_id, expected[:, 5])
        np.testing.assert_allclose(result.confidence, expected[:, 4], atol=1e-5)  # of a batch and of one image
        found += len(result)
    everything = _number(predictor(IMAGES[:20], score_threshold=threshold))
    assert 5 < found < everything


def test_a_head_that_gives_each_object_once(written):
    """The best of the asked classes, as many as may be given; `class_agnostic` leaves an anchor its best class."""
    once = written("tiny", is_end_to_end=True)
    asked = {"score_threshold": 0.01, "max_detections": 20}
    _assert_equal(once(IMAGES, **asked), written("tiny", is_end_to_end=True, selection=Selection(**asked))(IMAGES))
    _assert_equal(once(IMAGES, iou_threshold=0.0), once(IMAGES))  # nothing is suppressed
    everything = once(IMAGES, score_threshold=0.01, max_detections=100_000)
    some = once(IMAGES, score_threshold=0.01, max_detections=20, classes=[4, 7])
    for all_of_it, few in zip(everything, some, strict=True):
        wanted = all_of_it[np.isin(all_of_it.class_id, [4, 7])][:20]
        np.testing.assert_array_equal(few.xyxy, wanted.xyxy)
        np.testing.assert_array_equal(few.confidence, wanted.confidence)
    best_alone = once(IMAGES, score_threshold=0.01, max_detections=100_000, class_agnostic=True)
    assert _number(some) > 0
    assert _number(best_alone) < _number(everything)
    for result in best_alone:
        assert len(np.unique(np.concatenate([result.xyxy, result.confidence[:, None]], -1), axis=0)) == len(result)


@pytest.mark.parametrize("call", ["__call__", "stream", "with_images"])
def test_every_call_takes_them(tiny_export, call):
    predictor, asked = tftrt_yolo.Predictor(tiny_export), {"score_threshold": 0.05, "classes": (1, 2, 3)}
    results = list(getattr(predictor, call)(IMAGES[:7], batch_size=3, **asked))
    if call == "with_images":
        assert [given for given, _, _ in results] == IMAGES[:7]
        results = [result for _, _, result in results]
    expected = [predictor(path, **asked)[0] for path in IMAGES[:7]]
    assert _number(results) == _number(expected) > 0
    for result, other in zip(results, expected, strict=True):
        assert result.class_id.tolist() == other.class_id.tolist()
        np.testing.assert_allclose(result.xyxy, other.xyxy, atol=1e-2)


def test_images_of_one_size_and_as_arrays(tiny_export):
    predictor, batch = tftrt_yolo.Predictor(tiny_export), np.stack([read_image(IMAGES[0])[:300, :300]] * 3)
    results = predictor(batch, score_threshold=0.01)
    assert len(results) == 3
    _assert_equal(results, [predictor(batch[0], score_threshold=0.01)[0]] * 3)


def test_another_value_traces_nothing_and_no_value_makes_nothing(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    predictor(IMAGES[:3])
    assert "_run_time_signatures" not in vars(predictor)  # today's path alone
    for number, asked in enumerate([ASKED, *CHOICES, {"max_detections": 1}, {"classes": [9]}]):
        predictor(IMAGES[number : number + 2], **asked)
    assert predictor._run_time_signatures._run_framed.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", TASKS)
def test_nothing_is_found(models, name):
    predictor = tftrt_yolo.Predictor(models.exported(name))
    results = predictor(IMAGES[:2], score_threshold=1.0)
    assert [len(result) for result in results] == [0, 0]
    assert predictor.task.rows(results[0], predictor.names) == []


def test_a_classifier_refuses_them(models):
    predictor = tftrt_yolo.Predictor(models.exported("classify"))
    message = r"^score_threshold and classes are for models that find objects, and \S+ is a model for classify\. Leave"
    with pytest.raises(ValueError, match=message):
        predictor(IMAGES[0], score_threshold=0.5, classes=[1])
    for asked in ({"iou_threshold": 0.5}, {"max_detections": 1}, {"class_agnostic": False}):
        with pytest.raises(ValueError, match=f"^{next(iter(asked))} is for models that find objects"):
            predictor.stream(IMAGES, **asked)
    assert len(predictor(IMAGES[:2], score_threshold=None)) == 2


@pytest.mark.parametrize("call", ["__call__", "stream", "with_images"])
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"score_threshold": 1.01}, "score_threshold is 1.01; it must be a number between 0 and 1"),
        ({"iou_threshold": float("nan")}, "iou_threshold is nan; it must be"),
        ({"max_detections": 0}, "max_detections is 0; it must be"),
        ({"classes": [10]}, "classes has 10; expected indices or names of 0 (0), 1 (1), "),
        ({"classes": "ten"}, "classes has 'ten'; expected"),
        ({"classes": []}, "classes is empty"),
        ({"class_agnostic": "yes"}, "class_agnostic is 'yes'; it must be True or False"),
    ],
)
def test_bad_ones_are_refused_before_an_image_is_read(tiny_export, call, asked, message):
    predictor = tftrt_yolo.Predictor(tiny_export)
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(predictor, call)(["missing.jpg"], **asked)


def test_native_segments_of_a_conversion(tiny_export, tiny_conversion):
    asked = {"score_threshold": 0.05, "iou_threshold": 0.3, "max_detections": 9}
    expected = tftrt_yolo.Predictor(tiny_export)(IMAGES[:8], **asked)
    results = tftrt_yolo.Predictor(tiny_conversion)(IMAGES[:8], **asked)
    assert _number(results) == _number(expected) > _number(tftrt_yolo.Predictor(tiny_export)(IMAGES[:8]))
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.xyxy, other.xyxy, atol=0.5)


@pytest.mark.parametrize("accelerator", ["xla", "onednn"])
def test_conversions_without_engines(tiny_export, tmp_path, accelerator):
    tftrt_yolo.convert(tiny_export, tmp_path / "out", accelerator=accelerator, precision_mode="FP32")
    predictor = tftrt_yolo.Predictor(tmp_path / "out")
    predictor.warm_up((4,))
    asked = {"score_threshold": 0.05, "iou_threshold": 0.3, "max_detections": 9, "class_agnostic": True}
    results = predictor(IMAGES[:7], **asked)  # 4, and 3 that are filled up
    expected = tftrt_yolo.Predictor(tiny_export)(IMAGES[:7], **asked)
    assert predictor.compiled_batch_sizes == ((4,) if accelerator == "xla" else ())
    assert _number(results) == _number(expected) > 0
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.xyxy, other.xyxy, atol=0.5)


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify"])
def test_an_engine(tmp_path, task):
    model = metadata(task)
    network = with_ultralytics_layout(recorded(model), model, batch_size=1)
    runtime = ExecutorRuntime(network, {})
    path = tmp_path / "a.engine"
    engine_file.write(path, model, facts(runtime.tensors, batch_sizes=(1,), profiles={}), b"a plan")
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    if task == "classify":
        with pytest.raises(ValueError, match="is a model for classify"):
            predictor(image, score_threshold=0.1)
        return
    header = predictor.metadata.selection
    [own], [same] = predictor(image), predictor(image, score_threshold=header.score_threshold)
    _assert_equal([same], [own])
    [more] = predictor(image, score_threshold=0.0, iou_threshold=1.0, max_detections=50)
    [best] = predictor(image, score_threshold=0.0, iou_threshold=1.0, max_detections=1)
    [of_class] = predictor(image, score_threshold=0.0, iou_threshold=1.0, classes="class 1", max_detections=50)
    assert 40 >= len(more) > len(own) > 1 >= len(best)
    assert set(of_class.class_id) <= {1}


def test_the_model_goes_with_its_predictor(tiny_export):
    """Memory of a GPU must not wait for Python to look for circles."""
    predictor = tftrt_yolo.Predictor(tiny_export)
    predictor(IMAGES[0], score_threshold=0.5)
    loaded = weakref.ref(predictor._network.loaded)
    del predictor
    gc.collect()
    assert loaded() is None


def test_batches_are_smaller_where_very_many_detections_are_asked_for(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    seen = []
    read = predictor._reader.batches

    def counted(images, reading):
        seen.append(reading.batch_size)
        return read(images, reading)

    predictor._reader.batches = counted
    for most in (300, 1_024, 4_096, 100_000):
        assert len(predictor(IMAGES[:2], max_detections=most, batch_size=64)) == 2
    assert seen == [64, 64, 4, 1]


def test_how_a_predictor_shows_itself(models):
    export = models.exported("tiny")
    assert repr(tftrt_yolo.Predictor(export)) == (
        f"<Predictor {export}: detect, 10 classes, 320 x 320 px, TensorFlow on "
        f"{'GPU' if tf.config.list_physical_devices('GPU') else 'CPU'}>"
    )
