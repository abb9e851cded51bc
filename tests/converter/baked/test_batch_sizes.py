"""Batch sizes inside a conversion for XLA: what TensorFlow itself compiles, counted by XLA's own dumps."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.saved_model.edits import copied, forget_digests
from tftrt_yolo import BakedOptions
from tftrt_yolo.converter.baked import grappler
from tftrt_yolo.saved_model import write
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.network import SavedModelNetwork
from tftrt_yolo.saved_model.trust import digests

# Batches one after the other through plain TensorFlow, and how many are compiled after each of `predict` and `network`.
_STREAM = """
import glob, json, sys
import numpy as np, tensorflow as tf
converted, exported, dump, sizes = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
models = [tf.saved_model.load(path) for path in (converted, exported)]
rng, counts = np.random.default_rng(0), []
def count():
    return [len(glob.glob(f"{dump}/*{name}*before_optimizations.txt")) for name in ("predict", "network")]
for size in sizes:
    images = tf.constant(rng.integers(0, 256, (size, 50, 70, 3), np.uint8))
    frames = tf.constant(rng.random((size, 64, 64, 3), np.float32))
    for key, given in (
        ("serving_default", {"images": images}),
        ("padded", {"images": images, "sizes": tf.constant(np.tile(np.int32([50, 70]), (size, 1)))}),
        ("network", {"frames": frames}),
    ):
        found = models[0].signatures[key](**given)
        for name, values in found.items():
            assert values.shape[0] == size, (key, name, size, values.shape)
            if size:
                expected = models[1].signatures[key](**given)[name]
                np.testing.assert_allclose(values, expected, rtol=1e-4, atol=0.02, err_msg=f"{key} {name} {size}")
    assert models[0].serving_default(frames).shape[0] == size
    assert models[0].serving_default(images)["boxes"].shape[0] == size
    counts.append(count())
print(json.dumps(counts))
"""


def _stream(converted, exported, folder, sizes):
    """What is compiled after each of these batches, in a process of its own."""
    environment = {"XLA_FLAGS": f"--xla_dump_to={folder / 'dump'} --xla_dump_hlo_as_text", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", _STREAM, str(converted), str(exported), str(folder / "dump"), json.dumps(sizes)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert result.returncode == 0, result.stderr[-3_000:]
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def toy_for(toy_export, tmp_path_factory):
    """Converts the toy for XLA in FP32, once for each choice of batch sizes; gives the directory and the report."""
    folder, made = tmp_path_factory.mktemp("toys"), {}

    def convert(batch_sizes):
        if batch_sizes not in made:
            path = folder / f"toy{len(made)}_xla_saved_model"
            baked = BakedOptions(parity_images=IMAGES[0], batch_sizes=batch_sizes)
            made[batch_sizes] = (
                path,
                tftrt_yolo.convert(toy_export, path, accelerator="xla", precision_mode="FP32", baked=baked),
            )
        return made[batch_sizes]

    return convert


@pytest.mark.parametrize(
    ("batch_sizes", "stream", "compiled"),
    [
        ((1, 4), [1, 4, 3, 2, 5, 0, 9, 7, 11, 4, 1], [1] + [2] * 10),
        ((3,), [2, 1, 7, 0, 3], [1] * 5),
        (None, [3, 4, 1, 7, 5, 8, 0, 6], [1, 1, 2, 3, 3, 3, 3, 3]),
    ],
)
def test_odd_batches_compile_nothing_new_in_plain_tensorflow(
    toy_for, toy_export, tmp_path, batch_sizes, stream, compiled
):
    path, _ = toy_for(batch_sizes)
    assert _stream(path, toy_export, tmp_path, stream) == [[count, count] for count in compiled]


@pytest.mark.parametrize(
    ("batch_sizes", "said", "words"),
    [((4, 1), (1, 4), "batch sizes 1, 4"), ((3,), (3,), "batch size 3"), (None, (), "every power of two")],
)
def test_reports_say_the_batch_sizes(toy_for, batch_sizes, said, words):
    path, report = toy_for(batch_sizes)
    assert report.batch_sizes == said
    assert f"XLA compiles it for {words}; other batches are filled up" in str(report)
    assert json.loads((path / "conversion.json").read_text())["batch_sizes"] == list(said)
    inside = tftrt_yolo.inspect(path)
    assert inside.conversion == report
    assert f"XLA compiles it for {words}" in str(inside)
    assert f"compiled for {words}" in str(tftrt_yolo.Predictor(path).backend)


def test_the_predictor_knows_what_the_graph_compiles(toy_for, toy_export):
    """Nothing is filled up twice, and what is said to be compiled is."""
    path, _ = toy_for((1, 4))
    predictor, expected = tftrt_yolo.Predictor(path), tftrt_yolo.Predictor(toy_export)(IMAGES[:11])
    for batch_size, compiled in ((3, (4,)), (7, (4,)), (5, (1, 4)), (20, (1, 4))):  # 5 is 4 and 1
        found = predictor(IMAGES[:11], batch_size=batch_size)
        assert predictor.compiled_batch_sizes == compiled
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.01)
    warm = tftrt_yolo.Predictor(path)
    warm.warm_up((3, 9))
    assert warm.compiled_batch_sizes == (1, 4)
    alone = tftrt_yolo.Predictor(path)
    alone.warm_up((2,))
    assert len(alone(IMAGES[:9])) == 9
    assert alone.compiled_batch_sizes == (4,)  # the ninth image runs in a batch of four


@pytest.fixture(scope="module")
def older(toy_export, tmp_path_factory):
    """A conversion as earlier versions made them: nothing is filled up in the graph."""
    path = tmp_path_factory.mktemp("older") / "toy_xla_saved_model"
    source = open_saved_model(toy_export)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "fill_batches", lambda compiled, sizes: compiled)
        *_, found = grappler.work(  # behind its stages
            source=source,
            output_dir=path,
            accelerator="xla",
            precision_mode="FP32",
            parity_images=[str(IMAGES[0])],
            batch_sizes=(),
        )
    assert found["batch_sizes"] == ()
    (path / "conversion.json").write_text(json.dumps({"accelerator": "xla", "precision_mode": "FP32"}))
    digests.seal(path, source.metadata)
    return path


def test_an_older_conversion_is_filled_up_by_the_predictor(older, toy_export):
    predictor = tftrt_yolo.Predictor(older)
    assert "compiled for each batch size" in str(predictor.backend)
    found = predictor(IMAGES[:11], batch_size=8)
    for one, other in zip(found, tftrt_yolo.Predictor(toy_export)(IMAGES[:11]), strict=True):
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.01)
    assert predictor.compiled_batch_sizes == (4, 8)
    predictor.warm_up((6,))
    assert predictor.compiled_batch_sizes == (4, 6, 8)


@pytest.mark.parametrize("count", [3, 5])
def test_the_network_alone_fills_up_where_the_graph_does_not(older, toy_for, toy_export, count):
    """What `evaluate` runs, with a last batch of any number of images."""
    frames = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)
    networks = [SavedModelNetwork(path, strict=False) for path in (toy_export, older, toy_for((1, 4))[0])]
    expected, *found = (network.run(frames)[0] for network in networks)
    for outputs in found:
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values, rtol=1e-4, atol=0.01, err_msg=name)
    assert [len(network._filled(frames)) for network in networks] == [count, {3: 4, 5: 8}[count], count]


@pytest.mark.parametrize("sizes", ["4", 4, [0], [4, 1], [1, 1], [1.0], [True], [1 << 31], {"a": 1}, [None]])
def test_batch_sizes_in_a_damaged_report(toy_for, tmp_path, sizes):
    path = forget_digests(copied(toy_for((1, 4))[0], tmp_path))
    document = json.loads((path / "conversion.json").read_text())
    (path / "conversion.json").write_text(json.dumps(document | {"batch_sizes": sizes}))
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=r"has 'batch_sizes': .*; expected whole numbers of at least 1 in"
    ):
        tftrt_yolo.Predictor(path)


def test_a_comparison_in_which_nothing_was_detected_says_so(tiny_export, tmp_path):
    """It is no parity; the dense outputs say how far the conversion is."""
    from PIL import Image

    Image.new("RGB", (80, 60), (90, 120, 150)).save(tmp_path / "blank.png")
    report = tftrt_yolo.convert(
        tiny_export,
        tmp_path / "b_saved_model",
        accelerator="onednn",
        baked=BakedOptions(parity_images=tmp_path / "blank.png"),
    )
    assert (report.parity.detections, report.parity.extra) == (0, 0)
    assert "nothing detected on 1 image, which shows nothing" in str(report)
    assert set(report.dense) == {"boxes", "scores"}
    assert report.dense["boxes"].largest < 1e-3
    assert "dense, boxes       " in str(report)
    assert tftrt_yolo.inspect(tmp_path / "b_saved_model").conversion == report


def test_packaged_pictures_have_many_objects(tiny_export, tmp_path):
    report = tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", accelerator="onednn")
    assert report.parity.images == 5
    assert report.parity.detections == report.parity.matched > 35
    assert "41 of 41 detections matched on 5 images" in str(report)
