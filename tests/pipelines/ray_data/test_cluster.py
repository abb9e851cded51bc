"""A cluster of a head and three nodes on this machine: a node is killed, then the command, and the job goes on."""

import collections
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.pipelines.ray_data.clusters import Cluster

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray")

_SHARD_SIZE = 20


def _shards(output):
    return len(list(output.glob("shard-*.parquet")))


def _wait_for_shards(process, output, count):
    deadline = time.monotonic() + 120
    while _shards(output) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_node_is_killed_then_the_command_and_each_picture_is_there_once(toy_export, tmp_path):
    photos, output = tmp_path / "photos", tmp_path / "output"
    photos.mkdir()
    for number in range(600):
        os.link(IMAGES[number % len(IMAGES)].resolve(), photos / f"{number:04d}.jpg")
    with Cluster(3) as cluster:
        flags = [f"--saved_model_dir={toy_export}", f"--source={photos}", f"--output_dir={output}"]
        flags += [f"--shard_size={_SHARD_SIZE}", f"--address={cluster.address}", "--json"]
        command = [sys.executable, "-m", "tftrt_yolo", "batch", *flags]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _wait_for_shards(first, output, 3)
        assert any("Predict" in title for title in cluster.titles(0)), cluster.titles(0)
        cluster.kill_node(0)
        _wait_for_shards(first, output, _shards(output) + 2)
        assert first.poll() is None, "it was done before it could be killed"
        first.send_signal(signal.SIGKILL)
        first.communicate()
        kept = {path.name: path.read_bytes() for path in output.glob("shard-*.parquet")}
        assert 0 < len(kept) < 600 // _SHARD_SIZE
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["num_images"] == 600
    assert all((output / name).read_bytes() == data for name, data in kept.items())

    paths = sorted(map(str, photos.iterdir()))
    rows = [row for file in sorted(output.glob("shard-*.parquet")) for row in pq.read_table(file).to_pylist()]
    assert collections.Counter(row["image"] for row in rows) == collections.Counter(paths)
    found = {row["image"]: row["detections"] for row in rows}
    predictor = tftrt_yolo.Predictor(toy_export)
    for path, result in zip(paths, predictor.stream(paths), strict=True):
        assert found[path] == predictor.task.rows(result, predictor.names)
