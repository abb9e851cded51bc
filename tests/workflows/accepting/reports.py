"""Reports of machines that are not here, for what is said of them."""

import dataclasses

from tftrt_yolo.benchmarking.machine import Machine
from tftrt_yolo.ground.environment import TESTED_EXPORT_TOOLS, Environment
from tftrt_yolo.workflows.accepting.acceptance_report import (
    ENGINES,
    FAILED,
    IMPOSSIBLE,
    NOT_RUN,
    PASSED,
    AcceptanceReport,
    Finding,
    Row,
)

MACHINE = Machine("A processor", 16, ("avx2",), 64 << 30, "NVIDIA H200", "535.1", 0.1, "2026-01-31T12:00:00+00:00")
WITH_TENSORRT = Environment(
    python_version="3.11.7",
    tensorflow_version="2.17.1",
    built_with_tensorrt=True,
    linked_tensorrt="8.6.1",
    library_problems={"libnvinfer.so.8.6.1": ""},
    loaded_tensorrt="8.6.1",
    gpus=("NVIDIA H200",),
    export_tools=dict(TESTED_EXPORT_TOOLS),
)
WITHOUT_TENSORRT = dataclasses.replace(
    WITH_TENSORRT, library_problems={"libnvinfer.so.8.6.1": "no such file"}, loaded_tensorrt=None
)
WITHOUT_GPU = dataclasses.replace(WITHOUT_TENSORRT, gpus=())
STAND_IN = dataclasses.replace(WITH_TENSORRT, has_stand_in=True)
CRASHED = None  # `check` did not come to an end


def report(environment, *rows):
    """A report with rows of (step, precision, finding), all of detect."""
    return AcceptanceReport(
        machine=MACHINE,
        environment=environment,
        version="1.2.3",
        tasks=("detect",),
        precision_modes=("FP16", "INT8"),
        rows=tuple(Row(step, "detect", precision, finding, 1.5) for step, precision, finding in rows),
        seconds=9.0,
    )


def built(*, is_rehearsal=False):
    """Engines were built in FP16, and in INT8 they were not, for the conversion failed."""
    environment = STAND_IN if is_rehearsal else WITH_TENSORRT
    figures = {"built by": environment.engine_runtime, "MB of engines": 3.14159, "engines": 1}
    return report(
        environment,
        ("export", "", Finding(PASSED)),
        ("convert", "FP16", Finding(PASSED, "", {"engines": 1}, is_rehearsal)),
        (ENGINES, "FP16", Finding(PASSED, "", figures, is_rehearsal)),
        ("convert", "INT8", Finding(FAILED, "TensorRT said\nno <b>engine</b>")),
        (ENGINES, "INT8", Finding(NOT_RUN, "it needs the conversion detect INT8, which see")),
    )


def without_engines(environment):
    """Nothing was built, which is no fault."""
    return report(
        environment,
        ("export", "", Finding(PASSED)),
        ("convert", "FP16", Finding(PASSED)),
        (ENGINES, "FP16", Finding(IMPOSSIBLE, "no engine was built: no GPU")),
    )
