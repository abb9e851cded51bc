"""Copies between the host and the GPU, by the CUDA runtime that TensorFlow loaded.

    memory = device_memory.memory()
    memory.read(address, array, stream)                 # waits until the values are there
    memory.write(address, array, stream)

A test on a machine without a GPU has host memory in the place of the GPU's; it says so in the environment.
"""

import ctypes
import functools
import os
from typing import Protocol

import numpy as np

HOST_MEMORY = "TFTRT_YOLO_REHEARSAL_HOST_MEMORY"  # "1": addresses are the host's, for tests
_LIBRARIES = ("libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
_TO_DEVICE, _TO_HOST = 1, 2  # cudaMemcpyKind


class Memory(Protocol):
    """Where an engine's inputs and outputs lie."""

    def read(self, address: int, array: np.ndarray, stream: int) -> None:
        """Fills an array; RuntimeError if that fails."""

    def write(self, address: int, array: np.ndarray, stream: int) -> None:
        """Copies an array there; RuntimeError if that fails."""


@functools.cache
def memory() -> Memory:
    """The memory that addresses of this process are in; RuntimeError if CUDA's runtime is not there."""
    return _Host() if os.environ.get(HOST_MEMORY) == "1" else _Cuda(_runtime())


class _Host:
    """The host's own memory."""

    def read(self, address: int, array: np.ndarray, stream: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def write(self, address: int, array: np.ndarray, stream: int) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)


class _Cuda:
    """A GPU's memory."""

    def __init__(self, library: ctypes.CDLL):
        self._library = library
        library.cudaMemcpyAsync.argtypes = (
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_int, ctypes.c_void_p),
        )
        library.cudaStreamSynchronize.argtypes = (ctypes.c_void_p,)
        library.cudaGetErrorString.restype = ctypes.c_char_p

    def read(self, address: int, array: np.ndarray, stream: int) -> None:
        self._copy(array.ctypes.data, address, array.nbytes, _TO_HOST, stream)

    def write(self, address: int, array: np.ndarray, stream: int) -> None:
        self._copy(address, array.ctypes.data, array.nbytes, _TO_DEVICE, stream)

    def _copy(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        """Copies behind what the stream has to do, and waits."""
        if size:
            self._check(self._library.cudaMemcpyAsync(to, source, size, kind, stream), f"copy {size} bytes")
        self._check(self._library.cudaStreamSynchronize(stream), "wait for its stream")

    def _check(self, status: int, what: str) -> None:
        if status:
            words = self._library.cudaGetErrorString(status).decode(errors="replace")
            raise RuntimeError(f"CUDA could not {what}: {words} (error {status})")


def _runtime() -> ctypes.CDLL:
    """CUDA's runtime: the one that is loaded already, or one that is found."""
    for mode in (os.RTLD_NOLOAD | os.RTLD_NOW, os.RTLD_NOW):
        for name in _LIBRARIES:
            try:
                return ctypes.CDLL(name, mode=mode)
            except OSError:
                continue
    raise RuntimeError(
        f"CUDA's runtime is neither loaded nor found ({', '.join(_LIBRARIES)}). Rehearse on a machine with a GPU that "
        "TensorFlow sees"
    )
