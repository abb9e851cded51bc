"""Whether a data set is of the model's classes, by name or, where one of the two has only numbers, by their count.

    names, note = of_yaml(document.get("names"), document.get("nc"))
    note = check(names, model.names, "data.yaml")

A data.yaml may give nothing but `nc`, and a model that was built from a YAML has numbers for names: then nothing but
the count can be compared, and the report says so.
"""

import re
from collections.abc import Mapping

from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import counted, quoted

_REMEDY = "Give the data set that the model was trained for."
_MOST_CLASSES = 1_000_000
_MOST_NUMBER = 10**80  # longer ones Python does not write as text
_NUMBER = re.compile(r"(?:class)?[\s_-]*0*(\d{1,9})", re.IGNORECASE)  # of "3", "class_3", "class 03"


def of_yaml(names: object, count: object, place: str) -> dict[int, str]:
    """The names of a data.yaml, as Ultralytics takes them.

    Args:
      names: A list, or class index to name, indices as numbers or as text; None where there are none.
      count: `nc`: a whole number, as a number or as text; None where there is none.
      place: The file, for messages.

    Returns:
      Class index to name, 0 to the last; "class_0" and so on where there is only `nc`.

    Raises:
      DatasetError: If there are neither, or they contradict each other, or the indices have gaps.
    """
    number = _count(count, place)
    if names is None and number is not None:
        return {index: f"class_{index}" for index in range(number)}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DatasetError(f"{place} has no names. Expected a list of class names, class index to name, or nc.")
    found = {_index(index, place): text(name, "one of names", place) for index, name in names.items()}
    if len(found) != len(names) or set(found) != set(range(len(found))):
        raise DatasetError(
            f"{place} has names for the classes {', '.join(map(str, sorted(found)[:5]))}"
            f"{', ...' if len(found) > 5 else ''}. Expected every index from 0 to {len(names) - 1} once."
        )
    if number not in (None, len(found)):
        raise DatasetError(
            f"{place} has {counted(len(found), 'name')} and 'nc: {number}'. Expected the same number; correct nc, or "
            "leave it out."
        )
    return found


def check(names: Mapping[int, str], model_names: Mapping[int, str], place: str) -> str:
    """Refuses a data set of other classes than the model's.

    Args:
      names: Class index to name, of the data set.
      model_names: The same of the model.
      place: The data set, for messages.

    Returns:
      What a reader must know of the comparison; empty where every name is the same.

    Raises:
      DatasetError: If the classes are others.
    """
    if names == model_names:
        return ""
    if len(names) != len(model_names):
        raise DatasetError(
            f"{place} has {counted(len(names), 'class', 'classes')}, and the model has {len(model_names)}. {_REMEDY}"
        )
    nameless = who_has_numbers(names, model_names)
    if nameless:
        return by_count(nameless, len(names))
    index = next(index for index in model_names if names.get(index) != model_names[index])
    raise DatasetError(
        f"{place} calls class {index} {quoted(names.get(index))}, and the model calls it {quoted(model_names[index])}. "
        f"{_REMEDY}"
    )


def who_has_numbers(names: Mapping[int, str], model_names: Mapping[int, str]) -> str:
    """Which of two has only numbers for names, so that nothing but their count can be compared.

    Args:
      names: Class index to name, of the data set.
      model_names: The same of the model.

    Returns:
      "the data set" or "the model"; empty if neither has, or if some names are the same, for then others that differ
      are other classes.
    """
    if set(names.values()) & set(model_names.values()):
        return ""
    for found, owner in ((names, "the data set"), (model_names, "the model")):
        if all((match := _NUMBER.fullmatch(name)) and int(match[1]) == index for index, name in found.items()):
            return owner
    return ""


def by_count(nameless: str, count: int) -> str:
    """Says that classes were compared by their count alone."""
    return f"{nameless} has only numbers for names of classes; that both have {count} is all that could be compared"


def text(value: object, what: str, place: str) -> str:
    """A name or a path of a data.yaml, which YAML may take for a number."""
    if isinstance(value, (list, dict, bytes)) or (isinstance(value, int) and abs(value) > _MOST_NUMBER):
        raise DatasetError(f"{place}: {what} is {quoted(value)}. Expected text.")
    return str(value)


def _count(count: object, place: str) -> int | None:
    """`nc` as a number."""
    if count is None:
        return None
    number = _whole(count)
    if number is None or not 1 <= number <= _MOST_CLASSES:
        raise DatasetError(f"{place} has 'nc: {quoted(count)}'. Expected how many classes there are, a whole number.")
    return number


def _index(index: object, place: str) -> int:
    """An index of names."""
    number = _whole(index)
    if number is None or number < 0:
        raise DatasetError(f"{place}: an index of names is {quoted(index)}. Expected a whole number from 0 on.")
    return number


def _whole(value: object) -> int | None:
    """A whole number, written in whatever way YAML leaves it."""
    if isinstance(value, bool):
        return None
    try:
        return int(value) if isinstance(value, (int, str)) or value == int(value) else None
    except (TypeError, ValueError, OverflowError):
        return None
