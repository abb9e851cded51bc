"""Files behind URLs of fsspec's: buckets of s3:// and gs://, hdfs://, archives, and file://.

for url in stores.listed("s3://photos/2026", recursive=True, suffixes={".jpg"}):
    data = stores.read(url)

A store's credentials and addresses come from where its package looks for them, in the environment of every node; none
is written into a listing or a manifest.
"""

import contextlib
import functools
import glob
import io
import posixpath
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import BatchError, ImageError
from tftrt_yolo.ground.text import counted, first_line, shown
from tftrt_yolo.predictor.sources.streams import urls

TABLE_SUFFIXES = frozenset({".parquet", ".pq"})
_MOST_BYTES = 512 << 20  # of a picture, as of a file on disk
_BUFFER_BYTES = 1 << 20
_PAUSES_S = (1, 4)  # before an attempt is made again
_WEB = ("http", "https")  # where "?" begins a query
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp", "rtp", "srt")  # FFmpeg's, which have no end
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for a store not of Amazon's",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hdfs": "HADOOP_CONF_DIR and a Kerberos ticket",
}
_ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_EXPECTED = "Expected the URL of a picture, a folder or a glob of these, such as 's3://bucket/photos/*.jpg'"


def is_url(source: str) -> bool:
    """Whether a source is a URL, and no path of this machine's."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme.replace("+", "").replace("-", "").isalnum()


def listed(url: str, *, recursive: bool, suffixes: frozenset[str]) -> Iterator[str]:
    """Lists the files that a URL means, a folder at a time, so that memory stays that of the largest folder.

    Args:
      url: A file, whatever its ending; a folder; or a glob.
      recursive: Whether a folder's subfolders count, too.
      suffixes: Endings of the files of a folder that count, in lower case with their dots.

    Yields:
      URLs, those of a folder in the order of their names and before them none of a later folder.

    Raises:
      ImageError: If there is none, the store cannot be asked, or the URL holds a password.
    """
    _check(url)
    scheme = _scheme_of(url)
    with _faults_named(url):
        files, path = _store(url)
        files.invalidate_cache()  # a store that was listed before in this process may have changed
        named = functools.partial(_named, url, path)
        if scheme in _WEB:
            yield url
            return
        if files.isfile(path):
            yield named(path)
            return
        if glob.has_magic(path):
            found = (name for name in sorted(files.glob(path)) if files.isfile(name))
        else:
            files.info(path)  # a bucket that does not exist is empty to some stores' listings
            found = (name for name in _walked(files, path, recursive) if suffix(name) in suffixes)
        count = 0
        for count, name in enumerate(found, start=1):  # noqa: B007 - whether there was one
            yield named(name)
        if not count:
            raise ImageError(_nothing(files, path, url, recursive, suffixes))


def _nothing(files, path: str, url: str, recursive: bool, suffixes: frozenset[str]) -> str:
    """What is said of a URL that means no file."""
    if glob.has_magic(path):
        folder = path[: next(i for i, letter in enumerate(path) if glob.has_magic(letter))].rpartition("/")[0]
        files.ls(folder)  # says what is wrong where it is not there, or may not be listed
        return f"No file matches the pattern {shown(url)}. {_EXPECTED}; 's3://bucket/**/*.jpg' has subfolders, too."
    entries = files.ls(path, detail=True)
    folders = sum(entry["type"] == "directory" for entry in entries)
    deeper = (
        f" It has {counted(folders, 'subfolder')}, which count with recursive." if folders and not recursive else ""
    )
    others = sorted({suffix(entry["name"]) for entry in entries if entry["type"] != "directory"} - suffixes)
    named = f" There are files that end in {', '.join(map(shown, others[:5]))}." if others else ""
    hint = f" {hint_of_tables()}" if TABLE_SUFFIXES & set(others) else ""
    return (
        f"{shown(url)} holds no file that counts. Expected files that end in {', '.join(sorted(suffixes))}."
        f"{deeper}{named}{hint}"
    )


def hint_of_tables() -> str:
    """How Parquet tables are a source, for a message."""
    return f"Parquet tables count with the name of their column of images in {argument('image_column')}."


def _walked(files, folder: str, recursive: bool) -> Iterator[str]:
    """The paths of a folder's files, depth first, by name."""
    for entry in sorted(files.ls(folder, detail=True), key=lambda one: one["name"]):
        name = entry["name"].rstrip("/")
        if name == folder.rstrip("/"):  # what stands for an empty folder in a bucket
            continue
        if entry["type"] != "directory":
            yield name
        elif recursive:
            yield from _walked(files, name, recursive)


def read(url: str) -> bytes:
    """Reads a file whole.

    Args:
      url: One that `listed` gave.

    Returns:
      Its bytes.

    Raises:
      ImageError: If it is not there any more, or has more than 512 MiB.
      BatchError: If the store cannot be asked, or refuses: no fault of the picture's, so the run ends and can be
        continued.
    """

    def whole(files, path: str) -> bytes:
        if not files.async_impl:
            return files.cat_file(path) if (size := files.size(path) or 0) <= _MOST_BYTES else _refuse(url, size)
        try:  # one request, where asking for the size first would be two
            data = files.cat_file(path, start=0, end=_MOST_BYTES + 1)
        except Exception:  # such as of a file without a first byte
            if files.size(path) == 0:
                return b""
            raise
        return data if len(data) <= _MOST_BYTES else _refuse(url, files.size(path))

    return _insisted(url, whole)


def _refuse(url: str, size: int) -> bytes:
    """Refuses a file that is too large to be a picture."""
    raise ImageError(
        f"{shown(url)} is too large: it has {size:,} bytes; at most {_MOST_BYTES:,} are read. Save it anew first."
    )


def _insisted(url: str, ask: Callable, pauses_s: tuple[float, ...] = _PAUSES_S):
    """Asks a store, and after a pause again; raises as `read` does."""
    try:
        return ask(*_store(url))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(
            f"{shown(url)} cannot be read: it was listed, and is not there any more. {_EXPECTED}."
        ) from error
    except Exception as error:  # each package has errors of its own
        if not pauses_s or isinstance(error, (ImportError, PermissionError)):
            raise BatchError(f"{shown(url)} cannot be read: {_reason(url, error)}") from error
        time.sleep(pauses_s[0])
        return _insisted(url, ask, pauses_s[1:])


def check_answers(name: str) -> None:
    """Tells a store's fault from a file's.

    Args:
      name: A file's path or URL.

    Raises:
      BatchError: If it is a URL, and its store cannot be asked.
      ImageError: If the file is not there any more.
    """
    if is_url(name):
        _insisted(name, lambda files, path: files.size(path))


@contextlib.contextmanager
def copied(url: str) -> Iterator[Path]:
    """Brings a file to this machine for as long as the context lasts; errors are those of `read`.

    Args:
      url: One that `listed` gave.

    Yields:
      A temporary file with its ending.
    """
    with tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as folder:
        path = Path(folder) / f"file{suffix(url)}"
        _insisted(url, lambda files, found: files.get_file(found, str(path)))
        yield path


@contextlib.contextmanager
def opened(url: str) -> Iterator[BinaryIO]:
    """Opens a file to read parts of it.

    Args:
      url: One that `listed` gave.

    Yields:
      A buffered file with `seek` and `peek`.

    Raises:
      ImageError: If it cannot be opened.
    """
    with _faults_named(url):
        files, path = _store(url)
        file = files.open(path, "rb")
    with file, io.BufferedReader(file, _BUFFER_BYTES) as buffered:
        yield buffered


def _check(url: str) -> None:
    """Refuses what is no store of files, or would write a password into what a run leaves behind."""
    public = urls.without_password(url)
    if public != url:
        raise ImageError(
            f"{shown(public)} holds a password, and sources are written down in the output. Expected a URL without; "
            "give the password to the store's package in the environment of every node."
        )
    if _scheme_of(url) in _STREAMS:
        raise ImageError(f"{shown(url)} is a live stream, which has no end. Expected files; predict takes streams.")


def _scheme_of(url: str) -> str:
    """A URL's scheme in lower case, of a chain such as zip://*.jpg::s3://bucket/a.zip the first."""
    return url.partition("://")[0].lower()


def _store(url: str) -> tuple:
    """The file system of a URL, which fsspec keeps for the next, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(url)


def _named(url: str, path: str, name: str) -> str:
    """The URL of a file.

    Args:
      url: Of which it was found: its scheme, host and what it is chained to are those of the file, too.
      path: What fsspec makes of the URL.
      name: The file's path.

    Returns:
      Its URL.
    """
    if "://" in name:
        return name
    first, chain, rest = url.partition("::")
    scheme, _, body = first.partition("://")
    body = body.rstrip("/")
    host = body.removesuffix(path.rstrip("/")) if body.endswith(path.rstrip("/")) else ""
    return f"{scheme}://{host}{name}{chain}{rest}"


def suffix(name: str) -> str:
    """The ending of a path or a URL in lower case, of a chain that of its first file."""
    return posixpath.splitext(name.partition("::")[0] if is_url(name) else name)[1].lower()


@contextlib.contextmanager
def _faults_named(url: str) -> Iterator[None]:
    """Turns what a store's package raises into an ImageError that names the URL."""
    try:
        yield
    except (ImageError, GeneratorExit):
        raise
    except Exception as error:  # each package has errors of its own
        raise ImageError(f"{shown(urls.without_password(url))} cannot be read: {_reason(url, error)}") from error


def _reason(url: str, error: Exception) -> str:
    """Why a store cannot be asked, and what to do about it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for test, say in _REASONS:
        if test(error, kinds):
            return say(url, error)
    said = getattr(error, "strerror", None) or first_line(error)
    return f"{type(error).__name__}: {said}. {_EXPECTED}."


def _of_package(url: str, error: Exception) -> str:
    """A package is missing."""
    said = first_line(error).rstrip(".")
    return (
        f"{_scheme_of(url)}:// needs a package that cannot be imported here: {said}. Install it on this machine and on "
        "every node, beside the extra ray."
    )


def _of_credentials(url: str, error: Exception) -> str:
    """The store does not know who asks, or does not let them."""
    scheme = _ALIASES.get(_scheme_of(url), _scheme_of(url))
    where = f", such as {_CREDENTIALS[scheme]}" if scheme in _CREDENTIALS else ""
    return (
        f"the store refuses, or credentials are missing ({first_line(error)}). Expected credentials that may list and "
        f"read it, in the environment of this process and of every node{where}."
    )


def _of_missing(url: str, error: Exception) -> str:
    """There is no such bucket, folder or file."""
    return f"there is no such bucket, folder or file ({first_line(error)}). {_EXPECTED}."


def _of_connection(url: str, error: Exception) -> str:
    """Nobody answers."""
    said = first_line(error).rstrip(".")
    return (
        f"the store cannot be reached ({said}). Expected one that answers this machine and every node: look "
        "at the network, and at the address in the URL or in the environment, such as AWS_ENDPOINT_URL."
    )


def _of_protocol(url: str, error: Exception) -> str:
    """No package for such a URL is known."""
    return f"fsspec does not know {_scheme_of(url)}:// ({first_line(error)}). {_EXPECTED}."


_Reason = tuple[Callable[[Exception, set[str]], bool], Callable[[str, Exception], str]]
_REASONS: tuple[_Reason, ...] = (
    (lambda error, _: isinstance(error, ImportError), _of_package),
    (lambda error, kinds: isinstance(error, PermissionError) or "Credential" in "".join(kinds), _of_credentials),
    (lambda error, _: isinstance(error, (FileNotFoundError, NotADirectoryError)), _of_missing),
    (lambda error, _: "Protocol not known" in str(error), _of_protocol),
    (lambda _, kinds: not kinds.isdisjoint(("ConnectionError", "TimeoutError", "gaierror")), _of_connection),
)
