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
      plain: The argument that may be given without its name, the first of its function; None for none.
    """

    summary: str
    plain: str | None = None


COMMANDS = {
    "export": Command("export a checkpoint to a SavedModel", plain="weights"),
    "convert": Command("convert a SavedModel with TF-TRT, XLA or oneDNN", plain="saved_model_dir"),
    "preflight": Command("show and check what TensorRT will be given", plain="saved_model_dir"),
    "build_engine": Command("build an engine for TensorRT's own runtime", plain="saved_model_dir"),
    "extract_engines": Command("take the engines out of a conversion", plain="saved_model_dir"),
    "write_onnx": Command("write the network as ONNX, for TensorRT 10 and newer and others", plain="saved_model_dir"),
    "predict": Command("predict on images, videos and streams, and write what is found", plain="saved_model_dir"),
    "batch": Command("predict on very many images, on this machine or on a Ray cluster", plain="saved_model_dir"),
    "inspect": Command("show what is inside a SavedModel", plain="saved_model_dir"),
    "check": Command("show what this machine has, and what to do about what it lacks"),
    "benchmark": Command("measure an export, its conversions and its peers here", plain="saved_model_dir"),
    "evaluate": Command("measure accuracy on labelled images", plain="saved_model_dir"),
    "sensitivity": Command("measure which convolutions INT8 loses its accuracy in", plain="saved_model_dir"),
    "serve": Command("serve models over HTTP and gRPC", plain="saved_model_dir"),
    "triton": Command("write a model into a repository of Triton Inference Server's", plain="saved_model_dir"),
    "tf_serving": Command("write a SavedModel as a version for TensorFlow Serving", plain="saved_model_dir"),
    "demo": Command("run export, convert and predict on a packaged model and photo"),
    "acceptance": Command("try everything on this machine and write a report to attach to an issue"),
}
ALIASES = {"engine": "build_engine", "onnx": "write_onnx"}
