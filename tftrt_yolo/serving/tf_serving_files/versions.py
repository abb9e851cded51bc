"""Versions of a model as TensorFlow Serving counts them: folders whose names are numbers.

version = versions.chosen(Path("base"), None)          # one more than the highest that is there
"""

from pathlib import Path

from tftrt_yolo.ground.arguments import argument, whole_number
from tftrt_yolo.ground.text import quoted

_MOST = (1 << 63) - 1  # the server reads an int64


def present(base_path: Path) -> set[int]:
    """The numbers that are taken, whatever has the name and whether or not zeros lead."""
    if not base_path.is_dir():
        return set()
    return {int(path.name) for path in base_path.iterdir() if path.name.isascii() and path.name.isdecimal()}


def chosen(base_path: Path, asked: int | None) -> int:
    """The number of a new version.

    Args:
      base_path: The folder of the versions, which need not exist.
      asked: What was asked for; None for one more than the highest that is there.

    Returns:
      A number that is free.

    Raises:
      ValueError: If asked is no whole number of at least 1 that the server can read.
      FileExistsError: If it is taken.
    """
    taken = present(base_path)
    following = max(taken, default=0) + 1
    if asked is None:
        return following
    version = whole_number(asked)
    if version is None or not 1 <= version <= _MOST:
        raise ValueError(
            f"{argument('version')} is {quoted(asked)}; it must be a whole number from 1 to {_MOST}. Leave it out for "
            f"the next, {following}."
        )
    if version in taken:
        raise taken_error(base_path, version)
    return version


def taken_error(base_path: Path, version: int) -> FileExistsError:
    """That a version is there already, with the next free one."""
    following = max(present(base_path), default=0) + 1
    return FileExistsError(
        f"{base_path} has a version {version} already, and none is ever replaced: a server may run it. Expected a "
        f"number that is free; the next is {following}, which is taken where {argument('version')} is left out."
    )
