"""A tracker's parameters: Ultralytics' own, or those of a YAML file as Ultralytics takes it.

parameters("bytetrack")                 # {"tracker_type": "bytetrack", "track_high_thresh": 0.25, ...}
parameters("crowd.yaml")                # the file's, and Ultralytics' own where it says nothing
"""

from pathlib import Path

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.files import fields, reading
from tftrt_yolo.ground.text import quoted, shown
from tftrt_yolo.predictor.tracking import library

_MOST_BYTES = 64 << 10
_MOST_FRAMES = 1_000_000
_TYPE = "tracker_type"
_GMC_METHODS = ("sparseOptFlow", "orb", "sift", "ecc", "none")  # ultralytics.trackers.utils.gmc.GMC
_EXPECTED = f"one of {', '.join(library.NAMES)}, or a YAML file of one of them, as Ultralytics takes it"


def parameters(tracker: str | Path) -> dict[str, object]:
    """A tracker's parameters.

    Args:
      tracker: "bytetrack" or "botsort", with or without ".yaml"; or the path of a YAML file.

    Returns:
      What Ultralytics' tracker takes, by name.

    Raises:
      ValueError: If there is no such tracker, or the file is none of a tracker's.
      TrackingError: If Ultralytics or lap is missing.
    """
    if not isinstance(tracker, (str, Path)):
        raise ValueError(f"{argument('tracker')} is {quoted(tracker)}; expected {_EXPECTED}.")
    path, name = Path(tracker), str(tracker).removesuffix(".yaml")
    if name in library.NAMES and not (path.suffix and path.exists()):
        return _defaults(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{argument('tracker')} is {quoted(str(tracker))}; expected {_EXPECTED}.")
    try:
        return _read(path)
    except OSError as error:
        found = f"{shown(path)} cannot be read: {error.strerror}"
        raise ValueError(f"{argument('tracker')} {found}; expected {_EXPECTED}.") from error
    except reading.UnreadableError as error:
        raise ValueError(f"{argument('tracker')} {shown(path)} {error}. Expected {_EXPECTED}.") from error


def _defaults(name: str) -> dict[str, object]:
    """Ultralytics' own parameters."""
    return reading.parse_yaml(reading.read_text(library.defaults_path(name), _MOST_BYTES))


def _read(path: Path) -> dict[str, object]:
    """A stranger's file: each value is checked, and none may name another file."""
    document = reading.parse_yaml(reading.read_text(path, _MOST_BYTES))
    if not isinstance(document, dict):
        raise reading.UnreadableError("holds no names with values")
    known = _defaults(fields.one_of(document, _TYPE, library.NAMES))
    fields.no_others(document, known, "it")
    if document.get("with_reid", False) is not False:
        raise reading.UnreadableError(
            f"has 'with_reid': {quoted(document['with_reid'])}; expected false, for the appearance of objects takes "
            "a second network, which is none of the SavedModel's"
        )
    return known | {key: _checked(document, key, known[key]) for key in document}


def _checked(document: dict, key: str, default: object) -> object:
    """A value of the kind that Ultralytics' own is of."""
    if isinstance(default, bool):
        return fields.flag(document, key)
    if isinstance(default, int):
        return fields.whole(document, key, least=0, most=_MOST_FRAMES)
    if isinstance(default, float):
        return fields.share(document, key)
    return fields.one_of(document, key, _GMC_METHODS) if key == "gmc_method" else fields.text(document, key)
