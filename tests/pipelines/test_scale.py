"""The reckoning of docs/pages/scale.md: its table is what the script prints, and the script does what it says."""

import importlib.util
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scale"]


def test_the_table_of_the_page_is_what_the_script_prints():
    page = (ROOT / "docs" / "pages" / "scale.md").read_text()
    printed = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True).stdout
    assert re.search(r"<!-- scale: begin -->\n(.*?)<!-- scale: end -->", page, re.DOTALL)[1] == printed


def test_a_node_is_as_fast_as_its_slowest_part(scale):
    figures = json.loads(scale.FIGURES.read_text())
    picture = figures["pictures"]["640 x 480"]
    second = 1 / picture["decoded_per_second"] + picture["pixel_bytes"] / figures["object_store_bytes_per_second"]
    found = scale.bounds(scale.Node(16, 2, 10), "yolov8n", "640 x 480", figures)
    benchmark = json.loads((ROOT / "benchmarks" / "h200-yolov8n" / "benchmark.json").read_text())
    [end_to_end] = [
        statistics.median(one["windows_images_per_second"])
        for one in benchmark["measurements"]
        if (one["contestant"], one["mode"], one["batch_size"]) == ("xla-fp16", "end_to_end", 64)
    ]
    assert found["decoding"] == pytest.approx(16 / second)
    assert found["network"] == pytest.approx(2 * end_to_end)
    assert found["transfer"] == pytest.approx(10e9 / 8 / picture["file_bytes"])
    cells = scale.row(scale.Node(16, 2, 10), "yolov8n", "640 x 480", figures, images=1e9, hours=24)
    assert cells[5] == "decoding"
    hours = 1e9 * second / 16 / 3_600
    assert cells[7] == f"{hours:,.0f}"
    assert int(cells[6].replace(",", "")) == -(-hours // 24)
    # Without a GPU the cores do both: the seconds of a picture are those of decoding and of the network.
    alone = scale.bounds(scale.Node(4, 0, 10), "yolov8n", "640 x 480", figures)
    assert 4 / alone["network"] == pytest.approx(second + 2 / scale.rate("yolov8n", "cpu2"))
