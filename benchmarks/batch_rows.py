"""Watches the memory of a job's driver over 100,000 rows: writes batch_rows.md and batch_rows.json.

    python benchmarks/batch_rows.py ~/exports           # some minutes on two cores; exports are kept there
    python benchmarks/batch_rows.py ~/exports --rows=10000

The rows are those of one Parquet file, as Hugging Face's datasets write images: small pieces of 40 pictures, each row
an image of its own. The model is the toy of tests/toy.py at 64 px, so that time goes where it is looked at.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LOG, PAGE = Path(__file__).with_suffix(".json"), Path(__file__).with_suffix(".md")
KINDS = {"own": "Anon", "store": "Shmem"}  # names here to those in /proc
SIDE, ROW_GROUP, EVERY_S = 64, 1_000, 1.0
HEADER = """# The memory of a job's driver

What `python benchmarks/batch_rows.py` wrote, on {cores} cores without a GPU, beside other work (load average
{load:.1f}): {rows:,} rows of a Parquet file of {source_mb:.0f} MB with pictures of {side} x {side} px, in row groups of
{row_group:,}, a toy of a network at 64 px that finds {per_image:.0f} objects a picture, Ray embedded. The
memory is that of the command's own process, looked at every {every:g} s: *own* is resident and of nobody else, *store*
are the pages of Ray's object store that it looked at, which are shared with all processes of the node and bounded. The
time is that of the whole command, {start:.0f} s of it until the first shard was there.

| rows that are there | second | own MB | store MB |
|---|---|---|---|
{samples}

| what | |
|---|---|
| seconds | {seconds:.0f} |
| rows a second, from the first shard on | {rate:,.0f} |
| own, growth from a tenth of the rows to the end, MB | {growth:.0f} |
| files of the result | {files} |
| bytes of the result | {result_bytes:,} |
| bytes a row | {bytes_a_row:.0f} |
| bytes an object | {bytes_an_object:.1f} |
| listing.jsonl.gz, bytes | {listing_bytes:,} |
"""


def write_source(path: Path, count: int) -> None:
    """The table of pictures."""
    import numpy as np
    import PIL.Image
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    photos = [PIL.Image.open(photo).convert("RGB") for photo in sorted((ROOT / "tests/data/images").glob("*.jpg"))]
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "number": pa.int64()})
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        for first in range(0, count, ROW_GROUP):
            numbers = range(first, min(first + ROW_GROUP, count))
            images = [
                {"bytes": crop(photos[number % len(photos)], random), "path": f"{number}.jpg"} for number in numbers
            ]
            writer.write_table(pa.table({"image": images, "number": list(numbers)}, schema))


def crop(photo, random) -> bytes:
    """A small piece of a picture as a JPEG, somewhere else each time, for rows that are the same pack into nothing."""
    left, top = (int(random.integers(0, size - SIDE)) for size in photo.size)
    file = io.BytesIO()
    photo.crop((left, top, left + SIDE, top + SIDE)).save(file, "JPEG", quality=85)
    return file.getvalue()


def memory_of(process_id: int) -> dict[str, int]:
    """A process's resident bytes: its own, and those of Ray's object store that it looked at."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return {name: int(re.search(rf"^Rss{key}:\s*(\d+) kB", status, re.M)[1]) << 10 for name, key in KINDS.items()}


def watched(command: list[str], output: Path) -> tuple[list[dict], dict]:
    """Runs the job and looks at its memory; gives what was seen, and the report."""
    import pyarrow.parquet as pq

    start, seen, rows = time.monotonic(), [], {}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        while process.poll() is None:
            for path in output.glob("shard-*.parquet"):
                rows.setdefault(path, pq.ParquetFile(path).metadata.num_rows if path not in rows else 0)
            try:
                memory = memory_of(process.pid)
            except (OSError, TypeError):  # it has just ended
                break
            seen.append({"rows": sum(rows.values()), "second": time.monotonic() - start} | memory)
            time.sleep(EVERY_S)
        if process.wait():
            raise SystemExit(process.stderr.read()[-3_000:])
        said.seek(0)
        seen.append({"rows": None, "second": time.monotonic() - start})
        return seen, json.load(said)


def main() -> None:
    """Runs it and writes the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports_dir", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    given.exports_dir.mkdir(parents=True, exist_ok=True)
    model = given.exports_dir / "toy_saved_model"
    if not model.exists():
        import tftrt_yolo
        from tests import toy

        toy.write_weights(given.exports_dir / "toy.pt")
        tftrt_yolo.export(given.exports_dir / "toy.pt", model, image_size=toy.SIZE)
    os.environ["PYTHONPATH"] = str(ROOT)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="batch_") as folder:
        source, output = Path(folder) / "rows.parquet", Path(folder) / "output"
        write_source(source, given.rows)
        flags = {"saved_model_dir": model, "source": source, "image_column": "image", "output_dir": output}
        command = [sys.executable, "-m", "tftrt_yolo", "batch", *(f"--{key}={flags[key]}" for key in flags), "--json"]
        seen, report = watched(command, output)
        sizes = [path.stat().st_size for path in output.glob("shard-*.parquet")]
        listing, source_bytes = (output / "listing.jsonl.gz").stat().st_size, source.stat().st_size
    write(given.rows, seen, report, {"sizes": sizes, "listing": listing, "source": source_bytes, "load": load})


def write(rows: int, seen: list[dict], report: dict, found: dict) -> None:
    """The log and its page."""
    begun = [one for one in seen if one["rows"]]
    start, seconds = begun[0]["second"], seen[-1]["second"]
    objects = sum(report["class_counts"].values())
    tenth = next(one for one in begun if one["rows"] >= rows // 10)
    shown = [next((one for one in begun if one["rows"] >= rows * part // 10), begun[-1]) for part in range(1, 11)]
    LOG.write_text(json.dumps({"rows": rows, "seen": seen, "report": report} | found, indent=1) + "\n")
    PAGE.write_text(
        HEADER.format(
            cores=os.cpu_count(),
            load=found["load"],
            rows=rows,
            source_mb=found["source"] / 1e6,
            side=SIDE,
            row_group=ROW_GROUP,
            per_image=objects / rows,
            every=EVERY_S,
            start=start,
            samples="\n".join(
                f"| {one['rows']:,} | {one['second']:.0f} | {one['own'] / 1e6:.0f} | {one['store'] / 1e6:.0f} |"
                for one in shown
            ),
            seconds=seconds,
            rate=(rows - begun[0]["rows"]) / (seconds - start),
            growth=(begun[-1]["own"] - tenth["own"]) / 1e6,
            files=len(found["sizes"]),
            result_bytes=sum(found["sizes"]),
            bytes_a_row=sum(found["sizes"]) / rows,
            bytes_an_object=sum(found["sizes"]) / objects,
            listing_bytes=found["listing"],
        )
    )


if __name__ == "__main__":
    main()
