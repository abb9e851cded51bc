"""What a data set or a layer of ours gives, beside what Predictor gives.

They fit images into frames by TensorFlow's ops, and Predictor by OpenCV: of 100,000 values of a frame one may be a grey
level off, which moves boxes by thousandths of a pixel. A classifier's crops are the same to the bit.
"""

import io

import numpy as np
import PIL.Image

from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Scene


def check(predictor, found, results, images):
    """Compares the contract's outputs of each image, of any signature, with Predictor's results.

    Returns how many objects, or classifications, there were.
    """
    count = 0
    for own, result, image in zip(found, results, images, strict=True):
        own = {name: np.asarray(value) for name, value in own.items()}
        if "masks" in own:
            count += _check_packed(own, result)
            continue
        if "class_maps" in own:
            with PIL.Image.open(io.BytesIO(own["class_maps"].item())) as file:
                _assert_close("class_map", np.asarray(file), result.class_map)
            count += len(result)
            continue
        task = TASKS[predictor.metadata.task]
        alone = task.of_image({name: value[None] for name, value in own.items()}, 0)
        expected = task.to_supervision(
            alone, Scene(predictor.names, image.shape[:2], predictor.metadata.image_size_hw, False)
        )
        assert len(expected) == len(result)
        for name, values in _arrays(result).items():
            _assert_close(name, _arrays(expected)[name], values)
        count += len(result)
    return count


def _arrays(result):
    """The arrays of one of supervision's objects, by name."""
    arrays = {name: value for name, value in vars(result).items() if value is not None and np.ndim(value)}
    arrays |= {name: np.asarray(value) for name, value in getattr(result, "data", {}).items()}
    assert arrays
    # Of a map what it counted of itself begins with an underscore.
    return {
        name: np.asarray(value)
        for name, value in arrays.items()
        if name not in ("data", "metadata") and not name.startswith("_")
    }


def _check_packed(own, result):
    """As `check` of an image whose masks are files; those without a pixel are left out by Predictor."""
    kept = [bool(mask) for mask in own["masks"]]
    _assert_close("xyxy", own["boxes"][kept], result.xyxy)
    _assert_close("confidence", own["scores"][kept], result.confidence)
    _assert_close("class_id", own["classes"][kept], result.class_id)
    return len(result)


def _assert_close(name, found, expected):
    """Pixels and metres within a twentieth, scores a thousandth, one of a thousand pixels of masks, all else equal."""
    if name in ("mask", "class_map"):
        assert found.shape == expected.shape
        assert np.count_nonzero(found != expected) <= 1e-3 * found.size
    elif expected.dtype.kind == "f":
        is_share = name in ("confidence", "keypoint_confidence", "detection_confidence")
        np.testing.assert_allclose(found, expected, atol=1e-3 if is_share else 0.05, rtol=0, err_msg=name)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)
