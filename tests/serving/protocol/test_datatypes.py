"""Tensors on the wire, beside Triton's own client and a naive reading of the specification."""

import numpy as np
import pytest

from tftrt_yolo.serving.protocol import datatypes, nested
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_travel_as_they_are(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    datatype = datatypes.datatype_of(dtype)
    assert datatypes.dtype_of(datatype) == dtype
    raw = datatypes.to_raw(array)
    assert raw == array.tobytes()  # little-endian, as this machine is
    np.testing.assert_array_equal(datatypes.from_raw("a", datatype, [2, 3, 4], raw), array)
    np.testing.assert_array_equal(datatypes.from_json("a", datatype, [2, 3, 4], array.ravel().tolist()), array)
    np.testing.assert_array_equal(datatypes.from_json("a", datatype, [2, 3, 4], array.tolist()), array)
    found = nested.to_array("a", array.tolist(), dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)


def test_strings_are_those_of_tritons_client():
    utils = pytest.importorskip("tritonclient.utils")
    array = np.array([[b"a", b""], ["\u00fc".encode(), bytes(range(256))]], object)
    raw = datatypes.to_raw(array)
    assert raw == utils.serialize_byte_tensor(array).item()
    assert utils.deserialize_bytes_tensor(raw).tolist() == array.ravel().tolist()
    assert datatypes.from_raw("a", "BYTES", [2, 2], raw).tolist() == array.tolist()


def test_big_endian_arrays_travel_as_little_endian():
    array = np.arange(4, dtype=">i4")
    assert datatypes.to_raw(array) == array.astype("<i4").tobytes()


def test_nothing_of_a_shape_is_made_before_its_data_are_there():
    for shape in ([1 << 30, 1 << 30], [(1 << 31) - 1] * 8):
        for datatype in ("FP32", "BYTES", "BOOL"):
            with pytest.raises(RefusedError, match="Tensor 'a' has 4 bytes of data") as caught:
                datatypes.from_raw("a", datatype, shape, b"\0\0\0\0")
            assert caught.value.refusal is Refusal.INVALID_ARGUMENT
            with pytest.raises(RefusedError, match="Tensor 'a' has 1 element of data"):
                datatypes.from_json("a", datatype, shape, [0])


def test_empty_tensors():
    assert datatypes.from_raw("a", "FP32", [0, 3], b"").shape == (0, 3)
    assert datatypes.from_raw("a", "BYTES", [0], b"").shape == (0,)
    assert datatypes.from_json("a", "UINT8", [0], []).shape == (0,)
    assert datatypes.to_raw(np.zeros((0, 3), np.float32)) == b""


def test_a_bool_is_0_or_1():
    with pytest.raises(RefusedError, match="has a byte beyond 1; expected 0 or 1"):
        datatypes.from_raw("a", "BOOL", [2], b"\0\2")


def test_bytes_as_nested_lists():
    array = np.array([[b"text", b"\x89PNG", b""]], object)
    assert nested.to_nested(array) == [["text", {"b64": "iVBORw=="}, ""]]
    back = nested.to_array("a", nested.to_nested(array), "object")
    assert back.tolist() == array.tolist()
    assert nested.to_nested(np.float32([[1, 2]])) == [[1.0, 2.0]]
