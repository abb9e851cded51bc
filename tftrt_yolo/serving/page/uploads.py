"""Files that were dropped on the page: where they lie, and for how long.

folder = Uploads(most_bytes=1 << 30)
folder.holds("/tmp/tftrt_yolo_page_x/8f/dog.jpg")
folder.sweep()                           # removes what is old
folder.remove()
"""

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

_KEPT_SECONDS = 1_800.0  # after which a file that nobody looked at goes


class Uploads:
    """A temporary folder for what comes and what is drawn.

    Attributes:
      path: The folder.
    """

    def __init__(self, *, most_bytes: int):
        """Makes the folder.

        Args:
          most_bytes: Of all files together.
        """
        self.path = Path(tempfile.mkdtemp(prefix="tftrt_yolo_page_")).resolve()
        self._most_bytes = most_bytes
        self._removing = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)  # at exit at the latest

    @property
    def has_room(self) -> bool:
        """Whether more may come."""
        return sum(size for _, size, _ in self._files()) < self._most_bytes

    def holds(self, path: str) -> bool:
        """Whether a path is that of a file that lies here."""
        try:
            resolved = Path(path).resolve()
            return resolved.is_relative_to(self.path) and resolved.is_file()
        except (OSError, ValueError):
            return False

    def sweep(self, kept_seconds: float = _KEPT_SECONDS) -> None:
        """Removes files that are old.

        Args:
          kept_seconds: Since when they were written or used.
        """
        oldest = time.time() - kept_seconds
        for path, _, modified in self._files():
            if modified < oldest:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # others lie there, too
                    path.parent.rmdir()

    def used(self, path: Path) -> None:
        """Notes that a file is still of use."""
        with contextlib.suppress(OSError):
            os.utime(path)

    def remove(self) -> None:
        """Removes the folder and all that is in it."""
        self._removing()

    def _files(self) -> list[tuple[Path, int, float]]:
        """Each file with its bytes and when it was written."""
        found = []
        for path in self.path.rglob("*"):
            with contextlib.suppress(OSError):
                status = path.lstat()
                found += [(path, status.st_size, status.st_mtime)] if path.is_file() else []
        return found
