from pathlib import Path

import pytest

import tftrt_yolo
from tests.benchmarking.reports import made_report, measured
from tftrt_yolo.benchmarking.results import page

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    return tmp_path


def _write(repository, name, report):
    (repository / "benchmarks" / name).mkdir()
    report.write(repository / "benchmarks" / name)


def test_the_committed_pages_are_what_would_be_rendered():
    for path, text in page.render(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is not up to date: run make benchmarks"


def test_both_pages(repository):
    pytest.importorskip("matplotlib")
    _write(repository, "gpu", made_report())
    (repository / "benchmarks" / "findings.md").write_text("**Found.**\n")
    page.write(repository)
    text = (repository / "benchmarks" / "README.md").read_text()
    assert text.startswith("# Benchmarks\n\n**Found.**\n\n")
    for part in (
        "## yolov8n on GPU model\n",
        "![Images per second](gpu/benchmark.png)",
        # batch, who, rate, spread, latencies, first call, ratio to the best peer, share of the floor
        "| 1 | xla-fp16 | 1,000 | 2% | 2 | 2.5 | 3 | 1.5 | 2.00 | 10% |",
        "| 1 | pytorch-compile-fp16 | 500 | 2% | 2 | 2.5 | 3 | 1.5 | 1.00 | 5% |",
        "| 8 | xla-fp16 | ~4,000 | 20% | 2 | 2.5 | 3 | 1.5 | - | 40% |",  # the peer crashed
        "| 1 | xla-fp16 | 800 | 2% | 2 | 2.5 | 3 | 1.5 | - | 20% |",  # no peer in this mode
        "| 1 | xla-fp16 | 400 | 2% | 2 | 2.5 | 3 | 1.5 | 2.50 |",
        "| 900 to 1700 MHz, power brake THROTTLED |",
        "- ultralytics-savedmodel dense batch 8: exported for batch 1",
        "- pytorch-compile-fp16 (dense, batch 8): OutOfMemory",
        "~ unstable",
    ):
        assert part in text
    readme = (repository / "README.md").read_text()
    assert readme.startswith("before\n")
    assert readme.endswith("\nafter\n")
    assert "old" not in readme
    row = "| yolov8n | GPU model | 1 | 1,000 (xla-fp16) | 500 (pytorch-compile-fp16) | 2.00 "
    assert row + "| 400 (xla-fp16) | 160 (ultralytics-predict-fp16) | 2.50 |" in readme
    assert "| yolov8n | GPU model | 8 | ~4,000 (xla-fp16) | - | - | - | - | - |" in readme
    before = (text, readme)
    assert (repository / "benchmarks" / "gpu" / "benchmark.png").is_file()  # drawn, for it was missing
    page.write(repository)  # again changes nothing
    assert ((repository / "benchmarks" / "README.md").read_text(), (repository / "README.md").read_text()) == before


def test_every_table_is_rectangular(repository):
    pytest.importorskip("matplotlib")
    _write(repository, "a", made_report())
    _write(repository, "b", made_report(measurements=(measured("xla-fp16", "selected", 8, 30.0),)))
    page.write(repository)
    text = (repository / "benchmarks" / "README.md").read_text() + (repository / "README.md").read_text()
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1


def test_without_benchmarks(repository):
    page.write(repository)
    assert "No benchmark yet." in (repository / "benchmarks" / "README.md").read_text()
    assert (repository / "README.md").read_text().count("\n|") == 2  # header and rule


@pytest.mark.parametrize("text", ["none", f"{page.END}\n{page.BEGIN}", f"{page.BEGIN}{page.BEGIN}{page.END}"])
def test_a_readme_without_its_markers(repository, text):
    (repository / "README.md").write_text(text)
    with pytest.raises(tftrt_yolo.BenchmarkError, match="once each, in this order"):
        page.write(repository)
    assert (repository / "README.md").read_text() == text
