"""Depth at the pixels of the image and in colours, against PyTorch's interpolation and Ultralytics' drawing."""

import importlib
import io

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.tasks.drawing.depth_colors import lay_over
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.maps import depth, depth_maps
from tftrt_yolo.tasks.results.depth_map import DepthMap


def _values(shape):
    return np.exp(np.random.default_rng(0).uniform(-4, 5, shape)).astype(np.float32)


@pytest.mark.parametrize("image_hw", [(113, 97), (160, 320), (1, 1), (2, 700), (1_080, 5), (5_000, 3)])
def test_a_map_lies_on_its_image_as_ultralytics_lays_it(image_hw):
    torch = pytest.importorskip("torch")
    values, frame_hw = _values((40, 80)), (160, 320)
    expected = torch.from_numpy(values)[None, None]
    for size_hw in (frame_hw, image_hw):
        expected = torch.nn.functional.interpolate(expected, size=size_hw, mode="bilinear", align_corners=True)
    found = depth_maps.resized(values, image_size_hw=image_hw, frame_size_hw=frame_hw)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0, 0].numpy(), rtol=2e-5)


def test_colours_are_ultralytics():
    plotting = pytest.importorskip("ultralytics.utils.plotting")
    if not hasattr(plotting, "colorize_depth"):
        pytest.skip("this Ultralytics has no depth")
    image = read_image(IMAGES[0])
    values = _values(image.shape[:2])
    values[:5] = 0  # what has no depth is black
    annotator = plotting.Annotator(np.ascontiguousarray(image[..., ::-1]))
    annotator.depth_map(values)
    np.testing.assert_array_equal(lay_over(image, values), annotator.result()[..., ::-1])


def test_the_range_is_written_unless_nothing_is_to_be():
    image = np.zeros((90, 400, 3), np.uint8)
    result, names = DepthMap(_values((90, 400))), np.array(["depth"])
    plain = depth.draw(image, result, names, DrawingOptions(show_labels=False, show_confidence=False))
    np.testing.assert_array_equal(plain, lay_over(image, result.depth))
    written = depth.draw(image, result, names)
    assert (written != plain).any(axis=-1)[:45].any()
    np.testing.assert_array_equal(written[45:], plain[45:])
    assert not image.any()


def test_the_result_says_what_it_is():
    values = np.array([[1.5, 2.0, np.nan], [0.0, 4.0, 8.123456]], np.float32)
    result = DepthMap(values)
    assert repr(result) == "<DepthMap: depth 1.50 to 8.12 m, median 3.00 m>"
    assert result.rows() == [{"minimum": 1.5, "median": 3.0, "maximum": 8.123}]
    assert (len(result), result.num_valid, result.size_hw) == (1, 4, (2, 3))
    frame = tftrt_yolo.to_dataframe([result, DepthMap(values[1:])])
    assert frame.columns.tolist() == ["image", "minimum", "median", "maximum"]
    assert frame["minimum"].tolist() == [1.5, 4.0]
    nothing = DepthMap(np.zeros((2, 3), np.float32))
    assert (len(nothing), nothing.rows(), str(nothing)) == (0, [], "no depth")


def test_a_map_of_another_image():
    image = np.zeros((8, 9, 3), np.uint8)
    assert tftrt_yolo.annotate(image, DepthMap(_values((8, 9)))).shape == image.shape
    with pytest.raises(ValueError, match=r"The map of the result is 8 x 9 pixels; expected 9 x 8"):
        tftrt_yolo.annotate(image, DepthMap(_values((9, 8))))


def test_the_file_is_the_map():
    result = DepthMap(_values((7, 5)))
    np.testing.assert_array_equal(np.load(io.BytesIO(depth.encode_map(result))), result.depth)


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 1.0), (3.0, 0.0), (1.0, 30.0), (-4.0, 0.0)])
def test_a_calibration_that_no_camera_sees(scale, offset):
    torch = pytest.importorskip("torch")
    modules = pytest.importorskip("ultralytics.nn.modules.head")
    if not hasattr(modules, "Depth"):
        pytest.skip("this Ultralytics has no depth")
    head = modules.Depth(8, (8, 8, 8)).eval()
    importlib.import_module("tftrt_yolo.exporter.surgery").replace_blocks(head)
    head.cal_a.fill_(scale)
    head.cal_b.fill_(offset)
    features = [torch.randn(1, 8, side, side, generator=torch.manual_seed(side)) for side in (8, 4, 2)]
    with pytest.raises(CheckpointError, match=r"calibration is cal_a .* Calibrate it again"):
        depth.raw_outputs(head, features)
    head.cal_a.fill_(0.9)
    head.cal_b.fill_(0.3)
    with torch.inference_mode():
        expected = head(features)
        found = depth.raw_outputs(head, features)["log_depth"][0].exp()
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("metres", "unit"),
    [
        ([0.02, 1.234, 65.535], 0.001),
        ([0.5, 65.6], 0.01),
        ([1.0, 5_000.0], 0.1),
        ([np.exp(11), 3.0], 1.0),  # what the largest calibration gives
        ([1e-5, 2.0], 0.001),  # less than half a unit is still some depth
    ],
)
def test_a_file_for_an_answer_holds_all_depths(metres, unit):
    values = np.array([metres], np.float32)
    png, known = depth.encoded_map({"depth": values})
    with PIL.Image.open(io.BytesIO(png)) as file:
        found = np.asarray(file)
    assert known == {"metres_per_value": unit}
    assert found.min() >= 1
    np.testing.assert_allclose(found * unit, values, atol=unit, rtol=1e-6)


def test_what_is_no_depth_is_0_in_the_file():
    values = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 7.5]], np.float32)
    png, known = depth.encoded_map({"depth": values})
    with PIL.Image.open(io.BytesIO(png)) as file:
        assert np.asarray(file).tolist() == [[0, 0, 0, 0, 0, 7_500]]
    assert known == {"metres_per_value": 0.001}
    png, _ = depth.encoded_map({"depth": np.array([[1e6, 3.0]], np.float32)})  # a stranger's graph
    with PIL.Image.open(io.BytesIO(png)) as file:
        assert np.asarray(file).tolist() == [[65_535, 3]]
