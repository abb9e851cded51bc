"""The machine that is measured: what it is, and how its GPU fares meanwhile.

    machine = describe()                       # without any framework
    with GpuWatch() as watch:
        with watch.timing(): ...
    watch.peak_bytes, watch.clock

`work` tells, in a process of its own, what TensorFlow sees.
"""

import contextlib
import csv
import dataclasses
import datetime
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.text import counted

CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "amx_tile")
_SAMPLE_SECONDS = 0.5
# Source: nvml.h, nvmlClocksEventReason*. Bit 0 is an idle GPU.
_CLOCK_LIMITS = {
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
}
_THROTTLING = frozenset(_CLOCK_LIMITS[bit] for bit in (0x008, 0x020, 0x040, 0x080))


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a machine is.

    Attributes:
      cpu: Model of the processor.
      cores: Cores that this process may use.
      cpu_flags: Those of `CPU_FLAGS` that the processor has.
      memory_bytes: Main memory.
      gpu: Model of the GPU; None without one.
      driver: Version of its driver; None without one.
      load_average: Processes that ran in the minute before; above a few tenths, others took part of the machine.
      date: When it was measured, ISO 8601.
    """

    cpu: str
    cores: int
    cpu_flags: tuple[str, ...]
    memory_bytes: int
    gpu: str | None
    driver: str | None
    load_average: float
    date: str

    def __str__(self) -> str:
        """One line for a reader."""
        cpu = f"{self.cpu}, {counted(self.cores, 'core')}"
        return f"{self.gpu}, driver {self.driver}; {cpu}" if self.gpu else cpu


@dataclasses.dataclass(frozen=True)
class Clock:
    """The GPU's clock while a contestant was timed.

    Attributes:
      least_mhz: Least clock of the streaming multiprocessors, in MHz.
      median_mhz: Their median clock.
      limits: What held the clock down, in NVML's words.
    """

    least_mhz: int
    median_mhz: int
    limits: tuple[str, ...]

    @property
    def is_throttled(self) -> bool:
        """Whether heat or a lack of power slowed the GPU down."""
        return bool(_THROTTLING.intersection(self.limits))

    def __str__(self) -> str:
        """Least to median clock, and what held it down."""
        limits = f", {', '.join(self.limits)}" if self.limits else ""
        throttled = " THROTTLED" if self.is_throttled else ""
        return f"{self.least_mhz} to {self.median_mhz} MHz{limits}{throttled}"


def describe() -> Machine:
    """Looks at this machine."""
    cpu, flags = platform.processor() or platform.machine(), set()
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            cpu = value.strip()
        elif key.strip() == "flags":
            flags = set(value.split())
            break
    found = _nvidia_smi("name", "driver_version")
    gpu, driver = found if found else (None, None)
    return Machine(
        cpu=cpu,
        cores=protocol.cores(),
        cpu_flags=tuple(flag for flag in CPU_FLAGS if flag in flags),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpu=gpu,
        driver=driver,
        load_average=round(os.getloadavg()[0], 2),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def work() -> environment.Environment:
    """What TensorFlow finds here, in a process of its own."""
    return environment.look()


class GpuWatch:
    """Samples the GPU's memory and clock twice a second, in a thread; without a GPU it does nothing.

    Attributes:
      peak_bytes: Most memory in use, minus what was in use at the beginning; None without a GPU.
      clock: Clocks of the times inside `timing`; None if there was no sample.
    """

    def __init__(self):
        self._samples, self._clocks, self._limits = [], [], set()
        self._is_timing = False
        self._stop = threading.Event()
        self._reasons = "clocks_event_reasons.active"

    def __enter__(self) -> "GpuWatch":
        """Takes the first sample and starts the thread."""
        self._thread = None
        if not self._sample():
            self._reasons = "clocks_throttle_reasons.active"  # its name before driver 535
            if not self._sample():
                return self
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        """Ends the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def set_timing(self, is_timing: bool) -> None:
        """Says whether clocks count from now on: those of a GPU that waits for a compiler do not."""
        self._is_timing = is_timing

    @property
    def peak_bytes(self) -> int | None:
        """Most memory in use since the beginning."""
        return max(self._samples) - self._samples[0] if self._samples else None

    @property
    def clock(self) -> Clock | None:
        """The clocks of the timed part."""
        if not self._clocks:
            return None
        return Clock(min(self._clocks), int(statistics.median(self._clocks)), tuple(sorted(self._limits)))

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> bool:
        """Takes a sample; false if nvidia-smi gives none."""
        was_timing = self._is_timing
        found = _nvidia_smi("memory.used", "clocks.sm", self._reasons)
        with contextlib.suppress(ValueError, TypeError):  # "[N/A]" on a partitioned GPU
            memory_mib, mhz, reasons = int(found[0]), int(found[1]), int(found[2], 16)
            self._samples.append(memory_mib << 20)
            if was_timing and self._is_timing:
                self._clocks.append(mhz)
                self._limits |= set(decode_limits(reasons))
            return True
        return False


def decode_limits(reasons: int) -> Iterator[str]:
    """Names what holds a GPU's clock down.

    Args:
      reasons: NVML's bit mask.

    Yields:
      The names of its bits, but for an idle GPU.
    """
    return (name for bit, name in _CLOCK_LIMITS.items() if reasons & bit)


def _nvidia_smi(*fields: str) -> tuple[str, ...] | None:
    """Asks the first visible GPU; None if there is none, or it does not know a field."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (not visible or visible.startswith("-")):
        return None
    index = (visible or "0").split(",")[0]
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", index]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = list(csv.reader(answer.splitlines(), skipinitialspace=True))
    return tuple(rows[0]) if rows and len(rows[0]) == len(fields) else None


def _lines(path: str) -> list[str]:
    """Lines of a file; none if there is no such file."""
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
