"""The stand-in as a shared library: compiled from its source where it is first needed, then kept.

    compiled = library.built()                                        # its bytes; seconds the first time, then none
    environment = library.environment_for(compiled, folder, recording_dir)

The cache holds it under a name that no program looks for. Only a recording's own folder has it under the names under
which TensorFlow opens TensorRT, and only the environment of the recording's process points there.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import logging

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import printable

TENSORRT_VERSION = "8.6.1"  # whose interface it has
TENSORRT_LIBRARIES = (f"libnvinfer.so.{TENSORRT_VERSION}", f"libnvinfer_plugin.so.{TENSORRT_VERSION}")
RECORDING_DIR = "TFTRT_YOLO_RECORDING_DIR"  # the library records into it, and passes for no TensorRT without it
_SOURCES = Path(__file__).parent
# No exceptions, no type information and no standard library: it needs nothing of a compiler's but the C library's
# headers, so that the smallest one builds it in seconds.
_FLAGS = (
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden"),
    *("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
)
_LIBRARIES = ["-lc", "-ldl"]  # the second is empty where the C library has it all
_COMPILERS = ("c++", "g++", "clang++")
_FOLDERS_OF_COMPILERS = ("TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
_SECONDS_TO_COMPILE = 300.0
_DIGEST_BYTES = 64  # SHA-256 in hexadecimal, behind the library in its file; who loads it does not look there
_NO_SPACE = os.strerror(errno.ENOSPC)


def check_linked(tensorflow_version: str, linked_tensorrt: str) -> None:
    """Refuses a TensorFlow that would call an interface which the stand-in does not have.

    Args:
      tensorflow_version: Its version.
      linked_tensorrt: The TensorRT that it was built against.

    Raises:
      PreflightError: If that is another one than the stand-in stands in for.
    """
    if linked_tensorrt != TENSORRT_VERSION:
        raise PreflightError(
            f"TensorFlow {tensorflow_version} was built against TensorRT {linked_tensorrt}, and the stand-in has the "
            f"interface of {TENSORRT_VERSION} alone. Preflight in an environment with tensorflow==2.17.1. "
            "What TF-TRT builds for another TensorRT may differ."
        )


def built(cache_dir: Path | None = None) -> bytes:
    """Gives the library, and compiles it if the cache has none that is whole.

    Args:
      cache_dir: A folder to keep it in; None for $XDG_CACHE_HOME/tftrt_yolo, or ~/.cache/tftrt_yolo.

    Returns:
      The library.

    Raises:
      PreflightError: If no compiler is there, or none can compile it, or there is no place for it that is the user's.
    """
    folder = cache_dir or directories.cache_dir()
    if folder is None:
        raise PreflightError(
            "There is no home directory to keep the stand-in for TensorRT in. Set XDG_CACHE_HOME to a folder that can "
            "be written."
        )
    path = Path(folder) / "stand_in" / f"stand_in_for_tensorrt_{_key()}.so"
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _check_owner(path.parent)
        kept = _kept(path)
        if kept is None:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix="stand_in_") as scratch:
                kept = _compiled(Path(scratch)).read_bytes()
                whole = Path(scratch) / path.name
                whole.write_bytes(kept + _digest(kept))
                os.replace(whole, path)
    except OSError as error:
        raise PreflightError(
            f"The stand-in for TensorRT cannot be kept in {path.parent} ({error}). Free some space there, or set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from error
    return kept


def environment_for(library: bytes, folder: Path, recording_dir: Path) -> dict[str, str]:
    """Environment variables of a process whose TensorFlow is to take the stand-in for TensorRT.

    Args:
      library: What `built` gave.
      folder: An empty folder of that process alone; the library is written there, under TensorRT's names.
      recording_dir: Where the networks are to be written.

    Returns:
      Variables to set. GPUs are hidden: a recording runs no engine.
    """
    return {
        **search_path(library, folder),
        "CUDA_VISIBLE_DEVICES": "",
        RECORDING_DIR: str(recording_dir),
    }


def search_path(library: bytes, folder: Path) -> dict[str, str]:
    """The variable by which a process finds the library first under TensorRT's names, in a folder of its own.

    Args:
      library: What `built` gave.
      folder: An empty folder; the library is written there.

    Returns:
      The variable to set.
    """
    for name in TENSORRT_LIBRARIES:
        (folder / name).write_bytes(library)
    paths = [str(folder), *filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))]
    return {"LD_LIBRARY_PATH": os.pathsep.join(paths)}


def _key() -> str:
    """Names a build: another source, machine or way to compile gives another file."""
    facts = hashlib.sha256(" ".join((*_FLAGS, platform.machine(), *platform.libc_ver())).encode())
    for path in _source_files():
        facts.update(path.name.encode() + b"\0" + path.read_bytes())
    return facts.hexdigest()[:16]


def _source_files() -> list[Path]:
    """The C++ files, in a fixed order."""
    return sorted(path for path in _SOURCES.iterdir() if path.suffix in {".h", ".cpp"})


def _check_owner(folder: Path) -> None:
    """Refuses a folder in which others could put a library that then runs.

    Raises:
      PreflightError: If it is another user's, or can be written by others.
    """
    found = folder.stat()
    if found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    raise PreflightError(
        f"{folder} is another user's or can be written by others (owner {found.st_uid}, mode "
        f"{stat.filemode(found.st_mode)}), so what lies there is not loaded. Expected a folder of your own: chmod "
        "go-w it, or set XDG_CACHE_HOME to another."
    )


def _kept(path: Path) -> bytes | None:
    """The library in the cache, as it was compiled; None if there is none that is whole."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    library, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if library and digest == _digest(library):
        return library
    logging.warning("%s is damaged and is compiled again", path)
    return None


def _digest(library: bytes) -> bytes:
    return hashlib.sha256(library).hexdigest().encode("ascii")


def _compiled(scratch: Path) -> Path:
    """Compiles with the first compiler that can.

    Raises:
      PreflightError: If none can; the message has what each said.
    """
    said = []
    for command, libraries in _commands():
        output = scratch / "stand_in.so"
        sources = [str(path) for path in _source_files() if path.suffix == ".cpp"]
        try:
            status, words = _run([*command, *_FLAGS, *sources, "-o", str(output), *libraries], scratch)
        except (OSError, subprocess.TimeoutExpired) as error:
            said.append(f"{command[0]}: {error}")
            continue
        if status == 0 and output.is_file():
            return output
        if _NO_SPACE in words:
            raise OSError(errno.ENOSPC, _NO_SPACE, str(scratch))
        said.append(f"{shlex.join(command)}: {words or f'status {status}'}")
    tried = "\n  ".join(said) or f"{', '.join(_COMPILERS)} and ziglang are not there"
    raise PreflightError(
        "No compiler could build the stand-in for TensorRT. Install one, which `pip install 'tftrt_yolo[preflight]'` "
        f"does. Tried:\n  {tried}"
    )


def _run(command: list[str], scratch: Path) -> tuple[int, str]:
    """Runs a compiler, whose files stay in a folder, and which ends with us; its status and last words."""
    environment = os.environ | dict.fromkeys(_FOLDERS_OF_COMPILERS, str(scratch))
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=scratch,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            _, words = process.communicate(timeout=_SECONDS_TO_COMPILE)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # a driver's own children too
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, printable(words.decode(errors="replace").strip())[-300:]


def _commands() -> list[tuple[list[str], list[str]]]:
    """How to call each compiler that is there, and what to link with.

    Raises:
      PreflightError: If the user names one that is not there.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    if named and not shutil.which(named[0]):
        raise PreflightError(f"CXX names {named[0]}, which is not there. Name a C++ compiler, or unset it.")
    if named:
        return [([*named, "-nodefaultlibs"], _LIBRARIES)]
    found = dict.fromkeys(filter(None, map(shutil.which, _COMPILERS)))
    commands = [([path, "-nodefaultlibs"], _LIBRARIES) for path in found]
    if _has_ziglang():
        commands.append(([sys.executable, "-m", "ziglang", "c++", "-nostdlib++", "-mcpu=baseline"], []))
    return commands


def _has_ziglang() -> bool:
    """Whether the extra's compiler is installed."""
    try:
        return importlib.util.find_spec("ziglang") is not None
    except ValueError:  # it was put aside in sys.modules
        return False
