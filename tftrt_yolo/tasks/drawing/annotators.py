"""Boxes, labels and lines of text on pictures, drawn by supervision; each task says what of it it draws.

    picture = draw_labels(draw_boxes(image.copy(), detections, options), detections, names, options)

A picture always has the size of its image. On small ones the text is as small as it can be read.
"""

import math

import numpy as np
import PIL.Image
import PIL.ImageDraw
import supervision as sv
from supervision.detection.utils.boxes import spread_out_boxes

from tftrt_yolo.tasks.drawing import lettering
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions

_MINIMUM_TEXT_SCALE = 0.4  # letters of 12 pixels, the least that Ultralytics draws
_PIXELS_OF_SCALE = 30  # of a TrueType font that is as high as OpenCV's strokes at a text scale of 1
_SMALLEST_PX = 7  # in which DejaVu Sans can still be read
_PADDING_PX, _MARGIN_PX = 3, 2  # around a label, and around lines of text
_SHARE_OF_TEXT = 0.5  # of the image's height, at most, that lines of text may cover


def line_width(picture: np.ndarray, options: DrawingOptions) -> int:
    """The width of lines in pixels: what is asked for, or what fits the picture."""
    return options.line_width or sv.calculate_optimal_line_thickness((picture.shape[1], picture.shape[0]))


def draw_boxes(
    picture: np.ndarray, detections: sv.Detections, options: DrawingOptions, *, is_oriented: bool = False
) -> np.ndarray:
    """Draws boxes, unless they are not to be shown.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class indices, by which boxes have their colours; without them each has one of its own.
      options: What is drawn.
      is_oriented: Whether the boxes are those whose corners are in the detections' data.

    Returns:
      The picture.
    """
    if not options.show_boxes:
        return picture
    kind = sv.OrientedBoxAnnotator if is_oriented else sv.BoxAnnotator
    annotator = kind(thickness=line_width(picture, options), color_lookup=color_lookup(detections))
    return annotator.annotate(picture, detections)


def color_lookup(detections: sv.Detections) -> sv.ColorLookup:
    """What supervision colours detections by: their classes, if they have any."""
    return sv.ColorLookup.INDEX if detections.class_id is None else sv.ColorLookup.CLASS


def draw_labels(
    picture: np.ndarray, detections: sv.Detections, names: np.ndarray, options: DrawingOptions
) -> np.ndarray:
    """Draws names and scores, side by side where they would lie on each other.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class indices, scores and the numbers of tracks, each if there are any.
      names: (C,) str, the classes. One beyond ASCII has all drawn with a TrueType font; see `lettering`.
      options: What of it is drawn.

    Returns:
      The picture.
    """
    letters = lettering.of(names)
    labels = _labels(detections, letters.texts, options)
    if not any(labels):
        return picture
    scale = max(_MINIMUM_TEXT_SCALE, _text_scale(picture, options))
    if letters.font_path is not None:
        return _draw_written_labels(picture, detections, labels, letters.font(round(_PIXELS_OF_SCALE * scale)))
    annotator = sv.LabelAnnotator(
        color_lookup=color_lookup(detections),
        text_scale=scale,
        text_thickness=max((options.line_width or 1) - 1, 1),  # as Ultralytics'
        text_color=sv.Color.BLACK,
        text_padding=_PADDING_PX,
        smart_position=True,
    )
    return annotator.annotate(picture, detections, labels=labels)


def _labels(detections: sv.Detections, texts: tuple[str, ...], options: DrawingOptions) -> list[str]:
    """What is written at each detection: "id:7 dog 0.91", as Ultralytics writes it, or what of it is shown."""
    count, is_shown = len(detections), options.show_labels
    columns = []
    if is_shown and detections.tracker_id is not None:
        columns.append([f"id:{index}" for index in detections.tracker_id])
    if is_shown and detections.class_id is not None:
        columns.append([texts[index] for index in detections.class_id])
    if options.show_confidence and detections.confidence is not None:
        columns.append([f"{score:.2f}" for score in detections.confidence])
    return [" ".join(column[index] for column in columns) for index in range(count)]


def _draw_written_labels(picture: np.ndarray, detections: sv.Detections, labels: list[str], written) -> np.ndarray:
    """As supervision's LabelAnnotator, in a TrueType font; its RichLabelAnnotator takes four times as long."""
    ascent, descent = written.getmetrics()
    widths = np.array([math.ceil(written.getlength(label)) for label in labels])
    sizes = np.stack([widths, np.full(len(labels), ascent + descent)], -1) + 2 * _PADDING_PX
    corners = detections.xyxy[:, :2].astype(int)
    places = np.concatenate([corners - [0, 1] * sizes, corners + [1, 0] * sizes], -1).astype(float)
    frame_wh = np.array(picture.shape[1::-1])
    places = _within(places, frame_wh)
    places = _within(spread_out_boxes(places), frame_wh) if len(labels) > 1 else places
    colors = np.arange(len(labels)) if detections.class_id is None else detections.class_id
    for label, index, size_wh, place in zip(labels, colors, sizes, places.astype(int), strict=True):
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


def draw_lines(
    picture: np.ndarray, rows: list[tuple[int, str]], names: np.ndarray, options: DrawingOptions
) -> np.ndarray:
    """Writes lines on an image's upper left corner, black on white: as many as fit into the upper half, at least one.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      rows: A class index and what follows its name, "" for nothing, a line each, the most important first.
      names: (C,) str, the classes.
      options: What of it is drawn.

    Returns:
      The picture. One that is too small for a line of letters of 7 pixels has none.
    """
    letters = lettering.of(names)
    lines = [(letters.texts[index], end) if options.show_labels else (end, "") for index, end in rows]
    size = round(_PIXELS_OF_SCALE * max(_MINIMUM_TEXT_SCALE, _text_scale(picture, options)))
    while size > _SMALLEST_PX and not _fits(picture, letters.font(size), lines[:1]):
        size -= 1
    written = letters.font(size)
    most = max(int(picture.shape[0] * _SHARE_OF_TEXT) // sum(written.getmetrics()), picture.shape[0] > _SMALLEST_PX)
    texts = filter(None, (_cut(line, written, picture.shape[1]) for line in lines[:most]))
    _lay(picture, _block(list(texts), written), np.zeros(2, int))
    return picture


def _text_scale(picture: np.ndarray, options: DrawingOptions) -> float:
    """Supervision's text scale for a picture's size, or Ultralytics' for a width of lines."""
    if options.line_width:
        return options.line_width / 3
    return sv.calculate_optimal_text_scale((picture.shape[1], picture.shape[0]))


def _fits(picture: np.ndarray, written, lines: list[tuple[str, str]]) -> bool:
    """Whether lines are within the picture's width, and one of them within half of its height."""
    width = max((written.getlength(f"{name} {end}".rstrip()) for name, end in lines), default=0)
    is_low = sum(written.getmetrics()) <= picture.shape[0] * _SHARE_OF_TEXT
    return is_low and width + 2 * _MARGIN_PX <= picture.shape[1]


def _cut(line: tuple[str, str], written, width_px: int) -> str:
    """A line that fits into a width: the name alone if need be, and its end left out; empty if not a letter fits."""
    name, end = line
    shortened = (f"{name[:length]}.." for length in range(min(len(name) - 1, width_px), 0, -1))
    for text in (f"{name} {end}".rstrip(), name, *shortened):
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
