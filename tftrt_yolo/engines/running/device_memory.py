"""Memory of the GPU for an engine: by PyTorch or by cuda-python, whichever is installed.

    memory = open_memory()
    address, owner = memory.upload(frames)              # an array's copy, as long as `owner` lives
    address, owner = memory.room((1, 84, 8400), np.float32)
    array = memory.download(owner, (1, 84, 8400), np.float32)

Never run so far: no machine of ours has a GPU that the TensorRT at hand runs on.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from tftrt_yolo.ground.errors import EngineError, TensorRTUnavailableError
from tftrt_yolo.ground.text import clause, first_line

_INSTALL = "Install PyTorch for CUDA (pip install torch) or cuda-python (pip install 'tftrt_yolo[engines]')"

_SMALLER = "Use smaller batches if the GPU's memory is out."


class Memory(Protocol):
    """Memory of one GPU.

    Attributes:
      compute_capability: Of the GPU, such as "8.9".
      stream: Handle of the CUDA stream on which all is done.
    """

    compute_capability: str
    stream: int

    def upload(self, array: np.ndarray) -> tuple[int, object]:
        """Copies a contiguous array to the GPU; its address, and what keeps it there."""

    def room(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, object]:
        """Memory for an array; its address, and what keeps it."""

    def download(self, owner: object, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Waits for the stream and copies an array to the host."""


def open_memory() -> Memory:
    """The GPU's memory.

    Returns:
      PyTorch's where it sees a GPU, else cuda-python's.

    Raises:
      TensorRTUnavailableError: If neither is installed, or neither sees a GPU.
    """
    found = []
    for kind in (_TorchMemory, _CudaMemory):
        try:
            return kind()
        except ImportError as error:
            found.append(f"{kind.package} cannot be imported ({first_line(error)})")
        except (RuntimeError, EngineError) as error:
            found.append(f"{kind.package} sees no GPU ({first_line(error)})")
    raise TensorRTUnavailableError(
        f"An engine runs on an NVIDIA GPU, and none can be used here: {'; '.join(found)}. {_INSTALL} on a machine with "
        "a GPU; elsewhere run the SavedModel with Predictor."
    )


class _TorchMemory:
    """PyTorch's, from its caching allocator."""

    package = "torch"

    def __init__(self):
        self._torch = importlib.import_module("torch")
        if not self._torch.cuda.is_available():
            raise EngineError(f"torch {self._torch.__version__}: no CUDA device")
        self.compute_capability = "{}.{}".format(*self._torch.cuda.get_device_capability())
        self._stream = self._torch.cuda.Stream()
        self.stream = self._stream.cuda_stream

    def upload(self, array: np.ndarray) -> tuple[int, object]:
        """Copies an array to the GPU."""
        with self._on_stream():
            owner = self._torch.from_numpy(np.ascontiguousarray(array)).to("cuda")
        return owner.data_ptr(), owner

    def room(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, object]:
        """Memory for an array."""
        kind = getattr(self._torch, np.dtype(dtype).name)
        with self._on_stream():
            owner = self._torch.empty(shape, dtype=kind, device="cuda")
        return owner.data_ptr(), owner

    def download(self, owner: object, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Copies an array to the host."""
        with self._on_stream():
            array = owner.cpu().numpy()
        return array.reshape(shape).astype(dtype, copy=False)

    @contextlib.contextmanager
    def _on_stream(self) -> Iterator[None]:
        """Does what is in its block on the stream.

        Raises:
          EngineError: If PyTorch fails, as where the memory is out.
        """
        try:
            with self._torch.cuda.stream(self._stream):
                yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            raise EngineError(f"PyTorch says {clause(error)}. {_SMALLER}") from error


class _CudaMemory:
    """cuda-python's: CUDA's own calls."""

    package = "cuda-python"

    def __init__(self):
        try:
            self._cuda = importlib.import_module("cuda.bindings.runtime")
        except ImportError:  # before cuda-python 12.6
            self._cuda = importlib.import_module("cuda.cudart")
        kinds = self._cuda.cudaDeviceAttr
        device = self._done(self._cuda.cudaGetDevice())
        parts = (kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor)
        version = [self._done(self._cuda.cudaDeviceGetAttribute(part, device)) for part in parts]
        self.compute_capability = "{}.{}".format(*version)
        self._stream = self._done(self._cuda.cudaStreamCreate())
        self.stream = int(self._stream)

    def upload(self, array: np.ndarray) -> tuple[int, object]:
        """Copies an array to the GPU."""
        array = np.ascontiguousarray(array)
        address, owner = self.room(array.shape, array.dtype)
        self._copy(address, array.ctypes.data, array.nbytes, self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice)
        return address, owner

    def room(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, object]:
        """Memory for an array."""
        owner = _Allocation(self._cuda, self._done, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return owner.address, owner

    def download(self, owner: object, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Copies an array to the host."""
        array = np.empty(shape, dtype)
        self._copy(array.ctypes.data, owner.address, array.nbytes, self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost)
        return array

    def _copy(self, to: int, source: int, count: int, kind: object) -> None:
        """Copies in the stream's turn, and waits."""
        self._done(self._cuda.cudaMemcpyAsync(to, source, count, kind, self._stream))
        self._done(self._cuda.cudaStreamSynchronize(self._stream))

    def _done(self, returned: tuple) -> object:
        """What a call gave beside its status.

        Raises:
          EngineError: If the status is an error.
        """
        status, *values = returned
        if int(status) != 0:
            raise EngineError(f"CUDA says {status.name}. {_SMALLER}")
        return values[0] if len(values) == 1 else values


class _Allocation:
    """Memory that is freed with its owner."""

    def __init__(self, cuda: object, done, count: int):
        self._cuda = cuda
        self.address = int(done(cuda.cudaMalloc(max(count, 1))))

    def __del__(self):
        """Frees it."""
        if hasattr(self, "address"):
            self._cuda.cudaFree(self.address)
