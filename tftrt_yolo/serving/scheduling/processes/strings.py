"""Texts and files on their way out of a model's process: the parent looks at every value of a result, so they are few.

tensors = unpacked(packed({"status": np.array([b"", b"it is empty"], object)}))
"""

import numpy as np

_LENGTHS, _DATA = "lengths", "data"


def packed(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray | dict]:
    """Outputs as they are sent.

    Args:
      outputs: Name to array; strings are arrays of bytes, dtype object.

    Returns:
      The same with strings as their lengths and their bytes, one behind the other.
    """
    return {name: _joined(value) if value.dtype == object else value for name, value in outputs.items()}


def unpacked(outputs: dict[str, np.ndarray | dict]) -> dict[str, np.ndarray]:
    """Outputs as they were.

    Args:
      outputs: What `packed` gave, in another process.

    Returns:
      Name to array.

    Raises:
      ValueError: If lengths are a lie.
    """
    return {name: _apart(value) if isinstance(value, dict) else value for name, value in outputs.items()}


def _joined(strings: np.ndarray) -> dict:
    values = strings.ravel().tolist()
    return {
        _LENGTHS: np.array([len(value) for value in values], np.int64).reshape(strings.shape),
        _DATA: b"".join(values),
    }


def _apart(value: dict) -> np.ndarray:
    lengths, data = value[_LENGTHS], value[_DATA]
    ends = np.cumsum(lengths, dtype=np.int64)
    if (lengths < 0).any() or (ends[-1] if len(ends) else 0) != len(data):
        raise ValueError(f"strings of {ends[-1] if len(ends) else 0} bytes came with {len(data)}")
    strings = np.empty(lengths.shape, object)
    flat, starts = strings.reshape(-1), [0, *ends[:-1].tolist()]
    for index, (start, end) in enumerate(zip(starts, ends.tolist(), strict=False)):
        flat[index] = data[start:end]
    return strings
