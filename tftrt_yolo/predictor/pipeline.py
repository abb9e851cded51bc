"""From frames on the host to detections on the host, with every part of the machine at work.

    pipeline = Pipeline(signatures, memory, is_compiled=True)
    for image, outputs in pipeline.run(reader.batches(paths, Reading(batch_size=32))):
        outputs["boxes"]                # (n, 4), of this image

Frames go up once, as uint8; network and selection are in the SavedModel, and only detections come back. While one batch
computes, the next is brought up from memory that the GPU reads by itself, and more are decoded.
"""

import collections
import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl import logging

from tftrt_yolo import contract
from tftrt_yolo.graph import packing
from tftrt_yolo.ground import forks
from tftrt_yolo.ground.streams import UntilFailure
from tftrt_yolo.ground.text import counted
from tftrt_yolo.predictor.batches import Batch, Framed
from tftrt_yolo.predictor.frame_memory import FrameMemory
from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.tasks.task import own_outputs

_WHAT = "A Predictor"  # in the message of a forked process


class Pipeline:
    """Runs batches of frames through the signatures of a SavedModel.

    Attributes:
      compiled_batch_sizes: The batch sizes that XLA compiled so far; always empty for a model that it does not compile.
    """

    def __init__(
        self,
        signatures: dict,
        memory: FrameMemory,
        *,
        is_compiled: bool,
        compiled_sizes: CompiledSizes | None = None,
        per_image: tuple[str, ...] = (),
        place: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
    ):
        """Prepares; nothing is compiled yet.

        Args:
          signatures: Signature key to function; `framed` is run.
          memory: Where batches lie, and go when they have run.
          is_compiled: Whether XLA compiles the network.
          compiled_sizes: The batch sizes to which the graph itself fills batches up for XLA. None where it does not:
            then XLA compiles for each batch size that it meets, and batches are filled up here.
          per_image: Names of the outputs that an image has once, not for each of its detections.
          place: Gives a context, in which the signatures are called: that of their device.
        """
        self._signatures, self._memory = signatures, memory
        self._is_compiled, self._compiled_sizes = is_compiled, compiled_sizes
        self._per_image, self._place = per_image, place
        self._compiled = Compiled.of(signatures.get(contract.FRAMED), per_image) if compiled_sizes else None
        self._warm_batch_sizes = ()
        self._most_frames = None  # that the GPU has memory for; None for any
        self.compiled_batch_sizes = set()
        # Two, because whoever launches a batch also waits for it: while one waits, the other brings its frames up.
        self._launchers = ThreadPoolExecutor(2, thread_name_prefix="launch")

    def warm_up(self, batch_sizes: tuple[int, ...]) -> None:
        """Runs each batch size once, and fixes the sizes of a compiled model: no other is compiled afterwards.

        Args:
          batch_sizes: Images a batch.
        """
        forks.check(_WHAT)
        if self._compiled_sizes:
            batch_sizes = sorted({size for wanted in batch_sizes for size in self._compiled_sizes.run_by(wanted)})
        self._warm_batch_sizes = tuple(sorted({*self._warm_batch_sizes, *batch_sizes}))
        for batch_size in batch_sizes:
            frames = self._memory.take(batch_size)
            size_hw = frames.shape[1:3]
            self._run(self._signatures, Batch(frames, [Framed(None, size_hw, None)] * batch_size))

    def batch_size_for(self, batch_size: int) -> int:
        """How many images a batch is to have so that nothing is compiled for it after a warm-up.

        Args:
          batch_size: What was asked for.

        Returns:
          That, and at most the largest that was warmed up.
        """
        is_fixed = self._is_compiled and self._warm_batch_sizes
        return min(batch_size, max(self._warm_batch_sizes)) if is_fixed else batch_size

    def run(
        self, batches: Iterable[Batch], signatures: dict | None = None
    ) -> Iterator[tuple[Framed, dict[str, np.ndarray]]]:
        """Runs batches in order; at most three are in memory, beside those that are being read.

        Args:
          batches: Of `Reader.batches`.
          signatures: What runs them, with `framed`; None for the SavedModel's own.

        Yields:
          Each image, and its own outputs without padding.

        Raises:
          Exception: What the iterable raises, after the outputs of all images that it gave before.
        """
        forks.check(_WHAT)
        signatures = signatures or self._signatures
        until = UntilFailure(batches)
        batches = iter(until)
        batch = next(batches, None)
        following = next(batches, None)
        if following is None:  # nothing to overlap with, and a thread's round trip costs a tenth of a small batch
            if batch is not None:
                yield from self._unpack(batch.images, self._run(signatures, batch))
        else:
            yield from self._overlapped(itertools.chain((batch, following), batches), signatures)
        until.raise_failure()

    def _overlapped(self, batches: Iterable[Batch], signatures: dict) -> Iterator[tuple[Framed, dict[str, np.ndarray]]]:
        """Runs batches, two at a time."""
        pending: collections.deque[tuple[list, Future]] = collections.deque()
        try:
            for batch in batches:
                forks.check(_WHAT)  # its launchers would stay behind, too
                pending.append((batch.images, self._launchers.submit(self._run, signatures, batch)))
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
        """The batch size that these images are run in: a warm one, else what the graph or the power of two asks.

        Where the graph fills batches up by itself, and none is warm, nothing is to be done here.
        """
        if not self._is_compiled:
            return num_images
        otherwise = num_images if self._compiled_sizes else CompiledSizes().filled(num_images)
        return next((size for size in self._warm_batch_sizes if size >= num_images), otherwise)

    def _run(self, signatures: dict, batch: Batch) -> dict[str, np.ndarray]:
        """Runs one batch, and waits for its outputs; its memory is free then."""
        sizes_hw = np.array([image.size_hw for image in batch.images], np.int32)
        try:
            return self._run_within_memory(signatures, batch.frames, sizes_hw)
        finally:
            self._memory.give_back(batch.frames)

    def _run_within_memory(self, signatures: dict, frames: np.ndarray, sizes_hw: np.ndarray) -> dict[str, np.ndarray]:
        """Runs frames, in as many parts as the GPU's memory and the sizes that are compiled ask for."""
        framed, count = signatures[contract.FRAMED], len(sizes_hw)
        compiled = self._compiled if signatures is self._signatures else None  # of other thresholds there is none
        most = min(count, self._most_frames or count)
        if compiled is not None:
            most = min(most, self._compiled_sizes.filled(most))
        parts, first = [], 0
        while first < count:
            rows = slice(first, min(first + most, count))
            try:
                parts.append(self._run_now(framed, compiled, frames[first:], sizes_hw[rows]))
                first = rows.stop
            except tf.errors.ResourceExhaustedError:
                if most == 1:
                    raise
                self._most_frames = most = most // 2
                images = counted(rows.stop - first, "image")
                logging.warning("the device has no memory for %s at once; batches are cut to %d", images, most)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run_now(
        self, framed: Callable, compiled: "Compiled | None", frames: np.ndarray, sizes_hw: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Runs the first of some frames, as many as there are sizes."""
        count = len(sizes_hw)
        size = self._padded_size(count)
        if compiled is not None:
            size = self._compiled_sizes.filled(size)
        filled = np.ones((size, 2), np.int32)
        filled[:count] = sizes_hw
        if len(frames) < size:
            larger = self._memory.take(size)
            larger[:count] = frames[:count]
            try:
                return self._run_now(framed, compiled, larger, sizes_hw)
            finally:
                self._memory.give_back(larger)
        tensor = tf.experimental.dlpack.from_dlpack(frames[:size].__dlpack__())  # the memory itself, no copy
        sizes = tf.constant(filled)  # on the host, as the frames: outside of the device's scope
        with self._place():
            outputs = (compiled or framed)(frames=tensor, sizes=sizes)
        if compiled is None:
            outputs = {name: value.numpy() for name, value in outputs.items()}
        if self._is_compiled:
            run_by = self._compiled_sizes.run_by(size) if self._compiled_sizes else (size,)
            self.compiled_batch_sizes.update(run_by)
        return {name: values[:count] for name, values in outputs.items()}

    def _unpack(
        self, images: list[Framed], outputs: dict[str, np.ndarray]
    ) -> Iterator[tuple[Framed, dict[str, np.ndarray]]]:
        """Each image of a batch with its own outputs, without padding."""
        for index, image in enumerate(images):
            yield image, own_outputs(outputs, index, self._per_image)


class Compiled:
    """What runs a batch of a compiled size in one call, and brings what is small of its outputs back in one copy."""

    def __init__(self, compiled: Callable, specs: dict[str, tf.TensorSpec], per_image: tuple[str, ...]):
        """As `of`."""
        self._compiled, self._specs, self._per_image = compiled, specs, per_image

    @classmethod
    def of(cls, framed: Callable, per_image: tuple[str, ...]) -> "Compiled | None":
        """That of a SavedModel which has it, and whose outputs it fits."""
        compiled = getattr(framed, "compiled", None)
        if compiled is None:
            return None
        specs = framed.structured_outputs
        if not all(spec.shape[1:].is_fully_defined() for spec in specs.values()):
            return None
        given = {name: spec.shape[1:].as_list() for name, spec in compiled.structured_outputs.items()}
        width = packing.width_of(specs, per_image=per_image)
        expected = {packing.PACKED: [width]} if width else {}
        expected |= {name: specs[name].shape[1:].as_list() for name in per_image}
        return cls(compiled, specs, per_image) if given == expected else None

    def __call__(self, **tensors: tf.Tensor) -> dict[str, np.ndarray]:
        """The outputs of signature `framed`."""
        packed = {name: value.numpy() for name, value in self._compiled(**tensors).items()}
        return packing.unpack(packed, self._specs, per_image=self._per_image)
