"""Kills what a job runs on, continues it, and checks the result: writes batch_cluster.md and batch_cluster.json.

    python benchmarks/batch_cluster.py ~/exports            # a quarter of an hour on two cores; exports are kept there
    python benchmarks/batch_cluster.py ~/exports --images=500

A cluster of a head and three nodes on this machine, each with an object store of 80 MB, all on 127.0.0.1. Twice
something is killed without notice (SIGKILL): a node while `tftrt-yolo batch` runs, then the command itself. The same
command then goes on. Every picture must be there once, and every detection must be the one of `Predictor.stream`.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.pipelines.ray_data.clusters import Cluster  # noqa: E402 - the repository is no package that is installed

LOG, PAGE = Path(__file__).with_suffix(".json"), Path(__file__).with_suffix(".md")
WEIGHTS = ROOT / "tests" / "data" / "yolov8n-tiny-detect.pt"
NUM_NODES, SHARD_SIZE = 3, 100
NODE_DIES, DRIVER_DIES = 0.2, 0.5  # of the shards that are there
HEADER = """# A job whose node and whose command were killed

What `python benchmarks/batch_cluster.py` wrote, on {cores} cores without a GPU, beside other work (load average
{load:.1f}). A head and {nodes} nodes of Ray {ray} on one machine, an object store of 80 MB each, all on 127.0.0.1:
several machines were not tried. {images:,} pictures of 96 to 160 px, crops of the {distinct} of tests/data, in shards
of {shard_size}; the model is tests/data/yolov8n-tiny-detect.pt at 320 px.

```text
{command}
```

| second | what | shards there |
|---|---|---|
{timeline}

| what was counted | |
|---|---|
{counts}
"""


class Timeline:
    """What happened when."""

    def __init__(self, output: Path):
        self.output, self._begins, self.events = output, time.monotonic(), []

    def num_shards(self) -> int:
        """Shards that are there."""
        return len(list(self.output.glob("shard-*.parquet")))

    def note(self, what: str) -> None:
        """Adds a line."""
        seconds, shards = time.monotonic() - self._begins, self.num_shards()
        self.events.append({"second": round(seconds, 1), "what": what, "shards": shards})
        sys.stderr.write(f"{seconds:7.1f} s  {shards:4} shards  {what}\n")


def make_pictures(folder: Path, count: int) -> int:
    """Small pictures, each another crop; says of how many pictures they are."""
    import numpy as np
    import PIL.Image

    random = np.random.default_rng(0)
    photos = [PIL.Image.open(path).convert("RGB") for path in sorted((ROOT / "tests/data/images").glob("*.jpg"))]
    folder.mkdir()
    for number in range(count):
        photo, side = photos[number % len(photos)], int(random.integers(96, 161))
        left, top = (int(random.integers(0, size - side)) for size in photo.size)
        file = io.BytesIO()
        photo.crop((left, top, left + side, top + side)).save(file, "JPEG", quality=90)
        (folder / f"{number:06d}.jpg").write_bytes(file.getvalue())
    return len(photos)


def wait_for(timeline: Timeline, process: subprocess.Popen, shards: int) -> None:
    """Waits until so many shards are there."""
    while timeline.num_shards() < shards:
        if process.poll() is not None:
            raise SystemExit(f"The command ended with {process.returncode}:\n{process.communicate()[1][-3_000:]}")
        time.sleep(0.05)


def run(command: list[str], timeline: Timeline, cluster: Cluster, num_shards: int) -> dict:
    """Runs the job, kills a node and then the command, and runs it again; gives its report."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    timeline.note("the command starts")
    first = subprocess.Popen(command, **options)
    wait_for(timeline, first, 1)
    timeline.note("the first shard is there")
    wait_for(timeline, first, int(num_shards * NODE_DIES))
    predictors = sum("Predict" in title for title in cluster.titles(0))
    cluster.kill_node(0)
    timeline.note(f"a node is killed, and with it {predictors} of {NUM_NODES} predictors")
    wait_for(timeline, first, timeline.num_shards() + 1)
    timeline.note("the first shard after it is there")
    wait_for(timeline, first, int(num_shards * DRIVER_DIES))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    timeline.note("the command is killed")
    kept = {path.name: digest(path) for path in timeline.output.glob("shard-*.parquet")}
    timeline.note("the same command starts, on two nodes")
    second = subprocess.run(command, check=False, **options)
    if second.returncode:
        raise SystemExit(f"The command ended with {second.returncode}:\n{second.stderr[-3_000:]}")
    timeline.note("it is done")
    again = sum(digest(timeline.output / name) != before for name, before in kept.items())
    return {"report": json.loads(second.stdout), "shards_kept": len(kept), "shards_written_anew": again}


def digest(path: Path) -> str:
    """A file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(model: Path, pictures: Path, output: Path) -> dict:
    """Compares the result with `Predictor.stream`."""
    import pyarrow.parquet as pq

    import tftrt_yolo

    paths = sorted(pictures.iterdir())
    rows = [row for file in sorted(output.glob("shard-*.parquet")) for row in pq.read_table(file).to_pylist()]
    times = collections.Counter(row["image"] for row in rows)
    by_path = {row["image"]: row["detections"] for row in rows}
    predictor = tftrt_yolo.Predictor(model)
    other = 0
    for path, result in zip(paths, predictor.stream(map(str, paths)), strict=True):
        other += by_path.get(str(path)) != predictor.task.rows(result, predictor.names)
    return {
        "pictures": len(paths),
        "rows": len(rows),
        "pictures that are there once": sum(times[str(path)] == 1 for path in paths),
        "detections": sum(map(len, by_path.values())),
        "pictures whose detections differ from stream's": other,
    }


def main() -> None:
    """Runs it and writes the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports_dir", type=Path)
    parser.add_argument("--images", type=int, default=5_000)
    given = parser.parse_args()
    import ray

    import tftrt_yolo

    given.exports_dir.mkdir(parents=True, exist_ok=True)
    model = given.exports_dir / "tiny-detect_saved_model"
    if not model.exists():
        tftrt_yolo.export(WEIGHTS, model, image_size=320)
    os.environ["PYTHONPATH"] = str(ROOT)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="batch_") as folder:
        pictures, output = Path(folder) / "pictures", Path(folder) / "output"
        distinct = make_pictures(pictures, given.images)
        with Cluster(NUM_NODES, num_cpus=1) as cluster:
            flags = {"saved_model_dir": model, "source": pictures, "output_dir": output, "shard_size": SHARD_SIZE}
            flags |= {"address": cluster.address}
            command = [
                sys.executable,
                "-m",
                "tftrt_yolo",
                "batch",
                *(f"--{key}={flags[key]}" for key in flags),
                "--json",
            ]
            timeline = Timeline(output)
            found = run(command, timeline, cluster, -(-given.images // SHARD_SIZE))
        counts = check(model, pictures, output)
    shown = "tftrt-yolo batch --saved_model_dir=tiny-detect_saved_model --source=pictures --output_dir=output \\\n"
    shown += f"    --shard_size={SHARD_SIZE} --address={cluster.address} --json"
    counts |= {name.replace("_", " "): found[name] for name in ("shards_kept", "shards_written_anew")}
    log = {"command": shown, "events": timeline.events, "counts": counts, "report": found["report"]}
    LOG.write_text(json.dumps(log, indent=2) + "\n")
    PAGE.write_text(
        HEADER.format(
            cores=os.cpu_count(),
            load=load,
            nodes=NUM_NODES,
            ray=ray.__version__,
            images=given.images,
            distinct=distinct,
            shard_size=SHARD_SIZE,
            command=shown,
            timeline="\n".join(f"| {one['second']} | {one['what']} | {one['shards']} |" for one in timeline.events),
            counts="\n".join(f"| {name} | {value:,} |" for name, value in counts.items()),
        )
    )


if __name__ == "__main__":
    main()
