"""Calls the stand-in as TF-TRT does: through its tables, by number, with values as C++ passes them. A child process.

    python -m tests.preflighting.stand_in.calls LIBRARY network < steps.json     # builds a network, which is recorded
    python -m tests.preflighting.stand_in.calls LIBRARY slot IBuilder 22         # calls one function of one table

A step is a method of INetworkDefinition, its arguments, and what is set on the layer afterwards:

    [["addInput", ["x", 0, [-1, 8, 10, 3]]], ["addShuffle", [0], {"setReshapeDimensions": [0, -1, 3]}]]

The n-th step gives tensor n, from 0; the last is the network's output.

Source of the numbers: the order of the functions in the public headers of TensorRT 8.6.1.
"""

import ctypes
import json
import sys

_INT32 = 3  # DataType
# Parameters: t tensor, a tensors and how many, i number, f real number, d Dims, w Weights, p Permutation, r reals and
# how many, s text.
_NETWORK = {
    "addInput": (2, "sid"),
    "markOutput": (3, "t"),
    "addConvolution": (4, "tidww"),
    "addFullyConnected": (5, "tiww"),
    "addActivation": (6, "ti"),
    "addPooling": (7, "tid"),
    "addSoftMax": (10, "t"),
    "addConcatenation": (11, "a"),
    "addDeconvolution": (12, "tidww"),
    "addElementWise": (13, "tti"),
    "addUnary": (14, "ti"),
    "addPadding": (15, "tdd"),
    "addShuffle": (16, "t"),
    "addReduce": (23, "tiii"),
    "addTopK": (24, "tiii"),
    "addGather": (25, "tti"),
    "addMatrixMultiply": (27, "titi"),
    "addConstant": (28, "dw"),
    "addIdentity": (30, "t"),
    "addSlice": (34, "tddd"),
    "addShape": (37, "t"),
    "addResize": (46, "t"),
    "addDequantize": (55, "tt"),
    "addQuantize": (56, "tt"),
}
_LAYER = {"setInput": (9, "it"), "setOutputType": (14, "ii")}
_TENSOR = {"setType": (6, "i")}
_WINDOW = ("setPrePadding", "setPostPadding", "setPaddingMode")
_OWN = {  # of each kind of layer
    "addConvolution": {
        "setStride": (6, "d"),
        "setDilation": (16, "d"),
        **dict(zip(_WINDOW, [(18, "d"), (20, "d"), (22, "i")], strict=True)),
    },
    "addDeconvolution": {"setStride": (6, "d"), **dict(zip(_WINDOW, [(16, "d"), (18, "d"), (20, "i")], strict=True))},
    "addPooling": {"setStride": (6, "d"), **dict(zip(_WINDOW, [(14, "d"), (16, "d"), (18, "i")], strict=True))},
    "addActivation": {"setAlpha": (4, "f")},
    "addConcatenation": {"setAxis": (2, "i")},
    "addShuffle": {
        "setFirstTranspose": (2, "p"),
        "setReshapeDimensions": (4, "d"),
        "setSecondTranspose": (6, "p"),
        "setZeroIsPlaceholder": (8, "i"),
    },
    "addResize": {"setOutputDimensions": (2, "d"), "setScales": (4, "r")},
}


class _Dims(ctypes.Structure):
    _fields_ = (("count", ctypes.c_int32), ("at", ctypes.c_int32 * 8))


class _Weights(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("values", ctypes.c_void_p), ("count", ctypes.c_int64))


class Api:
    """The stand-in, and what was made of it."""

    def __init__(self, path, logger=None):
        self.library = ctypes.CDLL(str(path))
        self.library.createInferBuilder_INTERNAL.restype = ctypes.c_void_p
        self.library.getPluginRegistry.restype = ctypes.c_void_p
        self.alive = []  # what C++ points to
        self.builder = self.library.createInferBuilder_INTERNAL(ctypes.c_void_p(logger), 8601)
        self.network = self.on(self.builder, 11, ctypes.c_uint32(1))
        self.config = self.on(self.builder, 9)
        self.tensors, self.layers = [], {}

    def on(self, shell, slot, *arguments, part=1):
        """Calls a function of the object behind a public one; a layer's own are in part 2."""
        return call(word(shell, part), slot, *arguments)

    def build(self):
        self.on(self.network, *self._with(_NETWORK["markOutput"], [len(self.tensors) - 1]))
        return self.on(self.builder, 10, ctypes.c_void_p(self.network), ctypes.c_void_p(self.config))

    def step(self, method, arguments, settings=()):
        made = self.on(self.network, *self._with(_NETWORK[method], arguments))
        if method == "addInput":
            self.tensors.append(made)
            return
        self.layers[method] = made
        self.tensors.append(self.on(made, 8, ctypes.c_int32(0)))
        for name, value in dict(settings).items():
            if name in _TENSOR:
                self.on(self.tensors[-1], *self._with(_TENSOR[name], [value]))
            elif name in _LAYER:
                self.on(made, *self._with(_LAYER[name], value))
            else:
                self.on(made, *self._with(_OWN[method][name], [value]), part=2)

    def _with(self, signature, values):
        """A slot and the arguments for it."""
        slot, letters = signature
        arguments = []
        for letter, value in zip(letters, values, strict=True):
            arguments += getattr(self, f"_{letter}")(value)
        return slot, *arguments

    def _kept(self, value):
        self.alive.append(value)
        return value

    def _t(self, value):
        return [ctypes.c_void_p(self.tensors[value])]

    def _a(self, value):
        tensors = self._kept((ctypes.c_void_p * len(value))(*(self.tensors[i] for i in value)))
        return [tensors, ctypes.c_int32(len(value))]

    def _i(self, value):
        return [ctypes.c_int32(value)]

    def _f(self, value):
        return [ctypes.c_float(float(value))]

    def _s(self, value):
        return [ctypes.c_char_p(value.encode())]

    def _d(self, value):
        return [_Dims(len(value), (ctypes.c_int32 * 8)(*value))]

    def _p(self, value):
        return [self._kept((ctypes.c_int32 * 8)(*value))]

    def _r(self, value):
        return [self._kept((ctypes.c_float * len(value))(*map(float, value))), ctypes.c_int32(len(value))]

    def _w(self, value):
        """Whole numbers, or as many zeros as a number says."""
        values = [0] * value if isinstance(value, int) else value
        kind = ctypes.c_float if isinstance(value, int) else ctypes.c_int32
        array = self._kept((kind * max(1, len(values)))(*values))
        return [_Weights(0 if kind is ctypes.c_float else _INT32, ctypes.addressof(array), len(values))]


def word(address, index=0):
    """A pointer in memory."""
    return ctypes.c_void_p.from_address(address + 8 * index).value


def call(self, slot, *arguments):
    """Calls a virtual function of an object; gives a pointer."""
    function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, *(type(value) for value in arguments))
    return function(word(word(self), slot))(self, *arguments)


_EVERY_KIND = (
    ("addInput", ["x", 0, [1, 4, 8, 8]]),
    ("addConvolution", [0, 2, [1, 1], 8, 0]),
    ("addDeconvolution", [0, 2, [1, 1], 8, 0]),
    ("addFullyConnected", [0, 2, 512, 0]),
    ("addActivation", [0, 0]),
    ("addPooling", [0, 0, [1, 1]]),
    ("addSoftMax", [0]),
    ("addConcatenation", [[0, 0]]),
    ("addElementWise", [0, 0, 0]),
    ("addUnary", [0, 0]),
    ("addPadding", [0, [0, 0], [0, 0]]),
    ("addShuffle", [0]),
    ("addReduce", [0, 0, 1, 1]),
    ("addTopK", [0, 0, 1, 1]),
    ("addMatrixMultiply", [0, 0, 0, 0]),
    ("addConstant", [[2], [1, 2]]),
    ("addGather", [0, 15, 0]),
    ("addSlice", [0, [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]),
    ("addResize", [0]),
    ("addQuantize", [0, 0]),
    ("addDequantize", [0, 0]),
)


def _object(api, name):
    """An object by the name of its class, made by TF-TRT's calls; the public one where the name says so."""
    shells = {"INetworkDefinition": api.network, "IBuilderConfig": api.config, "IBuilder": api.builder}
    if name.startswith("public "):
        return shells[name.removeprefix("public ")]
    if name == "IPluginRegistry":
        return api.library.getPluginRegistry()
    if name == "IRuntime":
        api.library.createInferRuntime_INTERNAL.restype = ctypes.c_void_p
        return word(api.library.createInferRuntime_INTERNAL(None, 8601), 1)
    if name == "ITimingCache":
        return word(api.on(api.config, 44, ctypes.c_void_p(), ctypes.c_size_t(0)), 1)
    if name == "IOptimizationProfile":
        return word(api.on(api.builder, 12), 1)
    for step in _EVERY_KIND:
        api.step(*step)
    if name == "ICudaEngine":
        return word(api.build(), 1)
    if name == "IExecutionContext":
        return word(api.on(api.build(), 11), 1)
    if name == "IHostMemory":
        return word(api.on(api.build(), 10), 1)
    if name == "ITensor":
        return word(api.tensors[1], 1)
    if name == "ILayer":
        return word(api.layers["addUnary"], 1)
    if name in shells:
        return word(shells[name], 1)
    return word(api.layers[f"add{name[1:].removesuffix('Layer')}"], 2)


def main(path, what, *rest):
    """Does what the command line says."""
    api = Api(path)
    if what == "slot":
        call(_object(api, rest[0]), int(rest[1]))
    else:
        for step in json.load(sys.stdin):
            api.step(*step)
        api.build()


if __name__ == "__main__":
    main(*sys.argv[1:])
