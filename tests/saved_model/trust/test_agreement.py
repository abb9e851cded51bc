"""Metadata and reports that say something else than the graph: each lie is refused with both values."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import IMAGES, OTHER_TASKS
from tests.saved_model.edits import copied, edit_graph, edit_metadata, forget_digests, renew_digests
from tftrt_yolo import contract
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.selection import Selection

TASKS = ("tiny", *OTHER_TASKS)


def _refusal(model):
    """What all who read the graph say of it."""
    said = set()
    for use in (tftrt_yolo.Predictor, tftrt_yolo.inspect):
        with pytest.raises(tftrt_yolo.SavedModelError) as caught:
            use(model)
        said.add(str(caught.value))
    [message] = said
    assert message.endswith("copy the directory again, or export or convert again.")
    return message


def _edited(source, folder, **values):
    return edit_metadata(copied(source, folder), lambda document: document.update(values))


def _network_output(task):
    return "probabilities" if task == "classify" else "scores"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [1, 9, 11, 1_000])
def test_names_that_do_not_fit_the_head(models, tmp_path, task, count):
    model = _edited(models.exported(task), tmp_path, names=[f"class {index}" for index in range(count)])
    message = _refusal(model)
    # A classifier has its classes in every signature.
    assert re.search(
        rf"disagrees with itself: output {_network_output(task)} of signature `\w+` is float \(.*10\)", message
    )
    assert f"is 10. In metadata.yaml the number of names is {count:,}: its files are of different models" in message


@pytest.mark.parametrize("task", TASKS)
def test_a_frame_of_another_size(models, tmp_path, task):
    size = 64 if task == "classify" else 320
    message = _refusal(_edited(models.exported(task), tmp_path, imgsz=[size, size + 32]))
    assert f"input frames of signature `framed` is uint8 (?, {size}, {size}, 3), whose axis 2 is {size}." in message
    assert f"In metadata.yaml the width in imgsz is {size + 32}: " in message


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("other", contract.TASK_NAMES)
def test_another_task(models, tmp_path, task, other):
    if other == task.replace("tiny", "detect"):
        return
    keypoints = {"kpt_shape": [3, 3]} if other == "pose" else {}

    def change(document):
        document.pop("kpt_shape", None)
        document.update(task=other, **keypoints)

    message = _refusal(edit_metadata(copied(models.exported(task), tmp_path), change))
    assert re.search(rf"is a model for {other}, and the outputs of signature `\w+` are \w.*\. Expected \w", message)


@pytest.mark.parametrize("task", ["tiny", "segment", "pose", "obb"])
@pytest.mark.parametrize("most", [299, 100_000])
def test_another_number_of_detections(models, tmp_path, task, most):
    def change(document):
        document["tftrt_yolo"]["selection"]["max_detections"] = most

    message = _refusal(edit_metadata(copied(models.exported(task), tmp_path), change))
    assert re.search(
        r"of signature `serving_default` is \w+ \(\?, 300.*whose axis 1 is 300\. In metadata\.yaml max_det", message
    )
    assert f"In metadata.yaml max_detections is {most:,}: " in message


@pytest.mark.parametrize("points", [1, 17])
def test_other_key_points(models, tmp_path, points):
    message = _refusal(_edited(models.exported("pose"), tmp_path, kpt_shape=[points, 3]))
    assert "output keypoints of signature `serving_default` is float (?, 300, 3, 3), whose axis 2 is 3." in message
    assert f"In metadata.yaml the number of key points in kpt_shape is {points}: " in message


def _signature(key, kind, name, change):
    return lambda meta_graph: change(getattr(meta_graph.signature_def[key], kind)[name])


def _resize(axis, size):
    def change(tensor):
        tensor.tensor_shape.dim[axis].size = size

    return change


def _set_type(tensor):
    tensor.dtype = 2  # double


def _set_strange_type(tensor):
    tensor.dtype = 999


def _forget_rank(tensor):
    tensor.tensor_shape.Clear()
    tensor.tensor_shape.unknown_rank = True


def _rename_input(meta_graph):
    inputs = meta_graph.signature_def["padded"].inputs
    inputs["\x1b[31m"].CopyFrom(inputs["sizes"])
    del inputs["sizes"]


def _copy_status(meta_graph):
    status = meta_graph.signature_def["encoded"].outputs["status"]
    meta_graph.signature_def["padded"].outputs["status"].CopyFrom(status)


GRAPHS = [
    (
        _signature("network", "inputs", "frames", _resize(0, 1)),
        "input frames of signature `network` is float (1, 320, ",
    ),
    (
        _signature("network", "inputs", "frames", _set_type),
        "has input frames of signature `network` double (?, 320, 320",
    ),
    (
        _signature("padded", "inputs", "sizes", _set_strange_type),
        "has input sizes of signature `padded` 999 (?, 2). Exp",
    ),
    (
        _signature("encoded", "inputs", "image_bytes", _forget_rank),
        "has input image_bytes of signature `encoded` string",
    ),
    (_signature("serving_default", "inputs", "images", _resize(3, 4)), "whose axis 3 is 4. Expected 3: its files are"),
    (_signature("network", "outputs", "scores", _resize(1, 7)), "whose axis 1 is 7. Expected 2100, as of the other"),
    (_signature("network", "outputs", "scores", _resize(2, -1)), "whose axis 2 is ?. In metadata.yaml the number of"),
    (_signature("padded", "outputs", "classes", _set_type), "has output classes of signature `padded` double (?, 300)"),
    (_signature("padded", "outputs", "boxes", _resize(2, 5)), "is float (?, 300, 5), whose axis 2 is 5. Expected 4"),
    (
        _signature("encoded", "outputs", "status", _set_type),
        "has output status of signature `encoded` double (?). Expec",
    ),
    (
        _copy_status,
        "the outputs of signature `padded` are boxes, classes, num_detections, scores, status. Expected boxes",
    ),
    (_rename_input, r"the inputs of signature `padded` are \x1b[31m, images, without sizes. Expected images, sizes"),
]


@pytest.mark.parametrize(("change", "message"), GRAPHS, ids=[message[:40] for _, message in GRAPHS])
def test_a_signature_of_another_form(tiny_export, tmp_path, change, message):
    assert message in _refusal(edit_graph(copied(tiny_export, tmp_path), change))


def test_an_export_of_a_version_without_status(tiny_export, tmp_path):
    """Its `encoded` gave no status; it still loads, converts and predicts."""

    loaded = tf.saved_model.load(str(tiny_export))
    encoded = loaded.signatures["encoded"]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def without_status(image_bytes):
        outputs = encoded(image_bytes=image_bytes)
        return {name: values for name, values in outputs.items() if name != "status"}

    model, root = copied(tiny_export, tmp_path), tf.Module()
    root.loaded = loaded
    signatures = {key: loaded.signatures[key] for key in ("serving_default", "padded", "network")}
    tf.saved_model.save(root, str(model), signatures=signatures | {"encoded": without_status})
    renew_digests(model)
    assert "status" not in tftrt_yolo.inspect(model).signatures["encoded"][1]
    assert len(tftrt_yolo.Predictor(model)([IMAGES[0]])[0]) == len(tftrt_yolo.Predictor(tiny_export)([IMAGES[0]])[0])


def _without_masks(models, folder):
    """A segment model as earlier versions exported it: its `encoded` gives coefficients and prototypes."""
    loaded = tf.saved_model.load(str(models.exported("segment")))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def encoded(image_bytes):
        image = tf.io.decode_jpeg(image_bytes[0], channels=3)
        images = tf.repeat(image[tf.newaxis], tf.size(image_bytes), axis=0)
        return loaded.signatures["serving_default"](images=images) | {"status": tf.fill(tf.shape(image_bytes), "")}

    model, root = copied(models.exported("segment"), folder), tf.Module()
    root.loaded = loaded
    signatures = {key: loaded.signatures[key] for key in ("serving_default", "padded", "network")}
    tf.saved_model.save(root, str(model), signatures=signatures | {"encoded": encoded})
    return renew_digests(model)


def test_an_export_of_a_version_without_masks(models, tmp_path):
    model = _without_masks(models, tmp_path)
    assert {"mask_coefficients", "prototypes"} < set(tftrt_yolo.inspect(model).signatures["encoded"][1])
    [found], [expected] = (tftrt_yolo.Predictor(path)([IMAGES[3]]) for path in (model, models.exported("segment")))
    np.testing.assert_array_equal(found.mask, expected.mask)


@pytest.mark.slow
def test_a_conversion_of_an_export_without_masks_has_them(models, tmp_path):
    model = _without_masks(models, tmp_path)
    tftrt_yolo.convert(model, tmp_path / "converted_saved_model", accelerator="onednn", precision_mode="FP32")
    assert "masks" in tftrt_yolo.inspect(tmp_path / "converted_saved_model").signatures["encoded"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _signature("encoded", "outputs", "masks", _set_type),
            "has output masks of signature `encoded` double (?, 300). Expected string (?, N)",
        ),
        (
            _signature("encoded", "outputs", "mask_corners", _resize(2, 4)),
            "output mask_corners of signature `encoded` is int32 (?, 300, 4), whose axis 2 is 4. Expected 2",
        ),
        (
            _signature("encoded", "outputs", "masks", _resize(1, 7)),
            "output masks of signature `encoded` is string (?, 7), whose axis 1 is 7. In metadata.yaml max_detections",
        ),
        (
            lambda meta_graph: meta_graph.signature_def["encoded"].outputs.pop("mask_corners"),
            "the outputs of signature `encoded` are boxes, classes, masks, num_detections, scores, status, without "
            "mask_corners. Expected boxes, classes, mask_corners, masks, num_detections, scores, status",
        ),
    ],
    ids=["type", "axes", "length", "half"],
)
def test_masks_of_another_form(models, tmp_path, change, message):
    assert message in _refusal(edit_graph(copied(models.exported("segment"), tmp_path), change))


def test_a_signature_that_does_not_say_what_its_function_gives(tiny_export, tmp_path):
    """Signature and metadata agree on 11 classes; the function behind them gives 10."""

    def change(meta_graph):
        meta_graph.signature_def["network"].outputs["scores"].tensor_shape.dim[2].size = 11

    model = edit_graph(copied(tiny_export, tmp_path), change)
    edit_metadata(model, lambda document: document.update(names=[str(index) for index in range(11)]))
    with pytest.raises(tftrt_yolo.SavedModelError) as caught:
        tftrt_yolo.Predictor(model)
    assert "output scores of the function behind signature `network` is float (?, 2100, 10)" in str(caught.value)
    assert "whose axis 2 is 10. In metadata.yaml the number of names is 11: " in str(caught.value)


def _with_report(model, **values):
    path = model / "conversion.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | values))
    return renew_digests(model)


CLAIMS = [
    ({"accelerator": "xla", "precision_mode": "FP16"}, "has no functions that XLA compiles in its graph"),
    ({"accelerator": "tensorrt", "precision_mode": "FP16"}, "has no engines of TensorRT in its graph"),
    ({"accelerator": "onednn", "precision_mode": "FP32"}, "has variables of an export in its graph"),
]


@pytest.mark.parametrize(("claim", "message"), CLAIMS, ids=[claim["accelerator"] for claim, _ in CLAIMS])
def test_a_conversion_that_was_none(tiny_export, tmp_path, claim, message):
    said = _refusal(_with_report(copied(tiny_export, tmp_path), **claim))
    assert f"{message}. Its conversion.json says {claim['accelerator']}: " in said


REPORTS = [
    ({"accelerator": "xla"}, "has engines of TensorRT in its graph. Its conversion.json says xla: "),
    ({"precision_mode": "INT8"}, "has engines in 'FP16'. Its conversion.json says INT8: "),
    ({"precision_mode": "FP32"}, "has engines in 'FP16'. Its conversion.json says FP32: "),
    ({"engines": 2}, "has 1 engine. Its conversion.json says 2: "),
    ({"engines": [1]}, "has 1 engine. Its conversion.json says a list of 1: "),
    ({"engines_built": True}, "has engines that are not built. Its conversion.json says the contrary: "),
]


@pytest.mark.parametrize(("change", "message"), REPORTS, ids=[message[:40] for _, message in REPORTS])
def test_another_report_than_the_conversion_s(tiny_conversion, tmp_path, change, message):
    assert message in _refusal(_with_report(copied(tiny_conversion, tmp_path), **change))


def test_engines_without_a_report(tiny_conversion, tmp_path):
    model = forget_digests(copied(tiny_conversion, tmp_path))
    (model / "conversion.json").unlink()
    assert "holds 1 TensorRT engine and no conversion.json. Expected the report of its conversion" in _refusal(model)


def test_a_built_engine_of_another_model(tiny_conversion, tmp_path):
    model = copied(tiny_conversion, tmp_path)
    (model / "assets").mkdir(exist_ok=True)
    (model / "assets" / "trt-serialized-engine.TRTEngineOp_000_000_other").write_bytes(bytes(100))
    said = _refusal(renew_digests(model))
    assert "has a built engine 'TRTEngineOp_000_000_other'. Its graph has 'TRTEngineOp_000_000_" in said


@pytest.mark.parametrize(
    ("accelerator", "precision", "other", "found"),
    [("xla", "FP16", "FP32", "half"), ("xla", "FP32", "BF16", "float"), ("onednn", "FP32", "BF16", "float")],
)
def test_precision_of_what_was_baked(toy_export, tmp_path, accelerator, precision, other, found):
    model = tmp_path / "a_saved_model"
    tftrt_yolo.convert(toy_export, model, accelerator=accelerator, precision_mode=precision)
    assert tftrt_yolo.inspect(model).conversion.precision_mode == precision
    said = _refusal(_with_report(model, precision_mode=other))
    assert re.search(
        rf"has convolutions and products in {found}\. Its conversion\.json says {other}, which is \w+: ", said
    )
    forget_digests(model)
    (model / "conversion.json").unlink()
    if accelerator == "xla":
        assert "holds functions for XLA and no conversion.json" in _refusal(model)


@pytest.mark.parametrize("task", TASKS)
def test_what_an_older_version_wrote_is_believed(models, tmp_path, task):
    model = forget_digests(copied(models.exported(task), tmp_path))

    def change(document):
        document["tftrt_yolo"].pop("weights_sha256")
        del document["tftrt_yolo"]["selection"]["max_candidates"]

    edit_metadata(model, change)
    assert tftrt_yolo.inspect(model).metadata.weights_sha256 is None
    assert len(tftrt_yolo.Predictor(model)(IMAGES[0])) == 1


FORMS = [
    (lambda message: message.meta_graphs.append(message.meta_graphs[0]), "holds 2 graphs, and one was expected"),
    (
        lambda message: message.meta_graphs[0].ClearField("object_graph_def"),
        "has no object graph, so TensorFlow 1 wrote",
    ),
    (
        lambda message: message.meta_graphs[0].collection_def["saved_model_main_op"].node_list.value.append("\x1b[31m"),
        r"begins with '\x1b[31m', which is not in it",
    ),
    (lambda message: _forget_beginning(message.meta_graphs[0]), "has nothing to begin with"),
    (lambda message: message.ClearField("meta_graphs"), "has the signatures (none) and lacks serving_default"),
    (
        lambda message: message.meta_graphs[0].signature_def.pop("encoded"),
        "has the signatures __saved_model_init_op, framed, network, padded, serving_default and lacks encoded",
    ),
]


def _forget_beginning(meta_graph):
    del meta_graph.collection_def["saved_model_main_op"]
    del meta_graph.signature_def["__saved_model_init_op"]


@pytest.mark.parametrize(("change", "message"), FORMS, ids=[message[:30] for _, message in FORMS])
def test_a_message_of_another_form(toy_export, tmp_path, change, message):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = copied(toy_export, tmp_path)
    whole = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    change(whole)
    (model / "saved_model.pb").write_bytes(whole.SerializeToString())
    renew_digests(model)
    for use in (tftrt_yolo.Predictor, tftrt_yolo.inspect):
        with pytest.raises(tftrt_yolo.SavedModelError, match=re.escape(message)):
            use(model)


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_a_graph_that_finds_classes_without_a_name(tmp_path, index):
    """Its signatures have the right form; what they give does not."""

    def dense(frames):
        batch = tf.shape(frames)[0]
        return {"boxes": tf.zeros((batch, 21, 4)), "scores": tf.zeros((batch, 21, 2))}

    def found(count):
        return {
            "num_detections": tf.ones((count,), tf.int32),
            "boxes": tf.zeros((count, 5, 4)),
            "scores": tf.ones((count, 5)),
            "classes": tf.fill((count, 5), index),
        }

    images, sizes = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images"), tf.TensorSpec((None, 2), tf.int32)
    model, root = tmp_path / "strange_saved_model", tf.Module()
    root.serving_default = tf.function(lambda images: found(tf.shape(images)[0]), input_signature=[images])
    root.padded = tf.function(lambda images, sizes: found(tf.shape(images)[0]), input_signature=[images, sizes])
    root.encoded = tf.function(
        lambda image_bytes: found(tf.shape(image_bytes)[0]), input_signature=[tf.TensorSpec((None,), tf.string)]
    )
    frames = tf.TensorSpec((None, 32, 32, 3), tf.uint8, name="frames")
    root.framed = tf.function(lambda frames, sizes: found(tf.shape(frames)[0]), input_signature=[frames, sizes])
    root.network = tf.function(dense, input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32)])
    signatures = {key: getattr(root, key).get_concrete_function() for key in contract.ALL_SIGNATURES}
    tf.saved_model.save(root, str(model), signatures=signatures)
    selection = Selection(max_detections=5)
    digests.seal(model, contract.Metadata("detect", {0: "a", 1: "b"}, (32, 32), 32, selection, "a.pt"))
    predictor = tftrt_yolo.Predictor(model)
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=rf"of the classes {index} to {index}, and its .* of 0 to 1\. "
    ):
        predictor(IMAGES[0])
