"""The picture: well-formed, all blocks in it, text within its box by a real font's metrics, names that cannot harm."""

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.preflighting.recordings import NAMES, Sketch, recorded
from tftrt_yolo.preflighting.drawing import svg
from tftrt_yolo.preflighting.drawing.blocks import diagram_of
from tftrt_yolo.preflighting.summary import summarize

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    '</text><script>alert("1")</script>&amp;\'',
    "a\x00\x1b[31m\x08\u202e\ud800b",  # what XML does not have, and what a terminal obeys
    "\ufffe\uffff",
    "]]><!--",
    "x" * 5000,
    "名前" * 40,
    "",
]


def _drawn(network):
    return ET.fromstring(svg.draw(network, summarize(network)))


def _number(element, key):
    return float(element.get(key))


def _boxes(root):
    """Each block's rectangle as left, top, right, bottom, and its texts."""
    for group in root.iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        x, y = _number(box, "x"), _number(box, "y")
        yield (x, y, x + _number(box, "width"), y + _number(box, "height")), group.findall(f"{SVG}text")


@pytest.fixture(scope="module")
def fonts():
    """The font that is named first, in the sizes and weights that are used."""
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts/ttf"

    def width(text, size, *, is_bold):
        name = "DejaVuSansMono-Bold.ttf" if is_bold else "DejaVuSansMono.ttf"
        return ImageFont.truetype(str(folder / name), 100).getlength(text) * size / 100

    return width


def _style(element):
    """A text's size and whether it is bold, by its class."""
    name = element.get("class")
    size = {"title": 15, "label": 10}.get(name, 11)
    return size, name in ("title", "copies", "types")


def test_the_sizes_are_those_of_the_style():
    for name, size in (("text", 11), (r"\.title", 15), (r"\.label", 10)):
        assert re.search(rf"{name} {{[^}}]*font-size: {size}px", svg.STYLE), name


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_drawn_and_its_text_fits(name, tmp_path, fonts):
    network = recorded(name, tmp_path)
    diagram = diagram_of(network, summarize(network))
    root = _drawn(network)
    drawn = list(_boxes(root))
    assert len(drawn) == len(diagram.blocks)
    for block, ((left, top, right, bottom), texts) in zip(diagram.blocks, drawn, strict=True):
        assert texts[0].text == block.title
        for text in texts:
            size, is_bold = _style(text)
            half = fonts(text.text, size, is_bold=is_bold) / 2
            x, y = _number(text, "x"), _number(text, "y")
            assert left < x - half < x + half < right, text.text
            assert top < y - size < y < bottom
        lines = [_number(text, "y") for text in texts]
        assert all(lower - upper >= 16 for upper, lower in itertools.pairwise(lines))
    _, _, width, height = map(float, root.get("viewBox").split())
    assert all(0 < left < right < width and 0 < top < bottom < height for (left, top, right, bottom), _ in drawn)


@pytest.mark.parametrize("name", NAMES)
def test_labels_touch_neither_boxes_nor_each_other(name, tmp_path, fonts):
    root = _drawn(recorded(name, tmp_path))
    labels = []
    for text in root.iter(f"{SVG}text"):
        if text.get("class") == "label":
            half = fonts(text.text, 10, is_bold=False) / 2
            x, y = _number(text, "x"), _number(text, "y")
            labels.append((x - half, y - 10, x + half, y + 2))
    assert len(labels) == len(root.findall(f".//{SVG}path[@class='edge']"))
    boxes = [box for box, _ in _boxes(root)]
    for place, label in enumerate(labels):
        for other in labels[place + 1 :] + boxes:
            beside = label[2] < other[0] or other[2] < label[0]
            assert beside or label[3] < other[1] or other[3] < label[1]


@pytest.mark.parametrize("name", NAMES)
def test_edges_connect_the_blocks_that_they_name(name, tmp_path):
    network = recorded(name, tmp_path)
    diagram = diagram_of(network, summarize(network))
    root = _drawn(network)
    boxes = [box for box, _ in _boxes(root)]
    found = set()
    for path in root.iter(f"{SVG}path"):
        source, target = int(path.get("data-source")), int(path.get("data-target"))
        numbers = [float(number) for number in re.findall(r"-?\d+\.\d", path.get("d"))]
        (x, y), (to_x, to_y) = numbers[:2], numbers[-2:]
        assert boxes[source][0] < x < boxes[source][2]
        assert boxes[target][0] < to_x < boxes[target][2]
        assert (y, to_y) == pytest.approx((boxes[source][3], boxes[target][1]), abs=0.11)
        found.add((source, target))
    assert found == {(edge.source, edge.target) for edge in diagram.edges}


def test_copies_and_types_are_marked(tmp_path):
    root = _drawn(recorded("tiny-segment-int8", tmp_path))
    copied = [element for element in root.iter(f"{SVG}rect") if "copied" in element.get("class", "")]
    texts = [element.text for element in root.iter(f"{SVG}text") if element.get("class") == "copies"]
    assert len(copied) == len(texts) > 0
    assert all(re.fullmatch(r"\d+ cop(y|ies), \d+\.\d\d MB", text) for text in texts)
    types = {element.text for element in root.iter(f"{SVG}text") if element.get("class") == "types"}
    assert types == {"computes in INT8"}


def test_several_precisions_are_marked():
    sketch = Sketch()
    first = sketch.convolution(sketch.input(-1, 8, 8, 8), 8, precision="HALF")
    sketch.output(sketch.convolution(first, 8, precision="FLOAT"))
    text = svg.draw(sketch.network(), summarize(sketch.network()))
    assert "mixed: computes in FLOAT and HALF" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_harm(name):
    sketch = Sketch()
    given = sketch.input(-1, 8, 8, 8)
    turned = sketch.transpose(given, 0, 2, 3, 1, name=name)
    sketch.output(sketch.layer(name or "KIND", [turned], (-1, 8), name=f"a/{name}/b:ELEMENTWISE"))
    network = sketch.network(name=name, signature_outputs={"tensor_2": name})
    root = _drawn(network)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "style", "rect", "path", "polygon", "text", "g", "title")
    }
    whole = ET.tostring(root, encoding="unicode")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\ufffe\uffff]", whole)
    for (left, _, right, _), texts in _boxes(root):
        assert all(svg.text_width(text.text or "", _style(text)[0]) <= right - left for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_comes_from_outside(name, tmp_path):
    network = recorded(name, tmp_path)
    text = svg.draw(network, summarize(network))
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<use|<foreignObject|@import|url\(|\bon\w+=|href", text)


def test_a_network_of_nothing_is_an_empty_picture():
    assert list(_boxes(_drawn(Sketch().network()))) == []


def test_two_runs_draw_the_same(tmp_path):
    network = recorded("tiny-pose", tmp_path)
    assert svg.draw(network, summarize(network)) == svg.draw(network, summarize(network))
