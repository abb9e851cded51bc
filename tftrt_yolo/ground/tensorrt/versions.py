"""What follows from the version of TensorRT that a TensorFlow was built against. Pure: nothing is opened here.

    linked = versions.linked((10, 8, 0))                # as TensorFlow's get_linked_tensorrt_version() says
    versions.names(linked)                              # (libnvinfer.so.10, ...), (libnvinfer.so.10.8.0, ...)
    versions.loaded((100, 8, 0)), versions.fits(...)    # 10.8.0, whatever TensorFlow took it for
    versions.how_to_install(linked)

TensorFlow opens TensorRT by a name that its build fixed, TF_TENSORRT_VERSION (tsl/platform/default/dso_loader.cc).
find_cuda_config.py, which a build from source runs, gives the major version alone: libnvinfer.so.10. The wheels of
TensorFlow 2.15 to 2.17 on PyPI, which are built another way, open the full one, libnvinfer.so.8.6.1, as seen with
2.15.1, 2.16.2 and 2.17.1. Which of the two NVIDIA's own builds open was not seen.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple


class TensorRTVersion(NamedTuple):
    """Major, minor and patch; ordered as they are released."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """Such as "8.6.1"."""
        return ".".join(map(str, self))


Names = tuple[str, ...]

WHEELS = TensorRTVersion(8, 6, 1)  # of TensorFlow's last wheels on PyPI with TF-TRT: 2.15, 2.16, 2.17
# The newest release of a major version that pip can install, by the package that holds its libraries. Those of 10 and
# newer are of every release, and are named after the CUDA that TensorFlow 2.15 and newer are built for.
_PIP_8, _NEWEST_8 = "tensorrt-libs", TensorRTVersion(8, 6, 1)
_PIP_10 = "tensorrt-cu12-libs"
_DEBIAN_MAJORS = (7, 8, 10)
NOT_OPENED = "found, but TensorFlow did not open it; start Python again"
_LIBRARIES = ("nvinfer", "nvinfer_plugin")
_NEVER_RELEASED = 90  # no TensorRT has such a major version, so one that is read is misread


def linked(numbers: tuple[int, int, int]) -> TensorRTVersion | None:
    """What TensorFlow's get_linked_tensorrt_version() says.

    Args:
      numbers: Its answer; (0, 0, 0) from a TensorFlow without TensorRT.

    Returns:
      The version, None for a TensorFlow without TensorRT.
    """
    return TensorRTVersion(*numbers) if any(numbers) else None


def loaded(numbers: tuple[int, int, int]) -> TensorRTVersion:
    """The version behind what TensorFlow's get_loaded_tensorrt_version() says.

    TensorRT 10 and newer count major * 10,000 + minor * 100 + patch, where older ones counted major * 1,000, and
    TensorFlow 2.17.1 still divides by 1,000: it takes TensorRT 10.8.0, which says 100800, for 100.8.0.

    Args:
      numbers: TensorFlow's answer, right or misread.

    Returns:
      The version that the library has.

    Source: GetLoadedTensorRTVersion in tensorflow/compiler/tf2tensorrt/common/utils.cc, and NV_TENSORRT_VERSION_INT in
    NvInferRuntimeBase.h of TensorRT 10; the misreading was seen with TensorFlow 2.17.1.
    """
    major, minor, patch = numbers
    if major < _NEVER_RELEASED:
        return TensorRTVersion(*numbers)
    number = major * 1_000 + minor * 100 + patch
    return TensorRTVersion(number // 10_000, number // 100 % 100, number % 100)


def parse(text: str | None) -> TensorRTVersion | None:
    """A version from its text, such as "8.6.1" or pip's "10.8.0.43" and "8.6.1.post1"; None from another text."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text or "")
    return TensorRTVersion(*map(int, found.groups())) if found else None


def fits(loaded: TensorRTVersion | None, linked: TensorRTVersion | None) -> bool:
    """TF-TRT's own rule: the same major version, and not older.

    Source: _check_trt_version_compatibility in tensorflow/python/compiler/tensorrt/trt_convert.py.
    """
    return None not in (loaded, linked) and loaded.major == linked.major and loaded >= linked


def names(linked: TensorRTVersion) -> tuple[Names, Names]:
    """The names under which TensorFlow may open the two libraries.

    Args:
      linked: What it was built against.

    Returns:
      The likelier names, and the others: by the full version first for what PyPI's wheels were built against, by the
      major version first for all else.
    """
    by_major, by_version = (tuple(f"lib{name}.so.{end}" for name in _LIBRARIES) for end in (linked.major, linked))
    return (by_version, by_major) if linked == WHEELS else (by_major, by_version)


def wanted(linked: TensorRTVersion, problems: Mapping[str, str], *, opened: bool) -> dict[str, str]:
    """Which of the names TensorFlow opens, as far as it shows, and what is wrong with each.

    Args:
      linked: What TensorFlow was built against.
      problems: Each of `names` to why it cannot be opened, as far as that was tried; empty text if it can.
      opened: Whether TensorFlow opened both libraries, by whichever name.

    Returns:
      Name to problem. No problem is empty for all of them unless TensorFlow opened them.
    """
    likelier, others = names(linked)
    there = [names for names in (likelier, others) if all(problems.get(name) == "" for name in names)]
    if opened:
        return dict.fromkeys((*there, likelier)[0], "")
    if len(there) == 2:
        return dict.fromkeys(likelier, NOT_OPENED)
    if there:  # TensorFlow did not open these, so it looks for the other ones
        return {name: problems[name] for name in (others if there == [likelier] else likelier)}
    return {name: problems[name] for name in (likelier if linked == WHEELS else (*likelier, *others))}


def link_names(library: str, version: TensorRTVersion) -> Names:
    """The names that `check --fix` gives a library of pip's: both that TensorFlow may open it by.

    Args:
      library: "nvinfer" or "nvinfer_plugin".
      version: What TensorFlow was built against.
    """
    return tuple(dict.fromkeys(f"lib{library}.so.{end}" for end in (version, version.major)))


def rule(linked: TensorRTVersion) -> str:
    """Says which versions TF-TRT takes."""
    return f"TF-TRT takes {linked} and newer ones of major version {linked.major}"


def pip_package(linked: TensorRTVersion) -> str:
    """What pip is to install; empty if it has no package that fits."""
    if linked.major == _NEWEST_8.major:
        return f"{_PIP_8}=={linked}" if linked <= _NEWEST_8 else ""
    return f"'{_PIP_10}>={linked},<{linked.major + 1}'" if linked.major >= 10 else ""


def how_to_install(linked: TensorRTVersion) -> str:
    """Says what to install for a TensorFlow that was built against this version."""
    ways = []
    if package := pip_package(linked):
        ways.append(f"install {package} from NVIDIA's own package index, then run `tftrt-yolo check --fix`")
    if linked.major in _DEBIAN_MAJORS:
        major = linked.major
        verb = "or " if ways else "install "
        ways.append(
            f"{verb}NVIDIA's Debian packages libnvinfer{major} and libnvinfer-plugin{major} of version {linked}"
        )
    if not ways:
        ways.append(f"install TensorRT {linked} from NVIDIA's archive, and put its lib folder on LD_LIBRARY_PATH")
    return "; ".join(ways)
