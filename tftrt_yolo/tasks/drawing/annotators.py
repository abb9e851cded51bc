"""Boxes, labels and lines of text on pictures, drawn by supervision; each task says what of it it draws.

    picture = draw_labels(draw_boxes(image.copy(), detections), detections, names)

A picture always has the size of its image. On small ones the text is as small as it can be read.
"""

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw
import supervision as sv
from supervision.detection.utils.boxes import spread_out_boxes

from tftrt_yolo.tasks.drawing import lettering

_MINIMUM_TEXT_SCALE = 0.4  # letters of 12 pixels, the least that Ultralytics draws
_PIXELS_OF_SCALE = 30  # of a TrueType font that is as high as OpenCV's strokes at a text scale of 1
_SMALLEST_PX = 7  # in which DejaVu Sans can still be read
_PADDING_PX, _MARGIN_PX = 3, 2  # around a label, and around lines of text
_SHARE_OF_TEXT = 0.5  # of the image's height, at most, that lines of text may cover


def draw_boxes(picture: np.ndarray, detections: sv.Detections) -> np.ndarray:
    """Draws upright boxes.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class indices.

    Returns:
      The picture.
    """
    thickness = sv.calculate_optimal_line_thickness((picture.shape[1], picture.shape[0]))
    return sv.BoxAnnotator(thickness=thickness).annotate(picture, detections)


def draw_labels(picture: np.ndarray, detections: sv.Detections, names: np.ndarray) -> np.ndarray:
    """Draws names and scores, side by side where they would lie on each other.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class indices and scores.
      names: (C,) str, the classes. One beyond ASCII has all drawn with a TrueType font; see `lettering`.

    Returns:
      The picture.
    """
    letters = lettering.of(names)
    labels = [
        f"{track}{letters.texts[index]} {score:.2f}"
        for track, index, score in zip(_tracks(detections), detections.class_id, detections.confidence, strict=True)
    ]
    scale = max(_MINIMUM_TEXT_SCALE, _text_scale(picture))
    if letters.font_path is not None:
        return _draw_written_labels(picture, detections, labels, letters.font(round(_PIXELS_OF_SCALE * scale)))
    annotator = sv.LabelAnnotator(
        text_scale=scale,
        text_color=sv.Color.BLACK,
        text_padding=_PADDING_PX,
        smart_position=True,
    )
    return annotator.annotate(picture, detections, labels=labels)


def _tracks(detections: sv.Detections) -> list[str]:
    """What stands before each name: the track, as Ultralytics writes it; nothing where none is tracked."""
    ids = detections.tracker_id
    return [""] * len(detections) if ids is None else [f"id:{track} " for track in ids]


def _draw_written_labels(picture: np.ndarray, detections: sv.Detections, labels: list[str], written) -> np.ndarray:
    """As supervision's LabelAnnotator, in a TrueType font; its RichLabelAnnotator takes four times as long."""
    if not labels:
        return picture
    ascent, descent = written.getmetrics()
    widths = np.array([math.ceil(written.getlength(label)) for label in labels])
    sizes = np.stack([widths, np.full(len(labels), ascent + descent)], -1) + 2 * _PADDING_PX
    corners = detections.xyxy[:, :2].astype(int)
    places = np.concatenate([corners - [0, 1] * sizes, corners + [1, 0] * sizes], -1).astype(float)
    frame_wh = np.array(picture.shape[1::-1])
    places = _within(places, frame_wh)
    places = _within(spread_out_boxes(places), frame_wh) if len(labels) > 1 else places
    for label, index, size_wh, place in zip(labels, detections.class_id, sizes, places.astype(int), strict=True):
        ink = PIL.Image.new("L", tuple(size_wh.tolist()))
        PIL.ImageDraw.Draw(ink).text((_PADDING_PX, _PADDING_PX + ascent), label, fill=255, font=written, anchor="ls")
        light = 1 - np.asarray(ink)[..., np.newaxis] / np.float32(255)
        block = light * np.float32(sv.ColorPalette.DEFAULT.by_idx(index).as_bgr())  # as supervision colours the boxes
        _lay(picture, block.astype(np.uint8), place[:2])
    return picture


def _within(places: np.ndarray, frame_wh: np.ndarray) -> np.ndarray:
    """Moves rectangles (n, 4) into the picture; what is larger begins at its left or upper edge."""
    beyond = np.maximum(places[:, 2:] - frame_wh, 0)
    moved = places - np.tile(beyond, 2)
    return moved - np.tile(np.minimum(moved[:, :2], 0), 2)


def _lay(picture: np.ndarray, block: np.ndarray, corner_xy: np.ndarray) -> None:
    """Copies what of a block is within the picture."""
    x, y = np.maximum(corner_xy, 0)
    place = picture[y : y + block.shape[0], x : x + block.shape[1]]
    place[:] = block[: place.shape[0], : place.shape[1]]


def swapped(red: int, green: int, blue: int) -> sv.Color:
    """A colour for supervision that comes out right in an array which is RGB and not, as it takes it for, BGR."""
    return sv.Color(r=blue, g=green, b=red)


def draw_lines(picture: np.ndarray, rows: list[tuple[int, str]], names: np.ndarray) -> np.ndarray:
    """Writes lines on an image's upper left corner, black on white: as many as fit into the upper half, at least one.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      rows: A class index and what follows its name, a line each, the most important first.
      names: (C,) str, the classes.

    Returns:
      The picture. One that is too small for a line of letters of 7 pixels has none.
    """
    letters = lettering.of(names)
    lines = [(letters.texts[index], end) for index, end in rows]
    size = round(_PIXELS_OF_SCALE * max(_MINIMUM_TEXT_SCALE, _text_scale(picture)))
    while size > _SMALLEST_PX and not _fits(picture, letters.font(size), lines[:1]):
        size -= 1
    written = letters.font(size)
    most = max(int(picture.shape[0] * _SHARE_OF_TEXT) // sum(written.getmetrics()), picture.shape[0] > _SMALLEST_PX)
    texts = filter(None, (_cut(line, written, picture.shape[1]) for line in lines[:most]))
    _lay(picture, _block(list(texts), written), np.zeros(2, int))
    return picture


def _text_scale(picture: np.ndarray) -> float:
    """Supervision's text scale for a picture's size."""
    return sv.calculate_optimal_text_scale((picture.shape[1], picture.shape[0]))


def _fits(picture: np.ndarray, written, lines: list[tuple[str, str]]) -> bool:
    """Whether lines are within the picture's width, and one of them within half of its height."""
    width = max((written.getlength(f"{name} {end}") for name, end in lines), default=0)
    is_low = sum(written.getmetrics()) <= picture.shape[0] * _SHARE_OF_TEXT
    return is_low and width + 2 * _MARGIN_PX <= picture.shape[1]


def _cut(line: tuple[str, str], written, width_px: int) -> str:
    """A line that fits into a width: the name alone if need be, and its end left out; empty if not a letter fits."""
    name, end = line
    shortened = (f"{name[:length]}.." for length in range(min(len(name) - 1, width_px), 0, -1))
    for text in (f"{name} {end}", name, *shortened):
        if written.getlength(text) + 2 * _MARGIN_PX <= width_px:
            return text
    return ""


def _block(lines: list[str], written) -> np.ndarray:
    """Lines of text, black on white: (height, width, 3) uint8; without a pixel if there are none."""
    if not lines:
        return np.zeros((0, 0, 3), np.uint8)
    ascent, descent = written.getmetrics()
    width = math.ceil(max(map(written.getlength, lines))) + 2 * _MARGIN_PX
    block = PIL.Image.new("L", (width, (ascent + descent) * len(lines) + 2 * _MARGIN_PX), 255)
    draw = PIL.ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        place = (_MARGIN_PX, _MARGIN_PX + (ascent + descent) * number + ascent)
        draw.text(place, line, fill=0, font=written, anchor="ls")
    return np.asarray(block)[..., np.newaxis].repeat(3, axis=-1)
