"""A benchmark's figures as cells of tables, on the terminal and on the pages.

rate(measurement)            # "12,583", "~1,538" if unstable, "-" if missing
"""

from tftrt_yolo.benchmarking.results.measurements import Measurement

MISSING = "-"


def rate(measurement: Measurement | None) -> str:
    """Images per second as a cell: about three digits, with a tilde if unstable."""
    if measurement is None:
        return MISSING
    figure = measurement.images_per_second
    text = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
    return f"~{text}" if measurement.is_unstable else text


def milliseconds(figure: float) -> str:
    """A latency as a cell: about three digits."""
    return f"{figure:.3g}" if figure < 1e3 else _whole(figure)


def percent(share: float | None) -> str:
    """A share as a cell."""
    return MISSING if share is None else f"{share:.0%}"


def memory(num_bytes: int | None) -> str:
    """Memory in MB as a cell; 0 where a crash came before it was asked for."""
    return MISSING if not num_bytes else _whole(num_bytes / 1e6)


def duration(seconds: float | None) -> str:
    """Seconds as a cell."""
    return MISSING if seconds is None else f"{seconds:.1f}"


def _whole(number: float) -> str:
    """A number without decimals."""
    return f"{number:,.0f}"
