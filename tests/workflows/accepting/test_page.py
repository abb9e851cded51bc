"""The page: whole by itself, every row on it, and nothing of what a step said can harm its reader."""

import re
from html.parser import HTMLParser

import pytest

from tests.workflows.accepting import reports
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, Finding
from tftrt_yolo.workflows.accepting.page import page

VOID = {"meta", "br"}
HOSTILE = "<script>alert(1)</script>\n\x1b[31m\u202e&amp;\x00 \"quoted\" 'too' <img src=x onerror=alert(2)>"


class _Document(HTMLParser):
    """Checks that tags are closed in their order, and keeps tags, attributes and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


REPORTS = {
    "no GPU": reports.without_engines(reports.WITHOUT_GPU),
    "stand-in": reports.built(is_rehearsal=True),
    "TensorRT": reports.built(),
    "check crashed": reports.without_engines(reports.CRASHED),
}


@pytest.mark.parametrize("name", REPORTS)
def test_it_says_what_the_report_says(name):
    report = REPORTS[name]
    document = _Document(page(report))
    assert document.texts.count(report.title) == 2  # the title and the heading
    assert report.headline in document.texts
    for row in report.rows:
        assert row.step in document.texts
        assert row.finding.state in document.texts


@pytest.mark.parametrize("name", REPORTS)
def test_it_loads_and_runs_nothing(name):
    text = page(REPORTS[name])
    document = _Document(text)
    assert not document.tags & {"script", "link", "img", "iframe", "object"}
    assert not {key for key, _ in document.attributes} & {"src", "href", "style"}
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'; style-src 'unsafe-inline'" in text


def test_every_row_of_an_engine_of_a_rehearsal_says_so():
    document = _Document(page(reports.built(is_rehearsal=True)))
    assert document.texts.count("rehearsal, not TensorRT") == 2  # convert and built engines, in FP16
    assert not any("rehearsal" in text for text in _Document(page(reports.built())).texts if "{" not in text)


def test_figures_are_short():
    texts = _Document(page(reports.built())).texts
    assert "MB of engines: 3.142" in texts
    assert "engines: 1" in texts
    assert "built by: TensorRT 8.6.1" in texts


def test_what_a_step_said_does_no_harm():
    rows = [(HOSTILE, "FP16", Finding(FAILED, HOSTILE, {HOSTILE: HOSTILE}))]
    text = page(reports.report(reports.WITH_TENSORRT, *rows))
    document = _Document(text)
    assert not document.tags & {"script", "img"}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    assert any("<script>alert(1)</script>" in words for words in document.texts)
