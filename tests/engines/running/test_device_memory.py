"""Memory of the GPU: what is said where there is none, and our lines around cuda-python, whose calls the host plays."""

import contextlib
import ctypes
import sys
import types

import numpy as np
import pytest

from tftrt_yolo.engines.running import device_memory
from tftrt_yolo.ground.errors import EngineError, TensorRTUnavailableError


def test_a_machine_without_a_gpu():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        memory = device_memory.open_memory()
        _round_trip(memory)
        return
    message = (
        r"An engine runs on an NVIDIA GPU, and none can be used here: torch sees no GPU .*cuda-python.*run the Saved"
    )
    with pytest.raises(TensorRTUnavailableError, match=message):
        device_memory.open_memory()


class _Status(int):
    """A status of CUDA's."""

    name = "cudaErrorMemoryAllocation"


class _Cuda(types.ModuleType):
    """CUDA's runtime as cuda-python has it, in the host's memory; at most a mebibyte."""

    cudaDeviceAttr = types.SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor="major", cudaDevAttrComputeCapabilityMinor="minor"
    )
    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self):
        super().__init__("cuda.bindings.runtime")
        self.rooms, self.waits = {}, 0

    def cudaGetDevice(self):
        return _Status(0), 3

    def cudaDeviceGetAttribute(self, part, device):
        assert device == 3
        return _Status(0), {"major": 8, "minor": 6}[part]

    def cudaStreamCreate(self):
        return _Status(0), 77

    def cudaMalloc(self, count):
        if count > 1 << 20:
            return (_Status(2), None)
        room = (ctypes.c_uint8 * count)()
        self.rooms[ctypes.addressof(room)] = room
        return _Status(0), ctypes.addressof(room)

    def cudaFree(self, address):
        del self.rooms[address]
        return (_Status(0),)

    def cudaMemcpyAsync(self, to, source, count, kind, stream):
        assert (source if kind == 2 else to) in self.rooms
        assert stream == 77
        ctypes.memmove(to, source, count)
        return (_Status(0),)

    def cudaStreamSynchronize(self, stream):
        self.waits += stream == 77
        return (_Status(0),)


def _round_trip(memory):
    for array in (np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.ones((1, 5), np.float16)[:, ::2]):
        address, owner = memory.upload(array)
        assert address
        np.testing.assert_array_equal(memory.download(owner, array.shape, array.dtype), array)


@pytest.mark.parametrize("name", ["cuda.bindings.runtime", "cuda.cudart"])
def test_cuda_python(name, monkeypatch):
    cuda = _Cuda()
    monkeypatch.setitem(sys.modules, "torch", None)
    for module in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, name, cuda)
    memory = device_memory.open_memory()
    assert (memory.compute_capability, memory.stream) == ("8.6", 77)
    _round_trip(memory)
    assert cuda.waits == 4
    assert not cuda.rooms  # freed with their owners
    with pytest.raises(EngineError, match=r"CUDA says cudaErrorMemoryAllocation\. Use smaller batches"):
        memory.room((1 << 21,), np.uint8)


class _Torch(types.ModuleType):
    """PyTorch with a GPU whose memory is out."""

    __version__ = "2.13.0"

    class OutOfMemoryError(RuntimeError):
        pass

    def __init__(self):
        super().__init__("torch")
        self.float32, self.cuda = (
            "float32",
            types.SimpleNamespace(
                is_available=lambda: True,
                get_device_capability=lambda: (8, 9),
                Stream=lambda: types.SimpleNamespace(cuda_stream=5),
                stream=lambda stream: contextlib.nullcontext(),
            ),
        )

    def empty(self, *args, **others):
        raise self.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    from_numpy = empty


def test_a_gpu_without_memory_in_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", _Torch())
    memory = device_memory.open_memory()
    assert (memory.compute_capability, memory.stream) == ("8.9", 5)
    message = r"PyTorch says CUDA out of memory.*Use smaller batches if the GPU's memory is out"
    for call in (
        lambda: memory.upload(np.zeros(3, np.float32)),
        lambda: memory.room((3,), np.float32),
        lambda: memory.download(types.SimpleNamespace(cpu=_Torch().empty), (3,), np.float32),
    ):
        with pytest.raises(EngineError, match=message):
            call()
