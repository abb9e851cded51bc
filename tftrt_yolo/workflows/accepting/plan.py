"""What an acceptance does, step after step: made before anything runs, from what was asked for and what `check` said.

steps = plan(materials, ("FP16",), places, has_gpu=False, has_engines=False)
steps[0].title, steps[0].needs
"""

import dataclasses
from pathlib import Path

from tftrt_yolo.workflows.accepting.acceptance_report import ENGINE_FILE, ENGINES
from tftrt_yolo.workflows.accepting.materials import Material

CONTESTANTS = {
    True: ("tensorflow-fp32", "xla-fp16", "tensorrt-fp16"),
    False: ("tensorflow-fp32", "onednn-fp32", "tensorrt-fp16"),
}


@dataclasses.dataclass(frozen=True)
class Places:
    """Where an acceptance's files are.

    Attributes:
      exports_dir: Of the exports: TASK_saved_model.
      work_dir: Of all that goes when it ends.
      are_given: Whether the exports were made elsewhere.
    """

    exports_dir: Path
    work_dir: Path
    are_given: bool

    def export(self, task: str) -> Path:
        """A task's export."""
        return self.exports_dir / f"{task}_saved_model"

    def conversion(self, task: str, precision_mode: str) -> Path:
        """A conversion for TensorRT."""
        return self.work_dir / f"{task}_{precision_mode.lower()}_saved_model"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
      title: What the report calls it.
      function: Its name in `steps`.
      task: Ultralytics' name of the task.
      precision_mode: "FP32", "FP16", "INT8"; empty for none.
      arguments: What its function is given.
      makes: What later steps need of it: ("export", "detect").
      needs: What must have been made before.
      is_fresh: Whether its process must be new: it loads engines, or is to know nothing of what went before.
      is_last: Whether its process ends with it: it may hold engines, which later steps must not share.
    """

    title: str
    function: str
    task: str
    precision_mode: str
    arguments: dict
    makes: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    is_fresh: bool = False
    is_last: bool = False


def plan(
    materials: dict[str, Material],
    precision_modes: tuple[str, ...],
    places: Places,
    *,
    has_gpu: bool,
    has_engines: bool,
) -> list[Step]:
    """Lists the steps.

    Args:
      materials: Task to what it is tried on.
      precision_modes: "FP32", "FP16", "INT8".
      places: Where the files are.
      has_gpu: Whether TensorFlow sees a GPU: then XLA is tried, and oneDNN elsewhere.
      has_engines: Whether engines can be built: then each step that loads one has a process of its own, which they may
        end; where TensorFlow computes all, steps share one, for it takes seconds to start, and what must have a new one
        leaves it to the next.

    Returns:
      The steps in their order.
    """
    steps = []
    for task, material in materials.items():
        steps += _of_task(task, material, places, has_gpu=has_gpu, has_engines=has_engines)
        for precision_mode in precision_modes:
            steps += _of_precision(task, material, precision_mode, places, has_engines=has_engines)
        conversions = tuple(places.conversion(task, mode) for mode in (precision_modes[0], precision_modes[-1]))
        needs = tuple(("conversion", task, mode) for mode in dict.fromkeys((precision_modes[0], precision_modes[-1])))
        arguments = {"material": material, "conversions": conversions}
        alone = {"is_fresh": True, "is_last": has_engines}
        steps.append(Step("two in one process", "two in one process", task, "", arguments, needs=needs, **alone))
    return [*steps, _benchmark(*next(iter(materials.items())), places, has_gpu=has_gpu)]


def _of_task(task: str, material: Material, places: Places, *, has_gpu: bool, has_engines: bool) -> list[Step]:
    """The export, its accuracy, and a conversion for another accelerator than TensorRT."""
    export, made = places.export(task), ("export", task)
    common = {"material": material, "export_dir": export}
    title, function = ("given export", "open export") if places.are_given else ("export", "export")
    accelerator = "xla" if has_gpu else "onednn"
    baked = {"accelerator": accelerator, "conversion": places.work_dir / f"{task}_{accelerator}_saved_model"}
    name = {"xla": "XLA", "onednn": "oneDNN"}[accelerator]
    accuracy = {"makes": ("accuracy", task), "needs": (made,), "is_fresh": has_engines, "is_last": has_engines}
    return [
        Step(title, function, task, "", common, makes=made),
        Step(f"convert, {name}", "bake", task, "", common | baked, needs=(made,)),
        Step("evaluate", "evaluate export", task, "", common, **accuracy),
    ]


def _of_precision(
    task: str, material: Material, precision_mode: str, places: Places, *, has_engines: bool
) -> list[Step]:
    """A conversion for TensorRT, from the preflight to its accuracy."""
    export, conversion = places.export(task), places.conversion(task, precision_mode)
    exported, converted = ("export", task), ("conversion", task, precision_mode)
    pictures_dir = places.work_dir / f"{conversion.name}_pictures"
    from_export = {"material": material, "export_dir": export, "precision_mode": precision_mode}

    def step(title: str, arguments: dict, *needs: tuple[str, ...], **more) -> Step:
        return Step(title, title, task, precision_mode, arguments, needs=needs, **more)

    made = {"material": material, "conversion": conversion}
    both = from_export | {"conversion": conversion}
    file = from_export | {"engine_path": places.work_dir / f"{task}_{precision_mode.lower()}.engine"}
    alone = {"is_fresh": has_engines, "is_last": has_engines}
    return [
        step("preflight", from_export, exported),
        step("convert", both, exported, makes=converted),
        step("inspect", {"conversion": conversion}, converted),
        step(ENGINES, {"conversion": conversion}, converted),
        step(ENGINE_FILE, file, exported),
        step("predict", made | {"pictures_dir": pictures_dir}, converted, **alone | {"is_fresh": True}),
        step("compare", both, converted, **alone),
        step("batch outside", made, converted, **alone),
        step("evaluate", both, converted, ("accuracy", task), **alone),
    ]


def _benchmark(task: str, material: Material, places: Places, *, has_gpu: bool) -> Step:
    """Speed of one task."""
    arguments = {"material": material, "export_dir": places.export(task), "contestants": CONTESTANTS[has_gpu]}
    arguments["output_dir"] = places.work_dir / "benchmark"
    return Step("benchmark", "benchmark", task, "", arguments, needs=(("export", task),))
