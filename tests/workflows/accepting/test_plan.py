"""What is planned: every task and precision, what each step needs before it, and functions that exist."""

import inspect
from pathlib import Path

import pytest

from tftrt_yolo import contract
from tftrt_yolo.benchmarking.contestants import CONTESTANTS
from tftrt_yolo.workflows.accepting import plan, steps
from tftrt_yolo.workflows.accepting.materials import TASK_NAMES, lay_out
from tftrt_yolo.workflows.accepting.plan import Places

MODES = contract.PRECISION_MODES["tensorrt"]


def _plan(tmp_path, *, has_gpu=False, has_engines=False, are_given=False, tasks=TASK_NAMES, modes=MODES):
    materials = {task: lay_out(task, tmp_path / "data", most=4) for task in tasks}
    places = Places(tmp_path / "exports", tmp_path, are_given)
    return plan.plan(materials, modes, places, has_gpu=has_gpu, has_engines=has_engines)


@pytest.mark.parametrize("are_given", [False, True])
@pytest.mark.parametrize("has_gpu", [False, True])
def test_every_step_can_be_called_and_what_it_needs_comes_first(tmp_path, has_gpu, are_given):
    made = set()
    for step in _plan(tmp_path, has_gpu=has_gpu, are_given=are_given):
        assert set(step.needs) <= made, step
        made.add(step.makes)
        extra = {"before": {}} if step.function == "evaluate" else {}
        inspect.signature(steps.STEPS[step.function]).bind(**step.arguments, **extra)


def test_every_task_has_every_precision(tmp_path):
    planned = {(step.title, step.task, step.precision_mode) for step in _plan(tmp_path)}
    for task in TASK_NAMES:
        for mode in MODES:
            for title in (
                "preflight",
                "convert",
                "built engines",
                "engine file",
                "predict",
                "compare",
                "batch outside",
                "evaluate",
            ):
                assert (title, task, mode) in planned
    assert ("convert, oneDNN", "pose", "") in planned
    assert ("two in one process", "obb", "") in planned
    assert [title for title, *_ in planned].count("benchmark") == 1


def test_what_loads_engines_has_a_process_of_its_own(tmp_path):
    """Where TensorFlow computes all, nothing ends a process, and one serves many steps; `predict` always begins one."""
    loading = {"evaluate", "predict", "compare", "batch outside", "two in one process"}
    for has_engines, expected in ((True, loading), (False, {"predict", "two in one process"})):
        steps_planned = _plan(tmp_path / str(has_engines), has_gpu=True, has_engines=has_engines)
        assert {step.title for step in steps_planned if step.is_fresh} == expected
        assert {step.title for step in steps_planned if not step.is_fresh}.isdisjoint(expected)
        assert {step.title for step in steps_planned if step.is_last} == (loading if has_engines else set())


def test_the_page_says_how_many_steps_there_are(tmp_path):
    """The report's first row is `check`, which is not in the plan."""
    page = (Path(__file__).parents[3] / "docs" / "pages" / "acceptance.md").read_text()
    assert f"all of it is {len(_plan(tmp_path)) + 1} steps" in page
    for title in {step.title for step in _plan(tmp_path / "again")} - {"convert, oneDNN", "two in one process"}:
        assert f"| {title} |" in page or f"`{title}`" in page, title


def test_a_gpu_gets_xla(tmp_path):
    [baked] = [step for step in _plan(tmp_path, has_gpu=True, tasks=("pose",)) if step.function == "bake"]
    assert (baked.title, baked.arguments["accelerator"]) == ("convert, XLA", "xla")
    assert {name for names in plan.CONTESTANTS.values() for name in names} <= set(CONTESTANTS)


def test_two_in_one_process_takes_the_first_and_the_last_precision(tmp_path):
    for modes, expected in ((("FP16",), ["fp16", "fp16"]), (MODES, ["fp32", "int8"])):
        folder = tmp_path / "-".join(modes)
        [both] = [step for step in _plan(folder, tasks=("pose",), modes=modes) if "two" in step.title]
        assert [path.name.split("_")[1] for path in both.arguments["conversions"]] == expected


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_materials_are_labelled(tmp_path, task):
    material = lay_out(task, tmp_path, most=6)
    pictures = [Path(path) for path in steps._pictures(material)]
    assert len(pictures) == (10 if task == "classify" else 6)
    assert all(path.is_file() for path in (*pictures, material.weights))
    if task != "classify":
        labels = sorted((material.data.parent / "labels").iterdir())
        assert [path.stem for path in labels] == [path.stem for path in pictures]
        assert all(path.read_text() for path in labels)
    assert len(steps._pictures(lay_out(task, tmp_path / "all", most=40))) == 40
