"""What this machine offers for TF-TRT, what is missing, and how to mend it.

    machine = tftrt_yolo.check()
    machine.can_build_engines, machine.why_no_engines
    print(machine)

Everything that could end the process is asked only after the library that it needs was opened: TensorFlow aborts when
it is asked for the version of a TensorRT that is not there.
"""

import dataclasses
import importlib.metadata
import importlib.util
import platform
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.ground import chatter
from tftrt_yolo.ground.errors import TensorRTUnavailableError
from tftrt_yolo.ground.tensorrt import libraries, versions
from tftrt_yolo.ground.text import listed
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError

_CPU_INFO = Path("/proc/cpuinfo")
# The instructions for a precision, as the Linux kernel names them; without any of them a CPU is slower than in FP32.
CPU_FLAGS = {"BF16": ("avx512_bf16", "amx_bf16"), "INT8": ("avx512_vnni", "avx_vnni", "amx_int8")}
STAND_IN_MARK = "tftrt_yolo_stand_in"  # a symbol of this package's stand-in for TensorRT, which TensorRT does not have
# The last release on PyPI with TF-TRT; those that NVIDIA and others build are another matter, and have no bound.
_LAST_ON_PYPI = "2.17.1"
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
      taken_for_tensorrt: What TensorFlow takes that version for; another one if it misreads it.
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
    taken_for_tensorrt: str | None = None
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
            reasons.append(f"{listed(missing)} cannot be opened")
        elif not self._fits:
            reasons.append(f"TensorRT {self.loaded_tensorrt} does not fit the {self.linked_tensorrt} that was linked")
        elif self._is_misread:
            reasons.append(f"this TensorFlow takes TensorRT {self.loaded_tensorrt} for {self.taken_for_tensorrt}")
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
            remedies.append(f"TensorFlow: pip install tensorflow=={_LAST_ON_PYPI}")
        elif not self.built_with_tensorrt:
            remedies.append(f"TF-TRT: {no_tensorrt_in_tensorflow(self.tensorflow_version)}")
        else:
            if remedy := self._tensorrt_remedy:
                remedies.append(f"TensorRT: {remedy}")
            if not self.gpus:
                remedies.append(
                    "GPU: a machine with an NVIDIA driver, and a TensorFlow for GPUs, such as pip install "
                    f"tensorflow[and-cuda]=={_LAST_ON_PYPI}"
                )
        absent = [name for name, version in self.export_tools.items() if version is None]
        if absent:
            remedies.append(f"Export tools ({', '.join(absent)}): pip install tftrt_yolo[export]")
        return tuple(remedies)

    @property
    def _tensorrt_remedy(self) -> str:
        """What to do about TensorRT's libraries, for the version that TensorFlow was built against."""
        linked = versions.parse(self.linked_tensorrt)
        if linked is None:  # of a report that was edited
            return ""
        if versions.NOT_OPENED in self.library_problems.values():
            return f"{listed(self.library_problems)}: {versions.NOT_OPENED}"
        if any(self.library_problems.values()):
            return (
                f"{versions.how_to_install(linked)}. A TensorRT of another major version than {linked.major}, linked "
                f"under the name {next(iter(self.library_problems))}, does not work"
            )
        if not self._fits:
            return (
                f"{self.loaded_tensorrt} was found under the name {next(iter(self.library_problems))}, but "
                f"{versions.rule(linked)}; {versions.how_to_install(linked)}"
            )
        if self._is_misread:
            return (
                f"TF-TRT refuses {self.loaded_tensorrt} here, for this TensorFlow takes it for "
                f"{self.taken_for_tensorrt}; build it with a GetLoadedTensorRTVersion that divides by 10,000, as "
                "TensorRT 10 counts"
            )
        return ""

    @property
    def _fits(self) -> bool:
        """Whether TF-TRT takes the TensorRT that was found."""
        return versions.fits(versions.parse(self.loaded_tensorrt), versions.parse(self.linked_tensorrt))

    @property
    def _is_misread(self) -> bool:
        """Whether TensorFlow takes the version that was found for another one, which TF-TRT then judges by."""
        return self.taken_for_tensorrt not in (None, self.loaded_tensorrt)

    def __str__(self) -> str:
        """The findings for a reader."""
        rows = [("Python", self.python_version), ("TensorFlow", self.tensorflow_version or "missing")]
        rows.append(("  built with TensorRT", self.linked_tensorrt or "no"))
        rows += [(f"  {name}", problem or "found") for name, problem in self.library_problems.items()]
        stand_in = ": a stand-in of this package, not TensorRT" if self.has_stand_in else ""
        misread = f", which TensorFlow takes for {self.taken_for_tensorrt}" if self._is_misread else ""
        rows.append(("  loaded TensorRT", (self.loaded_tensorrt or "none") + misread + stand_in))
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
      fix: Link the TensorRT libraries that pip installed to where TensorFlow looks for them, before looking.

    Returns:
      What it has, with a remedy for each lack.

    Raises:
      TensorRTUnavailableError: If fix is asked for and there is nothing to link that TF-TRT would take.
    """
    if fix:
        _link()
    return dataclasses.replace(look(), network_closed_by=_closed_by())


def look() -> Environment:
    """As `check`, without starting a process: what closes the network of workers stays unknown."""
    importlib.invalidate_caches()  # a package may have been installed since the last look
    tools = {name: installed(name) for name in TESTED_EXPORT_TOOLS}
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

    linked = libraries.linked()
    found = libraries.Found({}) if linked is None else libraries.find(linked)
    return Environment(
        **common,
        tensorflow_version=tf.__version__,
        built_with_tensorrt=linked is not None,
        linked_tensorrt=linked and str(linked),
        library_problems=found.problems,
        loaded_tensorrt=found.loaded and str(found.loaded),
        taken_for_tensorrt=found.taken_for and str(found.taken_for),
        has_stand_in=found.loaded is not None and any(map(_is_stand_in, found.problems)),
        gpus=_gpus(),
    )


def grow_gpu_memory() -> bool:
    """Lets TensorFlow take GPU memory on demand instead of all at once; before anything else uses the GPU.

    Returns:
      Whether there is a GPU.
    """
    import tensorflow as tf
    from absl import logging

    with chatter.kept_off():
        gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            logging.info("%s is in use already; its memory is not set to grow on demand", gpu.name)
    return bool(gpus)


def compute_in_full_float32() -> None:
    """Keeps TensorFlow from rounding the products of float32 on a GPU to TensorFloat-32, in this process.

    That is 2**-11 instead of 2**-24: who compares TensorFlow's numbers with another's must not have it.
    """
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)


def cpu_flags(precision_mode: str) -> tuple[str, ...]:
    """The flags of this CPU that say that it multiplies numbers of a precision.

    Args:
      precision_mode: One of `CPU_FLAGS`.

    Returns:
      Those of them that it has; empty if it has none.
    """
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return tuple(flag for flag in CPU_FLAGS[precision_mode] if flag in flags)


def no_tensorrt_in_tensorflow(tensorflow_version: str) -> str:
    """Explains a TensorFlow without TF-TRT.

    Args:
      tensorflow_version: Its version.

    Returns:
      What was found, what is needed and what works all the same.
    """
    return (
        f"TensorFlow {tensorflow_version} was built without TensorRT. Convert with tensorflow=={_LAST_ON_PYPI} (Linux, "
        "x86-64), the last that pip installs with TF-TRT, or with any that was built with TensorRT, such as that of "
        "NVIDIA's container; export and prediction work with this one"
    )


def _link() -> None:
    """Links pip's TensorRT for this TensorFlow.

    Raises:
      TensorRTUnavailableError: If there is no TensorFlow that wants one, or nothing to link.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise TensorRTUnavailableError(
            f"TensorFlow is not installed, so nothing wants TensorRT. First, pip install tensorflow=={_LAST_ON_PYPI}."
        )
    if (linked := libraries.linked()) is None:
        import tensorflow as tf

        raise TensorRTUnavailableError(f"{no_tensorrt_in_tensorflow(tf.__version__)}.")
    libraries.link(linked)


def _closed_by() -> str | None:
    """What closes the network of a worker here, as one says itself; None if it does not start."""
    try:
        with Worker("tftrt_yolo.ground.workers.child") as worker:
            worker.start()
            return worker.receive()
    except (WorkerCrashedError, OSError):
        return None


def _is_stand_in(library: str) -> bool:
    """Whether a library that can be opened is this package's stand-in."""
    return hasattr(libraries.open_library(library), STAND_IN_MARK)


def _gpus() -> tuple[str, ...]:
    """Names of the GPUs, without starting them."""
    import tensorflow as tf

    with chatter.kept_off():
        devices = tf.config.list_physical_devices("GPU")
    return tuple(
        tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices
    )


def installed(name: str) -> str | None:
    """Version of a package, None if it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
