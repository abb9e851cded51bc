"""Nodes are asked before anything runs: their versions and their model; and what they have is enough."""

import dataclasses
import socket

import pytest

pytest.importorskip("ray")

from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.pipelines.batch_options import WorkerOptions
from tftrt_yolo.pipelines.ray_data import cluster, predicting
from tftrt_yolo.pipelines.ray_data.cluster import Node
from tftrt_yolo.saved_model.handle import open_saved_model

CPU, GPU = Node("a", "a (10.0.0.1)", 8.0, 0.0), Node("b", "b (10.0.0.2)", 16.0, 4.0)


def test_nodes_are_asked(tiny_export, tmp_path, monkeypatch):
    handle = open_saved_model(tiny_export)
    model = predicting.Model(str(handle.directory), predicting.digest(handle), {}, {}, 8, "parquet")
    here = predicting.versions()
    with cluster.connected(None) as ray:
        [node] = cluster.check_nodes(ray, model)
        assert node.num_cpus >= 1
        assert node.name == f"{socket.gethostname()} (127.0.0.1)"
        for changed, message in [
            ({"saved_model_dir": str(tmp_path / "gone")}, "cannot open the model: .*gone is no directory"),
            ({"sha256": "f" * 64}, "has another model in .*, and the job is of ffffffffffff"),
        ]:
            with pytest.raises(BatchError, match=f"Node {socket.gethostname()} .*{message}"):
                cluster.check_nodes(ray, dataclasses.replace(model, **changed))
        for name in here:
            monkeypatch.setattr(predicting, "versions", lambda name=name: here | {name: "0.0.1"})
            with pytest.raises(BatchError, match=rf"has {name} {here[name]}, and here it is 0\.0\.1"):
                cluster.check_nodes(ray, model)
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nonsense"])
def test_no_cluster_there(address):
    with pytest.raises(BatchError, match=f"The cluster {address} cannot be used"), cluster.connected(address):
        pass


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        ([CPU], {}, (1, {"num_cpus": 0.5}, 1)),
        ([CPU, CPU], {}, (2, {"num_cpus": 0.5}, 2)),
        ([CPU], {"predictors": 3, "num_cpus": 2}, (3, {"num_cpus": 2.0}, 3)),
        ([CPU, GPU], {}, (4, {"num_gpus": 1.0}, None)),
        ([GPU], {"num_gpus": 0.5}, (8, {"num_gpus": 0.5}, None)),
        ([CPU, GPU], {"num_gpus": 0}, (2, {"num_cpus": 0.5}, 2)),
    ],
)
def test_predictors_and_what_each_is_given(nodes, options, expected):
    pool = cluster.pool(nodes, WorkerOptions(**options))
    assert (pool.num_predictors, pool.of_predictor, pool.num_tasks) == expected
    assert pool.of_task != pool.of_predictor


@pytest.mark.parametrize("options", [{"predictors": 4, "num_cpus": 2}, {"num_gpus": 0.5}, {"num_cpus": 8}])
def test_more_than_there_is(options):
    with pytest.raises(BatchError, match=r"need more than there is: 1 node with 8 cores and 0 GPUs\. Ask for fewer"):
        cluster.pool([CPU], WorkerOptions(**options))
