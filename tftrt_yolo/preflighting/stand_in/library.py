"""The stand-in as a shared library: compiled from its source where it is first needed, then kept.

    path = library.built()                                    # seconds the first time, then none
    environment = library.environment_for(path, folder, recording_dir)

The cache holds it under a name that no program looks for. Only a recording's own folder has links with the names under
which TensorFlow opens TensorRT, and only the environment of the recording's process points there.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import logging

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import printable

TENSORRT_LIBRARIES = ("libnvinfer.so.8.6.1", "libnvinfer_plugin.so.8.6.1")
MARK = "tftrt_yolo_stand_in"  # a symbol that the real library does not have
RECORDING_DIR = "TFTRT_YOLO_RECORDING_DIR"  # the library records into it, and passes for no TensorRT without it
_SOURCES = Path(__file__).parent
# No exceptions, no type information and no standard library: it needs nothing of a compiler's but the C library's
# headers, so that the smallest one builds it in seconds.
_FLAGS = (
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden"),
    *("-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
)
_COMPILERS = ("c++", "g++", "clang++")
_ZIG_CACHES = ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
_SECONDS_TO_COMPILE = 300.0


def built(cache_dir: Path | None = None) -> Path:
    """Gives the library, and compiles it if the cache has none that is whole.

    Args:
      cache_dir: A folder to keep it in; None for $XDG_CACHE_HOME/tftrt_yolo, or ~/.cache/tftrt_yolo.

    Returns:
      Its path.

    Raises:
      PreflightError: If no compiler is there, or none can compile it, or there is no place for it.
    """
    folder = cache_dir or directories.cache_dir()
    if folder is None:
        raise PreflightError(
            "There is no home directory to keep the stand-in for TensorRT in. Set XDG_CACHE_HOME to a folder that can "
            "be written."
        )
    path = Path(folder) / f"stand_in_for_tensorrt_{_key()}.so"
    if _is_whole(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="stand_in_") as scratch:
            compiled = _compiled(Path(scratch))
            _checksum_file(compiled).write_text(_sha256(compiled), encoding="ascii")
            os.replace(_checksum_file(compiled), _checksum_file(path))
            os.replace(compiled, path)
    except OSError as error:
        raise PreflightError(
            f"The stand-in for TensorRT cannot be kept in {path.parent} ({error}). Free some space there, or set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from error
    return path


def environment_for(library: Path, folder: Path, recording_dir: Path) -> dict[str, str]:
    """Environment variables of a process whose TensorFlow is to take the stand-in for TensorRT.

    Args:
      library: What `built` gave.
      folder: An empty folder of that process alone, for the links.
      recording_dir: Where the networks are to be written.

    Returns:
      Variables to set. GPUs are hidden: the stand-in runs no engine.
    """
    for name in TENSORRT_LIBRARIES:
        (folder / name).symlink_to(library)
    paths = [str(folder), *filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))]
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(paths),
        "CUDA_VISIBLE_DEVICES": "",
        RECORDING_DIR: str(recording_dir),
    }


def _key() -> str:
    """Names a build: another source, machine or way to compile gives another file."""
    facts = hashlib.sha256(" ".join((*_FLAGS, platform.machine(), *platform.libc_ver())).encode())
    for path in _source_files("*"):
        facts.update(path.name.encode() + b"\0" + path.read_bytes())
    return facts.hexdigest()[:16]


def _source_files(suffix: str) -> list[Path]:
    """The C++ files, in a fixed order."""
    return sorted(path for path in _SOURCES.glob(f"*.{suffix}") if path.suffix in {".h", ".cpp"})


def _is_whole(path: Path) -> bool:
    """Whether the cache has the library as it was compiled, by this user."""
    try:
        if path.stat().st_uid != os.getuid():
            return False  # it is code that will run: another's is not taken
        whole = _checksum_file(path).read_text(encoding="ascii") == _sha256(path)
    except (OSError, ValueError):
        return False
    if not whole:
        logging.warning("%s is damaged and is compiled again", path)
    return whole


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compiled(scratch: Path) -> Path:
    """Compiles with the first compiler that can.

    Raises:
      PreflightError: If none can; the message has what each said.
    """
    said = []
    for command, libraries in _commands():
        output = scratch / "stand_in.so"
        try:
            done = subprocess.run(
                [*command, *_FLAGS, *map(str, _source_files("cpp")), "-o", str(output), *libraries],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=_SECONDS_TO_COMPILE,
                cwd=scratch,
                env=os.environ
                | {name: str(scratch / "zig") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said.append(f"{command[0]}: {error}")
            continue
        if done.returncode == 0 and output.is_file():
            return output
        said.append(f"{' '.join(command)}: {printable(done.stderr.strip())[-300:] or f'status {done.returncode}'}")
    named = os.environ.get("CXX")
    if named and not shutil.which(named):
        said.append(f"CXX names {named}, which is not there")
    tried = "\n  ".join(said) or f"{', '.join(_COMPILERS)} and ziglang are not there"
    raise PreflightError(
        "No compiler could build the stand-in for TensorRT. Install one, which `pip install 'tftrt_yolo[preflight]'` "
        f"does. Tried:\n  {tried}"
    )


def _commands() -> list[tuple[list[str], list[str]]]:
    """How to call each compiler that is there, and what to link with."""
    found = [shutil.which(name) for name in _names()]
    commands = [([path, "-nodefaultlibs"], ["-lc"]) for path in dict.fromkeys(filter(None, found))]
    if _has_ziglang():
        commands.append(([sys.executable, "-m", "ziglang", "c++", "-nostdlib++", "-mcpu=baseline"], []))
    return commands


def _names() -> tuple[str, ...]:
    """Compilers to look for: the one that the user names, or the usual ones."""
    named = os.environ.get("CXX")
    return (named,) if named else _COMPILERS


def _has_ziglang() -> bool:
    """Whether the extra's compiler is installed."""
    try:
        return importlib.util.find_spec("ziglang") is not None
    except ValueError:  # it was put aside in sys.modules
        return False
