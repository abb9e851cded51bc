"""What a client does with the masks of signature `encoded`: nothing of ours, so that the tests show what it takes."""

import io

import numpy as np
import PIL.Image


def pasted(masks, corners_xy, image_size_hw):
    """Masks at the resolution of an image, from one image's PNG files and corners; None for an empty file.

    Each must be a grey PNG of 8 bits with the values 0 and 255, and lie within the image.
    """
    return [
        _pasted(file, corner, image_size_hw) if file else None for file, corner in zip(masks, corners_xy, strict=True)
    ]


def _pasted(file, corner_xy, image_size_hw):
    picture = PIL.Image.open(io.BytesIO(file))
    assert (picture.format, picture.mode) == ("PNG", "L")
    pixels = np.asarray(picture)
    assert np.isin(pixels, (0, 255)).all()
    x, y = corner_xy
    whole = np.zeros(image_size_hw, bool)
    whole[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels > 0
    assert 0 <= x <= image_size_hw[1] - pixels.shape[1]
    assert 0 <= y <= image_size_hw[0] - pixels.shape[0]
    return whole


def num_bytes(outputs, index):
    """What the outputs of one image take, strings as long as they are."""
    parts = [values[index : index + 1] for values in outputs.values()]
    return sum(sum(map(len, part.ravel())) if part.dtype == object else part.nbytes for part in parts)
