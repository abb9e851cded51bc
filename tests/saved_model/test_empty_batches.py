"""A batch of no images gives results of no images, in every signature, and what is converted has nothing of it."""

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import OTHER_TASKS
from tftrt_yolo.graph import empty_batches
from tftrt_yolo.saved_model import freeze, load
from tftrt_yolo.saved_model.handle import open_saved_model

_EMPTY = {
    "serving_default": lambda size: {"images": tf.zeros((0, 40, 50, 3), tf.uint8)},
    "encoded": lambda size: {"image_bytes": tf.zeros((0,), tf.string)},
    "padded": lambda size: {"images": tf.zeros((0, 40, 50, 3), tf.uint8), "sizes": tf.zeros((0, 2), tf.int32)},
    "framed": lambda size: {"frames": tf.zeros((0, *size, 3), tf.uint8), "sizes": tf.zeros((0, 2), tf.int32)},
    "network": lambda size: {"frames": tf.zeros((0, *size, 3))},
}


def _check(path):
    handle = open_saved_model(path)
    signatures = load.load(handle, strict=False)[0]
    one = {
        "serving_default": {"images": tf.zeros((1, 40, 50, 3), tf.uint8)},
        "encoded": {"image_bytes": tf.constant([b""])},
        "padded": {"images": tf.zeros((1, 40, 50, 3), tf.uint8), "sizes": tf.constant([[40, 50]])},
        "framed": {
            "frames": tf.zeros((1, *handle.metadata.image_size_hw, 3), tf.uint8),
            "sizes": tf.constant([[40, 50]]),
        },
        "network": {"frames": tf.zeros((1, *handle.metadata.image_size_hw, 3))},
    }
    for key, make in _EMPTY.items():
        empty = signatures[key](**make(handle.metadata.image_size_hw))
        for name, values in signatures[key](**one[key]).items():
            assert empty[name].shape == (0, *values.shape[1:])
            assert empty[name].dtype == values.dtype


@pytest.mark.parametrize("task", ["tiny", *OTHER_TASKS])
@pytest.mark.parametrize("kind", ["exported", "converted"])
def test_every_signature(models, task, kind):
    _check(getattr(models, kind)(task))


def test_predictor(tiny_export):
    assert tftrt_yolo.Predictor(tiny_export)([]) == []


def test_a_conversion_for_onednn(models, tmp_path):
    path = tmp_path / "onednn_saved_model"
    tftrt_yolo.convert(models.exported("toy"), path, accelerator="onednn", precision_mode="FP32")
    _check(path)


def test_a_head_that_is_end_to_end(tmp_path):
    path = tmp_path / "yolov10n_saved_model"
    tftrt_yolo.export("yolov10n.yaml", path, image_size=64, nms="one-to-one")
    _check(path)


def test_the_guard_is_no_part_of_what_is_converted(models):
    """Nor of what is measured and recorded: the graph is the one without it."""
    frozen = freeze.freeze_network(models.exported("toy"))
    assert not [node.name for node in frozen.graph_def.node if node.op in ("If", "StatelessIf", "Switch", "Merge")]
    guard = [node.op for node in frozen.graph_def.node if "not_empty_batch" in node.name]
    assert set(guard) == {"Identity"}
    conversion = open_saved_model(models.converted("toy")).conversion  # what its worker counted of `network`
    assert (conversion["engines"], conversion["nodes_outside"]) == (1, 0)


def test_a_network_without_a_guard_stays_as_it_is():
    """As earlier versions exported it."""
    with tf.Graph().as_default() as graph:
        frames = tf.compat.v1.placeholder(tf.float32, (None, 4), name="frames")
        tf.identity(frames * 2.0, name="doubled")
    graph_def = graph.as_graph_def()
    expected = graph_def.SerializeToString()
    empty_batches.without_guard(graph_def, "frames")
    assert graph_def.SerializeToString() == expected


def test_other_batches_go_through():
    """Those that are not empty are run as they are; an empty one on one frame of zeros."""
    seen = []

    def network(frames):
        seen.append(None)
        with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(frames)[0])]):
            return {"sum": tf.reduce_sum(frames, axis=1), "twice": frames * 2.0}

    run = tf.function(empty_batches.guarded(network), input_signature=[tf.TensorSpec((None, 3))], autograph=False)
    for count in (0, 1, 5):
        frames = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
        outputs = run(tf.constant(frames))
        np.testing.assert_array_equal(outputs["sum"], frames.sum(axis=1))
        np.testing.assert_array_equal(outputs["twice"], frames * 2)
    assert len(seen) == 1


def test_a_network_that_was_guarded_twice():
    """As a quantised one is: its graph holds what is left of the export's guard, under a name of its own."""

    def network(frames):
        return {"doubled": frames * 2.0}

    def frozen(function):
        with tf.Graph().as_default() as graph:
            frames = tf.compat.v1.placeholder(tf.float32, (None, 4), name="frames")
            tf.identity(empty_batches.guarded(function)(frames)["doubled"], name="output")
        graph_def = graph.as_graph_def()
        empty_batches.without_guard(graph_def, "frames")
        return graph_def

    def again(frames):
        [doubled] = tf.graph_util.import_graph_def(frozen(network), {"frames": frames}, ["output:0"], name="quantized")
        return {"doubled": doubled}

    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen(again), name="")
    with tf.compat.v1.Session(graph=graph) as session:
        found = session.run("output:0", {"frames:0": np.ones((3, 4), np.float32)})
    np.testing.assert_array_equal(found, np.full((3, 4), 2.0, np.float32))
