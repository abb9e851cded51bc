"""From an ONNX trunk to a TensorFlow network; the only place that knows onnx2tf, and it runs in the worker's process.

trunk = Trunk(Path("trunk.onnx"))
levels = trunk(frames)                 # inside a tf.function
trunk.variables                        # its weights
"""

import os
from pathlib import Path

import numpy as np
import onnx2tf
import tensorflow as tf

from tftrt_yolo.exporter import grouped_convolutions

_VARIABLE_BYTES = 16 << 10  # smaller tensors (biases, shapes) become constants: each variable costs 20 ms to save


class Trunk:
    """The network up to its head's decode.

    Attributes:
      variables: Its larger weights, to be tracked by the object that is saved.
    """

    def __init__(self, onnx_path: Path):
        """Converts an ONNX file; writes only beside it.

        Args:
          onnx_path: A network with one input (batch, 3, S, S) and a dynamic batch.
        """
        os.chdir(onnx_path.parent)
        # The sample file that onnx2tf would download if it found a fixed batch.
        np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
        model = onnx2tf.convert(
            input_onnx_file_path=onnx_path.name,
            output_folder_path=".",
            not_use_onnxsim=True,  # onnxslim has been there
            not_use_opname_auto_generate=True,
            disable_strict_mode=True,  # it compares op by op, for minutes and gigabytes; parity is checked at the end
            disable_model_save=True,  # or it would write TFLite files
            verbosity="error",
        )
        signature = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32, name="frames")
        function = tf.function(model, autograph=False).get_concrete_function(signature)
        self._graph_def = function.graph.as_graph_def()
        self._input_name, self._output_names = function.inputs[0].name, [output.name for output in function.outputs]
        # onnx2tf keeps nearly everything constant as eager tensors, which a function captures as further inputs.
        values = {}
        for captured, placeholder in function.graph.captures:
            value = captured
            if captured.dtype == tf.resource:  # a layer of Keras with a variable of its own, as for depthwise kernels
                dtype = _read_directly(self._graph_def, placeholder.op.name)
                value = tf.raw_ops.ReadVariableOp(resource=captured, dtype=dtype)
            values[placeholder.name] = value
        for index in reversed([i for i, node in enumerate(self._graph_def.node) if node.op == "Placeholder"]):
            del self._graph_def.node[index]
        grouped_convolutions.replace(function.graph, self._graph_def, values)
        self._constants, self._weights = {}, {}
        for name, value in values.items():
            if value.dtype.size * value.shape.num_elements() >= _VARIABLE_BYTES:
                self._weights[name] = tf.Variable(value, trainable=False, name=name.removesuffix(":0"))
            else:
                self._constants[name] = value.numpy()
        self.variables = list(self._weights.values())

    def __call__(self, frames: tf.Tensor) -> list[tf.Tensor]:
        """Puts the network into the graph that is being built.

        Args:
          frames: (batch, S, S, 3) float32 in [0, 1].

        Returns:
          The raw outputs of the head, in the order in which the ONNX file had them, channels last.
        """
        inputs = {name: tf.constant(value) for name, value in self._constants.items()}
        inputs |= {name: weight.read_value() for name, weight in self._weights.items()}
        return tf.graph_util.import_graph_def(
            self._graph_def,
            input_map={self._input_name: frames} | inputs,
            return_elements=self._output_names,
            name="trunk",
        )


def _read_directly(graph_def: tf.compat.v1.GraphDef, name: str) -> tf.DType:
    """Lets the readers of a variable take its value, in place.

    Args:
      graph_def: The graph.
      name: The variable's placeholder, which is to be fed with the value from now on.

    Returns:
      The value's type.
    """
    readers = [node for node in graph_def.node if node.op == "ReadVariableOp" and node.input[0] == name]
    dtype = readers[0].attr["dtype"].type
    for node in readers:
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = dtype
    return tf.as_dtype(dtype)
