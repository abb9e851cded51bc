"""Output directories that appear whole or not at all, and what a directory holds.

Every stage that writes a directory writes it beside its final place and puts it there when it is complete:

    with directories.written_whole(path, contract.SAVED_MODEL, overwrite=False) as partial_dir:
        tf.saved_model.save(module, str(partial_dir))

Whatever is raised meanwhile, an interrupt too, the place holds the earlier result or the new one, and nothing else is
left. A process that is killed leaves its temporary folder beside it, `.NAME.0123abcd`; in one that is killed while it
overwrites on a file system that cannot exchange two directories, the earlier result may be there, as `replaced`.
"""

import contextlib
import ctypes
import dataclasses
import fnmatch
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.files import reading

_REPLACED = "replaced"  # name of the earlier result in the temporary folder
_NAMED = 3  # of the files that are in the way, in a message
_HERE = -100  # AT_FDCWD of Linux's openat(2): paths count from the working directory
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2(2): two paths swap what they hold, at once


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a stage writes into its directory: by that an earlier result is told from the files of others.

    Attributes:
      marker: Name of the file by which a result is known.
      others: Names of all else, with the wildcards of `fnmatch`; a slash leads into a folder.
      listed: Takes the directory and gives the names that only this result knows, in folders with slashes; None if
        there are none.
    """

    marker: str
    others: tuple[str, ...] = ()
    listed: Callable[[Path], Iterable[str]] | None = None

    def foreign(self, directory: Path) -> list[str]:
        """Finds what the stage did not write: files of other names, folders, links.

        Args:
          directory: Where an earlier result is.

        Returns:
          Names, sorted; a folder's, which is not searched, ends with a slash.
        """
        listed = frozenset(self.listed(directory) if self.listed else ())
        # Of what is listed in folders, these too, which end with a slash.
        folders = {name[: at + 1] for name in listed for at, letter in enumerate(name) if letter == "/"}
        return sorted(self._search(directory, (), listed | folders))

    def _search(self, folder: Path, above: tuple[str, ...], listed: frozenset[str]) -> Iterator[str]:
        patterns = [tuple(name.split("/")) for name in (self.marker, *self.others)]
        for entry in os.scandir(folder):
            parts = (*above, entry.name)
            name = "/".join(parts)
            if entry.is_dir(follow_symlinks=False):
                is_ours = f"{name}/" in listed
                if is_ours or any(len(pattern) > len(parts) and _match(parts, pattern) for pattern in patterns):
                    yield from self._search(folder / entry.name, parts, listed)
                else:
                    yield f"{name}/"
                continue
            named = name in listed or any(len(p) == len(parts) and _match(parts, p) for p in patterns)
            if not named or not entry.is_file(follow_symlinks=False):
                yield name


def _match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the beginning of a pattern fits the parts of a path."""
    return all(fnmatch.fnmatchcase(*pair) for pair in zip(parts, pattern, strict=False))


def check_free(path: Path, contents: Contents, *, overwrite: bool) -> None:
    """Refuses an output directory that exists, unless it may be replaced.

    Args:
      path: Where a stage is to write.
      contents: What it writes.
      overwrite: Whether an earlier result that is already there may be replaced.

    Raises:
      FileExistsError: If path exists and overwrite is false, or if what is there is neither an empty directory nor an
        earlier result and nothing else: what others wrote is never deleted. Nor is the working directory, or a mount
        point, which cannot be moved.
    """
    check_parents(path)
    if not path.exists() and not path.is_symlink():
        return
    kept = f"so {setting('overwrite')} does not delete it"
    if path.is_symlink() or not path.is_dir() or (any(path.iterdir()) and not (path / contents.marker).is_file()):
        raise FileExistsError(
            f"{path} exists and is not what this writes (it has no {contents.marker}), {kept}. Choose another "
            "directory."
        )
    if Path.cwd().is_relative_to(path.resolve()) or path.resolve().is_mount():
        what = "a mount point" if path.resolve().is_mount() else "the working directory, or holds it"
        raise FileExistsError(
            f"{path} is {what}, and an output is replaced as a whole, {kept}. Choose another directory, such as "
            f"{path / 'output'}."
        )
    foreign = contents.foreign(path)
    if foreign:
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        raise FileExistsError(
            f"{path} holds what this did not write ({', '.join(foreign[:_NAMED])}{more}), {kept}. Move that "
            "elsewhere, or choose another directory."
        )
    if not overwrite:  # last, so that nobody is advised what would be refused
        raise FileExistsError(
            f"{path} exists already. Choose another directory, or pass {setting('overwrite')} to replace it."
        )


def check_parents(path: Path) -> None:
    """Refuses an output below what is no directory.

    Args:
      path: Where a stage is to write.

    Raises:
      FileExistsError: If one of its parents is a file or the like.
    """
    blocking = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        raise FileExistsError(
            f"{path} cannot be written, for {blocking} is a file; expected a directory. Choose another place, or move "
            "that file elsewhere."
        )


def check_apart(path: Path, inputs: Iterable[str | Path]) -> None:
    """Refuses an output directory that holds what is read, which would be deleted with an earlier result.

    Args:
      path: Where a stage is to write.
      inputs: Files and directories that it reads.

    Raises:
      FileExistsError: If one of them is path or lies in it.
    """
    if not path.exists():
        return
    output_dir = path.resolve()
    found = next((one for one in inputs if Path(one).resolve().is_relative_to(output_dir)), None)
    if found is not None:
        raise FileExistsError(
            f"{path} holds {found}, which is to be read, so {setting('overwrite')} does not delete it. Choose another "
            "directory."
        )


def size_bytes(path: Path) -> int:
    """Adds up the sizes of the files below a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def fingerprint(saved_model_dir: Path, text: str) -> str:
    """Hashes a SavedModel's graph and variables, and what else a result depends on.

    Args:
      saved_model_dir: A SavedModel.
      text: What else.

    Returns:
      SHA-256, 64 hexadecimal digits.
    """
    digest = hashlib.sha256(text.encode())
    for path in sorted([saved_model_dir / "saved_model.pb", *(saved_model_dir / "variables").glob("*")]):
        _hash_file(digest, path)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Hashes a file's content; SHA-256, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    _hash_file(digest, path)
    return digest.hexdigest()


def _hash_file(digest, path: Path) -> None:
    """Adds a file's content to a hash."""
    with open(path, "rb") as file:
        reading.feed(digest, file)


@contextlib.contextmanager
def written_whole(path: str | Path, contents: Contents, *, overwrite: bool) -> Iterator[Path]:
    """Gives a temporary directory that becomes `path` if the block succeeds and vanishes if it fails.

    Whoever else writes into it, such as a worker, must have ended when the block does: open this first.

    Args:
      path: The final directory; its parents are made, and those that were made go if the block fails.
      contents: As `check_free`.
      overwrite: As `check_free`.

    Yields:
      An empty directory on the same file system.

    Raises:
      FileExistsError: As `check_free`.
    """
    path = Path(path)
    check_free(path, contents, overwrite=overwrite)
    made = [parent for parent in path.parents if not parent.exists()]
    workspace = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # known before it is there, to be removed
    try:
        try:
            partial_dir = workspace / "new"
            path.parent.mkdir(parents=True, exist_ok=True)
            workspace.mkdir(mode=0o700)
            partial_dir.mkdir()  # with the usual permissions
            yield partial_dir
            check_free(path, contents, overwrite=overwrite)  # somebody else may have written it meanwhile
            _put(partial_dir, path, replaced_dir=workspace / _REPLACED)
        finally:
            _tidy(workspace, path, made)
    finally:  # an interrupt may have come just as the first began
        _tidy(workspace, path, made)


def _put(new_dir: Path, path: Path, *, replaced_dir: Path) -> None:
    """Puts a directory into its place; what is there goes to the new one's, or to `replaced_dir`."""
    if path.exists():
        if _exchange(new_dir, path):
            return
        path.rename(replaced_dir)
    new_dir.rename(path)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two directories at once; false where the system, its C library or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return renameat2 is not None and renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _tidy(workspace: Path, path: Path, made: list[Path]) -> None:
    """Removes the temporary folder and parents without use; what was replaced goes back if nothing took its place."""
    replaced_dir = workspace / _REPLACED
    if replaced_dir.exists() and not path.exists():
        replaced_dir.rename(path)
    shutil.rmtree(workspace, ignore_errors=True)
    remove_unused(made, path)


def remove_unused(parents: Iterable[Path], path: Path) -> None:
    """Removes the parents that were made for an output, if it did not come.

    Args:
      parents: The innermost first.
      path: The output.
    """
    for parent in parents if not path.exists() else ():
        with contextlib.suppress(OSError):  # somebody put something into it meanwhile
            parent.rmdir()


def cache_dir() -> Path | None:
    """Where what can be made again is kept, if the user names no place.

    It is $XDG_CACHE_HOME/tftrt_yolo, or ~/.cache/tftrt_yolo.

    Returns:
      An absolute path; None for a user without a home, for whom nothing is kept.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # a relative path is to be ignored, says the XDG Base Directory Specification
        return Path(given) / "tftrt_yolo"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "tftrt_yolo" if os.path.isabs(home) else None
