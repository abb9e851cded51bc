"""README and the site: what they must say, that their links lead somewhere, and that what they name exists."""

import configparser
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import types

import pytest

import tftrt_yolo
from tests.documents import DOCUMENTS, LANGUAGES, PAGES, README, ROOT, anchors, blocks, links, prose
from tftrt_yolo import contract

SITE = ROOT / "docs"
COMMANDS = (
    "export",
    "convert",
    "preflight",
    "build_engine",
    "extract_engines",
    "write_onnx",
    "predict",
    "batch",
    "inspect",
    "check",
    "benchmark",
    "evaluate",
    "sensitivity",
    "serve",
    "triton",
    "tf_serving",
    "demo",
    "acceptance",
)


def _load(path):
    """A script that is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_a_front_page():
    lines = README.read_text().splitlines()
    assert len(lines) <= 180
    assert "No engine has been built by TensorRT 8.6.1 so far" in "\n".join(lines[:25])
    assert len(blocks(README, "python")) == 1
    text = [line for line in prose(README).splitlines() if not line.startswith("|")]
    assert len(" ".join(text).split()) <= 1_050
    tables = re.findall(r"^\|[-:| ]+\|$", README.read_text(), re.MULTILINE)
    assert len(tables) <= 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks_are_run_or_text(document):
    """A language that is not known, or a block that is indented, would be left out of the tests in silence."""
    assert {block.language for block in blocks(document)} <= set(LANGUAGES)
    assert len(re.findall(r"^\s*```", document.read_text(), re.MULTILINE)) == 2 * len(blocks(document))


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "benchmarks").glob("*.md"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_relative_links_resolve(document):
    for name, anchor in links(document):
        target = (document.parent / name).resolve() if name else document
        assert target.is_file(), f"{name} is not there"
        assert not anchor or anchor in anchors(target), f"{name} has no anchor {anchor}"


def test_no_merge_was_left_half_done():
    for path in [*ROOT.glob("*.md"), *DOCUMENTS, *(ROOT / "benchmarks").glob("*.md")]:
        assert not re.search(r"^(<{7} |={7}$|>{7} )", path.read_text(), re.MULTILINE), path


def test_the_first_page_lists_every_extra_and_every_notebook():
    text = (SITE / "pages" / "index.md").read_text()
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(extras["options.extras_require"])
    names = {name for name, _ in links(SITE / "pages" / "index.md")}
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "executed").glob("*.md")]:
        assert f"../../{path.relative_to(ROOT).as_posix()}" in names


def test_every_page_is_in_the_navigation():
    import yaml

    config = yaml.safe_load((SITE / "mkdocs.yml").read_text())
    listed = {page for section in config["nav"] for pages in section.values() for one in pages for page in one.values()}
    added = {place for place in _load(SITE / "site_files.py").repository_files().values() if place.endswith(".md")}
    assert listed == {path.relative_to(SITE / "pages").as_posix() for path in PAGES} | added


def test_the_reference_has_every_public_name_once():
    named = re.findall(r"^::: (.+)$", "\n".join(path.read_text() for path in PAGES), re.MULTILINE)
    public = set(tftrt_yolo.__all__) - {"__version__"}
    assert sorted(named) == sorted(f"tftrt_yolo.{name}" for name in public)
    homes = _load(SITE / "site_files.py").homes()
    assert set(homes) == public
    for name, module in homes.items():
        assert getattr(importlib.import_module(module), name) is getattr(tftrt_yolo, name)


def test_the_reference_stands_on_its_own_pages():
    for path in PAGES:
        assert path.parent.name == "reference" or not re.search(r"^:::", path.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def flags():
    """The flags of each command, as its help lists them."""

    def of(command):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, "-m", "tftrt_yolo", command, "--help"]
        text = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout
        return set(re.findall(r"^ +--(\w+)", text, re.MULTILINE)) | {"help"}

    return {command: of(command) for command in COMMANDS}


def test_the_flags_that_the_pages_name_exist(flags):
    """In running text as `convert --half`, in blocks as `tftrt-yolo convert --half=True`."""
    pattern = re.compile(rf"(?:tftrt-yolo |`)({'|'.join(COMMANDS)})((?: +[^`\s-]\S*| --\w+[^`\s]*)*)")
    found = 0
    for document in DOCUMENTS:
        text = re.sub(r"\s*\\\n\s*", " ", document.read_text())
        for command, arguments in pattern.findall(text):
            named = set(re.findall(r" --(\w+)", arguments))
            assert named <= flags[command], f"{document.name}: {command} has no {named - flags[command]}"
            found += len(named)
        every = set.union(*flags.values()) | {"version"}
        alone = set(re.findall(r"`--(\w+)", text))
        assert alone <= every, f"{document.name}: no command has {alone - every}"
    assert found > 50


def test_the_page_for_ultralytics_users_has_their_words():
    text = (SITE / "pages" / "ultralytics.md").read_text()
    words = (
        "conf iou imgsz half int8 device batch nms dynamic simplify opset workspace max_det classes agnostic_nms save "
    )
    words += "project name source data fraction quantize split model format stream exist_ok retina_masks augment"
    left = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| "))
    for word in words.split():
        assert re.search(rf"`{word}[`=]", left), word


def test_the_contracts_page_lists_every_signature():
    text = (SITE / "pages" / "contract.md").read_text()
    for signature in contract.ALL_SIGNATURES:
        assert f"| `{signature}` |" in text


def test_the_int8_tables_are_those_of_the_results(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    int8 = _load(ROOT / "benchmarks" / "int8.py")
    page, table = int8.PAGE, int8.TABLE
    text = page.read_text()
    begin, end = int8.MARKERS
    monkeypatch.setattr(int8, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(int8, "TABLE", tmp_path / "table.md")
    int8.PAGE.write_text(f"{text.partition(begin)[0]}{begin}\nold\n{end}{text.partition(end)[2]}")
    int8.write(json.loads(int8.RESULTS.read_text()))
    assert int8.PAGE.read_text() == text
    assert int8.TABLE.read_text() == table.read_text()


def test_the_table_of_layers_in_float_is_that_of_the_results(tmp_path, monkeypatch):
    float_layers = _load(ROOT / "benchmarks" / "float_layers.py")
    table = float_layers.TABLE
    monkeypatch.setattr(float_layers, "TABLE", tmp_path / "table.md")
    float_layers.write(json.loads(float_layers.RESULTS.read_text()))
    assert float_layers.TABLE.read_text() == table.read_text()


def test_the_repositorys_links_hold_on_the_site():
    """A link to a file of the repository, and one from such a file, becomes one between pages of the site."""
    hook = _load(SITE / "site_files.py")

    def rewritten(markdown, path, place):
        file = types.SimpleNamespace(abs_src_path=str(path), src_uri=place)
        return hook.on_page_markdown(markdown, page=types.SimpleNamespace(file=file))

    page = SITE / "pages" / "reference" / "a.md"
    assert rewritten("[a](../../../CHANGELOG.md#x)", page, "reference/a.md") == "[a](../changelog.md#x)"
    assert rewritten("[a](../int8.md)", page, "reference/a.md") == "[a](../int8.md)"
    assert rewritten("[a](docs/pages/int8.md)", ROOT / "CONTRIBUTING.md", "contributing.md") == "[a](int8.md)"
    assert rewritten("::: tftrt_yolo.export", page, "reference/a.md") == "::: tftrt_yolo.exporter.export.export"
    assert rewritten("[a](https://a.b/c)", page, "reference/a.md") == "[a](https://a.b/c)"
    assert "yolov8n-digits" in rewritten("<!-- benchmark table -->", SITE / "pages" / "speed.md", "speed.md")


def test_the_pages_link_to_what_is_on_the_site():
    """mkdocs is strict about it, and runs where its environment is: `make docs`."""
    known = {*_load(SITE / "site_files.py").repository_files(), *PAGES}
    targets = {
        (page, name)
        for page in PAGES
        for name, _ in links(page)
        if name and not (page.parent / name).resolve().is_relative_to(SITE / "pages" / "assets")
    }
    assert len(targets) > 50
    assert [pair for pair in sorted(targets) if (pair[0].parent / pair[1]).resolve() not in known] == []


def test_a_broken_site_is_found_out(tmp_path):
    check_links = _load(SITE / "check_links.py")
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a><a href="https://a.b">far</a>')
    (tmp_path / "b.html").write_text('<h1 id="here">B</h1><img src="c.png"><a href="a.html#nowhere">a</a>')
    (tmp_path / "c.html").write_text(
        '<script src="https://a.b/c.js"></script><link rel="canonical" href="https://a.b">'
    )
    assert sorted(check_links.problems(tmp_path)) == [
        "b.html links to a.html#nowhere: there is no such anchor",
        "b.html links to c.png: there is no such file",
        "c.html loads https://a.b/c.js",
    ]
    assert check_links.problems(tmp_path / "nothing")[0].endswith("has no page. Build it with `make docs`.")
