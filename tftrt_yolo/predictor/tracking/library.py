"""Ultralytics' trackers, imported when one is first asked for.

library = load()
tracker = library.trackers["bytetrack"](args=types.SimpleNamespace(**fields))
tracker.update(library.boxes(rows, size_hw), image)
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.ground.errors import TrackingError
from tftrt_yolo.ground.text import clause, listed

NAMES = ("bytetrack", "botsort")
# What they are made of. The version is the first whose trackers count their ids each for itself.
_PACKAGES = ("torch", "ultralytics", "lap")
_LOWEST = "8.4.175"
_INSTALL = "Install what tracking needs: pip install 'tftrt_yolo[track]'."
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Library:
    """What of Ultralytics tracking uses.

    Attributes:
      trackers: Name to class; `args` has the fields of its YAML.
      boxes: Takes rows (n, 6) of xyxy, score and class, or (n, 7) with the id before the score, and the image's size.
      oriented_boxes: The same with (n, 7) or (n, 8): xywh and angle in place of xyxy.
      clip_boxes: Takes xyxy (n, 4) or more and the image's size to the same within the image.
      silence: A context in which nothing of it is logged.
    """

    trackers: dict[str, type]
    boxes: Callable
    oriented_boxes: Callable
    clip_boxes: Callable
    silence: Callable


def load() -> Library:
    """Imports Ultralytics, once; the process stays as it was.

    Returns:
      What tracking uses.

    Raises:
      TrackingError: If a package is missing, or Ultralytics is too old.
    """
    with _LOCK:
        return _load()


def defaults_path(name: str) -> Path:
    """The YAML with a tracker's own parameters.

    Args:
      name: One of NAMES.

    Returns:
      The file, in Ultralytics' package.

    Raises:
      TrackingError: As `load`.
    """
    _check()
    [folder] = importlib.util.find_spec("ultralytics").submodule_search_locations
    return Path(folder) / "cfg" / "trackers" / f"{name}.yaml"


def _check() -> None:
    """Refuses what cannot track, before Ultralytics would install it by itself."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise TrackingError(f"{listed(missing)} cannot be imported; trackers are Ultralytics'. {_INSTALL}")
    version = importlib.metadata.version("ultralytics")
    if _numbers(version) < _numbers(_LOWEST):
        raise TrackingError(
            f"Ultralytics is {version}, whose trackers share their ids; expected {_LOWEST} or newer. {_INSTALL}"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


@functools.cache
def _load() -> Library:
    """As `load`."""
    _check()
    try:
        import lap  # noqa: F401 - Ultralytics' own import of it would install it

        from tftrt_yolo.predictor.tracking import undisturbed

        if "ultralytics" in sys.modules:  # the user's; nothing is changed any more
            return _imported(undisturbed.silence)
        with undisturbed.import_():
            return _imported(undisturbed.silence)
    except ImportError as error:
        raise TrackingError(f"Ultralytics' trackers cannot be imported: {clause(error)}. {_INSTALL}") from error


def _imported(silence: Callable) -> Library:
    """Imports what is used."""
    from ultralytics.engine.results import OBB, Boxes
    from ultralytics.trackers import BOTSORT, BYTETracker
    from ultralytics.utils.ops import clip_boxes

    return Library(dict(zip(NAMES, (BYTETracker, BOTSORT), strict=True)), Boxes, OBB, clip_boxes, silence)
