"""How far a conversion for XLA or oneDNN is from its export: detections, and the dense outputs behind them.

    found = measure(source, converted, None, batch_size=1)     # on the packaged pictures
    found["parity"], found["dense"]["boxes"].largest

The pictures are of digits. A model of something else may detect little there or nothing, and then the dense outputs say
how far it moves. Where there are detections these do, for XLA would have to compile `network` for the dense outputs.
"""

from tftrt_yolo.converter import comparison
from tftrt_yolo.saved_model.handle import SavedModelHandle

_ENOUGH_DETECTIONS = 10  # below, the dense outputs are compared too


def measure(
    source: SavedModelHandle, converted: SavedModelHandle, images: list[str] | None, *, batch_size: int
) -> dict:
    """Compares a conversion with its export.

    Args:
      source: The export.
      converted: The conversion.
      images: Paths of images; None for the packaged ones.
      batch_size: Images a call, all alike, so that XLA compiles no more than this.

    Returns:
      The fields of BakedReport that say so: `parity`, and where it is of few detections `dense`.

    Raises:
      ImageError: If an image cannot be read.
    """
    if images is None:
        images = comparison.packaged_images(source.metadata.task)
    parity = comparison.compare(source, converted, images, batch_size=batch_size)
    if parity.detections >= _ENOUGH_DETECTIONS:
        return {"parity": parity}
    return {"parity": parity, "dense": comparison.compare_dense(source, converted, images, batch_size=batch_size)}
