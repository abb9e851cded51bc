"""What the page says, in HTML: everything that comes from a file, a client or a model is escaped.

words.problem("dog.jpg is empty. Expected an image file.")
words.figures(words.Times(...), model)
"""

import dataclasses
import html
import statistics

from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.serving.page.asking import Model
from tftrt_yolo.serving.page.clips import Progress
from tftrt_yolo.tasks.results import tables
from tftrt_yolo.tasks.table import in_words

_MOST_LETTERS = 60  # of a file's name
_MOST_ROWS = 100
EMPTY = (
    '<div class="empty"><p>What the model finds appears here.</p>'
    "<p>Drop one or more pictures, or a video, on the left.</p></div>"
)


@dataclasses.dataclass(frozen=True)
class Times:
    """How long answers took.

    Attributes:
      queue_seconds: In the queue for a batch, on average of the requests.
      compute_seconds: In the model's process, on average.
      total_seconds: From the files to the pictures, drawn.
      count: Pictures or frames.
    """

    queue_seconds: float
    compute_seconds: float
    total_seconds: float
    count: int


def problem(message: str) -> str:
    """Something that went wrong: what, and what to do."""
    return f'<div class="problem" role="alert">{html.escape(shown(message, 1_000))}</div>'


def note(message: str) -> str:
    """Something that is to be known."""
    return f'<div class="note" role="status">{html.escape(shown(message, 1_000))}</div>'


def working(what: str, done: int | None = None, total: int | None = None) -> str:
    """That something is under way.

    Args:
      what: Half a sentence.
      done: How many are done.
      total: Of how many; None where that is not known.
    """
    share = f' value="{done}" max="{total}"' if total else ""
    return f'<div class="note" role="status"><span>{html.escape(what)}</span><progress{share}></progress></div>'


def model_line(model: Model) -> str:
    """A model in a line: task, classes, size, what runs it; and its words on native segments."""
    state, (height, width) = model.state, model.metadata.image_size_hw
    facts = [in_words(model.task.name, len(model.names), " · "), f"{width} x {height} px"]
    native = "Native segments run in place of TensorRT's engines. " if state.is_native else ""
    backend = f"{native}{state.backend}"
    mark = ' class="native"' if state.is_native else ""
    lines = f"<span>{html.escape(' · '.join(facts))}</span><span{mark}>{html.escape(backend)}</span>"
    return f'<div class="model">{lines}</div>'


def figures(times: Times, model: Model, version: int) -> str:
    """Latency and version as figures side by side."""
    per = "" if times.count == 1 else " each"
    cells = [
        ("queue", _milliseconds(times.queue_seconds), "wait for a batch"),
        ("compute", _milliseconds(times.compute_seconds), f"in the model's process{per}"),
        ("total", _milliseconds(times.total_seconds), "read, found and drawn"),
        ("answered by", f"{shown(model.state.name, 24)}", f"version {version} on {model.state.device or 'its device'}"),
    ]
    boxes = "".join(
        f'<div><span class="label">{label}</span><span class="value" data-name="{label}">{html.escape(value)}</span>'
        f'<span class="label">{html.escape(below)}</span></div>'
        for label, value, below in cells
    )
    return f'<div class="figures">{boxes}</div>'


def results(found: list[tuple[str, object]]) -> str:
    """Tables of what was found.

    Args:
      found: Each picture's name and its result.
    """
    parts = (
        f'<section><h4>{_escaped(name)}</h4><div class="result">{tables.page(result)}</div></section>'
        for name, result in found
    )
    return f'<div class="results">{"".join(parts)}</div>'


def of_clip(progress: Progress, unit: str) -> str:
    """A table of what was found in a video.

    Args:
      progress: How it ended.
      unit: What is counted: boxes, or frames.
    """
    rate = progress.frames / progress.seconds if progress.seconds else 0.0
    head = f"{counted(progress.frames, 'frame')}, {rate:.1f} a second"
    table = _depths(progress.depths) if progress.depths else _counts(progress, unit)
    return f'<div class="results"><div class="result"><p><b>{head}</b></p>{table}</div></div>'


def _counts(progress: Progress, unit: str) -> str:
    """How often each class was found; empty if none was."""
    rows = [
        (html.escape(shown(name, 40)), f"{count:,}", f"{count / max(progress.frames, 1):.2f}")
        for name, count in progress.found.most_common(_MOST_ROWS)
    ]
    return _table(("name", unit, "a frame"), rows) if rows else ""


def _depths(depths: list[dict[str, float]]) -> str:
    """How the figures of a picture's table differ from frame to frame."""
    rows = []
    for label, of in (("least", min), ("mean", statistics.fmean), ("largest", max)):
        rows.append((label, *(f"{of(frame[name] for frame in depths):.2f}" for name in depths[0])))
    return _table(("metres, of all frames", *depths[0]), rows)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of what is HTML already."""
    head = "".join(f"<th>{name}</th>" for name in header)
    lines = "".join(f"<tr><td>{'</td><td>'.join(cells)}</td></tr>" for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _milliseconds(seconds: float) -> str:
    """Seconds for a reader."""
    return f"{1e3 * seconds:.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _escaped(name: str) -> str:
    """A file's name for HTML."""
    return html.escape(shown(name, _MOST_LETTERS))
