"""Masks of a COCO JSON: polygons, or a run-length encoding of the image's size.

outline = checked(annotation.get("segmentation"), (480, 640), "instances.json, annotation 3")
"""

from tftrt_yolo.evaluation.datasets.coco import coco_values
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import quoted, shown

_LEAST_POLYGON = 6


def checked(segmentation: object, size_hw: tuple[int, int], place: str) -> list | dict:
    """Checks a mask.

    Args:
      segmentation: Of an annotation.
      size_hw: Height and width of its image in pixels.
      place: Names it, for messages.

    Returns:
      Polygons, the one with the most corners first, or a run-length encoding as a list of runs. As pycocotools takes
      them: a corner's number too many is dropped, and so is what has no three corners, beside what has.

    Raises:
      DatasetError: If it is empty, or no mask of this image.
    """
    if not segmentation:
        raise DatasetError(
            f"{place}: it has no segmentation. A model for segment needs masks; give labels for segment."
        )
    if isinstance(segmentation, dict):
        return _runs(segmentation, size_hw, place)
    if not isinstance(segmentation, list):
        raise DatasetError(f"{place}: segmentation is a {type(segmentation).__name__}. Expected polygons or runs.")
    polygons = [coco_values.numbers(polygon, None, f"{place}: segmentation") for polygon in segmentation]
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in polygons if len(polygon) >= _LEAST_POLYGON]
    if not polygons:
        raise DatasetError(f"{place}: a polygon needs at least three corners of x and y each.")
    # The library draws every pixel of an outline, and one that is far away would take all memory.
    if any(max(map(abs, polygon)) > 2 * max(size_hw) for polygon in polygons):
        raise DatasetError(f"{place}: its polygon lies far outside of the image. Expected pixels of the image.")
    return polygons


def _runs(segmentation: dict, size_hw: tuple[int, int], place: str) -> dict:
    """A run-length encoding, compressed or not, of exactly the image's pixels."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != list(size_hw) or not isinstance(counts, (list, str)):
        found = size if isinstance(size, list) and len(size) == 2 else quoted(size)
        raise DatasetError(
            f"{place}: its run-length encoding is of size {shown(found, 80)}, the image is of {list(size_hw)}, height "
            "and width. Expected the same, and counts."
        )
    lengths = uncompressed(counts) if isinstance(counts, str) else counts
    most = size_hw[0] * size_hw[1]
    # Python's own whole numbers: a sum of 64 bits may come round to the right one. 12.0 is a length as well.
    are_lengths = all(coco_values.is_number(length) and 0 <= length <= most and length % 1 == 0 for length in lengths)
    if not lengths or not are_lengths or sum(lengths) != most:
        raise DatasetError(f"{place}: the runs of its mask do not add up to the image. Expected every pixel once.")
    return {"size": list(size_hw), "counts": list(map(int, lengths))}


def uncompressed(counts: str) -> list[int]:
    """Runs from COCO's compressed string; nothing, where it is none.

    Five bits a character and a bit for more, the last one's fifth bit is the sign; from the fourth run on the
    difference to the one before the last. Source: rleFrString of COCO's maskApi.c.
    """
    runs, value, shift = [], 0, 0
    for character in counts.encode(errors="replace"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) and 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def compressed(runs: list[int]) -> str:
    """Runs as COCO's compressed string, which `uncompressed` reads. Source: rleToString of COCO's maskApi.c."""
    characters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        is_more = True
        while is_more:
            bits, value = value & 31, value >> 5
            is_more = value != (-1 if bits & 16 else 0)
            characters.append(chr(bits + 32 * is_more + 48))
    return "".join(characters)
