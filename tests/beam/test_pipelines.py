"""Pipelines with the handler: what they find is what Predictor finds."""

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

beam = pytest.importorskip("apache_beam", reason="make test-beam has Apache Beam")

import tensorflow as tf  # noqa: E402
from apache_beam.io import fileio  # noqa: E402
from apache_beam.ml.inference.base import KeyedModelHandler, ModelMetadata, RunInference  # noqa: E402

import tftrt_yolo  # noqa: E402
from tests.conftest import CROPS, DATA, IMAGES, OTHER_TASKS  # noqa: E402
from tests.documents import blocks  # noqa: E402
from tests.encoded_masks import pasted  # noqa: E402
from tests.saved_model.edits import copied, renew_digests  # noqa: E402
from tftrt_yolo.beam import ModelHandler  # noqa: E402

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "pages" / "beam.md"
BAD = {
    "empty": (b"", "it is empty"),
    "text": (b"no picture at all", "it is no image"),
    "cut": (IMAGES[1].read_bytes()[:-200], "it is cut short"),
    "webp": (b"RIFF1234WEBPVP8 ", "it is WebP"),
}
NAMESPACE = "BeamML_tftrt_yolo"


def _files(paths):
    return [(path.stem, path.read_bytes()) for path in paths]


def _keyed(model, **options):
    return RunInference(KeyedModelHandler(ModelHandler(model, **options)))


def _boxes(found, expected):
    """Compares boxes, scores and classes with supervision's."""
    np.testing.assert_allclose(found["boxes"], expected.xyxy, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["scores"], expected.confidence, atol=1e-4)
    np.testing.assert_array_equal(found["classes"], expected.class_id)
    np.testing.assert_array_equal(found["names"], expected.data["class_name"])


def _masks(found, expected):
    _boxes(found, expected)
    masks = pasted(found["masks"], found["mask_corners"], np.asarray(expected.mask).shape[1:])
    for mask, own in zip(masks, expected.mask, strict=True):
        assert np.count_nonzero(mask ^ own) <= 2 + np.count_nonzero(own) // 500


def _key_points(found, expected):
    points = np.concatenate([expected.xy, expected.keypoint_confidence[..., np.newaxis]], axis=-1)
    np.testing.assert_allclose(found["keypoints"], points, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["boxes"], expected.data["xyxy"], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["scores"], expected.detection_confidence, atol=1e-4)
    np.testing.assert_array_equal(found["names"], expected.data["class_name"])


def _oriented(found, expected):
    _boxes(found, expected)
    np.testing.assert_allclose(found["boxes_xywhr"], expected.data["xywhr"], rtol=1e-4, atol=1e-2)


def _classes(found, expected):
    np.testing.assert_allclose(found["probabilities"], expected.confidence, atol=1e-4)
    best, scores = expected.get_top_k(5)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-4)
    np.testing.assert_array_equal(found["classes"], best)
    np.testing.assert_array_equal(found["names"], expected.class_name[best])


def _class_map(found, expected):
    with PIL.Image.open(io.BytesIO(found["class_maps"])) as file:
        own = np.asarray(file)
    assert own.shape == expected.class_map.shape
    assert np.count_nonzero(own != expected.class_map) <= own.size // 1_000


def _depth(found, expected):
    """Of the network's own resolution; its middle is that of the image's."""
    assert abs(np.median(found["depth"]) - expected.median) < 0.05 * expected.median


COMPARED = {"tiny": _boxes, "segment": _masks, "pose": _key_points, "obb": _oriented, "classify": _classes}
MAPS = {"semantic": (_class_map, "class_maps"), "depth": (_depth, "depth")}


@pytest.mark.parametrize("task", ["tiny", *OTHER_TASKS])
def test_a_pipeline_finds_what_predictor_finds(models, run, task):
    """And bad pictures among them are results with a reason, whatever the task."""
    model = models.exported(task)
    paths = (CROPS if task == "classify" else IMAGES)[:7]
    files = _files(paths) + [(name, file) for name, (file, _) in BAD.items()]
    results = run(beam.Create(files, reshuffle=False), _keyed(model, max_batch_size=4)).results
    assert results.keys() == dict(files).keys()
    found = 0
    for path, expected in zip(paths, tftrt_yolo.Predictor(model)(paths), strict=True):
        example, inference, model_id = results[path.stem]
        assert (example, inference["status"], model_id) == (path.read_bytes(), "", str(model))
        COMPARED[task](inference, expected)
        found += len(inference["scores"])
    assert found > 7
    for name, (_, reason) in BAD.items():
        inference = results[name].inference
        assert inference["status"].startswith(reason)
        assert not inference.pop("probabilities", np.zeros(1)).any()
        assert {len(values) for key, values in inference.items() if key != "status"} == {0}
        assert inference.keys() | {"probabilities"} == results[paths[0].stem].inference.keys() | {"probabilities"}


@pytest.mark.parametrize("task", MAPS)
def test_a_pipeline_of_maps(models, run, task):
    model, (compare, output) = models.exported(task), MAPS[task]
    paths = IMAGES[:4]
    files = _files(paths) + [(name, file) for name, (file, _) in BAD.items()]
    results = run(beam.Create(files, reshuffle=False), _keyed(model, max_batch_size=4)).results
    for path, expected in zip(paths, tftrt_yolo.Predictor(model)(paths), strict=True):
        inference = results[path.stem].inference
        assert (inference["status"], inference.keys()) == ("", {"status", output})
        compare(inference, expected)
    for name, (_, reason) in BAD.items():
        inference = results[name].inference
        assert inference["status"].startswith(reason)
        assert not np.any(np.frombuffer(inference[output], np.uint8))  # an empty file, or zeros


def test_without_keys_in_batches(tiny_export, run):
    """Every file once, in batches of at most three; Beam's metrics have them under our name."""
    files = [path.read_bytes() for path in IMAGES[:8]]
    handler = ModelHandler(tiny_export, max_batch_size=3, keep_examples=False)
    ran = run(
        beam.Create(files, reshuffle=False),
        RunInference(handler),
        beam.Map(lambda result: (f"{result.inference['boxes'].tobytes().hex()[:99]}", result)),
    )
    assert {result.example for result in ran.results.values()} == {None}
    expected = [len(found) for found in tftrt_yolo.Predictor(tiny_export)(IMAGES[:8])]
    assert sorted(len(result.inference["boxes"]) for result in ran.results.values()) == sorted(expected)
    assert ran.metrics[NAMESPACE, "num_inferences"] == 8
    sizes = ran.metrics[NAMESPACE, "inference_request_batch_size"]
    assert (sizes.max, sizes.count) == (3, 3)
    assert ran.metrics[NAMESPACE, "inference_request_batch_byte_size"].sum == sum(map(len, files))


def test_files_of_a_folder(tiny_export, run):
    """As the documents have it: matched, read, found; paths are the keys."""
    pattern = str(DATA / "images" / "00000[0-4].jpg")
    ran = run(
        fileio.MatchFiles(pattern),
        fileio.ReadMatches(),
        beam.Map(lambda file: (Path(file.metadata.path).stem, file.read())),
        _keyed(tiny_export),
    )
    expected = tftrt_yolo.Predictor(tiny_export)(IMAGES[:5])
    for path, detections in zip(IMAGES[:5], expected, strict=True):
        _boxes(ran.results[path.stem].inference, detections)


def test_thresholds_and_classes(tiny_export, run):
    """Of a run, as arguments of RunInference: as of a call of Predictor."""
    asked = {"score_threshold": 0.6, "classes": ["3", 5, 7], "max_detections": None}
    handler = KeyedModelHandler(ModelHandler(tiny_export))
    ran = run(beam.Create(_files(IMAGES[:8])), RunInference(handler, inference_args=asked))
    predictor = tftrt_yolo.Predictor(tiny_export)
    for path, detections in zip(IMAGES[:8], predictor(IMAGES[:8], **asked), strict=True):
        _boxes(ran.results[path.stem].inference, detections)
    found = [result.inference["scores"] for result in ran.results.values()]
    assert 0 < sum(map(len, found)) < sum(map(len, predictor(IMAGES[:8])))


def test_an_export_of_a_version_without_status(tiny_export, run, tmp_path):
    """Its own signature fails a whole batch for one bad picture."""
    loaded = tf.saved_model.load(str(tiny_export))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def encoded(image_bytes):
        outputs = loaded.signatures["encoded"](image_bytes=image_bytes)
        with tf.control_dependencies([tf.debugging.assert_equal(outputs.pop("status"), "")]):
            return {name: tf.identity(values) for name, values in outputs.items()}

    model, root = copied(tiny_export, tmp_path), tf.Module()
    root.loaded = loaded
    signatures = {key: loaded.signatures[key] for key in ("serving_default", "padded", "network")}
    tf.saved_model.save(root, str(model), signatures=signatures | {"encoded": encoded})
    renew_digests(model)
    results = run(beam.Create([*_files(IMAGES[:1]), ("text", BAD["text"][0])], reshuffle=False), _keyed(model)).results
    [expected] = tftrt_yolo.Predictor(tiny_export)(IMAGES[:1])
    _boxes(results[IMAGES[0].stem].inference, expected)
    assert results["text"].inference["status"].startswith("it is no image")


def test_another_model_takes_over(models, run):
    """Beam's automatic refresh tells the handler a file of the new model."""
    news = ModelMetadata(str(models.exported("pose") / "saved_model.pb"), "pose")
    files = _files(IMAGES[:1])

    class _Found(beam.PTransform):
        def expand(self, files):
            refreshed = files.pipeline | "news" >> beam.Create([news])
            handler = KeyedModelHandler(ModelHandler(models.exported("tiny")))
            return files | RunInference(handler, model_metadata_pcoll=refreshed)

    [result] = run(beam.Create(files), _Found()).results.values()
    assert result.model_id == str(models.exported("pose"))
    assert result.inference["keypoints"].shape[1:] == (3, 3)


def test_a_model_that_is_not_there(run, tmp_path):
    with pytest.raises(tftrt_yolo.SavedModelError) as caught:
        run(beam.Create(_files(IMAGES[:1])), _keyed(tmp_path / "gone_saved_model"))
    message = str(caught.value)
    assert f"{tmp_path / 'gone_saved_model'} is no directory" in message
    assert "Every worker of Beam opens the model itself, so it must be at this path on each" in message


@pytest.mark.parametrize(
    ("task", "asked", "message"),
    [
        ("classify", {"score_threshold": 0.5}, r"score_threshold is for models that find objects, and .* for classify"),
        ("depth", {"classes": [0]}, r"classes is for models that find objects, and .* for depth, which gives a map"),
        ("tiny", {"classes": "zebra"}, r"classes has 'zebra'; expected indices or names of 0 \(0\)"),
    ],
)
def test_arguments_that_this_model_refuses(models, run, task, asked, message):
    handler = KeyedModelHandler(ModelHandler(models.exported(task)))
    with pytest.raises(ValueError, match=message):
        run(beam.Create(_files(IMAGES[:1])), RunInference(handler, inference_args=asked))


def test_the_pipeline_of_the_page(tiny_export, tmp_path):
    """It is run as it stands, with this model, its first pictures and Beam's runner that downloads nothing."""
    code = blocks(PAGE, "text")[0].code
    for text, own in (
        ("runs/digits_saved_model", str(tiny_export)),
        ("tests/data/images/*.jpg", str(DATA / "images" / "00000[0-3].jpg")),
        ("runs/found.jsonl", str(tmp_path / "found.jsonl")),
    ):
        assert code.count(text) == 1
        code = code.replace(text, own)
    script = tmp_path / "find.py"
    script.write_text(code)
    command = [sys.executable, str(script), "--runner=FnApiRunner"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=120)
    rows = [json.loads(line) for path in tmp_path.glob("found.jsonl*") for line in path.read_text().splitlines()]
    by_path = {Path(row["path"]): row for row in rows}
    assert len(rows) == len(by_path) == 4
    for path, detections in zip(IMAGES[:4], tftrt_yolo.Predictor(tiny_export)(IMAGES[:4]), strict=True):
        _boxes(by_path[path], detections)


_SCRIPT = """
import os, pathlib, pickle
import apache_beam as beam
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tftrt_yolo.beam import ModelHandler

FOLDER, MODEL, PICTURES, IS_SHARED = {arguments!r}

class Noting(ModelHandler):
    def load_model(self):
        pathlib.Path(FOLDER, f"{{os.getpid()}}.loaded").touch()
        return super().load_model()

def keep(pair):
    pathlib.Path(FOLDER, f"{{os.getpid()}}.worked").touch()
    pathlib.Path(FOLDER, pair[0] + ".pickle").write_bytes(pickle.dumps(pair))

def read(path):
    return pathlib.Path(path).stem, pathlib.Path(path).read_bytes()

if __name__ == "__main__":
    options = PipelineOptions(direct_num_workers=2, direct_running_mode="multi_processing")
    handler = KeyedModelHandler(Noting(MODEL, max_batch_size=2, large_model=IS_SHARED))
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        files = pipeline | beam.Create(PICTURES) | beam.Reshuffle() | beam.Map(read)
        files | RunInference(handler) | beam.Map(keep)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_shared", [False, True])
def test_workers_in_processes_of_their_own(tiny_export, tmp_path, is_shared):
    """Two of them, each with a model or with one between them; started from a file, as a user does."""
    script, images = tmp_path / "pipeline.py", IMAGES[:12]
    arguments = (str(tmp_path), str(tiny_export), [str(path) for path in images], is_shared)
    script.write_text(_SCRIPT.format(arguments=arguments))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    assert len(list(tmp_path.glob("*.worked"))) == 2
    assert len(list(tmp_path.glob("*.loaded"))) == (1 if is_shared else 2)
    results = dict(pickle.loads(path.read_bytes()) for path in tmp_path.glob("*.pickle"))
    for path, detections in zip(images, tftrt_yolo.Predictor(tiny_export)(images), strict=True):
        _boxes(results[path.stem].inference, detections)
