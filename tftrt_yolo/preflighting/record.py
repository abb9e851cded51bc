"""The recording: TF-TRT converts a SavedModel and gives its networks to the stand-in. It runs in a worker's process.

It is the product's own conversion but for two things. Engines are to be built at once (TF-TRT's static mode), and not
when the first batch comes, for that needs a GPU. And the graph is brought to channels first before it is divided:
where an engine is built as it runs, TF-TRT does that to the engine's segment (GenericLayoutOptimizer("NCHW") in
ConvertGraphDefToEngine, which static mode leaves out).

The process has the stand-in's environment (`stand_in.library.environment_for`).
"""

import ctypes
import gc
import os
from collections.abc import Iterator
from pathlib import Path

from tensorflow.core.protobuf import config_pb2
from tensorflow.python.compiler.tensorrt import trt_convert
from tensorflow.python.grappler import tf_optimizer

from tftrt_yolo.converter import partition
from tftrt_yolo.converter.baked import virtual_devices
from tftrt_yolo.converter.int8 import calibration
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import PreflightError, TensorRTUnavailableError
from tftrt_yolo.ground.workers.progress import Progress, Remark
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.numbers import compare_numbers
from tftrt_yolo.preflighting.numbers_report import Numbers
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_unfinished
from tftrt_yolo.saved_model.trust import believed


def work(
    *,
    source: SavedModelHandle,
    precision_mode: str,
    options: TensorRTOptions,
    calibration_images: Calibration | None,
    images: list[str],
) -> Iterator[Progress | Remark | dict | Numbers]:
    """Records the networks into the folder that the environment names, and compares them with TensorFlow.

    Args:
      source: An export.
      precision_mode: As `tftrt_yolo.convert`.
      options: TF-TRT's.
      calibration_images: For INT8, what to calibrate with; None for other precisions.
      images: Paths of the images to compare on.

    Yields:
      Progress of the calibration, remarks; then what is known of the conversion, and last the comparison.

    Raises:
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT.
      ConversionError: If no engine was made, or too much is left over.
      PreflightError: If TF-TRT could not build an engine's network.
      SavedModelError: If the SavedModel cannot be used.
    """
    machine = environment.look()
    if not machine.built_with_tensorrt:
        raise TensorRTUnavailableError(f"{environment.no_tensorrt_in_tensorflow(machine.tensorflow_version)}.")
    _check_stand_in()
    believed.read(source)
    converted_dir = source.directory
    if calibration_images:
        converted_dir = Path("quantized").resolve()
        yield from calibration.quantizing(source, calibration_images, converted_dir)
    with partition.offline():
        converter = partition.partitioned(converted_dir, precision_mode, options, kind=_Recorder)
    counts = partition.count(converter._converted_graph_def)
    partition.check_coverage(counts, source.given, options.minimum_coverage)
    folder = Path(os.environ[library.RECORDING_DIR])
    recorded = recorded_network.join(folder, _outputs(converter))
    if recorded != counts["engines"]:
        raise PreflightError(
            f"TF-TRT made {counts['engines']} engines of {source.given} and gave {recorded} networks to the builder. "
            "Set TF_CPP_VMODULE=convert_graph=2,convert_nodes=2 to see what it says, and report it."
        )
    del counts["engines"]
    yield counts | {"tensorflow_version": machine.tensorflow_version}
    del converter
    gc.collect()
    converted = source if converted_dir == source.directory else open_unfinished(converted_dir)
    yield compare_numbers(converted, recorded_network.read(folder), images)


def _check_stand_in() -> None:
    """Refuses to go on with another library than the stand-in.

    Raises:
      PreflightError: If TensorFlow would open a real TensorRT, or what passes for one.
    """
    for name in library.TENSORRT_LIBRARIES:
        if not _is_stand_in(name):
            raise PreflightError(
                f"{name} in this process is not the stand-in, which alone can record. Unset LD_PRELOAD, and run the "
                "preflight again."
            )


def _is_stand_in(name: str) -> bool:
    """Whether a library that is opened by this name is ours."""
    try:
        return hasattr(ctypes.CDLL(name), library.MARK)
    except OSError:
        return False


class _Recorder(trt_convert.TrtGraphConverterV2):
    """TrtGraphConverterV2, whose engines are built while it divides the graph."""

    def _run_conversion(self, meta_graph_def):
        for node in meta_graph_def.graph_def.node:
            node.device = "/device:GPU:0"
        config = config_pb2.ConfigProto()
        rewriter = trt_convert._get_tensorrt_rewriter_config(
            conversion_params=self._conversion_params._replace(allow_build_at_runtime=True),
            is_dynamic_op=True,
            use_implicit_batch=False,
            profile_strategy=self._profile_strategy,
        )
        # False as an argument would want a batch size that is fixed.
        rewriter.custom_optimizers[0].parameter_map["is_dynamic_op"].b = False
        config.graph_options.rewrite_options.CopyFrom(rewriter)
        devices = virtual_devices.cluster_with(has_gpu=True, architecture=virtual_devices.PASCAL)
        return tf_optimizer.OptimizeGraph(config, meta_graph_def, graph_id=b"tf_graph", cluster=devices, verbose=False)


def _outputs(converter: trt_convert.TrtGraphConverterV2) -> dict[str, dict[str, str]]:
    """Name of each engine to its outputs' names in the network, each to the signature's output that it is."""
    nodes = {node.name: node for node in converter._converted_graph_def.node}
    found = {name: {} for name, node in nodes.items() if node.op == saved_model_pb.ENGINE_OP}
    function = converter._converted_func
    for name, tensor in function.structured_outputs.items():
        node, index = nodes.get(tensor.op.name), tensor.value_index
        while node is not None and node.op == "Identity":
            source, _, number = node.input[0].partition(":")
            node, index = nodes.get(source), int(number or 0)
        if node is not None and node.name in found:
            found[node.name][f"TensorRTOutputPH_{index}"] = name
    return found
