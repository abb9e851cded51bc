"""Whether an export holds grouped convolutions, of which TF-TRT makes a network that TensorRT refuses."""

import tensorflow as tf

from tftrt_yolo.saved_model import freeze


def grouped_in(saved_model_dir):
    """Names of the Conv2D nodes of signature `network` whose filters have fewer channels than their inputs."""
    graph_def = freeze.freeze_network(saved_model_dir).graph_def
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    convolutions = [operation for operation in graph.get_operations() if operation.type == "Conv2D"]
    assert convolutions
    return [one.name for one in convolutions if one.inputs[0].shape[3] != one.inputs[1].shape[2]]
