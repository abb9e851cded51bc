"""Which sizes a model is run with before it is ready."""

import dataclasses

import pytest

from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.loaded.backend import Backend
from tftrt_yolo.serving.scheduling.processes.warm_sizes import warm_sizes

CASES = [
    # name, device, compiled sizes, batch_sizes of conversion.json, the largest batch; then most, warm, filled
    ("TensorFlow", "CPU", None, None, 16, (16, (1, 16), ())),
    ("TensorFlow", "CPU", None, None, 1, (1, (1,), ())),
    ("TensorFlow", "GPU", None, None, 12, (12, (1, 2, 4, 8, 12), (1, 2, 4, 8, 12))),
    ("TensorFlow", "GPU", None, None, 1, (1, (1,), (1,))),
    ("XLA", "CPU", CompiledSizes((1, 8)), [1, 8], 16, (16, (1, 8), (1, 8))),
    ("XLA", "GPU", CompiledSizes((1, 8)), [1, 8], 4, (4, (1, 8), (1, 8))),
    ("XLA", "GPU", CompiledSizes(), [], 12, (12, (1, 2, 4, 8, 16), (1, 2, 4, 8, 16))),
    ("XLA", "CPU", None, None, 4, (4, (1, 2, 4), (1, 2, 4))),  # of an older version
    ("TensorRT", "GPU", None, [1, 8], 16, (8, (1, 8), (1, 8))),  # never above what the engines were built for
    ("TensorRT", "GPU", None, [8, 1, 32], 6, (6, (1, 8), (1, 8))),
    ("TensorRT", "GPU", None, [16], 4, (4, (16,), (16,))),
    ("TensorRT stand-in", "CPU", None, [1, 4], 4, (4, (1, 4), (1, 4))),
]


@pytest.mark.parametrize(("name", "device", "compiled", "converted", "most", "expected"), CASES)
def test_sizes(tiny_export, name, device, compiled, converted, most, expected):
    handle = open_saved_model(tiny_export)
    if converted is not None:
        handle = dataclasses.replace(handle, conversion={"batch_sizes": converted})
    sizes = warm_sizes(handle, Backend(name, device, "", compiled_sizes=compiled), most)
    assert (sizes.most, sizes.warm, sizes.filled) == expected
    assert sizes.filled_size(1) == (sizes.filled[0] if sizes.filled else 1)
    assert sizes.filled_size(1_000) == 1_000  # the graph itself cuts what is above all of them
