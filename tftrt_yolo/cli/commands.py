"""The commands: each is the public function of its name.

COMMANDS["inspect"].summary                    # "show what is inside a SavedModel"
COMMANDS["inspect"].plain                      # "saved_model_dir": `tftrt-yolo inspect runs/digits_saved_model`
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Command:
    """What the command line says and knows about a command; its flags come from the function.

    Attributes:
      summary: What it does, for the list of commands.
      plain: The argument that may be given without its name; None for none.
    """

    summary: str
    plain: str | None = None


COMMANDS = {
    "export": Command("export a checkpoint to a SavedModel"),
    "convert": Command("convert a SavedModel with TF-TRT, XLA or oneDNN"),
    "preflight": Command("show and check what TensorRT will be given", plain="saved_model_dir"),
    "build_engine": Command("build an engine for TensorRT's own runtime"),
    "extract_engines": Command("take the engines out of a conversion", plain="saved_model_dir"),
    "write_onnx": Command("write the network as ONNX, for TensorRT 10 and newer and others"),
    "predict": Command("predict on images, videos and streams, and write what is found", plain="saved_model_dir"),
    "batch": Command("predict on very many images, on this machine or on a Ray cluster", plain="saved_model_dir"),
    "inspect": Command("show what is inside a SavedModel", plain="saved_model_dir"),
    "check": Command("show what this machine has, and what to do about what it lacks"),
    "benchmark": Command("measure an export, its conversions and its peers here"),
    "evaluate": Command("measure accuracy on labelled images"),
    "sensitivity": Command("measure which convolutions INT8 loses its accuracy in"),
    "serve": Command("serve models over HTTP and gRPC", plain="saved_model_dir"),
    "triton": Command("write a model into a repository of Triton Inference Server's"),
    "tf_serving": Command("write a SavedModel as a version for TensorFlow Serving"),
    "demo": Command("run export, convert and predict on a packaged model and photo"),
    "acceptance": Command("try everything on this machine and write a report to attach to an issue"),
}
ALIASES = {"engine": "build_engine", "onnx": "write_onnx"}
