"""What is said of a model that is computed otherwise than it was converted for."""

import pytest
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.ground import environment
from tftrt_yolo.saved_model import saved_model_pb
from tftrt_yolo.saved_model.loaded import arithmetic


@pytest.mark.parametrize(
    ("mode", "op", "expected"),
    [
        (b"FP16", "Conv2D", "computed in FP32, and not by TensorRT in FP16"),
        (b"FP32", "Conv2D", "computed in FP32, and not by TensorRT in FP32"),
        (
            b"INT8",
            "FakeQuantWithMinMaxVars",
            "in FP32 with the quantisations that are in the graph, and not by TensorRT",
        ),
        (
            b"INT8",
            "QuantizeAndDequantizeV2",
            "in FP32 with the quantisations that are in the graph, and not by TensorRT",
        ),
        (
            b"INT8",
            "Conv2D",
            "in FP32 without any quantisation, which TensorRT alone would apply, and not by TensorRT in",
        ),
    ],
)
def test_native_segments(mode, op, expected):
    graph_def = GraphDef()
    engine = graph_def.node.add(name="e", op=saved_model_pb.ENGINE_OP)
    engine.attr["precision_mode"].s = mode
    graph_def.library.function.add().node_def.add(name="n", op=op)
    assert expected in arithmetic.of_native_segments(graph_def, saved_model_pb.engine_nodes(graph_def))


@pytest.mark.parametrize(
    ("accelerator", "mode", "device", "expected"),
    [
        ("xla", "FP16", "GPU", ""),
        ("xla", "FP32", "CPU", ""),
        ("xla", "FP16", "CPU", "computed in FP16 by XLA on a CPU, which rounds at other places than a GPU"),
        ("xla", "BF16", "CPU", "computed in BF16 by XLA on a CPU, which rounds at other places than a GPU"),
        ("onednn", "FP32", "CPU", ""),
        ("onednn", "FP32", "GPU", "computed in FP32 on a GPU, and not by oneDNN on a CPU"),
        ("onednn", "BF16", "GPU", "computed in BF16 on a GPU, and not by oneDNN on a CPU"),
    ],
)
def test_what_is_in_the_graph(accelerator, mode, device, expected):
    assert arithmetic.of_baked({"accelerator": accelerator, "precision_mode": mode}, device) == expected


@pytest.mark.parametrize("flags", ["flags : fpu avx512_bf16", "flags : fpu"])
def test_bfloat16_without_its_instructions(tmp_path, monkeypatch, flags):
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(flags)
    monkeypatch.setattr(environment, "_CPU_INFO", cpu_info)
    found = arithmetic.of_baked({"accelerator": "onednn", "precision_mode": "BF16"}, "CPU")
    assert found.startswith("computed in BF16 without instructions for it") != ("bf16" in flags)


@pytest.mark.parametrize(
    ("sizes", "strategy", "batch_size", "is_inside"),
    [
        ((1, 8), "Range+Optimal", 4, True),
        ((1, 8), "Range", 8, True),
        ((1, 8), "Optimal", 4, False),
        ((1, 8), "Optimal", 8, True),
        ((1, 8), "Range", 16, False),
        ((1,), "Range", 16, False),
        ((4, 8), "Range", 2, False),
    ],
)
def test_batches_outside_of_the_profiles(sizes, strategy, batch_size, is_inside):
    conversion = {"engines_built": True, "batch_sizes": list(sizes), "dynamic_shape_profile_strategy": strategy}
    found = arithmetic.of_batch(conversion, batch_size)
    assert found.startswith(f"computed in native segments, in FP32, for batches of {batch_size}: ") != is_inside
    assert arithmetic.of_batch(conversion | {"engines_built": False}, batch_size) == ""
    assert arithmetic.of_batch(None, batch_size) == arithmetic.of_batch({"batch_sizes": "x"}, batch_size) == ""
