"""The page: whole by itself, every layer on it, links that lead somewhere, names that cannot harm."""

import re
from html.parser import HTMLParser

import pytest

from tests.preflighting.drawing.test_svg import HOSTILE
from tests.preflighting.recordings import NAMES, Sketch, recorded
from tftrt_yolo.preflighting.drawing.page import page
from tftrt_yolo.preflighting.summary import summarize

VOID = {"meta", "input", "br"}


class _Document(HTMLParser):
    """Checks that tags are closed in their order, and keeps what is asked for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def values(self, key):
        return [value for name, value in self.attributes if name == key]


def _page(*networks, title="a model"):
    return page([(network, summarize(network)) for network in networks], title=title)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_on_the_page(name, tmp_path):
    network = recorded(name, tmp_path)
    document = _Document(_page(network))
    for layer in network.layers:
        assert layer.name in document.texts
    links = [link.removeprefix("#") for link in document.values("href")]
    assert set(links) <= set(document.values("id"))
    assert len(links) == document.tags.count("details")
    assert document.tags.count("script") == 0


def test_several_engines_have_a_section_each(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    networks = recorded("tiny-detect", tmp_path / "a"), recorded("tiny-classify", tmp_path / "b")
    text = _page(*networks)
    document = _Document(text)
    assert document.tags.count("section") == 2
    assert [text for text in document.texts if re.fullmatch(r"Engine \d of \d", text)] == [
        "Engine 1 of 2",
        "Engine 2 of 2",
    ]
    assert "2 TensorRT engines." in text
    ids = document.values("id")
    assert len(ids) == len(set(ids))
    assert {link.split("-")[0] for link in document.values("href")} == {"#engine1", "#engine2"}


def test_it_needs_nothing_from_outside(tmp_path):
    text = _page(recorded("tiny-segment-int8", tmp_path))
    assert set(re.findall(r"https?://[^\"]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|\bon\w+=|src=", text)
    assert text.count("prefers-color-scheme: dark") == 2  # the page's and the picture's
    assert 'name="zoom1"' in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_harm(name):
    sketch = Sketch()
    turned = sketch.transpose(sketch.input(-1, 8, 8, 8), 0, 2, 3, 1, name=name)
    weird = sketch.convolution(turned, 8, name=f"a/{name}/b:CONVOLUTION", padding_mode=name, precision=name)
    sketch.output(sketch.layer(name or "KIND", [weird], (-1, 8), output="FLOAT"))
    text = _page(sketch.network(name=name, signature_outputs={"tensor_3": name}), title=name)
    document = _Document(text)
    assert "script" not in document.tags
    assert not {key for key, _ in document.attributes if key.startswith("on")}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ud800\ufffe\uffff]", text)
    text.encode("utf-8")


def test_figures_and_misfits_are_told():
    sketch = Sketch()
    image = sketch.input(-1, 8, 6, 6)
    facts = {"maps": 16, "kernel": (3, 3), "stride": (1, 1), "groups": 1}
    sketch.output(sketch.layer("CONVOLUTION", [image], (-1, 16, 4, 4), weights={}, **facts))
    text = _page(sketch.network(builder_flags=387))
    assert "FP16, INT8, TF32, SPARSE_WEIGHTS" in text
    assert "a multiply-accumulate of a convolution" in text
    assert "EXPLICIT_BATCH" in text
    assert "filters that do not fit" in text


def test_a_model_without_engines():
    document = _Document(page([], title="none"))
    assert "section" not in document.tags
