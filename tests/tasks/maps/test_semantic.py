"""Classes of an image's pixels, on the host and in the graph, against Ultralytics' own predictor; and what is said."""

import io
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tftrt_yolo
from tftrt_yolo.graph.encoded import class_maps as encoded
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.placement import letterboxed, scaled_size
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.maps import class_maps, semantic
from tftrt_yolo.tasks.results.semantic_map import SemanticMap

NAMES = np.array(["road", "sky", "<car>"])
CASES = [  # frame's and image's height and width, classes
    ((160, 160), (113, 97), 11),
    ((160, 160), (97, 1_300), 3),  # scaled down, with much padding
    ((96, 160), (1_080, 1_440), 2),
    ((160, 160), (160, 160), 19),
    ((160, 160), (1, 1), 5),
    ((64, 64), (3, 900), 7),
    ((160, 160), (200, 300), 1),
    ((64, 64), (90, 70), 300),
]


def _logits(frame_hw, num_classes, seed=0):
    """Scores that change from cell to cell, with regions in which a class is far ahead."""
    rng = np.random.default_rng(seed)
    shape = (frame_hw[0] // 8, frame_hw[1] // 8, num_classes)
    regions = rng.normal(size=(-(-shape[0] // 4), -(-shape[1] // 4), num_classes)).repeat(4, axis=0).repeat(4, axis=1)
    return (rng.normal(size=shape) + 4 * regions[: shape[0], : shape[1]]).astype(np.float32)


def _ultralytics(logits, frame_hw, image_hw):
    """The class map that Ultralytics' predictor makes of them, and how far its best two scores are apart."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("ultralytics.models.yolo")
    if not hasattr(models, "semantic"):
        pytest.skip("this Ultralytics has no semantic segmentation")
    planes = torch.from_numpy(logits.transpose(2, 0, 1).copy())[None]
    predictor = models.semantic.SemanticSegmentationPredictor()
    predictor.model = types.SimpleNamespace(names=dict.fromkeys(range(logits.shape[-1]), ""))
    predictor.batch = [["image.png"]]
    image = np.zeros((*image_hw, 3), np.uint8)
    [result] = predictor.postprocess(planes, torch.zeros(1, 3, *frame_hw), [image])
    from ultralytics.utils import ops

    scores = torch.nn.functional.interpolate(planes, frame_hw, mode="bilinear", align_corners=False)
    scores = ops.scale_masks(scores, image_hw)[0]
    gap = scores[0].abs() if len(scores) == 1 else scores.topk(2, dim=0).values.diff(dim=0)[0].abs()
    return result.semantic_mask.data.numpy(), gap.numpy()


@pytest.mark.parametrize(("frame_hw", "image_hw", "num_classes"), CASES)
def test_the_classes_are_ultralytics_but_for_ties(frame_hw, image_hw, num_classes):
    logits = _logits(frame_hw, num_classes)
    expected, gap = _ultralytics(logits, frame_hw, image_hw)
    found = class_maps.class_map(logits, image_size_hw=image_hw, frame_size_hw=frame_hw)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    differs = found != expected
    assert differs.mean() < 1e-3
    assert gap[differs].max(initial=0) < 1e-4 * np.abs(logits).max()


@pytest.mark.parametrize(("frame_hw", "image_hw", "num_classes"), CASES)
def test_the_file_of_the_graph_is_the_map_of_the_host(frame_hw, image_hw, num_classes):
    batch = np.stack([_logits(frame_hw, num_classes, seed) for seed in (1, 2)])
    sizes_hw = np.array([image_hw, (50, 40)], np.int32)
    files = encoded.pack(tf.constant(batch), tf.constant(sizes_hw), frame_hw).numpy()
    for logits, size_hw, file in zip(batch, sizes_hw.tolist(), files, strict=True):
        host = class_maps.class_map(logits, image_size_hw=tuple(size_hw), frame_size_hw=frame_hw)
        with PIL.Image.open(io.BytesIO(file)) as image:
            found = np.asarray(image)
        assert (found.dtype == np.uint8) == (num_classes <= 256)  # Pillow has 16 bits as one type or another
        assert np.count_nonzero(found != host) <= host.size // 10_000
        with PIL.Image.open(io.BytesIO(semantic.encode_map(SemanticMap(host, np.array(["a"]))))) as own:
            np.testing.assert_array_equal(np.asarray(own), host)


@pytest.mark.parametrize("num_classes", [1, 2, 7])
@pytest.mark.parametrize("image_hw", [(64, 96), (32, 48), (128, 48), (16, 96)])
def test_ties_go_to_the_first_class_in_both(num_classes, image_hw):
    """Of whole numbers, interpolated by powers of two, which float32 holds; a loop in float64 says whose they are.

    A logit of the one class that is 0 is not above the threshold.
    """
    frame_hw, rng = (64, 96), np.random.default_rng(num_classes)
    logits = rng.integers(-1, 2, (8, 12, num_classes)).astype(np.float32)
    found = class_maps.class_map(logits, image_size_hw=image_hw, frame_size_hw=frame_hw)
    [file] = encoded.pack(tf.constant(logits[np.newaxis]), tf.constant([image_hw]), frame_hw).numpy()
    with PIL.Image.open(io.BytesIO(file)) as image:
        np.testing.assert_array_equal(np.asarray(image), found)
    expected, ties = _naive(logits, frame_hw, image_hw)
    np.testing.assert_array_equal(found, expected)
    assert ties > 1e-3
    assert len(np.unique(found)) == max(num_classes, 2)


def _naive(logits, frame_hw, image_hw):
    """The map pixel by pixel in float64, and the share of ties."""
    placement = letterboxed(image_hw, frame_hw)
    scaled = scaled_size(image_hw, frame_hw)
    starts = placement.padding_xy[::-1].astype(int)
    of_frame = _interpolated(logits.astype(np.float64), frame_hw)
    shown = of_frame[starts[0] : starts[0] + scaled[0], starts[1] : starts[1] + scaled[1]]
    scores = _interpolated(shown, image_hw)
    if scores.shape[-1] == 1:
        return (scores[..., 0] > 0).astype(np.uint8), (scores == 0).mean()
    best = scores.max(axis=-1, keepdims=True)
    return scores.argmax(axis=-1), ((scores == best).sum(axis=-1) > 1).mean()


def _interpolated(values, size_hw):
    """Bilinear with pixels measured at their centres, one output pixel at a time."""
    found = np.empty((*size_hw, values.shape[-1]))
    for y, x in np.ndindex(*size_hw):
        (top, down, below), (left, right, beside) = (
            _between(place, size, length) for place, size, length in zip((y, x), size_hw, values.shape, strict=False)
        )
        upper = values[top, left] * (1 - beside) + values[top, right] * beside
        lower = values[down, left] * (1 - beside) + values[down, right] * beside
        found[y, x] = upper * (1 - below) + lower * below
    return found


def _between(place, size, length):
    """The two pixels that one lies between, and the share of the second."""
    at = max((place + 0.5) * length / size - 0.5, 0)
    first = min(int(at), length - 1)
    return first, min(first + 1, length - 1), at - first


def test_nothing_is_ruled_out_that_could_win(monkeypatch):
    """Stripes, and leaving out what cannot win, change no pixel."""
    logits = _logits((160, 160), 40, seed=3)
    sizes = {"image_size_hw": (301, 207), "frame_size_hw": (160, 160)}
    found = class_maps.class_map(logits, **sizes)
    monkeypatch.setattr(class_maps, "_STRIPE_PIXELS", 207 * 7)
    np.testing.assert_array_equal(class_maps.class_map(logits, **sizes), found)
    monkeypatch.setattr(class_maps, "_can_win", lambda planes: np.ones(planes.shape[:2], bool))
    np.testing.assert_array_equal(class_maps.class_map(logits, **sizes), found)
    of_frame = class_maps.frame_map(logits, (160, 160))
    np.testing.assert_array_equal(
        of_frame, class_maps.class_map(logits, image_size_hw=(160, 160), frame_size_hw=(160, 160))
    )


def test_scores_that_are_no_numbers_end_in_a_map():
    logits = np.full((4, 4, 3), np.nan, np.float32)
    found = class_maps.class_map(logits, image_size_hw=(20, 30), frame_size_hw=(32, 32))
    assert found.shape == (20, 30)
    assert found.max() < 3


def _map():
    class_map = np.zeros((4, 5), np.uint8)
    class_map[2:] = 2
    class_map[0, 0] = 255  # of no class
    return SemanticMap(class_map, NAMES)


def test_the_result_says_what_it_is():
    found = _map()
    assert repr(found) == "<SemanticMap: 2 classes: <car> 50%, road 45%>"
    assert str(found).splitlines()[1:] == [
        "  name   pixels   share",
        "  <car>      10  50.00%",
        "  road        9  45.00%",
    ]
    assert "&lt;car&gt;" in found._repr_html_()
    assert found.rows() == [
        {"class": 2, "name": "<car>", "pixels": 10, "share": 0.5},
        {"class": 0, "name": "road", "pixels": 9, "share": 0.45},
    ]
    assert (len(found), found.size_hw) == (2, (4, 5))
    frame = tftrt_yolo.to_dataframe([found, _map()])
    assert frame.columns.tolist() == ["image", "class", "name", "pixels", "share"]
    assert frame["pixels"].tolist() == [10, 9, 10, 9]
    assert found == _map()
    assert found != SemanticMap(found.class_map, np.array(["a", "b", "c"]))
    nothing = SemanticMap(np.full((2, 2), 255, np.uint8), NAMES)
    assert (repr(nothing), nothing.rows(), len(nothing)) == ("<SemanticMap: no class>", [], 0)
    one = SemanticMap(np.array([[0, 1, 1]], np.uint8), np.array(["cell"]))
    assert one.rows() == [{"class": 0, "name": "cell", "pixels": 2, "share": 0.66667}]
    file = semantic.encode_map(one)
    assert semantic.encoded_rows({"class_maps": file}, one.class_name) == one.rows()
    assert semantic.encoded_rows({"class_maps": b""}, one.class_name) == []


def test_colours_lie_on_their_classes_alone():
    image = np.full((60, 80, 3), 100, np.uint8)
    class_map = np.full((60, 80), 255, np.uint8)
    class_map[:, :40] = 1
    plain = semantic.draw(image, SemanticMap(class_map, NAMES), NAMES, DrawingOptions(show_labels=False))
    np.testing.assert_array_equal(plain[:, 40:], image[:, 40:])
    colours = np.unique(plain[:, :40].reshape(-1, 3), axis=0)
    assert len(colours) == 1
    assert (colours != 100).any()
    named = semantic.draw(image, SemanticMap(class_map, NAMES), NAMES)
    assert (named != plain).any()
    assert (image == 100).all()
    one = SemanticMap((class_map == 1).astype(np.uint8), NAMES[:1])  # beside the one class nothing is drawn
    drawn = semantic.draw(image, one, NAMES[:1], DrawingOptions(show_labels=False))
    np.testing.assert_array_equal(drawn[:, 40:], image[:, 40:])
    np.testing.assert_array_equal(tftrt_yolo.annotate(image, _whole(), show_labels=False).shape, image.shape)


def _whole():
    return SemanticMap(np.zeros((60, 80), np.uint8), NAMES)


def test_more_classes_than_a_file_has_values_for():
    head = types.SimpleNamespace(nc=70_000, classifier=lambda features: features)
    with pytest.raises(CheckpointError, match=r"tells 70,000 classes apart; at most 65,536 are supported"):
        semantic.raw_outputs(head, [None])


def test_a_class_that_is_there_has_some_of_the_image():
    class_map = np.zeros((100, 100), np.uint8)
    class_map[0, :3] = 1
    found = SemanticMap(class_map, NAMES)
    assert found.summary() == "2 classes: road 100%, " + f"{NAMES[1]} <1%"
    assert str(found).splitlines()[-1].endswith("0.03%")
