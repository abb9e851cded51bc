"""What a SavedModel can be converted for: the table of accelerators, with their precisions.

    kind = ACCELERATORS["tensorrt"]
    kind.module, kind.report                              # whose worker converts, and what it reports
    precision_mode = check_precision("tensorrt", "int8")  # "INT8"
    arguments = kind.check("tensorrt", options, None)     # for the worker

A new accelerator is a row here and a worker's module.

Every check refuses; none changes what was asked for.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.contract import PRECISION_MODES
from tftrt_yolo.converter.baked.baked_options import BakedOptions
from tftrt_yolo.converter.conversion_report import BakedReport, ConversionReport, EngineReport
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import listed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accelerator:
    """How a conversion is done.

    Attributes:
      module: Module of the worker.
      report: Class of the report.
      environment: Environment variables for the worker's process.
      precision_modes: What it knows.
      default_precision_mode: What None means.
      why_not: Other precisions to why it does not know them.
      check: Takes the accelerator's name, TF-TRT's options and the others', None where they were not given, and gives
        the worker's arguments.
      crash_hint: What to do when the worker's process ends.
    """

    module: str
    report: type[ConversionReport]
    environment: dict[str, str]
    precision_modes: tuple[str, ...]
    default_precision_mode: str
    why_not: dict[str, str]
    check: Callable[[str, TensorRTOptions | None, BakedOptions | None], dict]
    crash_hint: str


def check_precision(accelerator: str, precision_mode: str | None) -> str:
    """Checks accelerator and precision against each other.

    Args:
      accelerator: As `convert`'s.
      precision_mode: As `convert`'s, in upper or lower case.

    Returns:
      The precision in capitals.

    Raises:
      ValueError: If one is unknown.
      ConversionError: If this CPU would only be slowed down by BF16 or INT8.
    """
    if accelerator not in ACCELERATORS:
        raise ValueError(f"{argument('accelerator')} is {accelerator!r}; known are {', '.join(ACCELERATORS)}.")
    kind = ACCELERATORS[accelerator]
    if precision_mode is None:
        return kind.default_precision_mode
    mode = str(precision_mode).upper()
    if mode not in kind.precision_modes:
        why = kind.why_not.get(mode)
        raise ValueError(
            f"{argument('precision_mode')} is {precision_mode!r}; with {accelerator} known are "
            f"{listed(kind.precision_modes)}" + (f": {why}." if why else ".")
        )
    needed = environment.CPU_FLAGS.get(mode, ()) if accelerator == "onednn" else ()
    if needed and not environment.cpu_flags(mode):
        raise ConversionError(
            f"{mode} was asked for with onednn, and this CPU has none of the flags {', '.join(needed)}: it would be "
            "slower than FP32. Use FP32, or convert on the machine that is to run it."
        )
    return mode


def _check_tensorrt(accelerator: str, tensorrt: TensorRTOptions | None, baked: BakedOptions | None) -> dict:
    """Refuses the others' options, whatever their values; gives the arguments of TF-TRT's worker."""
    if baked is not None:
        baked.refuse("xla and onednn", f"{argument('accelerator')} is {accelerator!r}")
    return {"options": tensorrt or TensorRTOptions()}


def _check_grappler(accelerator: str, tensorrt: TensorRTOptions | None, baked: BakedOptions | None) -> dict:
    """The same for Grappler's worker."""
    from tftrt_yolo.ground.files import image_files

    if tensorrt is not None:
        tensorrt.refuse("tensorrt", f"{argument('accelerator')} is {accelerator!r}")
    baked = baked or BakedOptions()
    baked.check(accelerator)
    images = None
    if baked.parity_images is not None:
        images = [str(Path(path).resolve()) for path in image_files.find_images(baked.parity_images)]
    return {"accelerator": accelerator, "parity_images": images, "batch_sizes": baked.batch_sizes or ()}


_GRAPPLER = {
    "module": "tftrt_yolo.converter.baked.grappler",
    "report": BakedReport,
    "environment": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "check": _check_grappler,
    "crash_hint": "On a GPU, XLA needs ptxas and libdevice: pip install tftrt_yolo[gpu]",
}
ACCELERATORS = {
    "tensorrt": Accelerator(
        module="tftrt_yolo.converter.tensorrt",
        report=EngineReport,
        environment={},
        precision_modes=PRECISION_MODES["tensorrt"],
        default_precision_mode="FP16",
        why_not={"BF16": "TF-TRT has no BF16, whatever TensorRT it is built against"},
        check=_check_tensorrt,
        crash_hint="`tftrt-yolo check` shows what this machine has; a TensorRT of another version than the one that "
        "TensorFlow was built against ends the process",
    ),
    "xla": Accelerator(
        precision_modes=PRECISION_MODES["xla"],
        default_precision_mode="FP16",
        why_not={"INT8": "XLA has no INT8 convolutions, and would only compute what quantisation costs"},
        **_GRAPPLER,
    ),
    "onednn": Accelerator(
        precision_modes=PRECISION_MODES["onednn"],
        default_precision_mode="FP32",
        why_not={
            "FP16": "TensorFlow has no fast FP16 kernels for CPUs",
        },
        **_GRAPPLER,
    ),
}
