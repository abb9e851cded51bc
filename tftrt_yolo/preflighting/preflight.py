"""Preflight: what TensorRT will be given, recorded, computed and built by others, on a machine without TensorRT.

    report = tftrt_yolo.preflight("yolov8n_saved_model", output_dir="runs/preflight")
    print(report)
    report.engines[0].summary.layers_by_kind, report.engines[0].builder, report.faults

Beside the flow: it reads what `export` wrote and converts as `convert` does, but writes no SavedModel. TF-TRT's own
network builder hands each engine's network to a library of ours that stands in for TensorRT 8.6.1 (`stand_in`,
`recorder`). The recorded network is computed layer by layer and compared with TensorFlow (`executor`, `numbers`),
rebuilt in a real TensorRT where one is installed (`real_builder`), counted (`summary`) and drawn (`drawing`).

It is no engine of TensorRT 8.6.1, and proves neither that 8.6.1 takes the network nor how fast it runs it.
"""

import contextlib
import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import assets, stages
from tftrt_yolo.ground.files import directories, image_files
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.drawing import page, svg
from tftrt_yolo.preflighting.preflight_report import FILE, EnginePreflight, PreflightReport
from tftrt_yolo.preflighting.profiles import profiles_by_strategy
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.real_builder.build import build, check_target
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport, Refusal
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork
from tftrt_yolo.preflighting.recorder import recording
from tftrt_yolo.preflighting.summary import summarize
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests

PAGE_FILE = "graph.html"
_CONTENTS = directories.Contents(
    FILE, (recorded_network.NETWORK_FILE, recorded_network.WEIGHTS_FILE, PAGE_FILE, "graph*.svg")
)


def preflight(
    saved_model_dir: str | Path,
    *,
    precision_mode: str = "FP16",
    batch_sizes: tuple[int, ...] = (1, 8, 32),
    calibration_data: str | Path | Iterable | Int8Options | None = None,
    images: str | Path | None = None,
    compute_capability: str | None = None,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> PreflightReport:
    """Shows and checks what TensorRT will be given when a SavedModel is converted; needs neither TensorRT nor a GPU.

    TF-TRT converts the model as `convert` has it do by default, and builds its networks against a library of ours that
    stands in for TensorRT 8.6.1. What it builds is compared with TensorFlow on images, layer by layer, and handed to a
    real TensorRT, where one is installed: TensorRT-RTX builds engines without a GPU.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      precision_mode: "FP32", "FP16" or "INT8".
      batch_sizes: Batch sizes that engines would be built for.
      calibration_data: For INT8, as `convert` takes it; or all of its Int8Options, such as layers that stay in float,
        but for those that ask for accuracy.
      images: An image, a folder of images, or a glob, on which the networks are compared with TensorFlow; None for a
        packaged photo of digits.
      compute_capability: Of the GPU that the real builder is to build for, such as "8.6"; None for "8.9" with
        TensorRT-RTX, and with TensorRT for the GPU that is here.
      output_dir: Directory to write: network.json and weights.bin, the networks as they were recorded; report.json;
        graph.svg, a drawing (of further engines graph_2.svg and so on), and graph.html with all of them. None to write
        nothing.
      overwrite: Replace an earlier preflight that is already there.
      on_progress: Called with the calibration images that are done and their total; each counts three times, for
        they are run three times. Other precisions report nothing.

    Returns:
      For each engine its layers, profiles, numbers and what the real builder said; `faults` is empty if all is well.

    Raises:
      ValueError: If an argument is out of its range, or an element of a data set is no image.
      TypeError: If calibration_data is neither a path nor a data set.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      SensitivityError: If a sensitivity report that names layers cannot be read.
      ImageError: If images are none, or one cannot be read, or no calibration image can.
      DatasetError: If a data.yaml to calibrate with cannot be used.
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT.
      ConversionError: If TF-TRT makes no engine or leaves too much to TensorFlow, or the calibration images say nothing
        about a layer's range.
      PreflightError: If TensorFlow was built against another TensorRT than 8.6.1, the stand-in cannot be compiled,
        TF-TRT asks it for what it does not have, there is no space for the recording, or no real TensorRT is installed
        that builds for compute_capability.
    """
    start = time.perf_counter()
    options = TensorRTOptions(batch_sizes=tuple(batch_sizes))
    check_target(compute_capability)
    asked = recording.plan(precision_mode, calibration_data, options)
    if output_dir is not None:
        directories.check_free(Path(output_dir), _CONTENTS, overwrite=overwrite)
    source = open_saved_model(saved_model_dir).require_export("preflight")
    digests.check(source)
    paths = image_files.find_images(assets.PHOTO if images is None else images)
    asked = dataclasses.replace(asked, images=tuple(str(Path(path).resolve()) for path in paths))
    with (
        _folder(output_dir, overwrite=overwrite) as folder,
        recording.recorded(source, folder, asked, on_progress=on_progress) as (tensorflow_side, conversion),
    ):
        tensorflow_side.send(folder)
        stages.enter("comparing with TensorFlow, and asking the real builder")
        built = _built(folder, options, compute_capability, in_half=_in_half(asked))  # meanwhile
        numbers = tensorflow_side.receive()
        networks = recorded_network.read(folder)
        report = PreflightReport(
            saved_model_dir=str(saved_model_dir),
            precision_mode=asked.precision_mode,
            batch_sizes=options.batch_sizes,
            engines=_engines(networks, options, built),
            numbers=numbers,
            **conversion,
            seconds=time.perf_counter() - start,
        )
        if output_dir is not None:
            _write(report, networks, folder)
    return report


@contextlib.contextmanager
def _folder(output_dir: str | Path | None, *, overwrite: bool) -> Iterator[Path]:
    """A folder for the recording: the output's, put in its place when it is whole, or one that goes."""
    if output_dir is None:
        with tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as folder:
            yield Path(folder).resolve()
    else:
        with directories.written_whole(Path(output_dir), _CONTENTS, overwrite=overwrite) as folder:
            yield folder.resolve()


def _in_half(asked: recording.RecordingPlan) -> bool | None:
    """What the real builder is to put into FP16: all, nothing, or of INT8 the networks that quantise nothing."""
    return None if asked.precision_mode == "INT8" else asked.precision_mode == "FP16"


def _built(
    folder: Path, options: TensorRTOptions, compute_capability: str | None, *, in_half: bool | None
) -> tuple[BuilderReport | Refusal, ...]:
    """What the real builder said to each network; nothing where none is installed."""
    if builders.find() is None:
        return ()
    return build(folder, compute_capability=compute_capability, batch_sizes=options.batch_sizes, in_half=in_half)


def _engines(
    networks: tuple[RecordedNetwork, ...],
    options: TensorRTOptions,
    built: tuple[BuilderReport | Refusal, ...],
) -> tuple[EnginePreflight, ...]:
    """Puts together what was found of each engine."""
    return tuple(
        EnginePreflight(
            name=network.engine,
            digest=network.digest,
            summary=summarize(network),
            profiles=profiles_by_strategy(
                options.batch_sizes, {network.tensors[i].name: network.tensors[i].dims for i in network.inputs}
            ),
            builder=said if isinstance(said, BuilderReport) else None,
            refusal=said.words if isinstance(said, Refusal) else "",
        )
        for network, said in itertools.zip_longest(networks, built)
    )


def _write(report: PreflightReport, networks: tuple[RecordedNetwork, ...], folder: Path) -> None:
    """Writes the report and the drawings beside the recording."""
    report.write(folder)
    drawn = list(zip(networks, (engine.summary for engine in report.engines), strict=True))
    for number, (network, summary) in enumerate(drawn, 1):
        name = "graph.svg" if number == 1 else f"graph_{number}.svg"
        (folder / name).write_text(svg.draw(network, summary), encoding="utf-8")
    title = f"{report.saved_model_dir}, {report.precision_mode}"
    (folder / PAGE_FILE).write_text(page.page(drawn, title=title), encoding="utf-8")
