"""Which TensorRT is installed that can rebuild a recorded network.

    find()       # Builder(module="tensorrt_rtx_bindings", name="TensorRT-RTX", version=...), or None

Nothing is imported here: native code may end the process, so only workers import it.
"""

import dataclasses
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator

# Modules, the best first: TensorRT-RTX builds on a CPU, for a GPU that is named; TensorRT for the GPU that is there.
_NAMES = {"tensorrt_rtx_bindings": "TensorRT-RTX", "tensorrt_rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}
_OLDEST_TENSORRT = 10  # before, its Python API is another
INSTALL = "Install TensorRT-RTX, which needs no GPU: pip install 'tftrt_yolo[preflight]' (Linux, x86-64)."


@dataclasses.dataclass(frozen=True)
class Builder:
    """An installed TensorRT.

    Attributes:
      module: What is imported.
      name: "TensorRT-RTX" or "TensorRT".
      version: Its version; "unknown" if its files do not say.
      package: What pip knows it as.
    """

    module: str
    name: str
    version: str
    package: str

    def __str__(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    @property
    def how_to_leave_out(self) -> str:
        """What to do where it does not work."""
        return f"Install another version of it, or leave it out: pip uninstall {self.package}."


def find() -> Builder | None:
    """The TensorRT that would be asked.

    Returns:
      TensorRT-RTX if it is installed, else TensorRT of version 10 or newer; None without either.
    """
    is_builder = (one for one in installed() if one.name != "TensorRT" or _major(one.version) >= _OLDEST_TENSORRT)
    return next(is_builder, None)


def installed() -> Iterator[Builder]:
    """Every TensorRT that is installed, of any version, the best to build with first."""
    for module, name in _NAMES.items():
        try:
            spec = importlib.util.find_spec(module)
        except ValueError:  # something that passes for it has no specification
            continue
        if spec is None or spec.origin is None:  # not there, or a folder that happens to have this name
            continue
        yield Builder(module, name, *_version_and_package(module))


def _version_and_package(module: str) -> tuple[str, str]:
    """Version and name of the distribution that a module belongs to."""
    distributions = importlib.metadata.packages_distributions().get(module)
    if not distributions:
        return "unknown", module
    return importlib.metadata.version(distributions[0]), distributions[0]


def _major(version: str) -> int:
    """The first number of a version; 0 if it begins with none."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0
