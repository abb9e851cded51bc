"""Which TensorRT is installed that can rebuild a recorded network.

    find()       # Builder(module="tensorrt_rtx_bindings", name="TensorRT-RTX", version="1.7.1.116"), or None

Nothing is imported here: native code may end the process, so only workers import it.
"""

import dataclasses
import importlib.metadata
import importlib.util
import re

# Modules, the best first: TensorRT-RTX builds on a CPU, for a GPU that is named; TensorRT for the GPU that is there.
_NAMES = {"tensorrt_rtx_bindings": "TensorRT-RTX", "tensorrt_rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}
_OLDEST_TENSORRT = 10  # before, its Python API is another
REMEDY = "Install TensorRT-RTX, which needs no GPU: pip install 'tftrt_yolo[preflight]' (Linux, x86-64)."


@dataclasses.dataclass(frozen=True)
class Builder:
    """An installed TensorRT.

    Attributes:
      module: What is imported.
      name: "TensorRT-RTX" or "TensorRT".
      version: Its version; "unknown" if its files do not say.
    """

    module: str
    name: str
    version: str

    def __str__(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


def find() -> Builder | None:
    """The TensorRT that would be asked.

    Returns:
      TensorRT-RTX if it is installed, else TensorRT of version 10 or newer; None without either.
    """
    for module, name in _NAMES.items():
        try:
            spec = importlib.util.find_spec(module)
        except ValueError:  # something that passes for it has no specification
            continue
        if spec is None or spec.origin is None:  # not there, or a folder that happens to have this name
            continue
        builder = Builder(module, name, _version(module))
        if name != "TensorRT" or _major(builder.version) >= _OLDEST_TENSORRT:
            return builder
    return None


def _version(module: str) -> str:
    """Version of the distribution that a module belongs to."""
    distributions = importlib.metadata.packages_distributions().get(module)
    return importlib.metadata.version(distributions[0]) if distributions else "unknown"


def _major(version: str) -> int:
    """The first number of a version; 0 if it begins with none."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0
