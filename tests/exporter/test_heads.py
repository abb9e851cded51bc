import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.contract import HeadSpec
from tftrt_yolo.exporter import heads

torch = pytest.importorskip("torch")


def _random_levels(rng, size_hw, num_classes, reg_max, batch=2):
    sizes = [(size_hw[0] // stride, size_hw[1] // stride) for stride in (8, 16, 32)]
    return [
        rng.normal(0, 2, (batch, height, width, channels)).astype(np.float32)
        for height, width in sizes
        for channels in (4 * reg_max, num_classes)
    ]


@pytest.mark.parametrize(
    ("size_hw", "num_classes", "reg_max"),
    [
        ((64, 64), 10, 16),  # as YOLOv8
        ((64, 128), 3, 16),  # not square: rows and columns must not be mixed up
        ((96, 64), 1, 16),  # one class
        ((64, 64), 5, 1),  # a head that regresses distances directly
    ],
)
def test_decode_equals_ultralytics(size_hw, num_classes, reg_max):
    from ultralytics.nn.modules import Detect

    levels = _random_levels(np.random.default_rng(0), size_hw, num_classes, reg_max)
    head = Detect(nc=num_classes, reg_max=reg_max, ch=(64, 64, 64)).eval()
    head.stride = torch.tensor([8.0, 16.0, 32.0])
    maps = [torch.from_numpy(level).permute(0, 3, 1, 2) for level in levels]
    predictions = {
        "boxes": torch.cat([part.flatten(2) for part in maps[::2]], -1),
        "scores": torch.cat([part.flatten(2) for part in maps[1::2]], -1),
        "feats": maps[::2],
    }
    with torch.inference_mode():
        expected = head._inference(predictions).numpy()

    boxes, scores = heads.decode_detect([tf.constant(level) for level in levels], HeadSpec((8, 16, 32), reg_max))
    np.testing.assert_allclose(heads.ultralytics_layout(boxes, scores), expected, atol=2e-3, rtol=1e-5)


def test_decode_equals_float64():
    """The expectation of the distribution, anchor by anchor, in float64."""
    levels = _random_levels(np.random.default_rng(1), (32, 64), 2, 16, batch=1)
    boxes, scores = heads.decode_detect([tf.constant(level) for level in levels], HeadSpec((8, 16, 32), 16))
    expected = []
    for level, stride in zip(levels[::2], (8, 16, 32), strict=True):
        for y in range(level.shape[1]):
            for x in range(level.shape[2]):
                bins = np.exp(level[0, y, x].reshape(4, 16).astype(np.float64))
                left, top, right, bottom = (bins * np.arange(16)).sum(1) / bins.sum(1)
                expected.append([x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom])
                expected[-1] = [edge * stride for edge in expected[-1]]
    np.testing.assert_allclose(boxes[0], expected, atol=1e-3)
    assert scores.shape == (1, len(expected), 2)
