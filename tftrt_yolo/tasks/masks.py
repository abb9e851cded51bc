"""Masks from coefficients and prototypes, on the host, at the resolution of the image.

    kept, masks = compute(coefficients, prototypes, boxes_xyxy, image_size_hw=(480, 640), frame_size_hw=(320, 320))
    masks[0]                                # (480, 640) bool

What Ultralytics' predict computes at the resolution of the frame, and nothing outside the boxes. supervision stores
each mask as runs within its box: three hundred masks of a large photo would fill gigabytes as whole arrays.

Source: ultralytics.utils.ops.process_mask; ultralytics.models.yolo.segment.predict.
"""

import numpy as np

from tftrt_yolo.ground.placement import letterboxed


def compute(
    coefficients: np.ndarray,
    prototypes: np.ndarray,
    boxes_xyxy: np.ndarray,
    *,
    image_size_hw: tuple[int, int],
    frame_size_hw: tuple[int, int],
    is_of_image: bool = False,
):
    """Computes the masks of one image's detections.

    Args:
      coefficients: (n, 32) float32.
      prototypes: (h, w, 32) float32, of the whole frame.
      boxes_xyxy: (n, 4) float32, in image pixels.
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the frame in pixels.
      is_of_image: Whether the sum is interpolated at the pixels of the image, as Ultralytics does with retina_masks and
        validators do; otherwise at those of the frame.

    Returns:
      Which detections have a mask that is not empty, (n,) bool, for Ultralytics drops the others; and the masks of
      those as a `supervision.detection.compact_mask.CompactMask` of shape (kept, *image_size_hw).
    """
    placement = letterboxed(image_size_hw, frame_size_hw)
    columns, rows = zip(placement.gain_xy.tolist(), placement.padding_xy.tolist(), strict=True)
    logits = np.tensordot(coefficients, prototypes, axes=(1, 2))  # (n, h, w)
    row_of, column_of = (
        np.floor((np.arange(length) + 0.5) * gain + padding).astype(int)
        for length, (gain, padding) in zip(image_size_hw, (rows, columns), strict=True)
    )
    if is_of_image:
        found = [
            _at_image_pixels(own, box, image_size_hw, (rows, columns), frame_size_hw)
            for own, box in zip(logits, boxes_xyxy.astype(np.float64), strict=True)
        ]
        kept = np.array([mask.any() for mask, _ in found], bool)
        crops, places = ([one[part] for one, stays in zip(found, kept, strict=True) if stays] for part in (0, 1))
        return kept, _compact(crops, places, image_size_hw)
    kept, crops, places = np.zeros(len(boxes_xyxy), bool), [], []
    for index, (left, top, right, bottom) in enumerate(boxes_xyxy.astype(np.float64)):
        inside_y = _pixels_inside(top, bottom, rows, frame_size_hw[0])
        inside_x = _pixels_inside(left, right, columns, frame_size_hw[1])
        mask = _upsample(logits[index], inside_y, inside_x, frame_size_hw) > 0.0
        kept[index] = mask.any()
        if kept[index]:
            (first_y, last_y), (first_x, last_x) = (
                np.searchsorted(source_of, (inside.start, inside.stop))
                for source_of, inside in ((row_of, inside_y), (column_of, inside_x))
            )
            from_y, from_x = row_of[first_y:last_y] - inside_y.start, column_of[first_x:last_x] - inside_x.start
            crops.append(mask[from_y[:, np.newaxis], from_x])
            places.append((int(first_x), int(first_y)))
    return kept, _compact(crops, places, image_size_hw)


def _at_image_pixels(
    logits: np.ndarray,
    box_xyxy: np.ndarray,
    image_size_hw: tuple[int, int],
    axes: tuple[tuple[float, float], tuple[float, float]],
    frame_size_hw: tuple[int, int],
) -> tuple[np.ndarray, tuple[int, int]]:
    """A mask inside its box, (h, w) bool, and the image's column and row where it begins.

    Source: ultralytics.utils.ops.process_mask_native.
    """
    edges = np.ceil(box_xyxy).astype(int)
    starts = np.maximum(edges[:2], 0)
    ends = np.maximum(np.minimum(edges[2:], image_size_hw[::-1]), starts)
    x, y = (np.arange(start, end) for start, end in zip(starts, ends, strict=True))
    positions = [(pixels + 0.5) * gain + padding - 0.5 for pixels, (gain, padding) in zip((y, x), axes, strict=True)]
    return _upsample(logits, *positions, frame_size_hw) > 0.0, (int(starts[0]), int(starts[1]))


def _pixels_inside(first_edge: float, second_edge: float, axis: tuple[float, float], length: int) -> range:
    """The frame pixels between a box's edges, which are in image pixels; of the axis, gain and padding are given."""
    gain, padding = axis
    first, second = (np.float32(edge * gain + padding) for edge in (first_edge, second_edge))
    start = max(int(np.ceil(first)), 0)
    return range(start, max(start, min(int(np.ceil(second)), length)))


def _upsample(
    logits: np.ndarray, rows: range | np.ndarray, columns: range | np.ndarray, frame_size_hw: tuple[int, int]
) -> np.ndarray:
    """A window of prototypes' sum, resized bilinearly to the frame's resolution.

    Args:
      logits: (h, w) float32, of the whole frame.
      rows: Rows of the frame.
      columns: Columns of the frame.
      frame_size_hw: Height and width of the frame in pixels.

    Returns:
      (len(rows), len(columns)) float32.

    Source: torch.nn.functional.interpolate with mode="bilinear", align_corners=False.
    """

    def neighbours(pixels: range | np.ndarray, length: int, frame_length: int):
        position = np.maximum((np.asarray(pixels) + 0.5) * (length / frame_length) - 0.5, 0.0).astype(np.float32)
        first = np.minimum(position.astype(int), length - 1)
        return first, np.minimum(first + 1, length - 1), position - first.astype(np.float32)

    upper, lower, share = neighbours(rows, logits.shape[0], frame_size_hw[0])
    left, right, share_x = neighbours(columns, logits.shape[1], frame_size_hw[1])
    across = logits[:, left] * (1 - share_x) + logits[:, right] * share_x
    share = share[:, np.newaxis]
    return across[upper] * (1 - share) + across[lower] * share


def _compact(crops: list[np.ndarray], places_xy: list[tuple[int, int]], image_size_hw: tuple[int, int]):
    """Masks as supervision stores them, from crops (h, w) bool and where these lie in the image."""
    from supervision.detection.compact_mask import CompactMask

    masks = []
    for crop, place_xy in zip(crops, places_xy, strict=True):
        height, width = (max(length, 1) for length in crop.shape)  # an image smaller than the frame can miss a mask
        whole = np.zeros((1, height, width), bool)
        whole[0, : crop.shape[0], : crop.shape[1]] = crop
        box = np.array([[0, 0, width - 1, height - 1]], np.float32)  # supervision counts the last pixel in
        masks.append(CompactMask.from_dense(whole, box, (height, width)).with_offset(*place_xy, image_size_hw))
    nothing = CompactMask.from_dense(np.zeros((0, *image_size_hw), bool), np.zeros((0, 4), np.float32), image_size_hw)
    return CompactMask.merge(masks) if masks else nothing
