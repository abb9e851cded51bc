"""From a network to a SavedModel that keeps the contract.

    network = tf.function(...)                                  # frames -> the task's dense outputs
    save(network, metadata, Path("yolov8n_saved_model"))

Export calls it with the decoded trunk, convert with what TF-TRT made of signature `network`: every other signature is
built around that one function, so the weights are stored once and every signature runs the converted part.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.graph import crop, empty_batches, packing, stretch
from tftrt_yolo.graph import letterbox as framing
from tftrt_yolo.graph.encoded import images as encoded_images
from tftrt_yolo.ground.placement import CROP, LETTERBOX, STRETCH
from tftrt_yolo.saved_model import endpoint
from tftrt_yolo.saved_model.batches import CompiledSizes, fill_batches
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

# Nothing here is Python control flow over tensors; autograph would only take six seconds to find that out.
_graph_function = functools.partial(tf.function, autograph=False)

_FITS = {
    LETTERBOX: framing.letterbox_padded_images,
    CROP: crop.crop_images,
    STRETCH: stretch.stretch_images,
}

Network = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def save(
    network: Network,
    metadata: Metadata,
    saved_model_dir: Path,
    *,
    tracked: object = None,
    compiled_sizes: CompiledSizes | None = None,
) -> None:
    """Writes a SavedModel with every signature, the attribute for Keras and Ultralytics and metadata.yaml.

    Args:
      network: Takes frames (batch, S, S, 3) float32 to the outputs that `Task.dense` names.
      metadata: Describes the model; its selection goes into the graph.
      saved_model_dir: An empty directory.
      tracked: What the network needs and the SavedModel must hold: variables, or TensorRT engines.
      compiled_sizes: The batch sizes for which XLA compiles the network, and the network together with the selection;
        None for no XLA. It is stored in the SavedModel. Letterboxing stays outside, so that only a new batch size
        compiles anew and no new image size; other batches are filled up, or cut.
    """
    size_hw, task = metadata.image_size_hw, TASKS[metadata.task]
    jit_compile = True if compiled_sizes else None
    if not compiled_sizes:  # which give no empty batch
        network = empty_batches.guarded(network)
    frames_spec = tf.TensorSpec((None, *size_hw, 3), tf.float32, name="frames")
    framed_specs = tf.TensorSpec((None, *size_hw, 3), tf.uint8, name="frames"), endpoint.SIZES_SPEC

    @_graph_function(input_signature=[frames_spec], jit_compile=jit_compile)
    def network_signature(frames):
        dense = network(frames)
        return {name: tf.identity(dense[name], name=name) for name in task.dense}

    network_function = network_signature.get_concrete_function()

    @_graph_function(input_signature=framed_specs, jit_compile=jit_compile)
    def predict_signature(frames, sizes):
        dense = network_function(framing.to_unit_range(frames))
        return selected_outputs(dense, sizes, metadata, static_shapes=bool(jit_compile))

    predict, root = predict_signature.get_concrete_function(), tf.Module()
    if compiled_sizes:
        root.compiled = _compiled(network_function, framed_specs, metadata)
        root.compiled_network = network_signature
        predict, network_function = (fill_batches(function, compiled_sizes) for function in (predict, network_function))
        network_function = _graph_function(network_function, input_signature=[frames_spec]).get_concrete_function()
    signatures = _image_signatures(predict, framed_specs, task)
    root.tracked = tracked
    root.serving_default = endpoint.serving_attribute(
        signatures[contract.SERVING], lambda frames: task.ultralytics(network_function(frames), metadata), size_hw
    )
    root.padded = signatures[contract.PADDED]  # Keras gives the first input without its name, which no signature takes
    tf.saved_model.save(root, str(saved_model_dir), signatures=signatures | {contract.NETWORK: network_function})
    digests.seal(saved_model_dir, metadata)


def _compiled(network: Callable, framed_specs: tuple, metadata: Metadata) -> Callable:
    """What `Predictor` runs in place of `framed` for a batch of a compiled size: that in one call and one output."""

    @_graph_function(input_signature=framed_specs, jit_compile=True)
    def compiled(frames, sizes):
        outputs = selected_outputs(network(framing.to_unit_range(frames)), sizes, metadata, static_shapes=True)
        return packing.pack(outputs, per_image=TASKS[metadata.task].per_image)

    compiled.get_concrete_function()
    return compiled


def _image_signatures(predict: Callable, framed_specs: tuple, task: Task) -> dict[str, Callable]:
    """The signatures that take images, around one function of frames and of the images' sizes; its specs are given."""
    fit, size_hw = fit_of(task.fit), tuple(framed_specs[0].shape[1:3])

    @_graph_function(input_signature=[endpoint.IMAGES_SPEC])
    def serving_default(images):
        sizes = framing.sizes_of(images)
        return predict(fit(images, sizes, size_hw)[0], sizes)

    @_graph_function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def encoded(image_bytes):
        return encoded_outputs(image_bytes, predict, task, size_hw)

    @_graph_function(input_signature=[endpoint.IMAGES_SPEC, endpoint.SIZES_SPEC])
    def padded(images, sizes):
        return predict(fit(images, sizes, size_hw)[0], sizes)

    @_graph_function(input_signature=framed_specs)
    def framed(frames, sizes):
        return predict(frames, framing.checked_sizes_of_images(sizes))

    functions = (serving_default, encoded, padded, framed)
    return dict(zip((contract.SERVING, contract.ENCODED, contract.PADDED, contract.FRAMED), functions, strict=True))


def encoded_outputs(
    image_bytes: tf.Tensor, predict: Callable, task: Task, size_hw: tuple[int, int], *, is_packed: bool = True
) -> dict[str, tf.Tensor]:
    """The outputs of signature `encoded`.

    Args:
      image_bytes: (batch,) string, image files.
      predict: As signature `framed`.
      task: The model's.
      size_hw: Frame height and width in pixels.
      is_packed: Whether outputs that are too large to send are replaced, as `Task.packing` says.

    Returns:
      What the contract says, and the status of each file.
    """
    read = encoded_images.read_each(image_bytes, size_hw, fit_of(task.fit))
    outputs = encoded_images.without_unread(predict(read.frames, read.sizes_hw), read.status)
    if task.packing and is_packed:
        packed = task.packing.pack(outputs, read.sizes_hw, size_hw)
        if not task.finds_objects:  # what is packed for each image; of objects there are none where nothing was read
            packed = encoded_images.without_unread(packed, read.status)
        outputs = {name: outputs[name] for name in outputs if name not in task.packing.replaced} | packed
    return outputs | {contract.STATUS: read.status}


def fit_of(fit: str) -> encoded_images.Fit:
    """What takes images and their sizes to frames, with its checks.

    Args:
      fit: One of `placement.FITS`.

    Returns:
      A function of images (batch, height, width, 3) uint8, sizes (batch, 2) int32 and size_hw, in TensorFlow ops.
    """
    place = _FITS[fit]
    return lambda images, sizes, size_hw: place(images, framing.checked_sizes(images, sizes), size_hw)


def selected_outputs(
    dense: dict[str, tf.Tensor], sizes_hw: tf.Tensor, metadata: Metadata, *, static_shapes: bool = False
) -> dict[str, tf.Tensor]:
    """The outputs of the signatures that take images, from those of `network`.

    Args:
      dense: What `Task.dense` names.
      sizes_hw: (batch, 2) int32, height and width of the images in pixels.
      metadata: Its selection counts.
      static_shapes: As `Task.select`.

    Returns:
      What the contract says, in pixels of the images.
    """
    task = TASKS[metadata.task]
    outputs = {name: dense[name] for name in task.per_image}
    if task.finds_objects:
        selected = task.select(dense, metadata, static_shapes=static_shapes)
        letterbox = framing.letterbox_of(sizes_hw, metadata.image_size_hw)
        placed = task.place({name: selected.take(dense[name]) for name in task.per_anchor}, letterbox)
        outputs |= {name: selected.blank(rows) for name, rows in placed.items()}
        outputs |= {
            "num_detections": selected.num_detections,
            "scores": selected.scores,
            "classes": selected.classes,
        }
    return outputs
