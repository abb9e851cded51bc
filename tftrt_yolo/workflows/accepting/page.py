"""The report as one HTML page, to be attached to an issue.

    path.write_text(page(report), encoding="utf-8")

It holds all that it shows, runs no script and asks nothing of the network.
"""

from collections.abc import Iterable

from tftrt_yolo.ground.text import counted
from tftrt_yolo.preflighting.drawing.svg import escaped
from tftrt_yolo.workflows.accepting.acceptance_report import (
    FAILED,
    IMPOSSIBLE,
    NOT_RUN,
    REHEARSAL,
    AcceptanceReport,
    Row,
)

_MOST = 6_000  # characters of what a step said
_CLASSES = {"ok": "passed", "rehearsed": "rehearsal", "FAILED": "failed", "-": "impossible", "not run": "unrun"}
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6577; --page: #ffffff; --rule: #d5dbe5;
 --good: #12703d; --bad: #b3261e; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf3; --soft: #9aa6b8; --page: #12161d; --rule: #313a48;
 --good: #6fd39c; --bad: #ff8a80; --mark: #4a3d10; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto;
 max-width: 1200px; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border-bottom: 1px solid var(--rule); padding: 3px 14px 3px 0; text-align: left; vertical-align: top; }
pre { font-size: 12px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
.scroll { overflow-x: auto; }
.headline { font-size: 17px; border-left: 4px solid var(--rule); padding: 4px 12px; max-width: 75ch; }
.headline.failed { border-color: var(--bad); }
.note, .impossible, .unrun { color: var(--soft); }
.passed { color: var(--good); }
.failed { color: var(--bad); font-weight: 600; }
.headline.failed { color: inherit; font-weight: inherit; }
.rehearsal { background: var(--mark); padding: 0 4px; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
"""


def page(report: AcceptanceReport) -> str:
    """Writes the page.

    Args:
      report: What was found.

    Returns:
      An HTML document.
    """
    title = escaped(report.title)
    parts = [f"<h1>{title}</h1>", *_head(report), "<h2>At a glance</h2>", _matrix(report)]
    for state, heading in (
        (FAILED, "What failed"),
        (NOT_RUN, "What was not run"),
        (IMPOSSIBLE, "What this machine lacks"),
    ):
        parts += _reasons(report, state, heading)
    parts += ["<h2>The machine</h2>", *_machine(report), "<h2>Every step</h2>"]
    parts += [_task(report, task) for task in ("", *report.tasks) if any(row.task == task for row in report.rows)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _head(report: AcceptanceReport) -> list[str]:
    """What a reader must know first."""
    counts = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
    kind = "headline failed" if report.faults else "headline"
    return [
        f'<p class="{kind}">{escaped(report.headline, _MOST)}</p>',
        f"<p><b>{counted(len(report.rows), 'step')}: {escaped(counts)}.</b> {escaped(report.machine, _MOST)}; "
        f"{escaped(report.machine.date)}; {report.seconds:.0f} s.</p>",
        '<p class="note">Small YOLOv8 models of handwritten digits (width 0.125; 320 px, classify 64 px) that come '
        "with the package. Their speed and accuracy say that things work, and nothing of larger models.</p>",
    ]


def _matrix(report: AcceptanceReport) -> str:
    """A line a task and precision, a column a step."""
    header, lines = report.matrix()
    rows = (
        [escaped(cell) for cell in line[:2]]
        + [f'<span class="{_CLASSES.get(cell, "note")}">{escaped(cell)}</span>' for cell in line[2:]]
        for line in lines
    )
    key = (
        '<p class="note">"-" is not possible on this machine, and no fault; an empty place is no step of this line.</p>'
    )
    return f'<div class="scroll">{_table(header, rows)}</div>\n{key}'


def _reasons(report: AcceptanceReport, state: str, heading: str) -> list[str]:
    """The words of the rows in a state, each once."""
    found = report.reasons(state)
    if not found:
        return []
    rows = (
        ("<br>".join(escaped(name) for name in _named(rows)), f"<pre>{_lines(words)}</pre>")
        for words, rows in found.items()
    )
    return [f"<h2>{heading}</h2>", _table(("step", "why"), rows)]


def _named(rows: list[Row]) -> list[str]:
    """Steps, each with its tasks and precisions."""
    places = {}
    for row in rows:
        places.setdefault(row.step, []).append(" ".join(filter(None, (row.task, row.precision_mode))))
    return [": ".join(filter(None, (step, ", ".join(where)))) for step, where in places.items()]


def _machine(report: AcceptanceReport) -> list[str]:
    """What `check` says."""
    words = str(report.environment) if report.environment else "`tftrt-yolo check` did not come to an end here."
    flags = ", ".join(report.machine.cpu_flags) or "none of interest"
    return [f"<pre>{_lines(words)}</pre>", f'<p class="note">CPU flags: {escaped(flags)}.</p>']


def _task(report: AcceptanceReport, task: str) -> str:
    """Every row of a task."""
    rows = (
        (
            escaped(row.precision_mode or "-"),
            escaped(row.step),
            _state(row),
            f'<span class="number">{row.seconds:.1f}</span>',
            _figures(row),
            f"<pre>{_lines(row.finding.words)}</pre>",
        )
        for row in report.rows
        if row.task == task
    )
    header = ("precision", "step", "state", "s", "figures", "words")
    return f"<h3>{escaped(task or 'this machine')}</h3>\n{_table(header, rows)}"


def _state(row: Row) -> str:
    """A row's state, and that it is a rehearsal's."""
    kind = {FAILED: "failed", IMPOSSIBLE: "impossible", NOT_RUN: "unrun"}.get(row.finding.state, "passed")
    mark = f'<br><span class="rehearsal">{REHEARSAL}</span>' if row.finding.is_rehearsal else ""
    return f'<span class="{kind}">{escaped(row.finding.state)}</span>{mark}'


def _figures(row: Row) -> str:
    """A row's figures, one a line."""
    return "<br>".join(f"{escaped(name)}: {escaped(_figure(value))}" for name, value in row.finding.figures.items())


def _figure(value: float | str) -> str:
    """A figure with four digits that count; whole numbers whole."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(text: str) -> str:
    """A text of several lines, each as a document may hold it."""
    return "\n".join(escaped(line, _MOST) for line in text.splitlines())


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f"<th>{escaped(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
