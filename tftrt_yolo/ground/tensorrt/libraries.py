"""TensorRT's libraries on this machine: found as TensorFlow finds them, and linked to where it looks.

    linked = libraries.linked()         # None for a TensorFlow without TensorRT; safe without any library
    found = libraries.find(linked)
    found.problems, found.loaded
    libraries.link(linked)

TensorFlow aborts when it is asked for the version of a TensorRT that it cannot open, so it is asked for that last.
"""

import ctypes
import dataclasses
import importlib.util
import re
from pathlib import Path

from tftrt_yolo.ground.errors import TensorRTUnavailableError
from tftrt_yolo.ground.tensorrt import versions
from tftrt_yolo.ground.tensorrt.versions import TensorRTVersion

# libnvinfer opens these by its own full version, not by TensorFlow's, to build engines: up to TensorRT 10.10 one, in
# 10.16 one for each kind of GPU.
_BUILDER_RESOURCES = "libnvinfer_builder_resource*.so.*"
# The one folder on the run paths of all three of TensorFlow's libraries that open TensorRT: libtensorflow_cc.so.2,
# libtensorflow_framework.so.2 and _pywrap_py_utils.so, as readelf shows those of 2.17.1. The last does not look into
# site-packages/tensorrt, which the others do.
_TARGET = "tensorflow"
_DISTRIBUTION = re.compile(r"tensorrt(_cu\d+)?_libs-(\d.*)\.dist-info")


@dataclasses.dataclass(frozen=True)
class Found:
    """What is here of the TensorRT that TensorFlow wants.

    Attributes:
      problems: Library that TensorFlow opens to why it cannot; empty text if it can.
      loaded: Version that was found; None if a library cannot be opened.
      taken_for: What TensorFlow takes that version for; another one if it misreads it.
    """

    problems: dict[str, str]
    loaded: TensorRTVersion | None = None
    taken_for: TensorRTVersion | None = None


def linked() -> TensorRTVersion | None:
    """What this TensorFlow was built against; None without TensorRT."""
    try:
        from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils
    except ImportError:  # a TensorFlow that has none of TF-TRT
        return None
    return versions.linked(_pywrap_py_utils.get_linked_tensorrt_version())


def find(linked: TensorRTVersion) -> Found:
    """Looks for what a TensorFlow with TF-TRT wants.

    Args:
      linked: What it was built against.
    """
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils

    problems, opened = {}, False
    # One pair after the other: two TensorRTs in one process are one too many. Without a library TensorFlow says no, but
    # writes a warning each time, so it is asked only where it may say yes.
    for names in versions.names(linked):
        problems |= {name: _problem(name) for name in names}
        opened = not any(problems[name] for name in names) and _pywrap_py_utils.is_tensorrt_enabled()
        if opened:
            break
    wanted = versions.wanted(linked, problems, opened=opened)
    if not opened:
        return Found(wanted)
    taken_for = _pywrap_py_utils.get_loaded_tensorrt_version()
    return Found(wanted, versions.loaded(taken_for), TensorRTVersion(*taken_for))


def open_library(name: str) -> ctypes.CDLL:
    """A library as TensorFlow would open it.

    Raises:
      OSError: If it cannot be opened.
    """
    in_tensorflow = site_packages() / _TARGET / name
    return ctypes.CDLL(str(in_tensorflow) if in_tensorflow.exists() else name)


def link(linked: TensorRTVersion, folder: Path | None = None) -> list[Path]:
    """Links the libraries of pip's package under the names, and in the folder, that TensorFlow opens.

    pip puts libnvinfer.so.8 or libnvinfer.so.10 into site-packages/tensorrt_libs. TensorFlow's wheels open a full
    name, libnvinfer.so.8.6.1, and look, by the run paths of their own libraries, into site-packages/tensorflow.

    Args:
      linked: What TensorFlow was built against.
      folder: The folder that holds tensorflow/ and tensorrt_libs/; None for where TensorFlow is.

    Returns:
      The links.

    Raises:
      TensorRTUnavailableError: If pip's libraries are not there, are of a version that does not fit, or are not whole;
        or the folder cannot be written, or holds files of these names.
    """
    folder = folder or site_packages()
    _check_distribution(linked, folder)
    source_dir, target_dir = folder / "tensorrt_libs", folder / _TARGET
    sources = {}
    for library in ("nvinfer", "nvinfer_plugin"):
        source = _library_of_pip(source_dir, library, linked)
        sources |= dict.fromkeys(versions.link_names(library, linked), source)
    resources = sorted(source_dir.glob(_BUILDER_RESOURCES))
    if not resources:
        raise TensorRTUnavailableError(f"{source_dir} has no libnvinfer_builder_resource. {_reinstall(linked)}")
    sources |= {path.name: path for path in resources}
    return _linked({target_dir / name: source for name, source in sources.items()})


def site_packages() -> Path:
    """The folder that holds TensorFlow."""
    return Path(importlib.util.find_spec("tensorflow").origin).parents[1]


def _check_distribution(linked: TensorRTVersion, folder: Path) -> None:
    """Refuses libraries of pip's that TF-TRT would not take.

    Raises:
      TensorRTUnavailableError: If they are not there, or of a version that does not fit.
    """
    found = [match for path in sorted(folder.glob("*.dist-info")) if (match := _DISTRIBUTION.fullmatch(path.name))]
    if (folder / "tensorrt_libs").is_dir() and any(versions.fits(versions.parse(m[2]), linked) for m in found):
        return
    names = " and ".join(match[0].removesuffix(".dist-info") for match in found) or "no tensorrt_libs"
    raise TensorRTUnavailableError(
        f"{folder} holds {names}; expected TensorRT {linked}, for {versions.rule(linked)}. To mend it, "
        f"{versions.how_to_install(linked)}."
    )


def _library_of_pip(source_dir: Path, library: str, linked: TensorRTVersion) -> Path:
    """Where pip put a library.

    Raises:
      TensorRTUnavailableError: If it is not there.
    """
    for name in versions.link_names(library, linked):
        if (source_dir / name).exists():
            return source_dir / name
    raise TensorRTUnavailableError(f"{source_dir} has no lib{library}. {_reinstall(linked)}")


def _linked(sources: dict[Path, Path]) -> list[Path]:
    """Makes links, or none; a link that is there already is made anew.

    Raises:
      TensorRTUnavailableError: If a file is in the way, which is left as it is, or the folder cannot be written.
    """
    for path in sources:
        if path.exists() and not path.is_symlink():
            raise TensorRTUnavailableError(
                f"{path} is a file, and was to become a link to pip's library. If it is not needed, remove it, and run "
                "`tftrt-yolo check --fix` again."
            )
    try:
        for path, source in sources.items():
            path.unlink(missing_ok=True)
            path.symlink_to(source)
    except OSError as error:
        raise TensorRTUnavailableError(
            f"The links cannot be made ({error}). Run `tftrt-yolo check --fix` as the user who owns {path.parent}."
        ) from error
    return list(sources)


def _reinstall(linked: TensorRTVersion) -> str:
    """What to do about libraries of pip's that are not whole."""
    return f"Reinstall pip's package: {versions.how_to_install(linked)}."


def _problem(name: str) -> str:
    """Why a library cannot be opened as TensorFlow would; empty if it can."""
    try:
        open_library(name)
    except OSError as error:
        return str(error)
    return ""
