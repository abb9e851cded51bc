"""The steps of an acceptance: each calls a public verb and says what came of it, in a process of its own.

    with Worker("tftrt_yolo.workflows.accepting.steps") as worker:
        worker.open()
        worker.send(("convert", {"export": ..., "conversion": ..., ...}))
        worker.receive()                                  # a Finding

What a step raises becomes a Finding too; what ends the process is for `run` to say.
"""

import importlib.util
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import tftrt_yolo
from tftrt_yolo.contract import CLASSIFY
from tftrt_yolo.converter.conversion_report import ConversionReport, EngineReport
from tftrt_yolo.converter.convert import convert
from tftrt_yolo.converter.inspect import inspect
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.parity import Parity
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.evaluation.evaluate import evaluate
from tftrt_yolo.exporter.export import export
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import (
    ConversionError,
    EvaluationError,
    PreflightError,
    SavedModelError,
    TensorRTUnavailableError,
    TftrtYoloError,
)
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.tensorrt import native_segments
from tftrt_yolo.ground.text import counted, first_line
from tftrt_yolo.predictor.predict import predict
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.preflighting.preflight import preflight
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, IMPOSSIBLE, PASSED, Finding
from tftrt_yolo.workflows.accepting.materials import Material
from tftrt_yolo.workflows.benchmark import benchmark

BATCH_SIZES = (1, 8)  # that engines are built for
OUTSIDE = 9  # a batch size that no profile holds
_COMPARED = 8  # pictures that detections are compared on
# Least share of the export's detections that a conversion finds, and most that it may lose of mAP50-95 (of a classifier
# top-1). Small models on few pictures: scores lie close to the threshold, and INT8 costs them more than larger ones. In
# TensorFlow INT8 found 91 % or more of the detections in every task, and lost 0.006 at most.
_LEAST_MATCHED = {"FP32": 0.99, "FP16": 0.95, "INT8": 0.75}
_MOST_LOST = {"FP32": 0.005, "FP16": 0.02, "INT8": 0.05}
_MAIN_METRIC = {"detect": "box mAP50-95", "segment": "mask mAP50-95", "pose": "keypoint mAP50-95"}
_MAIN_METRIC |= {"obb": "oriented mAP50-95", CLASSIFY: "top-1"}


class _ImpossibleError(Exception):
    """This machine lacks what a step needs; the message says what, and what to do."""


def work(requests: Iterator[tuple[str, dict]]) -> Iterator[Finding | environment.Environment]:
    """Does step after step.

    Args:
      requests: Name of each step with its arguments.

    Yields:
      What came of each.
    """
    for name, arguments in requests:
        yield _outcome(STEPS[name], arguments)


def _outcome(step: Callable, arguments: dict) -> Finding | environment.Environment:
    """Runs a step; what it raises is a finding."""
    try:
        return step(**arguments)
    except (_ImpossibleError, TensorRTUnavailableError) as error:
        return Finding(IMPOSSIBLE, str(error))
    except (TftrtYoloError, ValueError, OSError) as error:
        return Finding(FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the report shows it
        where = traceback.format_exc().strip().splitlines()[-4:]
        return Finding(FAILED, "\n".join([f"{type(error).__name__}: {first_line(error)}", *where]))


def _check() -> environment.Environment:
    """What this machine has: the report's head, and a row of its own."""
    return environment.check()


def _export(material: Material, export_dir: Path) -> Finding:
    _need(*environment.TESTED_EXPORT_TOOLS, extra="export", also="or give exports that an acceptance made elsewhere")
    report = export(material.weights, export_dir, image_size=material.image_size)
    largest = {f"largest difference to PyTorch, {label}": value for label, value in report.parity.items()}
    return Finding(PASSED, figures={"MB": report.size_bytes / 1e6, **largest})


def _open_export(material: Material, export_dir: Path) -> Finding:
    """What stands in the place of an export that was made elsewhere."""
    handle = open_saved_model(export_dir).require_export("acceptance")
    digests.check(handle)
    if handle.metadata.weights_sha256 != directories.file_sha256(material.weights):
        raise SavedModelError(
            f"{handle.given} was exported from {handle.metadata.weights}; expected an export of the packaged "
            f"{material.weights.name}. Give the exports/ of an acceptance of this version."
        )
    report = inspect(export_dir)
    return Finding(PASSED, "made elsewhere, and given", {"MB": report.size_bytes / 1e6, "task": report.metadata.task})


def _evaluate_export(material: Material, export_dir: Path) -> Finding:
    values = _evaluated(material, export_dir)
    if not values[_MAIN_METRIC[material.task]] > 0:
        raise EvaluationError("The export finds nothing on the packaged pictures, so nothing can be compared with it.")
    return Finding(PASSED, figures=values)


def _bake(material: Material, export_dir: Path, conversion: Path, accelerator: str) -> Finding:
    baked = tftrt_yolo.BakedOptions(parity_images=_source(material))
    report = convert(export_dir, conversion, accelerator=accelerator, baked=baked)
    _check_parity(report.parity, report.precision_mode)
    return Finding(PASSED, figures={"precision": report.precision_mode, **_parity_figures(report.parity)})


def _preflight(material: Material, export_dir: Path, precision_mode: str) -> Finding:
    _need_stand_in()
    [image, *_] = _pictures(material)
    calibration = _calibration(material, precision_mode)
    report = preflight(export_dir, precision_mode=precision_mode, batch_sizes=BATCH_SIZES, images=image, **calibration)
    builders = {engine.builder.builder for engine in report.engines if engine.builder}
    figures = {
        "engines": len(report.engines),
        "nodes inside": report.nodes_inside,
        "nodes outside": report.nodes_outside,
        "layers": sum(engine.summary.layers for engine in report.engines),
        "built again by": ", ".join(sorted(builders)) or "nobody: no real builder is installed",
    }
    return Finding(FAILED if report.faults else PASSED, "\n".join(report.faults), figures)


def _engine_file(material: Material, export_dir: Path, engine_path: Path, precision_mode: str) -> Finding:
    """The same network as a plan for TensorRT's own runtime: built by a TensorRT that is installed, and not run."""
    _need_stand_in()
    report = tftrt_yolo.build_engine(
        export_dir,
        engine_path,
        precision_mode=precision_mode,
        batch_sizes=BATCH_SIZES,
        **_calibration(material, precision_mode),
    )
    figures = {
        "built by": f"{report.builder.builder} {report.builder.version}",
        "for compute capability": report.builder.compute_capability,
        "MB": report.file_bytes / 1e6,
    }
    return Finding(FAILED if report.faults else PASSED, "\n".join(report.faults) or "built, and not run", figures)


def _convert(material: Material, export_dir: Path, conversion: Path, precision_mode: str) -> Finding:
    calibration = _calibration(material, precision_mode)
    int8 = Int8Options(**calibration) if calibration else None
    options = TensorRTOptions(batch_sizes=BATCH_SIZES)
    report = convert(export_dir, conversion, precision_mode=precision_mode, tensorrt=options, int8=int8)
    figures = {"engines": report.engines, "coverage": f"{report.coverage:.1%}"}
    if report.engines_built:
        figures["MB of engines"] = report.engine_bytes / 1e6
    words = "" if report.engines_built else f"without building: {report.why_not_built}"
    return Finding(PASSED, words, figures, _is_rehearsed(report))


def _inspect(conversion: Path) -> Finding:
    report, converted = inspect(conversion), _report_of(conversion)
    if len(report.engines) != converted.engines or report.side_effects:
        raise ConversionError(
            f"{conversion} holds {counted(len(report.engines), 'engine')}, side effects: {len(report.side_effects)}; "
            f"its conversion.json says {converted.engines} and none. Report it."
        )
    figures = {"engines": len(report.engines), "nodes inside": sum(report.engines.values())}
    return Finding(PASSED, figures=figures | {"MB": report.size_bytes / 1e6})


def _built_engines(conversion: Path) -> Finding:
    """Whether the conversion holds an engine that was built for each TRTEngineOp."""
    converted = _need_engines(conversion)
    report = inspect(conversion)
    missing = sorted(set(report.engines) - set(report.built_engine_bytes))
    if missing:
        raise ConversionError(f"{', '.join(missing)} of {conversion} hold no built engine, though convert built them.")
    figures = {
        "built by": _runtime(converted),
        "engines": len(report.built_engine_bytes),
        "MB of engines": sum(report.built_engine_bytes.values()) / 1e6,
        "batch sizes": ", ".join(map(str, converted.batch_sizes)),
        "profiles": converted.dynamic_shape_profile_strategy or "",
    }
    return Finding(PASSED, figures=figures, is_rehearsal=_is_rehearsed(converted))


def _predict(material: Material, conversion: Path, pictures_dir: Path) -> Finding:
    """Loads the conversion in a fresh process; strict where its engines were built."""
    converted = _report_of(conversion)
    with native_segments.disallowed(converted.engines_built):
        report = predict(conversion, _source(material), pictures_dir, strict=converted.engines_built)
    figures = {"images": report.num_images, "detections": report.num_detections, "backend": report.backend}
    if not report.num_detections:
        raise ConversionError(f"It finds nothing on {counted(report.num_images, 'picture')} ({report.backend}).")
    return Finding(PASSED, _ran_by(converted), figures, _is_rehearsed(converted))


def _compare(material: Material, export_dir: Path, conversion: Path, precision_mode: str) -> Finding:
    pictures, converted = _pictures(material), _report_of(conversion)
    with native_segments.disallowed(converted.engines_built):
        parity = _parity(export_dir, conversion, pictures[:: max(1, len(pictures) // _COMPARED)])
    _check_parity(parity, precision_mode)
    return Finding(PASSED, _ran_by(converted), _parity_figures(parity), _is_rehearsed(converted))


def _batch_outside(material: Material, conversion: Path) -> Finding:
    """A batch that no profile holds: TF-TRT runs the native segment, and the detections stay."""
    converted = _need_engines(conversion)
    predictor = Predictor(conversion, strict=True)
    [picture, *_] = _pictures(material)
    [alone] = predictor(picture)
    batch = predictor([picture] * OUTSIDE, batch_size=OUTSIDE)
    counts = sorted({len(detections) for detections in batch})
    figures = {"batch": OUTSIDE, "detections each": counts[0], "detections alone": len(alone)}
    # One that is as good as the threshold may come or go: TensorFlow's arithmetic on a GPU is not an engine's.
    if len(counts) > 1 or abs(counts[0] - len(alone)) > 1:
        raise ConversionError(
            f"In a batch of {OUTSIDE}, which no profile holds, a picture gives {counts} detections; alone it gives "
            f"{len(alone)}. Report it."
        )
    return Finding(PASSED, figures=figures, is_rehearsal=_is_rehearsed(converted))


def _evaluate(material: Material, export_dir: Path, conversion: Path, precision_mode: str, before: dict) -> Finding:
    """Accuracy on the labelled pictures, beside the export's."""
    converted = _report_of(conversion)
    with native_segments.disallowed(converted.engines_built):
        values = _evaluated(material, conversion, strict=converted.engines_built)
    name = _MAIN_METRIC[material.task]
    lost, most = before[name] - values[name], _MOST_LOST[precision_mode]
    figures = {f"{name}, export": before[name], **values}
    if lost > most:
        words = f"{name} falls from {before[name]:.4f} to {values[name]:.4f}; accepted for {precision_mode} is {most}."
        return Finding(FAILED, words, figures, _is_rehearsed(converted))
    return Finding(PASSED, _ran_by(converted), figures, _is_rehearsed(converted))


def _two_in_one_process(material: Material, conversions: tuple[Path, ...]) -> Finding:
    """Two conversions loaded side by side give what each gives before the other is there."""
    first, last = conversions[0], conversions[-1]
    reports = [_report_of(path) for path in (first, last)]
    picture = _pictures(material)[0]
    with native_segments.disallowed(all(report.engines_built for report in reports)):
        one = Predictor(first, strict=reports[0].engines_built)
        [before] = one(picture)
        other = Predictor(last, strict=reports[1].engines_built)
        [between], [after] = other(picture), one(picture)
    figures = {"models": f"{reports[0].precision_mode} and {reports[1].precision_mode}"}
    figures |= {"detections": f"{len(before)} and {len(between)}"}
    if len(before) != len(after) or not (before.confidence == after.confidence).all():
        raise ConversionError(
            f"{first.name} gives {counted(len(after), 'detection')} with other scores than the {len(before)} "
            f"before, once {last.name} is loaded beside it. Report it."
        )
    return Finding(PASSED, figures=figures, is_rehearsal=any(map(_is_rehearsed, reports)))


def _benchmark(material: Material, export_dir: Path, output_dir: Path, contestants: tuple[str, ...]) -> Finding:
    machine = environment.look()
    is_rehearsed = machine.can_build_engines and machine.has_stand_in
    batch_sizes = BATCH_SIZES if machine.can_build_engines and not is_rehearsed else (1,)
    report = benchmark(export_dir, output_dir, contestants=contestants, batch_sizes=batch_sizes, seconds=0.3)
    figures = {
        f"{row.contestant}, {row.mode}, batch {row.batch_size}": f"{row.p50_ms:.3g} ms, {row.images_per_second:.4g}/s"
        for row in report.measurements
    }
    state, words = (FAILED, report.crashed) if report.crashed else (PASSED, report.absent)
    return Finding(state, "\n".join(map(str, words)), figures, is_rehearsed)


STEPS = {
    "check": _check,
    "export": _export,
    "open export": _open_export,
    "evaluate export": _evaluate_export,
    "bake": _bake,
    "preflight": _preflight,
    "convert": _convert,
    "inspect": _inspect,
    "built engines": _built_engines,
    "engine file": _engine_file,
    "predict": _predict,
    "compare": _compare,
    "batch outside": _batch_outside,
    "evaluate": _evaluate,
    "two in one process": _two_in_one_process,
    "benchmark": _benchmark,
}


def _need(*packages: str, extra: str, also: str = "") -> None:
    """Says which packages of an extra are missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        remedy = ", ".join(filter(None, (f"pip install tftrt_yolo[{extra}]", also)))
        raise _ImpossibleError(f"{', '.join(missing)} cannot be imported; {remedy}")


def _need_stand_in() -> None:
    """Has the stand-in compiled that records TF-TRT's network; says why it cannot be."""
    try:
        library.built()
    except PreflightError as error:
        raise _ImpossibleError(str(error)) from error


def _calibration(material: Material, precision_mode: str) -> dict[str, str]:
    """What INT8 is calibrated with, as an argument; none for another precision."""
    return {"calibration_data": str(material.images)} if precision_mode == "INT8" else {}


def _need_engines(conversion: Path) -> EngineReport:
    """A conversion's report, where its engines were built."""
    converted = _report_of(conversion)
    if not converted.engines_built:
        raise _ImpossibleError(f"no engine was built: {converted.why_not_built}")
    return converted


def _report_of(conversion: Path) -> EngineReport:
    return ConversionReport.read(conversion)


def _is_rehearsed(converted: EngineReport) -> bool:
    """Whether the stand-in's engines take part where a conversion is run."""
    return converted.engines_built and converted.has_stand_in


def _ran_by(converted: EngineReport) -> str:
    """What computed, for the reader of a row; empty where it was the engines."""
    if converted.engines_built:
        return ""
    computed = "quantised as in the graph" if converted.precision_mode == "INT8" else "in FP32"
    return f"no engine ran: its native segments, in TensorFlow, {computed}"


def _runtime(converted: EngineReport) -> str:
    """What built a conversion's engines."""
    name = f"TensorRT {converted.loaded_tensorrt}"
    return f"the stand-in for {name} (rehearsal, not TensorRT)" if converted.has_stand_in else name


def _pictures(material: Material) -> list[str]:
    """The pictures, of a classifier the crops, of one class after the other."""
    return [str(path) for path in sorted(material.images.glob("*/*.jpg" if material.task == CLASSIFY else "*.jpg"))]


def _source(material: Material) -> str:
    """What `predict` takes: the folder of the pictures, of a classifier all crops."""
    return str(material.images / "*" / "*.jpg" if material.task == CLASSIFY else material.images)


def _evaluated(material: Material, saved_model_dir: Path, *, strict: bool = False) -> dict[str, float]:
    """Accuracy on the labelled pictures, and the network's time an image."""
    if material.task != CLASSIFY:
        _need("faster_coco_eval", extra="evaluate")
    report = evaluate(saved_model_dir, material.data, strict=strict, batch_size=BATCH_SIZES[-1])
    [model] = report.models
    values = {metric.name: metric.value for metric in model.metrics}
    return values | {"images": report.num_images, "network, ms an image": model.speed.network_ms}


def _parity(export_dir: Path, conversion: Path, pictures: list[str]) -> Parity:
    """Detections of a conversion against its export's; late, for it imports TensorFlow."""
    from tftrt_yolo.converter.comparison import compare

    return compare(open_saved_model(export_dir), open_saved_model(conversion), pictures)


def _parity_figures(parity: Parity) -> dict[str, float | str]:
    """Parity as figures."""
    largest = {f"largest difference, {label}": value for label, value in parity.differences.items()}
    return {"matched": f"{parity.matched} of {parity.detections}", "extra": parity.extra, **largest}


def _check_parity(parity: Parity, precision_mode: str) -> None:
    """Refuses a conversion that finds something else than its export.

    Raises:
      ConversionError: If too few detections are matched, or there are none.
    """
    least = _LEAST_MATCHED[precision_mode]
    if not parity.detections or parity.matched < least * parity.detections:
        raise ConversionError(f"{parity}. Accepted for {precision_mode} are {least:.0%} of the detections. Report it.")
