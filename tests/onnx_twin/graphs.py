"""Small networks of TensorFlow's ops, drawn as ONNX and run by ONNX Runtime beside TensorFlow."""

import numpy as np
import onnxruntime
import tensorflow as tf

from tftrt_yolo.onnx_twin import onnx_file
from tftrt_yolo.onnx_twin.twin_worker import drawn_as
from tftrt_yolo.saved_model.freeze import FrozenNetwork

SIZE = (12, 8)


def frozen(function, channels=3):
    """A function of frames (batch, 12, 8, channels) to a tensor, as a frozen network with the output `result`."""
    spec = tf.TensorSpec((None, *SIZE, channels), tf.float32, name="frames")
    made = tf.function(lambda frames: {"result": function(frames)}, autograph=False).get_concrete_function(spec)
    return FrozenNetwork(made.graph.as_graph_def(), made.inputs[0].name, {"result": made.outputs[0].name})


def run(drawn, opset, images):
    """What ONNX Runtime makes of a draft, checked as files are."""
    model = onnx_file.model_of(drawn, opset, {})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": np.ascontiguousarray(images)})


def both(function, channels=3, opset=19, floats="FP32"):
    """What TensorFlow and ONNX Runtime make of the same frames, and the draft."""
    frames = np.random.default_rng(0).standard_normal((2, *SIZE, channels)).astype(np.float32)
    drawn = drawn_as(frozen(function, channels), opset, floats)
    [found] = run(drawn, opset, frames.transpose(0, 3, 1, 2))
    return function(tf.constant(frames)).numpy(), found, drawn


def operators(drawn):
    """Names of the draft's operators, in order."""
    return [node.op for node in drawn.draft.nodes]
