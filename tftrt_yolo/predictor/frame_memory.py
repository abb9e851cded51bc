"""Memory of batches, which a GPU reads by itself, and which is used again.

memory = FrameMemory((640, 640), pins=True)
frames = memory.take(8)                 # (8 or more, 640, 640, 3) uint8
memory.give_back(frames)
"""

import collections
import ctypes
import functools
import math
import weakref

import numpy as np
import tensorflow as tf
from absl import logging

_ALIGNMENT = 4_096  # bytes; TensorFlow takes aligned memory as it is and copies other
_PORTABLE = 1  # cudaHostRegisterPortable: pinned for every GPU, whichever is current
_MOST_KEPT = 8  # batches


class FrameMemory:
    """Gives memory for batches of frames; several threads may use one."""

    def __init__(self, frame_size_hw: tuple[int, int], *, pins: bool):
        """Prepares; nothing is allocated.

        Args:
          frame_size_hw: Height and width of the frames in pixels.
          pins: Whether a GPU is to read it.
        """
        self._frame_shape, self._pins = (*frame_size_hw, 3), pins
        self._free = collections.deque(maxlen=_MOST_KEPT)

    def take(self, num_frames: int) -> np.ndarray:
        """Memory that nobody uses.

        Args:
          num_frames: At least this many.

        Returns:
          (num_frames or more, S, S, 3) uint8, of any content.
        """
        while self._free:
            try:
                frames = self._free.popleft()
            except IndexError:  # another thread took the last
                break
            if len(frames) >= num_frames:
                return frames
        num_bytes = num_frames * math.prod(self._frame_shape)
        return _allocate(num_bytes, pin=self._pins).reshape(num_frames, *self._frame_shape)

    def give_back(self, frames: np.ndarray) -> None:
        """Takes memory back that `take` gave and nobody reads or writes any more."""
        self._free.append(frames)


def _allocate(num_bytes: int, *, pin: bool) -> np.ndarray:
    """Aligned memory, pinned if CUDA's runtime is there: a GPU then reads it by itself, several times as fast."""
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    memory = memory[first : first + num_bytes]
    runtime = _cuda_runtime() if pin else None
    if runtime is not None and runtime.cudaHostRegister(memory.ctypes.data, num_bytes, _PORTABLE) == 0:
        weakref.finalize(memory.base, runtime.cudaHostUnregister, memory.ctypes.data)
    return memory


@functools.cache
def _cuda_runtime() -> ctypes.CDLL | None:
    """The CUDA runtime that TensorFlow uses; None if it cannot be opened, and then copies are a little slower."""
    name = f"libcudart.so.{tf.sysconfig.get_build_info().get('cuda_version', '12').partition('.')[0]}"
    try:
        runtime = ctypes.CDLL(name)
    except OSError as error:
        logging.info("%s; memory for images is not pinned", error)
        return None
    runtime.cudaHostRegister.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
    runtime.cudaHostUnregister.argtypes = [ctypes.c_void_p]
    return runtime
