"""Values of a COCO JSON, each of the type and in the range that pycocotools can use.

    key = values.identity(image, "id", place)                  # 7 for 7, 7.0 and "7"
    height = values.length(image, "height", place)             # 433 for 433 and 433.0; None where there is none
    box = values.numbers(annotation["bbox"], 4, f"{place}: bbox")

Python takes 7 and 7.0 for the same key, and so does pycocotools; faster-coco-eval takes "7" for it as well.
"""

from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.text import counted, quoted

_MOST = 1e12  # of a coordinate or an area
_MOST_DIGITS = 18  # of a number that is written as text


def get(entry: object, key: str, place: str) -> object:
    """A value that must be there."""
    if not isinstance(entry, dict) or key not in entry:
        raise DatasetError(f"{place} has no {key}. Expected COCO's JSON.")
    return entry[key]


def identity(entry: object, key: str, place: str) -> int | float | str:
    """An id; the same for a whole number however it is written."""
    value = get(entry, key, place)
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isdecimal() and str(int(value)) == value:
        return int(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
    if not is_number and not isinstance(value, str):
        raise DatasetError(f"{place}: {key} is {quoted(value)}. Expected a number or a name.")
    return value


def name(entry: object, key: str, place: str) -> str:
    """A name, which may be a number."""
    value = get(entry, key, place)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise DatasetError(f"{place}: {key} is {quoted(value)}. Expected a number or a name.")
    return value if isinstance(value, str) else quoted(value)


def length(entry: dict, key: str, place: str) -> int | None:
    """A length in pixels; None where there is none."""
    value = entry.get(key)
    if value is None:
        return None
    is_whole = is_number(value) and value == int(value) and 1 <= value <= MOST_SIDE
    if not is_whole:
        raise DatasetError(
            f"{place}: {key} is {quoted(value)}. Expected a whole number of pixels, at most {MOST_SIDE:,}."
        )
    return int(value)


def count(value: object, place: str) -> int:
    """A small whole number, true and false among them, however it is written."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)
    if not isinstance(value, bool) and (not is_number(value) or value != int(value)):
        raise DatasetError(f"{place} is {quoted(value)}. Expected a whole number.")
    return int(value)


def numbers(values: object, amount: int | None, place: str) -> list[float]:
    """Numbers, as many as there must be; any amount for None."""
    is_list = isinstance(values, list) and amount in (None, len(values))
    if not is_list or not all(map(is_number, values)):
        expected = "numbers" if amount is None else counted(amount, "finite number")
        few = isinstance(values, list) and len(values) < 5 and all(map(is_number, values))
        raise DatasetError(f"{place} is {values if few else _first_fault(values)}. Expected {expected}.")
    return values


def is_number(value: object) -> bool:
    """Whether a value is a number that may be a coordinate or an area; not a number fails every comparison."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST < value < _MOST


def _first_fault(values: object) -> str:
    """What is wrong with values that should be numbers."""
    faults = [value for value in values if not is_number(value)] if isinstance(values, list) else []
    return quoted(values) + (f" with {quoted(faults[0])} in it" if faults else "")
