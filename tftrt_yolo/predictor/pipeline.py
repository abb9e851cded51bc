"""From host images to detections on the host, with every part of the machine at work.

    pipeline = Pipeline(signatures, frame_size_hw=(640, 640), is_compiled=True, uses_gpu=True)
    for image, outputs in pipeline.run(images, batch_size=32):
        outputs["boxes"]                # (n, 4), of this image

Images go up once, as uint8 and in their own size; letterboxing, network and selection are in the SavedModel, and only
detections come back. While one batch computes, the next is laid into memory that the GPU reads by itself.
"""

import collections
import contextlib
import ctypes
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl import logging

from tftrt_yolo import contract
from tftrt_yolo.ground import forks
from tftrt_yolo.ground.streams import UntilFailure
from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.tasks.task import own_outputs

_WHAT = "A Predictor"  # in the message of a forked process
# Of one padded batch, two of which run at a time: the images and what the graph makes of them before they are frames,
# which was measured for images of 89 megapixels. One image that needs more runs alone: of 179 megapixels, in 3 GB;
# in 5 GB where it is cropped.
_MOST_BATCH_BYTES = 1_500_000_000
_LETTERBOX_BYTES, _CROP_BYTES = 15, 34  # a pixel of the batch
_ALIGNMENT = 4_096  # bytes; TensorFlow takes aligned memory as it is and copies other
_COPY_THREADS = 8  # for laying out a batch; one thread copies 6.5 GB/s and eight 26 (measured on 16 cores)
_PORTABLE = 1  # cudaHostRegisterPortable: pinned for every GPU, whichever is current
_PARALLEL_COPY_BYTES = 8 << 20  # below it, threads cost more than they save


class Pipeline:
    """Runs batches of images through the signatures of a SavedModel.

    Attributes:
      compiled_batch_sizes: The batch sizes that XLA compiled so far; always empty for a model that it does not compile.
    """

    def __init__(
        self,
        signatures: dict,
        *,
        frame_size_hw: tuple[int, int],
        is_compiled: bool,
        uses_gpu: bool,
        compiled_sizes: CompiledSizes | None = None,
        is_cropped: bool = False,
        per_image: tuple[str, ...] = (),
        place: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):
        """Prepares; nothing is compiled yet.

        Args:
          signatures: Signature key to function.
          frame_size_hw: Height and width of the network's frames in pixels.
          is_compiled: Whether XLA compiles the network.
          uses_gpu: Whether it runs on a GPU.
          compiled_sizes: The batch sizes to which the graph itself fills batches up for XLA. None where it does not:
            then XLA compiles for each batch size that it meets, and batches are filled up here.
          is_cropped: Whether the graph crops images instead of letterboxing them, which takes more memory.
          per_image: Names of the outputs that an image has once, not for each of its detections.
          place: Gives a context, in which the signatures are called: that of their device.
        """
        self._signatures = signatures
        self._frame_size_hw = frame_size_hw
        self._is_compiled = is_compiled
        self._compiled_sizes = compiled_sizes
        self._is_cropped = is_cropped
        self._per_image, self._place = per_image, place
        self._warm_batch_sizes = ()
        self.compiled_batch_sizes = set()
        # Two, because whoever launches a batch also waits for it: while one waits, the other brings its images up.
        self._launchers = ThreadPoolExecutor(2, thread_name_prefix="launch")
        self._copiers = ThreadPoolExecutor(_COPY_THREADS, thread_name_prefix="copy")
        self._large_batch = threading.Lock()
        self._free_memory = collections.deque()
        self._pins = uses_gpu

    def warm_up(self, batch_sizes: tuple[int, ...]) -> None:
        """Runs each batch size once, and fixes the sizes of a compiled model: no other is compiled afterwards.

        Args:
          batch_sizes: Images a batch.
        """
        forks.check(_WHAT)
        if self._compiled_sizes:
            batch_sizes = sorted({size for wanted in batch_sizes for size in self._compiled_sizes.run_by(wanted)})
        self._warm_batch_sizes = tuple(sorted({*self._warm_batch_sizes, *batch_sizes}))
        image = np.zeros((*self._frame_size_hw, 3), np.uint8)
        for batch_size in batch_sizes:
            self._run(self._signatures, [image] * batch_size, batch_size)

    def run(
        self, images: Iterable[np.ndarray], batch_size: int, signatures: dict | None = None
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Runs images in batches, in order; at most three batches are in memory.

        Args:
          images: (height, width, 3) uint8 each, of any sizes; an endless iterator is fine.
          batch_size: At most this many images a batch, and at most the largest that was warmed up.
          signatures: What runs them, `serving_default` and `padded`; None for the SavedModel's own.

        Yields:
          Each image, and its own outputs without padding.

        Raises:
          Exception: What the iterable raises, after the outputs of all images that it gave before.
        """
        forks.check(_WHAT)
        if self._is_compiled and self._warm_batch_sizes:
            batch_size = min(batch_size, max(self._warm_batch_sizes))
        run = functools.partial(self._run, signatures or self._signatures)
        until = UntilFailure(images)
        batches = _batches(until, batch_size, self._fits)
        batch = next(batches, None)
        following = next(batches, None)
        if following is None:  # nothing to overlap with, and a thread's round trip costs a tenth of a small batch
            if batch is not None:
                yield from self._unpack(batch, run(batch, self._padded_size(len(batch))))
        else:
            yield from self._overlapped(itertools.chain((batch, following), batches), run)
        until.raise_failure()

    def _overlapped(
        self, batches: Iterable[list[np.ndarray]], run: Callable[[list[np.ndarray], int], dict[str, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Runs batches, two at a time."""
        pending: collections.deque[tuple[list, Future]] = collections.deque()
        try:
            for batch in batches:
                forks.check(_WHAT)  # its launchers would stay behind, too
                pending.append((batch, self._launchers.submit(run, batch, self._padded_size(len(batch)))))
                if len(pending) > 2:
                    images, future = pending.popleft()
                    yield from self._unpack(images, future.result())
            for images, future in pending:
                forks.check(_WHAT)
                yield from self._unpack(images, future.result())
        finally:
            for _, future in pending:
                future.cancel()

    def _padded_size(self, num_images: int) -> int:
        """The batch size that these images are laid out in: a warm one, else what the graph or the power of two asks.

        Where the graph fills batches up by itself, and none is warm, nothing is to be done here.
        """
        if not self._is_compiled:
            return num_images
        otherwise = num_images if self._compiled_sizes else CompiledSizes().filled(num_images)
        return next((size for size in self._warm_batch_sizes if size >= num_images), otherwise)

    def _fits(self, num_images: int, size_hw: tuple[int, int]) -> bool:
        """Whether a batch of so many images, padded to one size, stays within memory."""
        return self._padded_size(num_images) <= most_images(size_hw, is_cropped=self._is_cropped)

    def _run(self, signatures: dict, images: list[np.ndarray], padded_size: int) -> dict[str, np.ndarray]:
        """Runs one batch and waits for its outputs; a batch that is too large has only one image, and runs alone."""
        size_hw = tuple(max(image.shape[axis] for image in images) for axis in (0, 1))
        with contextlib.nullcontext() if self._fits(len(images), size_hw) else self._large_batch:
            return self._run_now(signatures, images, padded_size)

    def _run_now(self, signatures: dict, images: list[np.ndarray], padded_size: int) -> dict[str, np.ndarray]:
        """Runs one batch."""
        sizes_hw = np.ones((padded_size, 2), np.int32)
        sizes_hw[: len(images)] = [image.shape[:2] for image in images]
        height, width = sizes_hw.max(axis=0)
        is_uniform = (sizes_hw[: len(images)] == (height, width)).all()
        memory = self._take_memory(padded_size * int(height) * int(width) * 3)
        try:
            canvas = memory[: padded_size * height * width * 3].reshape(padded_size, height, width, 3)
            self._lay_out(images, canvas)
            tensor = tf.experimental.dlpack.from_dlpack(canvas.__dlpack__())  # the memory itself, no copy
            sizes = tf.constant(sizes_hw)  # on the host, as the images: outside of the device's scope
            with self._place():
                if is_uniform:
                    outputs = signatures[contract.SERVING](images=tensor)
                else:
                    outputs = signatures[contract.PADDED](images=tensor, sizes=sizes)
            arrays = {name: value.numpy() for name, value in outputs.items()}
        finally:
            if 3 * memory.nbytes <= _MOST_BATCH_BYTES:  # what one image in a thousand needs is not kept for the others
                self._free_memory.append(memory)
        if self._is_compiled:
            self.compiled_batch_sizes.update(
                self._compiled_sizes.run_by(padded_size) if self._compiled_sizes else (padded_size,)
            )
        return arrays

    def _unpack(
        self, images: list[np.ndarray], outputs: dict[str, np.ndarray]
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Each image of a batch with its own outputs, without padding."""
        for index, image in enumerate(images):
            yield image, own_outputs(outputs, index, self._per_image)

    def _lay_out(self, images: list[np.ndarray], canvas: np.ndarray) -> None:
        """Copies images into a batch, each at the top left."""

        def copy(first: int, step: int) -> None:
            for place, image in zip(canvas[first::step], images[first::step], strict=False):
                np.copyto(place[: image.shape[0], : image.shape[1]], image)

        if canvas.nbytes < _PARALLEL_COPY_BYTES:
            copy(0, 1)
        else:
            for share in [self._copiers.submit(copy, first, _COPY_THREADS) for first in range(_COPY_THREADS)]:
                share.result()

    def _take_memory(self, num_bytes: int) -> np.ndarray:
        """Memory of at least this size that no batch uses, from an earlier batch if it is large enough."""
        while self._free_memory:
            try:
                memory = self._free_memory.popleft()
            except IndexError:  # the other launcher took the last
                break
            if memory.nbytes >= num_bytes:
                return memory
        return _allocate(num_bytes, pin=self._pins)


def most_images(size_hw: tuple[int, int], *, is_cropped: bool) -> int:
    """How many images of a size a batch may have to stay within memory.

    Args:
      size_hw: Height and width of the images, or of the largest, in pixels.
      is_cropped: Whether the graph crops them instead of letterboxing them.

    Returns:
      A number of images; 0 for one that is to run alone.
    """
    pixel_bytes = _CROP_BYTES if is_cropped else _LETTERBOX_BYTES
    return _MOST_BATCH_BYTES // (pixel_bytes * max(1, size_hw[0] * size_hw[1]))


def _batches(
    images: Iterable[np.ndarray], batch_size: int, fits: Callable[[int, tuple[int, int]], bool]
) -> Iterator[list[np.ndarray]]:
    """Cuts images into batches, in order, so that padding different sizes stays within memory."""
    batch, height, width = [], 0, 0
    for image in images:
        height, width = max(height, image.shape[0]), max(width, image.shape[1])
        if batch and (len(batch) == batch_size or not fits(len(batch) + 1, (height, width))):
            yield batch
            batch, (height, width) = [], image.shape[:2]
        batch.append(image)
    if batch:
        yield batch


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
