"""Depth: how far each pixel of the image is, in metres.

depth (batch, S/4, S/4)
"""

import io

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.placement import STRETCH
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Quantity, Scene, Task

_LEAST_LOG, _MOST_LOG = -4.0, 5.0  # of metres; ultralytics.nn.modules.head.Depth: 2 cm to 148 m before the calibration
_MOST_CALIBRATED = 11.0  # exp(11) is 59,874, and 65,504 the largest number of FP16
_UNITS, _MOST_VALUE = (0.001, 0.01, 0.1, 1.0), 65_535  # metres of a PNG's value, and the largest of 16 bits


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of the head: "log_depth" (batch, 1, S/4, S/4), once: the logarithm of the calibrated depth.

    It is taken behind the clamp, so that whoever quantises or calibrates sees values that are bounded, and behind the
    calibration, two numbers that would only have to be carried on beside the graph. What is left for the decode is the
    exponential.

    Args:
      head: The head, in PyTorch, with `enlarge` of `exporter.surgery`.
      features: Its inputs, (batch, channels, h, w), level by level.

    Raises:
      CheckpointError: If the calibration makes depths of it that no camera sees.

    Source: ultralytics.nn.modules.head.Depth.
    """
    scale, offset = (float(buffer) for buffer in (head.cal_a, head.cal_b))
    ends = [scale * end + offset for end in (_LEAST_LOG, _MOST_LOG)]
    if not scale or not all(abs(end) <= _MOST_CALIBRATED for end in ends):
        raise CheckpointError(
            f"The model's calibration is cal_a {scale:g} and cal_b {offset:g}, which gives depths of exp({ends[0]:g}) "
            f"to exp({ends[1]:g}) metres. Expected depths that differ, between exp(-{_MOST_CALIBRATED:g}) and "
            f"exp({_MOST_CALIBRATED:g}). Calibrate it again, as Ultralytics does after training."
        )
    levels = [project(feature) for project, feature in zip(head.proj, features, strict=True)]
    merged = levels[-1]
    for level, refine in reversed(list(zip(levels, head.refine, strict=False))):
        merged = refine(head.enlarge(merged) + level)
    log_depth = head.head(merged).clamp(_LEAST_LOG, _MOST_LOG)
    is_plain = (scale, offset) == (1.0, 0.0)
    return {"log_depth": [log_depth if is_plain else scale * log_depth + offset]}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from what Ultralytics' network gives: depth (batch, 1, S/4, S/4)."""
    return {"depth": outputs[0][:, 0]}


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes depth (batch, S/4, S/4) in metres."""
    import tensorflow as tf

    return {"depth": tf.squeeze(tf.exp(parts["log_depth"][0]), axis=-1)}


def ultralytics(dense: dict, metadata: Metadata):
    """What Ultralytics' loader expects, channels last; its predictor and its validator resize it."""
    return dense["depth"][..., None]


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's depth.

    Args:
      outputs: `depth` (h, w), of the frame.
      scene: Sizes of the image and of the frame.

    Returns:
      `DepthMap` of the image's size.
    """
    from tftrt_yolo.tasks.maps import depth_maps
    from tftrt_yolo.tasks.results.depth_map import DepthMap

    return DepthMap(
        depth_maps.resized(outputs["depth"], image_size_hw=scene.image_size_hw, frame_size_hw=scene.frame_size_hw)
    )


def draw(image: np.ndarray, result, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Lays a colour for each depth over a copy of an image, as Ultralytics does, and writes the least and the largest.

    Args:
      image: (height, width, 3) uint8, RGB.
      result: Its `DepthMap`.
      names: Not used: a depth has no class.
      options: With neither labels nor confidences nothing is written.
    """
    from tftrt_yolo.tasks.drawing import annotators, depth_colors

    options = options or DrawingOptions()
    picture = depth_colors.lay_over(image, result.depth)
    is_shown = (options.show_labels or options.show_confidence) and result.num_valid
    line = [(0, f"{result.minimum:.2f} to {result.maximum:.2f} m")]
    return annotators.draw_lines(picture, line if is_shown else [], np.array(["depth"]), options)


def rows(result, names: np.ndarray) -> list[dict]:
    """The least, the median and the largest depth in metres, for a file."""
    return result.rows()


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """The largest difference of two maps of one image, in metres and as a share of the first one's depth."""
    apart = np.abs(expected.depth - found.depth)
    return {"depth (m)": apart.max(), "relative depth": (apart / expected.depth).max()}


def encode_map(result) -> bytes:
    """A file of NumPy's with the depths (height, width) float32, in metres.

    Ultralytics takes such files as labels of data sets, and PNG files of 16 bits too, which end at 65 m.
    """
    file = io.BytesIO()
    np.save(file, result.depth, allow_pickle=False)
    return file.getvalue()


def encoded_rows(outputs: dict[str, np.ndarray], names: np.ndarray) -> list[dict]:
    """As `rows`, of the network's map, which is coarser than the image; none of a file that was not read."""
    from tftrt_yolo.tasks.results.depth_map import DepthMap

    return DepthMap(outputs["depth"]).rows()


def encoded_map(outputs: dict[str, np.ndarray]) -> tuple[bytes, dict[str, float]]:
    """The network's map, for a text: a grey PNG of 16 bits, a tenth of the same numbers as JSON.

    It is coarser than the image and stretched over all of it, so it stays small however large the image is.

    Args:
      outputs: `depth` (h, w), metres.

    Returns:
      The file, and "metres_per_value": 0.001, or where depths go beyond 65 m the next power of ten with which 16 bits
      hold them. A value of 0 stands for no depth.
    """
    import PIL.Image  # late, as in the tasks' other modules: the table is imported without it

    depth = outputs["depth"]
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0).astype(np.float64)
    unit = next((unit for unit in _UNITS if np.round(depth.max() / unit) <= _MOST_VALUE), _UNITS[-1])
    values = np.clip(np.round(depth / unit), depth > 0, _MOST_VALUE).astype(np.uint16)
    file = io.BytesIO()
    PIL.Image.fromarray(values).save(file, "PNG")
    return file.getvalue(), {"metres_per_value": unit}


TASK = Task(
    name="depth",
    heads=("Depth",),
    whole_parts=("log_depth",),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(Quantity("depth", "depth", 1e-3, "relative"),),
    decode=decode,
    per_image=("depth",),
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    differences=differences,
    row_label="depth",
    encode_map=encode_map,
    map_ending=".npy",
    encoded_rows=encoded_rows,
    encoded_map=encoded_map,
    verb="Measured the depth of",
    has_classes=False,
    fit=STRETCH,
)
