"""What tests send to a server, and what they compare."""

import grpc
import numpy as np
import pytest

from tests.conftest import IMAGES

JPEGS = [path.read_bytes() for path in IMAGES[:3]]


def inputs_of(signature):
    """Inputs of each signature: two pictures."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 96, 128, 3), np.uint8)
    if signature == "encoded":
        return {"image_bytes": np.array(JPEGS[:2], object)}
    if signature == "serving_default":
        return {"images": images}
    if signature == "padded":
        return {"images": images, "sizes": np.array([[96, 128], [50, 60]], np.int32)}
    return None


def assert_same(found, expected):
    """Outputs are those of the signature: name to array."""
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        if value.dtype == object or value.dtype.kind in "iub":
            np.testing.assert_array_equal(found[name], value, name)
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=2e-2, err_msg=name)


def refused(code, words):
    """A call that ends with a status and these words."""
    return pytest.raises(grpc.RpcError, match=words, check=lambda error: error.code() == code)
