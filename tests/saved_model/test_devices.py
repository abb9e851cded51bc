"""Where ops would run on a machine with a GPU, from the kernels that this TensorFlow has registered."""

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import kernels, op_def_registry

from tests.conftest import OTHER_TASKS
from tftrt_yolo.graph import empty_batches
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.batches import CompiledSizes, fill_batches

# Control flow, calls and edges have no kernel of their own, or one that any device takes.
_STRUCTURE = {"Const", "Placeholder", "PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While"}
_STRUCTURE |= {"StatelessWhile", "NoOp", "ReadVariableOp", "EnsureShape", "_Arg", "_Retval"}
_SMALL = {"Shape", "Range"}  # numbers about a tensor, and one vector
# int32 lives in the host's memory: fine for a few numbers of a shape, not for comparing or adding up whole tensors.
_ON_WHOLE_TENSORS = {"Sum", "Max", "Equal", "Greater", "SelectV2", "Cumsum", "TopKV2", "Tile"}


def _reachable(meta_graph, signature):
    """Nodes of a signature and of all that it calls."""
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    called = {tensor.name.partition(":")[0] for tensor in meta_graph.signature_def[signature].outputs.values()}
    waiting = [node.attr["f"].func.name for node in meta_graph.graph_def.node if node.name in called]
    seen = set()
    assert waiting
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            yield node
            for attribute in node.attr.values():
                waiting += [f.name for f in (attribute.func, *attribute.list.func) if f.name in functions]


def _type(node, name):
    """A type of a node; a SavedModel leaves out what is an op's default."""
    if name in node.attr:
        return node.attr[name].type
    [attribute] = [attr for attr in op_def_registry.get(node.op).attr if attr.name == name]
    return attribute.default_value.type


def _has_gpu_kernel(node):
    """Whether a kernel for a GPU takes the node's types and keeps its data in the GPU's memory."""
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        if kernel.device_type not in ("GPU", "DEFAULT"):
            continue
        fits = all(_type(node, c.name) in c.allowed_values.list.type for c in kernel.constraint)
        if fits and not {"x", "input", "output", "z", "params"} & set(kernel.host_memory_arg):
            return True
    return False


@pytest.mark.parametrize("signature", ["serving_default", "padded", "network"])
@pytest.mark.parametrize("name", ["tiny", *OTHER_TASKS])
def test_everything_on_images_and_predictions_has_a_kernel_for_gpus(models, name, signature):
    """Letterboxing, network and selection stay on the device; what runs on the host are sizes and indices."""
    meta_graph = saved_model_pb.read(models.exported(name)).meta_graphs[0]
    strangers, on_host, count = set(), 0, 0
    for node in _reachable(meta_graph, signature):
        count += 1
        if "CPU:0" in node.device:
            on_host += 1
            assert node.attr["T"].type != types_pb2.DT_UINT8, f"{node.name}: all images would go to the host for it"
        elif node.op not in _STRUCTURE and not _has_gpu_kernel(node) and empty_batches.SCOPE not in node.name:
            strangers.add((node.op, tf.as_dtype(node.attr["T"].type).name if node.attr["T"].type else ""))
    assert count > 100
    assert (on_host > 0) == (signature != "network")
    assert {row for row in strangers if row[1] != "int32" and row[0] not in _SMALL} == set()
    assert {op for op, dtype in strangers if dtype == "int32"} & _ON_WHOLE_TENSORS == set()


def test_a_kernel_that_is_missing_is_noticed():
    """TensorFlow has no GPU kernel that gathers uint8, and its int32 sums are the host's."""

    @tf.function
    def function(images, counts):
        return tf.gather(images, [0]), tf.reduce_sum(counts)

    graph = function.get_concrete_function(tf.zeros((1, 2), tf.uint8), tf.zeros((3,), tf.int32)).graph
    nodes = {node.op: node for node in graph.as_graph_def().node}
    assert not _has_gpu_kernel(nodes["GatherV2"])
    assert not _has_gpu_kernel(nodes["Sum"])


@pytest.mark.parametrize("sizes", [CompiledSizes(), CompiledSizes((2, 5))])
def test_batches_are_counted_on_the_device_by_kernels_of_the_host(sizes):
    """Named to be on the host, the counting would cut the function in two; by a GPU's own kernels it would wait."""
    spec = tf.TensorSpec((None, 3), tf.float32)
    compiled = tf.function(lambda values: {"doubled": 2 * values}, input_signature=[spec], jit_compile=True)
    run = tf.function(fill_batches(compiled.get_concrete_function(), sizes), input_signature=[spec], autograph=False)
    graph_def = run.get_concrete_function().graph.as_graph_def()
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    assert {node.device for node in nodes} == {""}
    counting = [node for node in nodes if node.attr["T"].type == types_pb2.DT_INT32 and node.op not in _STRUCTURE]
    assert {"StridedSlice", "Sub", "Abs", "Min", "Equal", "Minimum", "Maximum", "Sum", "Pack"} <= {
        n.op for n in counting
    }
    strangers = {node.op for node in counting if node.op != "Identity" and _has_gpu_kernel(node)}
    assert strangers == set()


def test_a_guard_against_empty_batches_counts_so_too():
    spec = tf.TensorSpec((None, 4, 4, 3), tf.float32)
    guarded = tf.function(empty_batches.guarded(lambda frames: {"boxes": frames}), input_signature=[spec])
    nodes = guarded.get_concrete_function().graph.as_graph_def().node
    assert {node.device for node in nodes} == {""}
    [is_empty] = [node for node in nodes if node.op == "Equal"]
    assert not _has_gpu_kernel(is_empty)
