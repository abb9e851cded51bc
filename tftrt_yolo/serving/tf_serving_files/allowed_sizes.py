"""The batch sizes that a model server is to make, by what runs them.

sizes = allowed_sizes(open_saved_model("digits_fp16_saved_model"), None)     # (1, 8), for which its engines are
allowed_sizes(open_saved_model("digits_saved_model"), (1, 16))               # (1, 16): an export runs any
"""

from collections.abc import Iterable

from tftrt_yolo.converter.conversion_report import BakedReport, ConversionReport, EngineReport
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.saved_model.handle import SavedModelHandle

ANY = (1, 2, 4, 8)  # where every size runs alike: a batch is filled up by less than its own size


def allowed_sizes(handle: SavedModelHandle, asked: Iterable[int] | None) -> tuple[int, ...]:
    """The sizes to which a server fills its batches up.

    Args:
      handle: A SavedModel.
      asked: Which are wanted, of `check_batch_sizes`; None for those of the conversion, and `ANY` where all run alike.

    Returns:
      The sizes, rising, each once.

    Raises:
      ValueError: If asked has one that the conversion was not made for.
      ServingError: If the engines are a rehearsal's, which no server can load.
    """
    sizes = None if asked is None else tuple(sorted(set(asked)))
    made, why = _made_for(handle)
    if sizes is None:
        return made or ANY
    foreign = [size for size in sizes if made and size not in made]
    if foreign:
        raise ValueError(
            f"{argument('batch_sizes')} has {foreign[0]}, and {handle.given} {why}; expected "
            f"{'some of ' if len(made) > 1 else ''}{', '.join(map(str, made))}. Leave it out for these, or convert "
            "the export again for others."
        )
    return sizes


def _made_for(handle: SavedModelHandle) -> tuple[tuple[int, ...], str]:
    """The sizes that alone are quick, none where all are; and why."""
    if handle.conversion is None:
        return (), ""
    report = ConversionReport.read(handle)
    if isinstance(report, EngineReport):
        return _of_engines(handle, report)
    if isinstance(report, BakedReport) and report.batch_sizes:
        return tuple(sorted(report.batch_sizes)), f"is compiled for {', '.join(map(str, report.batch_sizes))}"
    return (), ""


def _of_engines(handle: SavedModelHandle, report: EngineReport) -> tuple[tuple[int, ...], str]:
    """Those of engines that are there; where they are built at first use, the one size that comes first."""
    if report.engines_built and report.has_stand_in:
        raise ServingError(
            f"{handle.given} holds engines of a rehearsal, which the stand-in for TensorRT built; expected TensorRT's, "
            "or none. No server can load them: convert the export again outside the rehearsal."
        )
    sizes = tuple(sorted(set(report.batch_sizes)))
    if report.engines_built:
        return sizes, f"has engines for {', '.join(map(str, sizes))}"
    return sizes[-1:], f"has engines that are built for the first batch, of {sizes[-1]}, and for no other"
