"""Output directories that appear whole or not at all, and what a directory holds.

Every stage that writes a directory writes it beside its final place and renames it when it is complete:

    with directories.written_whole("yolov8n_saved_model", overwrite=False) as partial_dir:
        tf.saved_model.save(module, str(partial_dir))
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import setting


def check_free(path: Path, *, overwrite: bool, marker: str = "saved_model.pb") -> None:
    """Refuses an output directory that exists, unless it may be replaced.

    Args:
      path: Where a stage is to write.
      overwrite: Whether an earlier result that is already there may be replaced.
      marker: The file by which an earlier result is known.

    Raises:
      FileExistsError: If path exists and overwrite is false, or if what is there is neither an empty directory nor an
        earlier result: that is never deleted.
    """
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise FileExistsError(
            f"{path} exists already. Choose another directory, or pass {setting('overwrite')} to replace it."
        )
    replaceable = path.is_dir() and not path.is_symlink()
    if not replaceable or (any(path.iterdir()) and not (path / marker).is_file()):
        raise FileExistsError(
            f"{path} exists and is not what this writes (it has no {marker}), so {setting('overwrite')} does not "
            "delete it. Choose another directory."
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
    """Adds a file's content to a hash, a piece at a time."""
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)


@contextlib.contextmanager
def written_whole(path: str | Path, *, overwrite: bool, marker: str = "saved_model.pb") -> Iterator[Path]:
    """Gives a temporary directory that becomes `path` if the block succeeds and vanishes if it fails.

    Args:
      path: The final directory; its parents are made.
      overwrite: As `check_free`.
      marker: As `check_free`.

    Yields:
      An empty directory on the same file system.

    Raises:
      FileExistsError: As `check_free`.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite, marker=marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    partial_dir = workspace / "new"
    partial_dir.mkdir()  # mkdtemp's own directory is private to the user; this one has the usual permissions
    try:
        yield partial_dir
        check_free(path, overwrite=overwrite, marker=marker)  # somebody else may have written it meanwhile
        replaced_dir = workspace / "old"
        if path.exists():
            path.rename(replaced_dir)
        try:
            partial_dir.rename(path)
        except OSError:
            if replaced_dir.exists():
                replaced_dir.rename(path)
            raise
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
