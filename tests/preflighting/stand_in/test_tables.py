"""Tables of the stand-in: what TF-TRT calls and the stand-in does not have says its name, to the last slot of each."""

import subprocess
import sys

import pytest

from tftrt_yolo.preflighting.rehearsal import process
from tftrt_yolo.preflighting.stand_in import library


@pytest.mark.parametrize(
    ("owner", "slot", "name"),
    [
        ("IHostMemory", 4, "type"),
        ("ITimingCache", 4, "reset"),
        ("ICudaEngine", 54, "getTensorVectorizedDimV2"),
        ("IRuntime", 21, "getEngineHostCodeAllowed"),
        ("IExecutionContext", 50, "setAuxStreams"),
        ("ITensor", 24, "getDimensionName"),
        ("ILayer", 19, "getMetadata"),
        ("IOptimizationProfile", 8, "getExtraMemoryTarget"),  # 9 is isValid, which is there
        ("IBuilderConfig", 59, "getMaxAuxStreams"),
        ("IBuilder", 22, "getPluginRegistry"),
        ("INetworkDefinition", 69, "getBuilder"),
        ("IPluginRegistry", 11, "deregisterLibrary"),
        # Public objects with functions of their own.
        ("public INetworkDefinition", 2, "getBuilder"),
        ("public IBuilderConfig", 4, "setAvgTimingIterations"),
        # Kinds of layers.
        ("IConvolutionLayer", 31, "getDilationNd"),
        ("IDeconvolutionLayer", 29, "getDilationNd"),
        ("IFullyConnectedLayer", 7, "getBiasWeights"),
        ("IActivationLayer", 7, "getBeta"),
        ("IPoolingLayer", 25, "getPaddingNd"),
        ("ISoftMaxLayer", 3, "getAxes"),
        ("IConcatenationLayer", 3, "getAxis"),
        ("IElementWiseLayer", 3, "getOperation"),
        ("IUnaryLayer", 3, "getOperation"),
        ("IPaddingLayer", 9, "getPostPaddingNd"),
        ("IShuffleLayer", 9, "getZeroIsPlaceholder"),
        ("IReduceLayer", 7, "getKeepDimensions"),
        ("ITopKLayer", 7, "getReduceAxes"),
        ("IMatrixMultiplyLayer", 3, "getOperation"),
        ("IConstantLayer", 5, "getDimensions"),
        ("IGatherLayer", 7, "getMode"),
        ("ISliceLayer", 9, "getMode"),
        ("IResizeLayer", 19, "getExcludeOutside"),
        ("IQuantizeLayer", 2, "getAxis"),  # 3 is setAxis, which is there
        ("IDequantizeLayer", 2, "getAxis"),
    ],
)
def test_the_last_slot_names_itself(tmp_path, monkeypatch, stand_in, owner, slot, name):
    monkeypatch.setenv(library.RECORDING_DIR, str(tmp_path))
    monkeypatch.setenv(process.REHEARSAL, "1")  # for the runtime; a recording goes first
    done = subprocess.run(
        [sys.executable, "-m", "tests.preflighting.stand_in.calls", str(stand_in), "slot", owner, str(slot)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"stand-in for TensorRT: TF-TRT calls {owner.removeprefix('public ')}::{name}\n"
    assert (done.returncode, done.stderr) == (70, said)
