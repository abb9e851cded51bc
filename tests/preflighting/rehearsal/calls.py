"""The stand-in's runtime, called as TF-TRT does: through its tables, by number. In the environment of a rehearsal.

    runtime = Runtime("/.../libnvinfer.so.8.6.1")
    engine = runtime.deserialize(content)
    outputs = engine.context(0).run({"TensorRTInputPH_0": frames})

Source of the numbers: the order of the functions in the public headers of TensorRT 8.6.1. Source of the order of the
calls: TensorFlow 2.17's tf2tensorrt/utils/trt_engine_utils.cc and kernels/trt_engine_op.cc.
"""

import ctypes

import numpy as np

from tests.preflighting.stand_in.calls import Api, call, word

MIN, OPT, MAX = range(3)
_DTYPES = {0: np.float32, 1: np.float16, 3: np.int32}
_DELETE = 1  # slot of a public object's deleting destructor


class Dims(ctypes.Structure):
    """By value, as TensorRT passes it."""

    _fields_ = (("count", ctypes.c_int32), ("at", ctypes.c_int32 * 8))

    @property
    def shape(self):
        """None where TensorRT says that there is none."""
        return None if self.count < 0 else tuple(self.at[: self.count])

    @classmethod
    def of(cls, shape):
        return cls(len(shape), (ctypes.c_int32 * 8)(*shape))


class Log:
    """TF-TRT's logger: keeps what it is told."""

    def __init__(self):
        self.said = []
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p)
        self._function = kind(lambda _, severity, words: self.said.append((severity, words.decode())))
        self._table = (ctypes.c_void_p * 3)(ctypes.cast(self._function, ctypes.c_void_p))
        self._object = (ctypes.c_void_p * 1)(ctypes.addressof(self._table))
        self.address = ctypes.addressof(self._object)


def typed(shell, slot, result, *arguments):
    """Calls a function of the implementation behind a public object that gives something else than a pointer."""
    implementation = word(shell, 1)
    function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *(type(value) for value in arguments))
    return function(word(word(implementation), slot))(implementation, *arguments)


def delete(shell):
    """As TF-TRT lets go of a public object."""
    call(shell, _DELETE)


class Runtime:
    """IRuntime."""

    def __init__(self, path):
        self.log, library = Log(), ctypes.CDLL(str(path))
        library.createInferRuntime_INTERNAL.restype = ctypes.c_void_p
        self._shell = library.createInferRuntime_INTERNAL(ctypes.c_void_p(self.log.address), 8601)

    def deserialize(self, content):
        """An engine, or None."""
        data = ctypes.create_string_buffer(content, len(content))
        size = ctypes.c_size_t(len(content))
        found = typed(self._shell, 2, ctypes.c_void_p, ctypes.cast(data, ctypes.c_void_p), size, ctypes.c_void_p())
        return Engine(found) if found else None


class Engine:
    """ICudaEngine."""

    def __init__(self, shell):
        self.shell = shell

    def _ask(self, slot, result, *arguments):
        return typed(self.shell, slot, result, *arguments)

    @property
    def bindings(self):
        """Name, whether it is an input, shape and type of each binding."""
        return [
            (
                self._ask(4, ctypes.c_char_p, ctypes.c_int32(i)).decode(),
                self._ask(5, ctypes.c_bool, ctypes.c_int32(i)),
                self._ask(6, Dims, ctypes.c_int32(i)).shape,
                self._ask(7, ctypes.c_int32, ctypes.c_int32(i)),
            )
            for i in range(self._ask(2, ctypes.c_int32))
        ]

    def index(self, name):
        return self._ask(3, ctypes.c_int32, ctypes.c_char_p(name.encode()))

    @property
    def layers(self):
        return self._ask(9, ctypes.c_int32)

    @property
    def name(self):
        return self._ask(21, ctypes.c_char_p).decode()

    @property
    def profiles(self):
        return self._ask(22, ctypes.c_int32)

    def profile(self, binding, profile, selector):
        return self._ask(23, Dims, *map(ctypes.c_int32, (binding, profile, selector))).shape

    @property
    def device_memory(self):
        return self._ask(14, ctypes.c_size_t)

    def serialize(self):
        memory = self._ask(10, ctypes.c_void_p)
        content = ctypes.string_at(typed(memory, 2, ctypes.c_void_p), typed(memory, 3, ctypes.c_size_t))
        delete(memory)
        return content

    def context(self, profile=0):
        """A context as TF-TRT makes them: one a profile, in their order."""
        context = Context(self, self._ask(13, ctypes.c_void_p), profile)
        if profile:
            assert context.set_profile(profile)
        return context

    def delete(self):
        delete(self.shell)


class Context:
    """IExecutionContext."""

    def __init__(self, engine, shell, profile):
        self.engine, self.shell, self.profile = engine, shell, profile

    def _ask(self, slot, result, *arguments):
        return typed(self.shell, slot, result, *arguments)

    def set_profile(self, profile):
        return self._ask(13, ctypes.c_bool, ctypes.c_int32(profile))

    def _number(self, name):
        engine = self.engine
        return engine.index(name) + self.profile * (len(engine.bindings) // engine.profiles)

    def set_shape(self, name, shape):
        return self._ask(15, ctypes.c_bool, ctypes.c_int32(self._number(name)), Dims.of(shape))

    def shape(self, name):
        return self._ask(16, Dims, ctypes.c_int32(self._number(name))).shape

    @property
    def is_specified(self):
        return self._ask(19, ctypes.c_bool)

    def run(self, feeds):
        """Runs a batch in host memory; None if TensorRT would say that it cannot."""
        bindings, arrays = (ctypes.c_void_p * len(self.engine.bindings))(), {}
        for name, values in feeds.items():
            assert self.set_shape(name, values.shape)
            bindings[self._number(name)] = values.ctypes.data
        assert self.is_specified
        assert word(self._ask(8, ctypes.c_void_p), 1) == word(self.engine.shell, 1)
        for name, is_input, _, kind in self.engine.bindings[: len(self.engine.bindings) // self.engine.profiles]:
            if not is_input:
                arrays[name] = np.full(self.shape(name), 77, _DTYPES[kind])
                bindings[self._number(name)] = arrays[name].ctypes.data
        self._ask(11, None, ctypes.c_void_p())  # setDeviceMemory
        return arrays if self._ask(24, ctypes.c_bool, bindings, ctypes.c_void_p(), ctypes.c_void_p()) else None

    def delete(self):
        delete(self.shell)


class Builder(Api):
    """A network by steps, as `Api`, and the engine that is built of it."""

    def __init__(self, path):
        self.log = Log()
        super().__init__(path, self.log.address)

    def profile(self, name, least, optimum, largest):
        """An optimisation profile of one input; gives the public object."""
        made = self.on(self.builder, 12)
        for selector, shape in enumerate((least, optimum, largest)):
            typed(made, 2, ctypes.c_bool, ctypes.c_char_p(name.encode()), ctypes.c_int32(selector), Dims.of(shape))
        return made

    def add_profile(self, name, least, optimum, largest):
        profile = self.profile(name, least, optimum, largest)
        return typed(self.config, 29, ctypes.c_int32, ctypes.c_void_p(profile))

    def engine(self):
        """The engine, or None."""
        found = self.build()
        return Engine(found) if found else None
