"""An output file that appears whole or not at all, beside `directories`, which does the same for directories.

    with single_files.written_whole(path, is_ours, overwrite=False) as partial:
        partial.write_bytes(data)

Whatever is raised meanwhile, an interrupt too, the place holds the earlier file or the new one, and nothing else is
left. A process that is killed leaves its temporary file beside it, `.NAME.0123abcd`. Of several that write one path at
once without overwriting, one does, and the others find that it exists.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.files import directories


def check_free(path: Path, is_ours: Callable[[Path], bool], *, overwrite: bool) -> None:
    """Refuses an output file that exists, unless it may be replaced.

    Args:
      path: Where a stage is to write.
      is_ours: Whether a file is one that the stage writes.
      overwrite: Whether an earlier result that is already there may be replaced.

    Raises:
      FileExistsError: If path exists and overwrite is false, or if what is there is no file of this stage: what others
        wrote is never replaced; or if one of its parents is a file.
    """
    directories.check_parents(path)
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file() or not is_ours(path):
        raise FileExistsError(
            f"{path} exists and does not say that this wrote it, so {setting('overwrite')} does not replace it. Choose "
            "another file."
        )
    if not overwrite:  # last, so that nobody is advised what would be refused
        raise FileExistsError(
            f"{path} exists already. Choose another file, or pass {setting('overwrite')} to replace it."
        )


@contextlib.contextmanager
def written_whole(path: str | Path, is_ours: Callable[[Path], bool], *, overwrite: bool) -> Iterator[Path]:
    """Gives the path of a temporary file that becomes `path` if the block succeeds and vanishes if it fails.

    Args:
      path: The final file; its parents are made, and those that were made go if the block fails.
      is_ours: As `check_free`.
      overwrite: As `check_free`.

    Yields:
      A path on the same file system, at which there is nothing yet.

    Raises:
      FileExistsError: As `check_free`.
    """
    path = Path(path)
    check_free(path, is_ours, overwrite=overwrite)
    made = [parent for parent in path.parents if not parent.exists()]
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        check_free(path, is_ours, overwrite=overwrite)  # somebody else may have written it meanwhile
        _put(partial, path, overwrite=overwrite)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
        directories.remove_unused(made, path)


def _put(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Puts a file into its place; without overwriting by a link, which fails where something came meanwhile."""
    if overwrite:
        partial.replace(path)
        return
    try:
        os.link(partial, path)
    except FileExistsError as error:
        raise FileExistsError(
            f"{path} exists already: another process wrote it meanwhile. Choose another file, or pass "
            f"{setting('overwrite')} to replace it."
        ) from error
    except OSError:  # a file system without links
        partial.replace(path)
