import logging

import numpy as np
import PIL.Image
import pytest
import supervision as sv

import tftrt_yolo
from tests.conftest import IMAGES, match, reference
from tftrt_yolo.ground.files.image_files import read_image


def _agreement(predictor, model):
    """Matches all pictures: matched, expected, missed, unexpected scores above 0.3."""
    expected = reference(model)
    matched = total = 0
    missed, unexpected = [], []
    for path, detections in zip(IMAGES, predictor(IMAGES), strict=True):
        count, lost, extra = match(detections, expected[path.name])
        matched, total = matched + count, total + len(expected[path.name]["scores"])
        missed += [(path.name, *row) for row in lost]
        unexpected += [score for score in extra if score > 0.3]
    return matched, total, missed, unexpected


@pytest.mark.parametrize(
    ("name", "model", "make"),
    [
        ("tiny", "yolov8n-tiny-detect", "exported"),
        ("tiny", "yolov8n-tiny-detect", "converted"),
        ("digits", "yolov8n-digits", "exported"),
        pytest.param("digits", "yolov8n-digits", "converted", marks=pytest.mark.slow),
    ],
)
def test_agrees_with_ultralytics_predict(models, name, model, make):
    matched, total, missed, unexpected = _agreement(tftrt_yolo.Predictor(getattr(models, make)(name)), model)
    assert total > 190
    assert matched / total >= 0.99, missed
    assert unexpected == []


@pytest.mark.parametrize("make", ["exported", "converted"])
def test_batches_of_any_size_give_the_same(models, make):
    predictor = tftrt_yolo.Predictor(getattr(models, make)("tiny"))
    alone = predictor(IMAGES[:8], batch_size=1)
    for batch_size in (3, 8):
        for expected, got in zip(alone, predictor(IMAGES[:8], batch_size=batch_size), strict=True):
            np.testing.assert_array_equal(got.class_id, expected.class_id)
            np.testing.assert_allclose(got.xyxy, expected.xyxy, atol=0.02)
            np.testing.assert_allclose(got.confidence, expected.confidence, atol=1e-4)


def test_every_kind_of_image_gives_the_same(tiny_export, photo):
    import tensorflow as tf

    predictor = tftrt_yolo.Predictor(tiny_export)
    [expected] = predictor(IMAGES[0])
    assert len(expected) > 0
    assert expected.data["class_name"].tolist() == [str(index) for index in expected.class_id]
    kinds = {
        "path as text": str(IMAGES[0]),
        "bytes": IMAGES[0].read_bytes(),
        "array": photo,
        "not contiguous": np.asfortranarray(photo),
        "Pillow": PIL.Image.open(IMAGES[0]),
        "list": [IMAGES[0]],
        "batched array": photo[None],
        "tensor": tf.constant(photo),
        "batched tensor": tf.constant(photo[None]),
    }
    for kind, image in kinds.items():
        [got] = predictor(image)
        assert isinstance(got, sv.Detections)
        np.testing.assert_allclose(got.xyxy, expected.xyxy, atol=1e-3, err_msg=kind)


def test_no_image_no_detection(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    assert predictor([]) == []
    [nothing] = predictor(np.full((50, 400, 3), 114, np.uint8))
    assert len(nothing) == 0
    assert nothing.xyxy.shape == (0, 4)


def test_boxes_lie_in_the_image(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    for path, detections in zip(IMAGES, predictor(IMAGES), strict=True):
        width, height = PIL.Image.open(path).size
        assert (detections.xyxy >= 0).all()
        assert (detections.xyxy <= [width, height, width, height]).all()


@pytest.mark.parametrize("convert_to", ["L", "RGBA", "P", "CMYK", "LA"])
def test_other_modes_are_converted_and_said(tiny_export, tmp_path, caplog, convert_to):
    path = tmp_path / ("picture.tif" if convert_to == "CMYK" else "picture.png")
    PIL.Image.open(IMAGES[0]).convert(convert_to).save(path)
    with caplog.at_level(logging.WARNING):
        [detections] = tftrt_yolo.Predictor(tiny_export)(path)
    assert f"mode {convert_to}; converted to RGB" in caplog.text
    assert len(detections) > 0


def test_grey_and_rgba_arrays_are_converted_and_said(caplog, photo):
    grey = photo.mean(-1).astype(np.uint8)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(read_image(grey), np.stack([grey] * 3, -1))
        np.testing.assert_array_equal(read_image(grey[..., None]), np.stack([grey] * 3, -1))
        np.testing.assert_array_equal(read_image(np.dstack([photo, grey])), photo)
    assert "taken as grey; converted to RGB" in caplog.text
    assert "taken as RGBA; converted to RGB" in caplog.text


def test_sixteen_bits_are_scaled(tmp_path):
    values = (np.arange(4096, dtype=np.uint16) * 16).reshape(64, 64)
    PIL.Image.fromarray(values).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png")[..., 0], values >> 8)


def test_exif_orientation_is_applied_as_opencv_does(tmp_path):
    cv2 = pytest.importorskip("cv2")
    image = PIL.Image.open(IMAGES[0])
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    upright = read_image(tmp_path / "turned.jpg")
    assert upright.shape[:2] == image.size
    np.testing.assert_array_equal(upright, cv2.imread(str(tmp_path / "turned.jpg"))[..., ::-1])


def _bad_image(folder, kind):
    path = folder / "bad.jpg"
    match kind:
        case "missing":
            return path
        case "text":
            path.write_text("not a picture at all")
        case "empty":
            path.touch()
        case "truncated":
            path.write_bytes(IMAGES[0].read_bytes()[:5_000])
        case "header":
            path.write_bytes(b"GIF89a")
        case "folder":
            return folder
        case "bomb":
            PIL.Image.new("1", (20_000, 20_000)).save(path.with_suffix(".png"))
            return path.with_suffix(".png")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "There is no file or folder"),
        ("text", "is no image: it starts with b'not a pictur'"),
        ("empty", "is empty. Expected an image file"),
        ("truncated", "cannot be decoded"),
        ("header", "cannot be decoded"),
        ("folder", "holds no image and no video"),
        ("bomb", "too large to be safe"),
    ],
)
def test_bad_files(tiny_export, tmp_path, kind, message):
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        tftrt_yolo.Predictor(tiny_export)(_bad_image(tmp_path, kind))


def test_an_opener_that_others_put_into_pillow_is_not_asked(tmp_path, monkeypatch):
    """Ultralytics' installs a package where an image is damaged."""
    monkeypatch.setattr("PIL.Image.open", None)
    assert read_image(IMAGES[0]).shape[2] == 3
    with pytest.raises(tftrt_yolo.ImageError, match="cannot be decoded"):
        read_image(_bad_image(tmp_path, "header"))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"dtype float32 and shape \(4, 4, 3\).*multiply by 255 and cast to uint8"),
        (np.zeros((4, 4, 3), np.int64), "dtype int64.*cast it to uint8 first"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((2, 4, 4, 5), np.uint8), r"shape \(4, 4, 5\)"),
        (np.zeros(4, np.uint8), r"shape \(4, 1\)|shape \(4,\)"),
        (None, "dtype object"),
        (b"", "image of 0 bytes is empty"),
    ],
)
def test_bad_arrays(tiny_export, image, message):
    with pytest.raises(tftrt_yolo.ImageError, match=message):
        tftrt_yolo.Predictor(tiny_export)(image)


def test_batch_size_is_checked(tiny_export):
    with pytest.raises(ValueError, match="batch_size is 0"):
        tftrt_yolo.Predictor(tiny_export)(IMAGES[0], batch_size=0)


def test_backend_says_what_runs(tiny_export, tiny_conversion):
    assert "the model was not converted" in str(tftrt_yolo.Predictor(tiny_export, strict=True).backend)
    machine = tftrt_yolo.check()
    if machine.can_build_engines:
        assert tftrt_yolo.Predictor(tiny_conversion).backend.name == "TensorRT"
        return
    predictor = tftrt_yolo.Predictor(tiny_conversion)
    assert predictor.backend.name == "TensorFlow"
    assert machine.why_no_engines in predictor.backend.reason
    assert "native segments in place of 1 TensorRT engine:" in predictor.backend.reason
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match=r"cannot run here: .*strict=False"):
        tftrt_yolo.Predictor(tiny_conversion, strict=True)


def test_two_converted_models_in_one_process(models):
    """Their functions have the same names in TensorFlow's table."""
    first, second = (tftrt_yolo.Predictor(models.converted(name)) for name in ("tiny", "digits"))
    [one], [other] = first(IMAGES[0]), second(IMAGES[0])
    assert len(one) > 0
    assert len(other) > 0
    assert one.confidence.tolist() != other.confidence.tolist()


@pytest.mark.gpu
def test_runs_on_the_gpu(models):
    """Export and conversion on a GPU, with TensorRT or without: the same detections as on a CPU."""
    import tensorflow as tf

    for make in (models.exported, models.converted):
        predictor = tftrt_yolo.Predictor(make("digits"))
        matched, total, missed, unexpected = _agreement(predictor, "yolov8n-digits")
        print(predictor.backend, f"{matched} of {total} matched")  # noqa: T201 - the record of a run on a GPU
        assert predictor.backend.device == "GPU"
        assert matched / total >= 0.99, missed
        assert unexpected == []
    [gpu] = tf.config.list_physical_devices("GPU")[:1]
    assert tf.config.experimental.get_memory_growth(gpu)
    assert tf.config.experimental.get_memory_info("GPU:0")["peak"] < 8 << 30


@pytest.mark.gpu
@pytest.mark.parametrize("precision_mode", ["FP16", "BF16", "FP32"])
def test_xla_on_the_gpu(models, tmp_path, precision_mode):
    """Float16 and bfloat16 under XLA on a GPU against Ultralytics; every batch size runs, and few are compiled."""
    report = tftrt_yolo.convert(
        models.exported("digits"), tmp_path / "b_saved_model", accelerator="xla", precision_mode=precision_mode
    )
    predictor = tftrt_yolo.Predictor(tmp_path / "b_saved_model")
    predictor.warm_up((1, 8))
    matched, total, missed, unexpected = _agreement(predictor, "yolov8n-digits")
    print(predictor.backend, f"{matched} of {total} matched", report.parity)  # noqa: T201 - the record of a run
    assert report.parity.device == "GPU"
    assert report.parity.matched >= report.parity.detections - 1
    assert matched / total >= {"FP32": 0.99, "FP16": 0.99, "BF16": 0.9}[precision_mode], missed
    assert len(unexpected) <= {"FP32": 0, "FP16": 2, "BF16": 20}[precision_mode], unexpected
    assert predictor.compiled_batch_sizes == (1, 8)


@pytest.mark.gpu
def test_conversion_runs_by_itself_on_a_gpu_without_tensorrt(models, tmp_path):
    """TensorFlow's own loader, engines that may not be built: TF-TRT runs their native segments."""
    import tensorflow as tf

    if tftrt_yolo.check().can_build_engines:
        pytest.skip("TensorRT is here")
    options = tftrt_yolo.TensorRTOptions(allow_build_at_runtime=False)
    tftrt_yolo.convert(models.exported("tiny"), tmp_path / "b_saved_model", tensorrt=options)
    signatures = tf.saved_model.load(str(tmp_path / "b_saved_model")).signatures
    image = tf.constant(read_image(IMAGES[0])[None])
    got = signatures["serving_default"](images=image)
    [expected] = tftrt_yolo.Predictor(models.exported("tiny"))(IMAGES[0])
    count = int(got["num_detections"][0])
    assert count == len(expected)
    np.testing.assert_allclose(got["boxes"][0, :count], expected.xyxy, atol=0.5)
