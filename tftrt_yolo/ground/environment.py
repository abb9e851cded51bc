"""What this machine offers for TF-TRT, what is missing, and how to mend it.

    machine = tftrt_yolo.check()
    machine.can_build_engines, machine.why_no_engines
    print(machine)

Everything that could end the process is asked only after the library that it needs was opened: TensorFlow aborts when
it is asked for the version of a TensorRT that is not there.
"""

import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import platform
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError

# The full version is part of the name that TensorFlow 2.15 to 2.17 open (tsl/platform/default/dso_loader.cc).
TENSORRT_VERSION = "8.6.1"
LIBRARIES = (f"libnvinfer.so.{TENSORRT_VERSION}", f"libnvinfer_plugin.so.{TENSORRT_VERSION}")
_CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")  # as the Linux kernel names them
STAND_IN_MARK = "tftrt_yolo_stand_in"  # a symbol of this package's stand-in for TensorRT, which TensorRT does not have
_BUILDER_LIBRARY = f"libnvinfer_builder_resource.so.{TENSORRT_VERSION}"  # libnvinfer opens it to build engines
_LAST_TENSORFLOW = "2.17"
TESTED_EXPORT_TOOLS = {
    "torch": "2.13.0",
    "ultralytics": "8.4.190",
    "onnx": "1.18.0",
    "onnxslim": "0.1.98",
    "onnx2tf": "1.28.8",
    "tf_keras": "2.17.0",
}


@dataclasses.dataclass(frozen=True)
class Environment:
    """What this machine has.

    Attributes:
      python_version: Version of Python.
      tensorflow_version: Version of TensorFlow; None if it cannot be imported.
      built_with_tensorrt: Whether this TensorFlow holds TF-TRT.
      linked_tensorrt: TensorRT version that it was built against; None without TF-TRT.
      library_problems: Library that TensorFlow opens to why it cannot be opened; empty text if it can.
      loaded_tensorrt: Version of the TensorRT that was found; None if a library cannot be opened.
      gpus: Names of the GPUs that TensorFlow sees.
      export_tools: Package to installed version, None where it is missing.
      has_stand_in: Whether what is loaded as TensorRT is this package's stand-in, which computes on the host.
      network_closed_by: What keeps the processes that handle checkpoints from the network; None if none starts here,
        or nobody looked.
    """

    python_version: str
    tensorflow_version: str | None
    built_with_tensorrt: bool
    linked_tensorrt: str | None
    library_problems: dict[str, str]
    loaded_tensorrt: str | None
    gpus: tuple[str, ...]
    export_tools: dict[str, str | None]
    has_stand_in: bool = False
    network_closed_by: str | None = None

    DERIVED: ClassVar = ("can_build_engines", "why_no_engines", "remedies", "engine_runtime")

    @property
    def engine_runtime(self) -> str:
        """What engines are built and run by, for reports: "TensorRT 8.6.1", or that it is the stand-in; "" for none."""
        if self.loaded_tensorrt is None:
            return ""
        if self.has_stand_in:
            return f"stand-in for TensorRT {self.loaded_tensorrt}"
        return f"TensorRT {self.loaded_tensorrt}"

    @property
    def why_no_engines(self) -> str:
        """Why TensorRT engines can neither be built nor run here; empty if they can."""
        if self.tensorflow_version is None:
            return "TensorFlow is not installed"
        if not self.built_with_tensorrt:
            return f"TensorFlow {self.tensorflow_version} was built without TensorRT"
        reasons = [] if self.gpus else ["no GPU"]
        missing = [library for library, problem in self.library_problems.items() if problem]
        if missing:
            reasons.append(f"{' and '.join(missing)} cannot be opened")
        elif not _compatible(self.loaded_tensorrt, self.linked_tensorrt):
            reasons.append(f"TensorRT {self.loaded_tensorrt} does not fit the {self.linked_tensorrt} that was linked")
        return ", ".join(reasons)

    @property
    def can_build_engines(self) -> bool:
        """Whether TensorRT engines can be built and run here."""
        return not self.why_no_engines

    @property
    def remedies(self) -> tuple[str, ...]:
        """One line for each thing that is missing: what to do about it."""
        remedies = []
        if self.tensorflow_version is None:
            remedies.append("TensorFlow: pip install tensorflow==2.17.1")
        elif not self.built_with_tensorrt:
            remedies.append(f"TF-TRT: {no_tensorrt_in_tensorflow(self.tensorflow_version)}")
        else:
            if any(self.library_problems.values()):
                remedies.append(
                    f"TensorRT: install tensorrt-libs=={TENSORRT_VERSION} from NVIDIA's own package index, then run "
                    "`tftrt-yolo check --fix`; or Debian's libnvinfer8 and libnvinfer-plugin8 of that version. A newer "
                    f"TensorRT linked under the name {LIBRARIES[0]} does not work"
                )
            elif not _compatible(self.loaded_tensorrt, self.linked_tensorrt):
                remedies.append(
                    f"TensorRT: {self.loaded_tensorrt} was found under the name of {TENSORRT_VERSION}; "
                    "install the real one"
                )
            if not self.gpus:
                remedies.append("GPU: pip install tensorflow[and-cuda]==2.17.1 on a machine with an NVIDIA driver")
        absent = [name for name, version in self.export_tools.items() if version is None]
        if absent:
            remedies.append(f"Export tools ({', '.join(absent)}): pip install tftrt_yolo[export]")
        return tuple(remedies)

    def __str__(self) -> str:
        """The findings for a reader."""
        rows = [("Python", self.python_version), ("TensorFlow", self.tensorflow_version or "missing")]
        rows.append(("  built with TensorRT", self.linked_tensorrt or "no"))
        rows += [(f"  {name}", problem or "found") for name, problem in self.library_problems.items()]
        stand_in = ": a stand-in of this package, not TensorRT" if self.has_stand_in else ""
        rows.append(("  loaded TensorRT", (self.loaded_tensorrt or "none") + stand_in))
        rows.append(("  GPU", ", ".join(self.gpus) or "none"))
        for name, version in self.export_tools.items():
            tested = TESTED_EXPORT_TOOLS[name]
            note = "" if version is None or version.partition("+")[0] == tested else f" (tested with {tested})"
            rows.append((name, (version or "missing") + note))
        closed_by = f"closed by {self.network_closed_by}" if self.network_closed_by else "unknown"
        rows.append(("workers' network", closed_by))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        if self.can_build_engines:
            how = (
                "rehearsed here; the stand-in computes them on the host" if self.has_stand_in else "built and run here"
            )
            lines.append(f"Engines can be {how}.")
        else:
            works = "conversion and prediction work" if self.built_with_tensorrt else "prediction works"
            lines.append(f"Engines are not built here ({self.why_no_engines}); {works} all the same.")
        return "\n".join([*lines, *(f"To mend: {remedy}." for remedy in self.remedies)])


def check(*, fix: bool = False) -> Environment:
    """Looks at this machine.

    Args:
      fix: Link the libraries of pip's tensorrt-libs 8.6.1 to where TensorFlow looks for them, before looking.

    Returns:
      What it has, with a remedy for each lack.

    Raises:
      TensorRTUnavailableError: If fix is asked for and there is nothing to link.
    """
    if fix:
        link_tensorrt_libraries()
    return dataclasses.replace(look(), network_closed_by=_closed_by())


def look() -> Environment:
    """As `check`, without starting a process: what closes the network of workers stays unknown."""
    importlib.invalidate_caches()  # a package may have been installed since the last look
    tools = {name: _installed(name) for name in TESTED_EXPORT_TOOLS}
    common = {"python_version": platform.python_version(), "export_tools": tools}
    if importlib.util.find_spec("tensorflow") is None:
        return Environment(
            **common,
            tensorflow_version=None,
            built_with_tensorrt=False,
            linked_tensorrt=None,
            library_problems={},
            loaded_tensorrt=None,
            gpus=(),
        )
    import tensorflow as tf

    built = bool(tf.sysconfig.get_build_info().get("is_tensorrt_build"))
    problems = {name: _problem(name) for name in LIBRARIES} if built else {}
    linked, loaded = _tensorrt_versions(can_load=not any(problems.values())) if built else (None, None)
    return Environment(
        **common,
        tensorflow_version=tf.__version__,
        built_with_tensorrt=built,
        linked_tensorrt=linked,
        library_problems=problems,
        loaded_tensorrt=loaded,
        has_stand_in=loaded is not None and any(map(_is_stand_in, LIBRARIES)),
        gpus=_gpus(),
    )


def grow_gpu_memory() -> bool:
    """Lets TensorFlow take GPU memory on demand instead of all at once; before anything else uses the GPU.

    Returns:
      Whether there is a GPU.
    """
    import tensorflow as tf
    from absl import logging

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            logging.info("%s is in use already; its memory is not set to grow on demand", gpu.name)
    return bool(gpus)


def bfloat16_flags() -> tuple[str, ...]:
    """The flags of this CPU that say that it multiplies bfloat16 numbers; empty if it has none."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return tuple(flag for flag in BFLOAT16_FLAGS if flag in flags)


def no_tensorrt_in_tensorflow(tensorflow_version: str) -> str:
    """Explains a TensorFlow without TF-TRT.

    Args:
      tensorflow_version: Its version.

    Returns:
      What was found, what is needed and what works all the same.
    """
    return (
        f"TensorFlow {tensorflow_version} was built without TensorRT; {_LAST_TENSORFLOW} is the last release that has "
        "TF-TRT, in its builds for Linux on x86-64. Convert with tensorflow==2.17.1; export and prediction work with "
        "this one"
    )


def link_tensorrt_libraries(site_packages: Path | None = None) -> list[Path]:
    """Links the libraries of pip's tensorrt-libs under the names, and in the folder, that TensorFlow opens.

    pip puts libnvinfer.so.8 into site-packages/tensorrt_libs; TensorFlow 2.15 to 2.17 open libnvinfer.so.8.6.1 and
    look, by the run path of their own libraries, into site-packages/tensorrt.

    Args:
      site_packages: The folder that holds tensorflow/ and tensorrt_libs/; None for where TensorFlow is.

    Returns:
      The links.

    Raises:
      TensorRTUnavailableError: If tensorrt-libs of this version is not there.
    """
    from tftrt_yolo.ground.errors import TensorRTUnavailableError

    site_packages = site_packages or _site_packages()
    source_dir, target_dir = site_packages / "tensorrt_libs", site_packages / "tensorrt"
    version = next((path.name for path in site_packages.glob("tensorrt_libs-*.dist-info")), "")
    if not source_dir.is_dir() or not version.startswith(f"tensorrt_libs-{TENSORRT_VERSION}"):
        found = version.removesuffix(".dist-info") or "no tensorrt_libs"
        raise TensorRTUnavailableError(
            f"{site_packages} holds {found}; expected tensorrt_libs-{TENSORRT_VERSION}. Install "
            f"tensorrt-libs=={TENSORRT_VERSION} from NVIDIA's own package index, then run `tftrt-yolo check --fix` "
            "again."
        )
    links = []
    for name in (*LIBRARIES, _BUILDER_LIBRARY):
        source = next(
            (path for path in (source_dir / name, source_dir / f"{name.partition('.so')[0]}.so.8") if path.exists()),
            None,
        )
        if source is None:
            raise TensorRTUnavailableError(f"{source_dir} has no {name.partition('.so')[0]}. Reinstall tensorrt-libs.")
        link = target_dir / name
        target_dir.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(source)
        links.append(link)
    return links


def _closed_by() -> str | None:
    """What closes the network of a worker here, as one says itself; None if it does not start."""
    try:
        with Worker("tftrt_yolo.ground.workers.child") as worker:
            worker.start()
            return worker.receive()
    except (WorkerCrashedError, OSError):
        return None


def _problem(library: str) -> str:
    """Why a library cannot be opened as TensorFlow would; empty if it can."""
    try:
        _opened(library)
    except OSError as error:
        return str(error)
    return ""


def _is_stand_in(library: str) -> bool:
    """Whether a library that can be opened is this package's stand-in."""
    return hasattr(_opened(library), STAND_IN_MARK)


def _opened(library: str) -> ctypes.CDLL:
    """A library as TensorFlow would open it."""
    beside_tensorflow = _site_packages() / "tensorrt" / library
    return ctypes.CDLL(str(beside_tensorflow) if beside_tensorflow.exists() else library)


def _tensorrt_versions(*, can_load: bool) -> tuple[str, str | None]:
    """Linked and loaded TensorRT; asking for the loaded one where there is none aborts the process."""
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils

    linked = ".".join(map(str, _pywrap_py_utils.get_linked_tensorrt_version()))
    if not can_load or not _pywrap_py_utils.is_tensorrt_enabled():
        return linked, None
    return linked, ".".join(map(str, _pywrap_py_utils.get_loaded_tensorrt_version()))


def _compatible(loaded: str | None, linked: str | None) -> bool:
    """TF-TRT's own rule: the same major version, and not older. Source: _check_trt_version_compatibility."""
    if loaded is None or linked is None:
        return False
    loaded_numbers, linked_numbers = (tuple(map(int, version.split("."))) for version in (loaded, linked))
    return loaded_numbers[0] == linked_numbers[0] and loaded_numbers >= linked_numbers


def _gpus() -> tuple[str, ...]:
    """Names of the GPUs, without starting them."""
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return tuple(
        tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices
    )


def _site_packages() -> Path:
    """The folder that holds TensorFlow."""
    return Path(importlib.util.find_spec("tensorflow").origin).parents[1]


def _installed(name: str) -> str | None:
    """Version of a package, None if it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
