"""Triton's parts in the wheel of PyTriton, and the Python that its Python backend loads.

    parts = installed.find()
    parts.lay_out(folder / "backends")           # what --backend-directory is given
    subprocess.Popen([parts.server, ...], env=parts.environment())

The wheel brings tritonserver with the Python backend alone, and a stub for each version of Python. The stub loads
libpython, which many interpreters keep where no loader looks: without it the server says `_recursion_count` or that a
shared object is missing.
"""

import dataclasses
import importlib.util
import os
import site
import sys
import sysconfig
from pathlib import Path

from tftrt_yolo.ground.errors import ServingError

_INSTALL = "Install it: pip install 'tftrt_yolo[triton]' (Linux, x86-64)."
_STUB = "triton_python_backend_stub"


@dataclasses.dataclass(frozen=True)
class TritonParts:
    """Where Triton is.

    Attributes:
      server: The program.
      backend_files: Of its Python backend, the stub for this Python among them.
      library_dirs: In which its libraries are, and libpython.
    """

    server: Path
    backend_files: tuple[Path, ...]
    library_dirs: tuple[Path, ...]

    def lay_out(self, backends_dir: Path) -> None:
        """Makes the folder of backends, of links to the wheel's files.

        Args:
          backends_dir: A new folder.
        """
        (backends_dir / "python").mkdir(parents=True)
        for path in self.backend_files:
            (backends_dir / "python" / path.name).symlink_to(path)

    def environment(self) -> dict[str, str]:
        """The environment that the server is started in: its libraries, and this interpreter before all others."""
        found = dict(os.environ)
        found["LD_LIBRARY_PATH"] = _joined(*self.library_dirs, found.get("LD_LIBRARY_PATH"))
        found["PATH"] = _joined(Path(sys.executable).parent, found.get("PATH"))
        paths = [path for path in found.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]
        here = Path(__file__).resolve().parents[3]
        if str(here) not in map(os.path.realpath, site.getsitepackages()):  # this tftrt_yolo, and no other
            paths.insert(0, str(here))
        found["PYTHONPATH"] = _joined(*paths)
        return found


def find() -> TritonParts:
    """Looks for Triton.

    Raises:
      ServingError: If PyTriton is not installed, has no stub for this Python, or this Python is without its library.
    """
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServingError(f"nvidia-pytriton is not installed, which brings Triton's server. {_INSTALL}")
    package = Path(next(iter(spec.submodule_search_locations)))
    root, version = package / "tritonserver", "{}.{}".format(*sys.version_info)
    stub = root / "python_backend_stubs" / version / _STUB
    server = root / "bin" / "tritonserver"
    backend = sorted((root / "backends" / "python").glob("*triton_python*"))
    if not server.is_file() or len(backend) < 2:
        raise ServingError(f"nvidia-pytriton is installed without its server, bin/tritonserver. {_INSTALL}")
    if not stub.is_file():
        known = ", ".join(sorted(path.name for path in stub.parents[1].glob("*.*")))
        raise ServingError(
            f"nvidia-pytriton has no stub of Triton's Python backend for Python {version}; it has those for "
            f"{known or 'none'}. Run the server with one of these."
        )
    files = [path for path in backend if path.is_file() and path.name != _STUB]
    return TritonParts(server, (*files, stub), (_libpython_dir(), package.parent / "nvidia_pytriton.libs"))


def _libpython_dir() -> Path:
    """The folder of the library that this interpreter is made of.

    Raises:
      ServingError: If it was built without one.
    """
    name = sysconfig.get_config_var("INSTSONAME") or ""
    version = "{}.{}".format(*sys.version_info)
    names = dict.fromkeys([name, f"libpython{version}.so.1.0"] if ".so" in name else [f"libpython{version}.so.1.0"])
    folders = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    folders.append(os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("MULTIARCH") or ""))
    for folder in dict.fromkeys(filter(None, folders)):
        if any((Path(folder) / one).is_file() for one in names):
            return Path(folder)
    raise ServingError(
        f"This Python ({sys.executable}) has no {next(iter(names))}, which Triton's Python backend loads. Run the "
        "server with a Python that was built with --enable-shared, as Debian's and Conda's are; with pyenv: "
        "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install."
    )


def _joined(*paths: str | Path | None) -> str:
    """Paths for a variable of the environment."""
    return os.pathsep.join(str(path) for path in paths if path)
