"""Where an image lies in the network's frame, on the host: how images are fitted, and the geometry of letterboxing.

    placement = letterboxed((480, 640), frame_size_hw=(320, 320))
    boxes = placement.boxes_in_image(boxes_in_frame_pixels)

`graph.letterbox` computes the same inside the SavedModel.

Source: ultralytics.data.augment.LetterBox (auto=False): scale, rounding, padding.
"""

from typing import NamedTuple

import numpy as np

LETTERBOX = "letterbox"  # as large as the frame holds, in its middle, with grey around it
CROP = "crop"  # as large as fills the frame, of which the middle is kept
STRETCH = "stretch"  # of the frame's own height and width, whatever becomes of its aspect ratio
FITS = (LETTERBOX, CROP, STRETCH)

PADDING_VALUE = 114  # grey, of 255; ultralytics.data.augment.LetterBox.padding_value


class Placement(NamedTuple):
    """Where an image lies in a frame.

    Attributes:
      size_hw: (2,) height and width of the image in pixels.
      gain_xy: (2,) frame pixels per image pixel; the two differ by the rounding of the scaled size.
      padding_xy: (2,) padding at the left and at the top in frame pixels; below 0 where the frame is a part of the
        image.
    """

    size_hw: np.ndarray
    gain_xy: np.ndarray
    padding_xy: np.ndarray

    def boxes_in_image(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """Takes (n, 4) boxes from frame pixels to image pixels and clips them to the image."""
        boxes = (boxes_xyxy - np.tile(self.padding_xy, 2)) / np.tile(self.gain_xy, 2)
        return np.clip(boxes, 0, np.tile(self.size_hw[::-1], 2))

    def keypoints_in_image(self, keypoints: np.ndarray) -> np.ndarray:
        """Takes (n, K, 3) keypoints from frame pixels to image pixels; they are not clipped."""
        points = (keypoints[..., :2] - self.padding_xy) / self.gain_xy
        return np.concatenate([points, keypoints[..., 2:]], axis=-1)

    def oriented_in_image(self, boxes_xywhr: np.ndarray) -> np.ndarray:
        """Takes (n, 5) oriented boxes from frame pixels to image pixels.

        The two gains differ by the rounding of the scaled image's sides, at most half a pixel of a side; so lengths are
        scaled by their geometric mean and angles stay.
        """
        centers = (boxes_xywhr[:, :2] - self.padding_xy) / self.gain_xy
        sides = boxes_xywhr[:, 2:4] / np.sqrt(np.prod(self.gain_xy))
        return np.concatenate([centers, sides, boxes_xywhr[:, 4:]], axis=1)


def scaled_size(image_size_hw: tuple[int, int], frame_size_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width that an image is scaled to, so that it fits into a frame."""
    ratio = min(frame / image for frame, image in zip(frame_size_hw, image_size_hw, strict=True))
    height, width = (max(round(image * ratio), 1) for image in image_size_hw)
    return height, width


def letterboxed(image_size_hw: tuple[int, int], frame_size_hw: tuple[int, int]) -> Placement:
    """Places an image in the middle of a frame.

    Args:
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the frame in pixels.

    Returns:
      The placement, in float64.
    """
    image, frame = np.array(image_size_hw), np.array(frame_size_hw)
    scaled = np.array(scaled_size(image_size_hw, frame_size_hw))
    padding = np.round((frame - scaled) / 2 - 0.1)  # of an odd rest the smaller half is at the left and at the top
    return Placement(image, (scaled / image)[::-1], padding[::-1])
