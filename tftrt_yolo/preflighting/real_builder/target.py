"""What an installed TensorRT builds for. The worker that says so before anything else is done.

trt = imported(builder)
target_of(trt, builder, "8.6")          # "8.6", or a PreflightError that lists what it builds for
"""

import importlib
import re
from types import ModuleType

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import clause, quoted
from tftrt_yolo.preflighting.real_builder.builders import INSTALL, Builder

HERE = "of the GPU here"
_DEFAULT = "8.9"  # Ada: L4, L40, RTX 40


class NotWorkingError(PreflightError):
    """A TensorRT that is installed and does not work on this machine, whatever it is asked to build."""


def work(builder: Builder, compute_capability: str) -> None:
    """Refuses a compute capability that is not built for; silent about one that does not work here.

    Args:
      builder: The installed TensorRT.
      compute_capability: As `build`.

    Raises:
      PreflightError: If it does not build for it.
    """
    try:
        trt = imported(builder)
    except NotWorkingError:  # `build` says so of each network
        return
    target_of(trt, builder, compute_capability)


def imported(builder: Builder) -> ModuleType:
    """The TensorRT module.

    Raises:
      NotWorkingError: If it cannot be imported.
    """
    try:
        return importlib.import_module(builder.module)
    except Exception as error:  # native code raises anything where a library is missing
        raise NotWorkingError(
            f"{builder} is installed and cannot be imported: {clause(error)}. {builder.how_to_leave_out}"
        ) from error


def target_of(trt: ModuleType, builder: Builder, compute_capability: str | None) -> str:
    """What an engine is for.

    Args:
      trt: The TensorRT module.
      builder: What is known of it.
      compute_capability: As `build`.

    Returns:
      A compute capability, such as "8.9", or HERE.

    Raises:
      PreflightError: If this TensorRT does not build for it.
    """
    known = capabilities(trt)
    if not known:  # TensorRT builds for the GPU in which it times its kernels
        if compute_capability is None:
            return HERE
        raise PreflightError(
            f"{argument('compute_capability')} is {quoted(compute_capability)}, and {builder} builds for the GPU that "
            f"is here and for no other. Leave it out. For another GPU: {INSTALL}"
        )
    target = _DEFAULT if compute_capability is None else compute_capability
    if target not in known:
        raise PreflightError(
            f"{argument('compute_capability')} is {quoted(target)}; {builder} builds for {', '.join(known)}. Choose "
            "one of these: an engine for another GPU is TensorRT's own, built on that GPU."
        )
    return target


def capabilities(trt: ModuleType) -> dict[str, object]:
    """Compute capabilities that can be named, "8.9", to their members; none in TensorRT itself."""
    members = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    found = {name: re.fullmatch(r"SM(\d+)(\d)", name) for name in members}
    return {f"{match[1]}.{match[2]}": members[name] for name, match in found.items() if match}
