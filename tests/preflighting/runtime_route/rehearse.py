"""Builds the engine of a converted SavedModel, takes it apart and runs it, as TRTEngineOp would on a GPU.

Run in the environment of a rehearsal, with host memory in the GPU's place. Arguments: as build.py, then the stand-in's
library. It prints, as JSON, what each step found.
"""

import ctypes
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.preflighting.rehearsal.calls import MAX, MIN, OPT, Engine, Runtime
from tests.preflighting.runtime_route.build import BATCH_SIZES, build, segment_of

INPUT = "TensorRTInputPH_0"


def main(route: str, saved_model_dir: str, precision: str, strategy: str, height: str, width: str, library: str):
    """Does it."""
    size_hw = int(height), int(width)
    graph_def = segment_of(Path(saved_model_dir), tf.TensorShape((None, *size_hw, 3)))
    opened = ctypes.CDLL(route)
    status = build(opened, graph_def, int(precision), int(strategy), size_hw)
    assert status == 0, status
    opened.engine.restype = ctypes.c_void_p
    engine = Engine(opened.engine())
    content = engine.serialize()
    engine.delete()
    runtime = Runtime(library)
    engine = runtime.deserialize(content)
    profiles = [
        [engine.profile(0, number, selector)[0] for selector in (MIN, OPT, MAX)] for number in range(engine.profiles)
    ]
    contexts = [engine.context(number) for number in range(engine.profiles)]
    differences = {}
    for batch_size in (1, 3, max(BATCH_SIZES)):
        fits = [least <= batch_size <= most for least, _, most in profiles]
        if any(fits):
            context = contexts[fits.index(True)]
            differences[batch_size] = compare(context, graph_def, batch_size, size_hw)
        else:
            assert not contexts[0].set_shape(INPUT, (batch_size, *size_hw, 3))
    found = {"profiles": profiles, "differences": differences, "words": content[:47].decode()}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's objects are not torn down here


def compare(context, graph_def, batch_size, size_hw):
    """The engine's numbers against TensorFlow's own of the same segment: the largest difference over the magnitude.

    The engine runs in another thread than Python's main one, as TRTEngineOp does.
    """
    frames = np.random.default_rng(batch_size).random((batch_size, *size_hw, 3), np.float32)
    found = {}
    thread = threading.Thread(target=lambda: found.update(context.run({INPUT: frames})))
    thread.start()
    thread.join()
    expected = native(graph_def, frames)
    assert set(found) == set(expected), (set(found), set(expected))
    return max(float(np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max()) for name in found)


def native(graph_def, frames):
    """What TensorFlow computes of the segment: name of each output to its values."""
    copy = tf.compat.v1.GraphDef()
    outputs = {}
    for node in graph_def.node:
        if node.op == "_Retval":
            outputs[node.name] = node.input[0]
            continue
        added = copy.node.add()
        added.CopyFrom(node)
        added.device = ""
        if node.op == "_Arg":
            added.op = "Placeholder"
            added.ClearField("attr")
            added.attr["dtype"].type = tf.float32.as_datatype_enum
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(copy, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            names = [name if ":" in name else f"{name}:0" for name in outputs.values()]
            return dict(zip(outputs, session.run(names, {f"{INPUT}:0": frames}), strict=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
