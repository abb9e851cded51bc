"""A network for depth from its checkpoint to maps of images, files and figures; the oracle is Ultralytics' network."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tftrt_yolo.ground.files.image_files import read_image

torch = pytest.importorskip("torch")
if importlib.util.find_spec("ultralytics.models.yolo.depth") is None:
    pytest.skip("this Ultralytics has no depth", allow_module_level=True)

WEIGHTS, FRAME = DATA / "yolo26n-tiny-depth.pt", (160, 160)


@pytest.fixture(scope="module")
def export(models):
    return models.exported("depth")


@pytest.fixture(scope="module")
def found(export):
    """The depths of three pictures."""
    return list(tftrt_yolo.Predictor(export).stream(IMAGES[:3]))


def _ultralytics(network, image):
    """What Ultralytics' predictor does with a network: LetterBox(scale_fill), twice interpolated."""
    from ultralytics.data.augment import LetterBox

    frame = LetterBox(FRAME, scale_fill=True)(image=image)
    with torch.inference_mode():
        depth = torch.as_tensor(network(torch.from_numpy(frame).permute(2, 0, 1)[None] / 255)).float()
        for size_hw in (FRAME, image.shape[:2]):
            depth = torch.nn.functional.interpolate(depth, size=size_hw, mode="bilinear", align_corners=True)
    return depth[0, 0].numpy()


@pytest.mark.parametrize("of", ["checkpoint", "export"])
def test_depths_are_ultralytics(export, found, of):
    """Its own network's, and those of the export as its loader runs it."""
    from ultralytics.nn.autobackend import AutoBackend

    network = AutoBackend(str(WEIGHTS if of == "checkpoint" else export))
    for path, result in zip(IMAGES, found, strict=False):
        expected = _ultralytics(network, read_image(path))
        np.testing.assert_allclose(result.depth, expected, rtol=1e-4)
        assert result.depth.dtype == np.float32
        assert result.maximum > 1.2 * result.minimum


def test_a_word_of_first_checkpoints_is_left_out():
    """As Ultralytics leaves it out; elsewhere a word that is not known is refused."""
    from ultralytics.nn.tasks import yaml_model_load

    from tftrt_yolo.exporter.checkpoint import model_yaml

    document = yaml_model_load("yolo26n-depth.yaml")
    document["head"][-1][3] = [256, "log"]
    checked = model_yaml.check(document, "old.pt", frozenset({"Depth"}))
    assert checked["head"][-1][2:] == ["Depth", [256]]
    assert checked["head"][:-1] == document["head"][:-1]
    document["head"][0][3] = ["log"]
    with pytest.raises(tftrt_yolo.CheckpointError, match="has the argument 'log'"):
        model_yaml.check(document, "old.pt", frozenset({"Depth"}))


def test_signatures_agree(export, found):
    images, files = [read_image(path) for path in IMAGES[:3]], [path.read_bytes() for path in IMAGES[:3]]
    signatures = tf.saved_model.load(str(export)).signatures
    encoded = signatures["encoded"](image_bytes=tf.constant([*files, b"no image"]))
    assert [bool(status) for status in encoded["status"].numpy()] == [False, False, False, True]
    assert not encoded["depth"][3].numpy().any()
    for index, image in enumerate(images):
        given = signatures["serving_default"](images=tf.constant(image[None]))["depth"]
        assert given.shape == (1, 40, 40)
        np.testing.assert_allclose(encoded["depth"][index], given[0], rtol=0.02)  # JPEG decoders round in their ways
        corners = [given[0, y, x].numpy() for y in (0, -1) for x in (0, -1)]
        expected = [found[index].depth[y, x] for y in (0, -1) for x in (0, -1)]
        np.testing.assert_allclose(corners, expected, rtol=1e-4)


def test_one_engine(export, tmp_path):
    report = tftrt_yolo.convert(export, tmp_path / "converted_saved_model")
    assert (report.engines, report.nodes_outside) == (1, 0)


@pytest.fixture
def data(found, tmp_path):
    """A data set whose labels are what the network finds, of the second picture's twice as far."""
    for folder in ("images", "depth"):
        (tmp_path / folder).mkdir()
    for index, (path, result) in enumerate(zip(IMAGES, found, strict=False)):
        (tmp_path / "images" / f"{index}.jpg").symlink_to(path)
        np.save(tmp_path / "depth" / f"{index}.npy", result.depth * (2 if index == 1 else 1))
    (tmp_path / "data.yaml").write_text("val: images\nnames: [far]\n")  # a name that the model does not have
    return tmp_path / "data.yaml"


def test_evaluate(export, data):
    report = tftrt_yolo.evaluate(export, data, compare_to=WEIGHTS)
    # Of each pixel of the frame the label is the nearest of the image, which is another one at the digits' edges.
    assert 0.97 < report.value("delta1") < 1
    assert report.value("abs_rel") < 0.02
    assert report.value("unaligned delta1") == pytest.approx(2 / 3, abs=0.02)
    assert report.value("unaligned abs_rel") == pytest.approx(0.5 / 3, abs=0.02)
    assert max(abs(report.difference(metric.name)) for metric in report.models[0].metrics) < 1e-3
    assert report.classes == ()
    assert "3 images, " in str(report)

    (data.parent / "depth" / "1.npy").unlink()
    with pytest.raises(tftrt_yolo.DatasetError, match=r"1\.jpg has no depth: .*skip_bad_labels=True leaves such"):
        tftrt_yolo.evaluate(export, data)
    np.save(data.parent / "depth" / "1.npy", np.ones((40, 90), np.float32))
    with pytest.raises(tftrt_yolo.DatasetError, match="another shape"):
        tftrt_yolo.evaluate(export, data)
    rest = tftrt_yolo.evaluate(export, data, data_options=tftrt_yolo.DataOptions(skip_bad_labels=True))
    assert (rest.num_images, len(rest.skipped_labels)) == (2, 1)
    assert rest.value("unaligned delta1") > 0.97
    coco = data.with_suffix(".json")
    coco.write_text("{}")
    with pytest.raises(tftrt_yolo.DatasetError, match="is a COCO JSON, which has no value for each pixel"):
        tftrt_yolo.evaluate(export, coco)


def test_predict_writes_maps(export, found, tmp_path):
    options = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save=("maps", "csv"))
    report = tftrt_yolo.predict(export, IMAGES[0], options)
    assert str(report).startswith("Measured the depth of 1 image in ")
    assert "classes" not in str(report)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "maps" / f"{IMAGES[0].stem}.npy"), found[0].depth)
    row = found[0].rows()[0]
    lines = (tmp_path / "out" / "detections.csv").read_text().splitlines()
    assert lines[0].endswith("minimum,median,maximum")
    assert lines[1].endswith(",".join(map(str, row.values())))
    with pytest.raises(ValueError, match="is a model for depth, which gives a map of each image and no boxes"):
        tftrt_yolo.predict(export, IMAGES[0], tftrt_yolo.OutputOptions(output_dir=tmp_path / "txt", save="txt"))
    with pytest.raises(ValueError, match="score_threshold is for models that find objects"):
        next(tftrt_yolo.Predictor(export).stream(IMAGES[:1], score_threshold=0.5))
    for classes in ((0,), ("depth",), ("zebra",)):  # it has none that could be looked up
        with pytest.raises(ValueError, match=r"^classes is for models that find objects, and .* is a model for depth"):
            tftrt_yolo.predict(
                export, IMAGES[0], tmp_path / "none", selection=tftrt_yolo.SelectionOptions(classes=classes)
            )
    assert "class" not in str(tftrt_yolo.inspect(export)).partition("export")[0]
    assert "class" not in repr(tftrt_yolo.Predictor(export))
