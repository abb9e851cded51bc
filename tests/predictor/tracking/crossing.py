"""A video of digits that cross each other: frames, and where each digit is in each of them."""

import functools

import numpy as np
import PIL.Image

from tests.conftest import DATA

SIZE_HW = (360, 640)
# Class, its photo, and the centre (x, y) in the first and in the last frame: two pairs cross, one digit stands still.
_DIGITS = (
    (0, "000003_3", (60, 100), (580, 110)),
    (2, "000002_1", (580, 150), (60, 145)),
    (5, "000007_1", (80, 310), (560, 280)),
    (8, "000003_4", (560, 240), (80, 250)),
    (4, "000003_1", (320, 40), (320, 40)),
)
_SIDE, _DOTS = 64, 300  # pixels, and how many


def true_boxes(num_frames: int) -> np.ndarray:
    """(frames, digits, 4) float32 xyxy; digit i is object i + 1."""
    shares = np.linspace(0, 1, num_frames)[:, np.newaxis, np.newaxis]
    first, last = (np.array([digit[at] for digit in _DIGITS], float) for at in (2, 3))
    corners = np.round((1 - shares) * first + shares * last) - _SIDE // 2
    return np.concatenate([corners, corners + _SIDE], -1).astype(np.float32)


def classes() -> np.ndarray:
    """(digits,) int."""
    return np.array([digit[0] for digit in _DIGITS])


def frames(num_frames: int, *, shift_px: int = 0):
    """Yields images (height, width, 3) uint8; `shift_px` is how far the camera's view moves in a frame, with all."""
    for at, boxes in enumerate(true_boxes(num_frames)):
        image = _ground().copy()
        for photo, box in zip(_photos(), boxes.astype(int), strict=True):
            image[box[1] : box[3], box[0] : box[2]] = photo
        yield np.roll(image, shift_px * at, axis=1)


def detected(num_frames: int, *, seed: int = 0):
    """Yields boxes, scores and classes as a detector would find them: shaken, some unsure, some missed, some false."""
    numbers = np.random.default_rng(seed)
    for boxes in true_boxes(num_frames):
        found = boxes + numbers.normal(0, 1.5, boxes.shape)
        scores = numbers.uniform(0.3, 0.95, len(boxes))
        scores[numbers.random(len(boxes)) < 0.15] = 0.17  # for the second round alone
        kept = numbers.random(len(boxes)) > 0.08
        false = numbers.uniform(0, 500, (numbers.integers(0, 3), 2)) @ np.array([[1, 0, 1, 0], [0, 0.5, 0, 0.5]])
        false[:, 2:] += 30
        found = np.concatenate([found[kept], false]).astype(np.float32)
        scores = np.concatenate([scores[kept], numbers.uniform(0.1, 0.4, len(false))]).astype(np.float32)
        order = np.argsort(-scores)
        names = np.concatenate([classes()[kept], np.full(len(false), 9)])
        yield found[order], scores[order], names[order]


@functools.cache
def _photos() -> list[np.ndarray]:
    paths = [DATA / "classify" / str(name) / f"{photo}.jpg" for name, photo, _, _ in _DIGITS]
    return [np.asarray(PIL.Image.open(path).convert("RGB").resize((_SIDE, _SIDE))) for path in paths]


@functools.cache
def _ground() -> np.ndarray:
    """Soft blots, and dots that tell of the camera's motion: without them a tracker takes the digits' for it."""
    numbers = np.random.default_rng(1)
    blots = PIL.Image.fromarray(numbers.integers(50, 90, (12, 20, 3), np.uint8))
    ground = np.array(blots.resize(SIZE_HW[::-1], PIL.Image.Resampling.BICUBIC))
    for y, x in zip(numbers.integers(0, SIZE_HW[0], _DOTS), numbers.integers(0, SIZE_HW[1], _DOTS), strict=True):
        ground[y : y + 3, x : x + 3] = 200
    return ground


def idf1(tracked) -> float:
    """IDF1 of boxes (n, 4) xyxy and ids (n,) or None of each frame, by motmetrics."""
    import motmetrics

    gathered = motmetrics.MOTAccumulator(auto_id=True)
    for truth, (boxes, ids) in zip(true_boxes(len(tracked)), tracked, strict=True):
        count = 0 if ids is None else len(ids)
        distances = motmetrics.distances.iou_matrix(_xywh(truth), _xywh(boxes[:count]), max_iou=0.5)
        gathered.update(range(len(truth)), [] if ids is None else list(ids), distances)
    return float(motmetrics.metrics.create().compute(gathered, metrics=["idf1"])["idf1"].iloc[0])


def _xywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], -1)
