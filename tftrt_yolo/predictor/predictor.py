"""Prediction: images in, supervision objects out, on whatever this machine has.

    predictor = tftrt_yolo.Predictor("yolov8n_saved_model")
    [detections] = predictor("bus.jpg")
    print(predictor.backend, detections.xyxy, detections.data["class_name"])
    [people] = predictor("bus.jpg", score_threshold=0.5, classes="person")

The third stage of the flow: it runs what `export` or `convert` wrote. `predict` is the same for files, with pictures.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.arguments import argument, check_at_least_one
from tftrt_yolo.ground.errors import ImageError, SavedModelError
from tftrt_yolo.ground.files import image_arrays
from tftrt_yolo.ground.files.image_arrays import ArrayOptions
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.predictor import call_options, reopening
from tftrt_yolo.predictor.call_options import CallOptions
from tftrt_yolo.predictor.reopening import Opening
from tftrt_yolo.predictor.sources.opening import endless, is_live_by_name, is_source, open_source
from tftrt_yolo.predictor.sources.source import Source
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.tracking import by_source
from tftrt_yolo.saved_model import devices
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.table import TASKS, in_words
from tftrt_yolo.tasks.task import Scene

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on

    from tftrt_yolo.predictor.batches import Reading

BATCH_SIZE = 8  # images a call of the network, unless the caller says otherwise
# What to do about an image that cannot be read.
OnUnreadable = Literal["raise", "skip"] | Callable[[object, ImageError], object]


class Predictor:
    """A loaded SavedModel that takes images of any kind and size.

    A pickle of it holds the directory and what it was opened with, and opens it again where it is loaded, so that
    processes that were not forked can be given one. Copies are the predictor itself.

    Attributes:
      metadata: What the SavedModel knows about itself: names, sizes, thresholds.
      task: What the task is made of.
      names: (C,) str, the classes.
      backend: What runs the network and why.
      retina_masks: Whether masks are of the image's resolution, as Ultralytics' argument has it; it may be set.
    """

    retina_masks = False
    _unusable = SavedModelError  # what a model that cannot be opened raises

    def __init__(
        self,
        saved_model_dir: str | Path,
        *,
        strict: bool = False,
        allow_side_effects: bool = False,
        device: str | int | None = None,
    ):
        """Loads a SavedModel; GPU memory grows on demand.

        Args:
          saved_model_dir: A SavedModel that `export` or `convert` wrote.
          strict: Whether to refuse a converted model that TensorRT cannot run here. Without it the engines' native
            segments run in TensorFlow, and `backend` says so.
          allow_side_effects: Whether to run a model that holds operations which may touch files, the network or the
            process, as nothing does that `export` or `convert` wrote: loading it is like running a program of whoever
            made it. `inspect` lists them.
          device: What runs it: "CPU"; "GPU", or "GPU:1" and the like, of those that CUDA_VISIBLE_DEVICES leaves; a
            number is a GPU's. None for the first GPU, and where there is none the CPU.

        Raises:
          ValueError: If there is no such device; the message names those that there are.
          SavedModelError: If the SavedModel is damaged or not ours, its metadata do not fit its graph, or it has side
            effects that are not allowed.
          TensorRTUnavailableError: If strict, and the engines cannot run here.
          ForkedProcessError: If this process was forked after TensorFlow ran; so does every call of a predictor that
            was loaded before the fork.
        """
        how = {"strict": strict, "allow_side_effects": allow_side_effects}
        place = None if device is None else devices.parse(device, "device")
        handle = open_saved_model(saved_model_dir)

        from tftrt_yolo.saved_model import load  # with TensorFlow, which help and a wrong path need not wait for

        signatures, backend = load.load(handle, **how, device=place)
        self._network = signatures[contract.NETWORK]
        self._begin(handle.given, handle.metadata, signatures, backend, place)
        how |= {} if place is None else {"device": str(place)}
        self._opening = Opening(handle.directory, how, (handle.metadata, handle.conversion, handle.files))

    def _begin(self, given: str, metadata, signatures: dict, backend, place: devices.Device | None = None) -> None:
        """Takes signatures that were loaded, whatever runs them."""
        from tftrt_yolo.predictor import batches, frame_memory, pipeline

        self._given, self._no_classes, self._warm_batch_sizes = given, np.zeros(0, np.int32), ()
        self.metadata, self.backend = metadata, backend
        self.task = TASKS[self.metadata.task]
        if contract.FRAMED not in signatures:  # of an earlier version
            signatures = self._run_time_signatures.by_key(self._own_selection())
        memory = frame_memory.FrameMemory(self.metadata.image_size_hw, pins=self.backend.uses_gpu)
        self._reader = batches.Reader(fit=self.task.fit, memory=memory)
        self._pipeline = pipeline.Pipeline(
            signatures,
            memory,
            is_compiled=self.backend.name == "XLA",
            compiled_sizes=self.backend.compiled_sizes,
            per_image=self.task.per_image,
            place=functools.partial(devices.scope, place),
        )
        self.names = np.array([self.metadata.names[index] for index in sorted(self.metadata.names)], dtype=str)

    def __repr__(self) -> str:
        """The model, its task and size, and what runs it."""
        height, width = self.metadata.image_size_hw
        model = in_words(self.task.name, len(self.names))
        return (
            f"<{type(self).__name__} {self._given}: {model}, {width} x {height} px, "
            f"{self.backend.name} on {self.backend.device}>"
        )

    def __reduce__(self) -> tuple:
        """What a pickle holds: where the model is, and no more of it."""
        return reopening.reopen, (type(self), self._opening, self._warm_batch_sizes)

    def __copy__(self) -> "Predictor":
        """Itself: the model is in memory once."""
        return self

    def __deepcopy__(self, memo: dict) -> "Predictor":
        """Itself, as `__copy__`."""
        return self

    @property
    def compiled_batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes that XLA compiled so far; empty for a model that was not converted for XLA."""
        return tuple(sorted(self._pipeline.compiled_batch_sizes))

    def warm_up(self, batch_sizes: Iterable[int] = (1, BATCH_SIZE)) -> None:
        """Runs each batch size once, so that no later call compiles, builds an engine or loads a library.

        Batches of a model that was converted for XLA are filled up to one of these sizes from now on, and larger ones
        are cut; without a warm-up they are filled up to the sizes that it was converted for, by default the next power
        of two. Image sizes never compile anything.

        Args:
          batch_sizes: Images a batch; for XLA the next that the model was converted for.

        Raises:
          ValueError: If one is less than 1.
        """
        batch_sizes = tuple(check_at_least_one("batch_sizes", batch_size) for batch_size in batch_sizes)
        self._pipeline.warm_up(batch_sizes)
        self._warm_batch_sizes = tuple(sorted({*self._warm_batch_sizes, *batch_sizes}))

    @call_options.spelt_out
    def __call__(
        self,
        images,
        *,
        batch_size: int | None = None,
        on_unreadable: OnUnreadable = "raise",
        **options: "Unpack[CallOptions]",
    ) -> list:
        """Predicts what the model was trained for.

        Args:
          images: One image or several. One: a path, bytes of an image file, a Pillow image, or an RGB uint8 array
            (height, width, 3) or (3, height, width), of NumPy, PyTorch, TensorFlow or JAX; other values with `scale`.
            Several: a list of these, of mixed sizes; an array or a tensor of four axes; or any iterable, such as a
            tf.data.Dataset or a DataLoader of PyTorch, with batches and with labels, of which the images are taken.
            Or a source: what `SourceOptions` takes as `source`, such as a folder or a video; for what has no
            end, such as a camera, there is `stream`.
          batch_size: At most this many images a call of the network; None for 8, and for the largest that an engine's
            profiles cover.
          on_unreadable: As `stream`.
          **options: For this call alone, by name: the fields of `SelectionOptions`, for which None is what the model
            was exported with, and which a classifier refuses; those of `SourceOptions`, how a source is read; and
            `channel_order` and `scale`, how arrays and tensors are. `CallOptions` has them all.
            `tracker` may be a Tracking too, which goes on with the objects that it knows.

        Returns:
          One object of supervision's for each image that could be read, in order, all in that image's pixels and best
          first, or a map of its pixels; it prints itself, in a notebook as a table, and has `to_dataframe()`:
          detect: `Detections` with `xyxy`, `confidence`, `class_id`, and the class names in `data["class_name"]`;
          segment: the same with `mask` at the image's resolution;
          obb: the same with the corners in `data["xyxyxyxy"]` and centre, size and angle in `data["xywhr"]`;
          pose: `KeyPoints`, with the boxes in `data["xyxy"]`;
          classify: `Classifications` of all classes in their order, with their names in `class_name`;
          semantic: `SemanticMap` with `class_map`, the class of each pixel; depth: `DepthMap` with `depth` in metres.

        Raises:
          ImageError: If an image cannot be read or is none, and on_unreadable is "raise".
          TypeError: If there is no such option.
          ValueError: If batch_size is less than 1, on_unreadable is something else, or a threshold is out of its range,
            a class none of the model's, or the model a classifier; or an option for arrays comes with a source.
        """
        found = self._found(images, batch_size, on_unreadable, options, must_end=True)
        return [result for _, _, result in found]

    @call_options.spelt_out
    def stream(
        self,
        images: Iterable,
        *,
        batch_size: int | None = None,
        on_unreadable: OnUnreadable = "raise",
        **options: "Unpack[CallOptions]",
    ) -> Iterator:
        """Predicts on images as they come; memory stays flat however many there are.

        Files are decoded by threads ahead of the network, and while one batch computes the next is brought up. So
        results come up to three batches after their images; where each must come at once, call the predictor.

        Args:
          images: As `__call__`: a list of paths, a generator, a source such as a video. An iterable must give arrays
            that it does not change afterwards. Also the number of a webcam, and the URL of a stream; of these each
            frame is dealt with as it comes.
          batch_size: As `__call__`.
          on_unreadable: What to do about an image that cannot be read: "raise"; "skip", with a warning in the log, and
            then there are fewer results than images; or a function that takes the image as it was given and the
            ImageError, after which it is skipped. It is called as images are read, ahead of their results.
          **options: As `__call__`.

        Yields:
          One object of supervision's for each image that could be read, in order, as `__call__` returns them.

        Raises:
          ImageError: If an image cannot be read or is none, and on_unreadable is "raise". This, and whatever images or
            on_unreadable raise, comes after the results of all images before it.
          ValueError: As `__call__`.
        """
        found = self._found(images, batch_size, on_unreadable, options)
        return (result for _, _, result in found)

    @call_options.spelt_out
    def with_images(
        self,
        images: Iterable,
        *,
        batch_size: int | None = None,
        on_unreadable: OnUnreadable = "raise",
        **options: "Unpack[CallOptions]",
    ) -> Iterator[tuple[object, np.ndarray, object]]:
        """As `stream`, each result with its image.

        Args:
          images: As `stream`.
          batch_size: As `stream`.
          on_unreadable: As `stream`.
          **options: As `__call__`.

        Returns:
          An iterator over what was given, the image (height, width, 3) uint8, and supervision's object.

        Raises:
          ImageError: As `stream`.
          ValueError: As `stream`.
        """
        return self._found(images, batch_size, on_unreadable, options, keeps_arrays=True)

    def _found(
        self,
        images,
        batch_size: int | None,
        on_unreadable: OnUnreadable,
        options: CallOptions,
        *,
        must_end: bool = False,
        keeps_arrays: bool = False,
    ) -> Iterator[tuple[object, np.ndarray | None, object]]:
        """As `with_images`; without `keeps_arrays` images come only where something follows objects in them.

        `must_end` says whether an endless source is refused.
        """
        call = call_options.parse(options, type(self).__name__).with_tracker_of(images)
        batch_size = self._checked_batch_size(batch_size)
        is_word = isinstance(on_unreadable, str) and on_unreadable in ("raise", "skip")
        if not is_word and not callable(on_unreadable):
            raise ValueError(
                f"{argument('on_unreadable')} is {quoted(on_unreadable)}; expected 'raise', 'skip' or a function that "
                "takes the image and its ImageError."
            )
        trackers = by_source.opened(call.tracker, self.task)
        if isinstance(images, SourceOptions) and images.skip_unreadable and on_unreadable == "raise":
            on_unreadable = "skip"
        if call.arrays is not None and (is_source(images) or isinstance(images, Source)):
            call.arrays.refuse("images that are arrays or tensors", "a source is read from files or streams")
        how = call.source | {"skip_unreadable": on_unreadable != "raise"}
        source = self._opened(images, how, must_end=must_end)
        asked, signatures = call.selection, None
        if asked is not None:
            signatures = self._asked_signatures(asked)
            batch_size = asked.batch_size_for(self.metadata.selection, batch_size)
        reading = self._reading(batch_size, on_unreadable, call.arrays, keeps_arrays or trackers is not None)
        return by_source.track(self._with_images(source, reading, signatures), trackers)

    def _opened(self, images, how: dict, *, must_end: bool) -> Source:
        """The images of a source, or those that were given themselves."""
        if is_source(images):
            options = images if isinstance(images, SourceOptions) else SourceOptions(source=images)
            if options.devices is not None:
                raise ValueError(
                    f"{argument('devices')} is for `predict`, and a Predictor has its device. Leave it out."
                )
            if must_end and is_live_by_name(options.source):
                raise endless(options.source)
            images = open_source(dataclasses.replace(options, **how))
        if not isinstance(images, Source):
            return Source(image_arrays.each(images), count=None)
        if must_end and images.is_live:
            images.close()
            raise endless("The source")
        return images

    def _checked_batch_size(self, batch_size: int | None) -> int:
        """Refuses a batch size that is none."""
        return BATCH_SIZE if batch_size is None else check_at_least_one("batch_size", batch_size)

    def _asked_signatures(self, asked: SelectionOptions) -> Mapping[str, Callable]:
        """Signatures that select what is asked for; they are traced at the first call, and never again."""
        from tftrt_yolo.saved_model import image_signatures

        if not self.task.finds_objects:
            asked.refuse("models that find objects", f"{self._given} is {self.task.kind}")
        tensors = image_signatures.in_tensors(asked, self.metadata)
        return self._run_time_signatures.by_key(tensors)

    def _own_selection(self):
        """The model's own thresholds, for signatures that are made here."""
        from tftrt_yolo.saved_model import image_signatures

        return image_signatures.in_tensors(SelectionOptions(), self.metadata)

    @functools.cached_property
    def _run_time_signatures(self):
        """The signatures around the network to which a selection can be given; made where they are first needed."""
        from tftrt_yolo.saved_model.image_signatures import ImageSignatures

        network = self._network
        return ImageSignatures(lambda frames: network(frames=frames), self.metadata, is_traceable=True)

    def _check_classes(self, outputs: dict[str, np.ndarray]) -> None:
        """Refuses a class that has no name: the graph selects in another way than `export` wrote it."""
        classes = outputs.get("classes", self._no_classes)
        if classes.size and not 0 <= classes.min() <= classes.max() < len(self.names):
            raise SavedModelError(
                f"{self._given} found objects of the classes {classes.min()} to {classes.max()}, and its metadata.yaml "
                f"has the names of 0 to {len(self.names) - 1}. Its graph was edited; export the checkpoint again."
            )

    def _reading(
        self, batch_size: int, on_unreadable: OnUnreadable, arrays: ArrayOptions | None, keeps_arrays: bool
    ) -> "Reading":
        """How images are read."""
        from tftrt_yolo.predictor.batches import Reading, leave_out

        return Reading(
            batch_size=self._pipeline.batch_size_for(batch_size),
            arrays=arrays or image_arrays.PLAIN,
            on_error=on_unreadable if callable(on_unreadable) else {"raise": None, "skip": leave_out}[on_unreadable],
            keeps_arrays=keeps_arrays,
        )

    def _with_images(
        self, source: Source, reading: "Reading", signatures: Mapping | None
    ) -> Iterator[tuple[object, np.ndarray | None, object]]:
        """As `_found`, after its checks."""
        with contextlib.closing(source):
            # Images that come in their own time wait for no other.
            some = ([image] for image in source.images) if source.is_live else [source.images]
            for images in some:
                for image, outputs in self._pipeline.run(self._reader.batches(images, reading), signatures):
                    self._check_classes(outputs)
                    scene = Scene(self.names, image.size_hw, self.metadata.image_size_hw, self.retina_masks)
                    yield image.given, image.array, self.task.to_supervision(outputs, scene)
            for note in reading.notes():
                source.tally.note(note)
