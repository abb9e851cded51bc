"""Shapes that the stand-in infers, against a real builder's, and what it refuses as that does."""

import json
import os
import subprocess
import sys

import pytest

from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.real_builder.replay import replay
from tftrt_yolo.preflighting.real_builder.words import Words
from tftrt_yolo.preflighting.stand_in import library

FLOAT, INT32 = 0, 3
SUM, PROD, SUB, DIV, FLOOR_DIV = 0, 1, 4, 5, 7
ROUND_UP, SAME_UPPER, SAME_LOWER, CAFFE_ROUND_DOWN, CAFFE_ROUND_UP = 1, 2, 3, 4, 5


def _build(stand_in, folder, steps):
    """Builds a network by TF-TRT's calls in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.preflighting.stand_in.calls", str(stand_in), "network"],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {library.RECORDING_DIR: str(folder)},
    )


def _recorded(stand_in, folder, steps):
    done = _build(stand_in, folder, steps)
    assert (done.returncode, done.stderr) == (0, "")
    recorded_network.join(folder)
    (network,) = recorded_network.read(folder)
    return network


def _input(*dims, kind=FLOAT, name="x"):
    return ["addInput", [name, kind, dims]]


def _numbers(*values):
    return ["addConstant", [[len(values)], list(values)]]


def _reshape(dims, to, **settings):
    return [_input(*dims), ["addShuffle", [0], {"setReshapeDimensions": to, **settings}]]


def _reshape_by_tensor(dims, *elements):
    """A reshape by a shape tensor; None is an element that only the batch decides."""
    parts = [["addGather", [1, 2, 0]] if element is None else ["addConstant", [[1], [element]]] for element in elements]
    numbers = list(range(3, 3 + len(parts)))
    return [
        _input(*dims),
        ["addShape", [0]],
        _numbers(0),
        *parts,
        ["addConcatenation", [numbers], {"setAxis": 0}],
        ["addShuffle", [0], {"setInput": [1, 3 + len(parts)]}],
    ]


def _window(method, size, window, stride=1, pads=(0, 0), **settings):
    channels, kernel = 2, [window, window]
    arguments = [0, 0, kernel] if method == "addPooling" else [0, 3, kernel, channels * 3 * window * window, 0]
    settings = {"setStride": [stride] * 2, "setPrePadding": [pads[0]] * 2, "setPostPadding": [pads[1]] * 2, **settings}
    return [_input(1, channels, size, size), [method, arguments, settings]]


def _conv(*arguments, **settings):
    return _window("addConvolution", *arguments, **settings)


def _pool(*arguments, **settings):
    return _window("addPooling", *arguments, **settings)


def _deconv(*arguments, **settings):
    return _window("addDeconvolution", *arguments, **settings)


_SHAPES = [
    # Reshapes: copied sizes that nobody knows cancel out.
    (_reshape([-1, 8, 10, 3], [0, -1, 3]), (-1, 80, 3)),
    (_reshape([-1, 8, 10, 3], [0, -1]), (-1, 240)),
    (_reshape([-1, 8, -1, 3], [0, 0, -1]), (-1, 8, -1)),
    (_reshape([-1, 8, -1, 3], [0, -1, 3]), (-1, -1, 3)),  # one that does not
    (_reshape([-1, 8, 10, 3], [-1, 240]), (-1, 240)),
    (_reshape([2, -1, 4], [0, -1, 8]), (2, -1, 8)),
    (_reshape([2, 3, 4], [2, 0, -1, 1]), (2, 3, 4, 1)),  # nothing unknown
    (_reshape([2, 3, 4], [0, 0, 2, -1]), (2, 3, 2, 2)),
    (_reshape([-1, 6], [0, 4]), (-1, 4)),  # the batch might be 0
    (_reshape([0, 3], [-1]), (0,)),  # no elements at all
    (_reshape([0, 3], [0, 5], setZeroIsPlaceholder=0), (0, 5)),  # 0 is a size
    (_reshape([2, 3], [3, 2, 1], setFirstTranspose=[1, 0], setSecondTranspose=[2, 0, 1]), (1, 3, 2)),
    # Reshapes by a tensor: 0 and -1 are resolved though another element is unknown.
    (_reshape_by_tensor([-1, 8, 3], None, 0, 3), (-1, 8, 3)),
    (_reshape_by_tensor([-1, 8, 3], None, 0, 0), (-1, 8, 3)),
    (_reshape_by_tensor([-1, 8, 10, 3], None, 80, 3), (-1, 80, 3)),
    (_reshape_by_tensor([-1, 8, 10, 3], 0, -1, 3), (-1, 80, 3)),
    (_reshape_by_tensor([-1, 8, -1, 3], None, 8, -1), (-1, 8, -1)),
    (_reshape_by_tensor([4, 8, 3], None, 0, -1), (4, 8, 3)),
    # Windows.
    (_conv(4, 4, 2), (1, 3, 1, 1)),  # it just fits
    (_conv(4, 6, 2, (1, 1)), (1, 3, 1, 1)),
    (_conv(5, 3, 1, setDilation=[2, 2]), (1, 3, 1, 1)),
    (_conv(4, 5, 2, setPaddingMode=SAME_UPPER), (1, 3, 2, 2)),
    (_conv(4, 7, 2, setPaddingMode=SAME_LOWER), (1, 3, 2, 2)),
    (_conv(-1, 5, 2), (1, 3, -1, -1)),
    (_conv(6, 3, 2, (0, 1)), (1, 3, 3, 3)),
    (_pool(5, 2, 2), (1, 2, 2, 2)),
    (_pool(5, 2, 2, setPaddingMode=ROUND_UP), (1, 2, 3, 3)),
    # Deconvolutions: SAME is the smaller of size * stride and what the window reaches.
    (_deconv(4, 1, 2, setPaddingMode=SAME_UPPER), (1, 3, 7, 7)),
    (_deconv(4, 2, 3, setPaddingMode=SAME_LOWER), (1, 3, 11, 11)),
    (_deconv(4, 3, 2, setPaddingMode=SAME_UPPER), (1, 3, 8, 8)),
    (_deconv(4, 2, 2), (1, 3, 8, 8)),
    (_deconv(4, 3, 2, (1, 0)), (1, 3, 8, 8)),
    (_deconv(-1, 1, 2, setPaddingMode=SAME_UPPER), (1, 3, -1, -1)),
    # Padding, also to nothing.
    ([_input(1, 1, 4, 5), ["addPadding", [0, [1, 0], [0, -2]]]], (1, 1, 5, 3)),
    ([_input(1, 1, 4, 4), ["addPadding", [0, [-3, 0], [-1, 0]]]], (1, 1, 0, 4)),
    # Resizes: by a tensor of which all is unknown but its length, by numbers, and by factors.
    ([_input(-1, 3, 8, 8), _input(4, kind=INT32, name="s"), ["addResize", [0], {"setInput": [1, 1]}]], (-1,) * 4),
    ([_input(-1, 3, 8, 8), ["addResize", [0], {"setOutputDimensions": [2, 3, 4, 5]}]], (2, 3, 4, 5)),
    ([_input(-1, 3, 3, 5), ["addResize", [0], {"setScales": [1, 1, 1.5, 0.5]}]], (-1, 3, 4, 2)),
    # Along an axis.
    ([_input(2, 3), ["addTopK", [0, 0, 2, 2]]], (2, 2)),
    ([_input(2, -1), ["addReduce", [0, 0, 2, 1]]], (2, 1)),
    ([_input(2, 3), _numbers(0), ["addGather", [0, 1, 1]]], (2, 1)),
    ([_input(2, 3), ["addConcatenation", [[0, 0]], {"setAxis": 1}]], (2, 6)),
    # Values of shape tensors: whole numbers are divided as whole numbers.
    (
        [
            _input(-1),
            _numbers(-5),
            _numbers(-2),
            ["addElementWise", [1, 2, DIV]],
            ["addShuffle", [0], {"setInput": [1, 3]}],
        ],
        (2,),
    ),
    (
        [
            _input(-1),
            _numbers(7),
            _numbers(2),
            ["addElementWise", [1, 2, FLOOR_DIV]],
            ["addShuffle", [0], {"setInput": [1, 3]}],
        ],
        (3,),
    ),
]


@pytest.mark.parametrize(("steps", "dims"), _SHAPES)
def test_shapes_are_tensorrts(stand_in, tmp_path, steps, dims):
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    network = _recorded(stand_in, tmp_path, steps)
    assert network.tensors[network.outputs[0]].dims == dims
    words = Words(trt, "TensorRT-RTX")
    assert replay(network, trt, trt.Builder(words.logger), words).differences == ()


def test_a_number_that_was_a_fraction_is_not_known(stand_in, tmp_path):
    """5 / 2 * 2 is 5 in FLOAT and 4 in whole numbers: what a cast leaves is not guessed."""
    steps = [
        _input(-1),
        _numbers(5),
        _numbers(2),
        ["addIdentity", [1], {"setOutputType": [0, FLOAT]}],
        ["addIdentity", [2], {"setOutputType": [0, FLOAT]}],
        ["addElementWise", [3, 4, DIV]],
        ["addElementWise", [5, 4, PROD]],
        ["addIdentity", [6], {"setOutputType": [0, INT32]}],
        ["addShuffle", [0], {"setInput": [1, 7]}],
    ]
    network = _recorded(stand_in, tmp_path, steps)
    assert network.tensors[network.outputs[0]].dims == (-1,)
    assert [tensor.type for tensor in network.tensors[3:8]] == ["FLOAT"] * 4 + ["INT32"]


def test_a_product_beyond_int32_is_not_known(stand_in, tmp_path):
    steps = [_input(-1), _numbers(1 << 20), ["addElementWise", [1, 1, PROD]], ["addShuffle", [0], {"setInput": [1, 2]}]]
    network = _recorded(stand_in, tmp_path, steps)
    assert network.tensors[network.outputs[0]].dims == (-1,)


def test_set_type_counts_for_inputs_and_outputs_of_the_network(stand_in, tmp_path):
    """NvInfer.h: of another tensor the type is unchanged."""
    network = _recorded(
        stand_in,
        tmp_path,
        [_input(2), ["addIdentity", [0], {"setType": INT32}], ["addIdentity", [1], {"setType": INT32}]],
    )
    assert [tensor.type for tensor in network.tensors] == ["FLOAT", "FLOAT", "INT32"]


def test_an_output_type_is_that_outputs(stand_in, tmp_path):
    network = _recorded(stand_in, tmp_path, [_input(2, 3), ["addTopK", [0, 0, 2, 2], {"setOutputType": [1, INT32]}]])
    assert [tensor.type for tensor in network.tensors] == ["FLOAT", "FLOAT", "INT32"]


_TWO_DIMS = _input(2, 3)
_REFUSED = [
    # Windows, as TensorRT-RTX refuses them, here or when it builds.
    (_conv(4, 5, 2), "a window that is larger than its padded input"),
    (_conv(4, 7, 2, (1, 1)), "a window that is larger than its padded input"),
    (_conv(4, 3, 1, setDilation=[2, 2]), "a window that is larger than its padded input"),
    (_pool(4, 7, 2), "a window that is larger than its padded input"),
    (_conv(4, 3, 0), "a window, stride or dilation below 1"),
    (_conv(4, 0), "a window, stride or dilation below 1"),
    (_deconv(4, 1, 0), "a window, stride or dilation below 1"),
    (_pool(4, 3, 1, (-1, 0)), "a negative padding of a window"),
    (_deconv(1, 1, 1, (1, 1)), "a deconvolution of which padding leaves nothing"),
    (_conv(4, 3, 1, setPaddingMode=CAFFE_ROUND_DOWN), "one of Caffe's padding modes, whose shapes are not known here"),
    (_pool(4, 3, 1, setPaddingMode=CAFFE_ROUND_UP), "one of Caffe's padding modes, whose shapes are not known here"),
    ([_TWO_DIMS, ["addPooling", [0, 0, [1, 1]]]], "a window over a tensor that is not of rank 4"),
    # Reshapes.
    (_reshape([2, 3, 4], [5, -1]), "a reshape to another number of elements"),
    (_reshape([2, 3, 4], [0, 0, 5]), "a reshape to another number of elements"),
    (_reshape([-1, 8, 10, 3], [0, 7, -1]), "a reshape to another number of elements"),
    (_reshape([2, 3, 4], [-1, -1]), "a reshape with more than one -1"),
    (_reshape_by_tensor([-1, 8, 3], None, -1, -1), "a reshape with more than one -1"),
    (_reshape([2, 3, 4], [-2, 12]), "a reshape to a size below -1"),
    (_reshape([-1, 8], [0, 8, 0]), "a reshape that copies a size beyond the rank of its input"),
    (_reshape([0, 3], [0, -1]), "a reshape whose -1 may be any size"),
    (_reshape([2, 3], [0, -1], setZeroIsPlaceholder=0), "a reshape whose -1 may be any size"),
    (_reshape([2, 3], [2, 3], setFirstTranspose=[0, 0]), "a transpose that is no permutation"),
    (_reshape([2, 3], [2, 3], setFirstTranspose=[0, 2]), "a transpose that is no permutation"),
    # Resizes.
    (
        [_input(-1, 3, 8, 8), _input(5, kind=INT32, name="s"), ["addResize", [0], {"setInput": [1, 1]}]],
        "a resize to another rank",
    ),
    ([_TWO_DIMS, ["addResize", [0], {"setOutputDimensions": [2]}]], "a resize to another rank"),
    ([_TWO_DIMS, ["addResize", [0], {"setScales": [2]}]], "a resize to another rank"),
    ([_TWO_DIMS, _numbers(2, -3), ["addResize", [0], {"setInput": [1, 1]}]], "a shape with a negative size"),
    # An axis that is not there.
    ([_TWO_DIMS, ["addConcatenation", [[0, 0]], {"setAxis": 2}]], "an axis beyond the rank of its input"),
    ([_TWO_DIMS, ["addConcatenation", [[0, 0]], {"setAxis": -1}]], "an axis beyond the rank of its input"),
    ([_TWO_DIMS, _numbers(0), ["addGather", [0, 1, 5]]], "an axis beyond the rank of its input"),
    ([_TWO_DIMS, ["addReduce", [0, 0, 8, 1]]], "an axis beyond the rank of its input"),
    ([_TWO_DIMS, ["addTopK", [0, 0, 1, 4]]], "the largest along no single axis of its input"),
    ([_TWO_DIMS, ["addTopK", [0, 0, 1, 3]]], "the largest along no single axis of its input"),
    ([_TWO_DIMS, ["addTopK", [0, 0, 5, 2]]], "more of the largest than there are"),
    # Padding: rows and columns of a tensor that has none, and more cut off than there is.
    ([_input(5), ["addPadding", [0, [1, 1], [0, 2]]]], "a padding of a tensor of a rank below 4"),
    ([_input(1, 1, 4, 4), ["addPadding", [0, [-3, 0], [-2, 0]]]], "a padding that cuts off more than there is"),
    # Numbers that JSON does not have.
    ([_TWO_DIMS, ["addActivation", [0, 3], {"setAlpha": "inf"}]], "a parameter that is not a finite number"),
    ([_TWO_DIMS, ["addActivation", [0, 3], {"setAlpha": "nan"}]], "a parameter that is not a finite number"),
    ([_TWO_DIMS, ["addResize", [0], {"setScales": [1, "inf"]}]], "a resize by no positive number"),
    ([_TWO_DIMS, ["addResize", [0], {"setScales": [1, "nan"]}]], "a resize by no positive number"),
    ([_TWO_DIMS, ["addResize", [0], {"setScales": [1, 0]}]], "a resize by no positive number"),
]


@pytest.mark.parametrize(("steps", "why"), _REFUSED)
def test_what_is_refused(stand_in, tmp_path, steps, why):
    layer = sum(step[0] != "addInput" for step in steps) - 1
    done = _build(stand_in, tmp_path, steps)
    assert (done.returncode, done.stderr) == (70, f"stand-in for TensorRT: {why}: (Unnamed Layer* {layer})\n")
    assert not list(tmp_path.glob("network*"))
