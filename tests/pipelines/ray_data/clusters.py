"""A cluster of Ray's on this machine: a head that does no work, and nodes that can be taken away without notice.

    with Cluster(num_nodes=3) as cluster:
        subprocess.run([..., f"--address={cluster.address}"], env=cluster.environment)
        cluster.kill_node(0)

Everything listens on 127.0.0.1. A node that dies is missed within a second or two, where Ray's own settings take half a
minute.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

_STORE_BYTES = 80 << 20  # Ray's least is 75 MiB
_HOST = "127.0.0.1"
_ADDRESS_FILE = Path("/tmp/ray/ray_current_cluster")  # Ray's own, where "auto" looks; its Cluster writes it
# Milliseconds, but for the number of looks that may fail.
_IMPATIENT = {
    "health_check_initial_delay_ms": 1_000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1_000,
    "health_check_failure_threshold": 3,
}
# The last keeps Ray from taking 127.0.0.1 for the address that other machines have of this one.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": "", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class Cluster:
    """A head and nodes, each a raylet with an object store of its own.

    Attributes:
      address: The head's.
    """

    def __init__(self, num_nodes: int, *, num_cpus: int = 1, temporary: Path | None = None):
        """Prepares; nothing runs yet.

        Args:
          num_nodes: Nodes beside the head.
          num_cpus: What each node says that it has.
          temporary: An empty folder with a short path, in which sockets and logs are; None for a new one.
        """
        self._num_nodes, self._num_cpus, self._given = num_nodes, num_cpus, temporary
        self._cluster = self._folder = None
        self._nodes, self._before = [], {}

    def __enter__(self) -> "Cluster":
        """Starts all of it."""
        from ray.cluster_utils import Cluster as RaysOwn

        self._before = {name: os.environ.get(name) for name in _ENVIRONMENT}
        os.environ.update({name: value for name, value in _ENVIRONMENT.items() if value})
        os.environ.pop("RAY_ADDRESS", None)
        self._folder = self._given or Path(tempfile.mkdtemp(prefix="ray_", dir="/tmp"))
        common = {"node_ip_address": _HOST, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
        _ADDRESS_FILE.parent.mkdir(exist_ok=True)
        self._cluster = RaysOwn()
        self._cluster.add_node(num_cpus=0, _system_config=_IMPATIENT, temp_dir=str(self._folder), **common)
        for _ in range(self._num_nodes):
            self._nodes.append(self._cluster.add_node(num_cpus=self._num_cpus, **common))
        self.address = self._cluster.address
        return self

    def process_id(self, node: int) -> int:
        """The process of a node's raylet."""
        [started] = self._nodes[node].all_processes["raylet"]
        return started.process.pid

    def titles(self, node: int) -> list[str]:
        """What a node's workers call themselves, such as "ray::MapWorker(MapBatches(Predict)).submit"."""
        found, parent = [], f" {self.process_id(node)} "
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                if path.read_text().rpartition(")")[2].startswith((f" S{parent}", f" R{parent}", f" D{parent}")):
                    found.append((path.parent / "cmdline").read_bytes().partition(b"\0")[0].decode())
        return [title for title in found if title.startswith("ray::")]

    def kill_node(self, node: int) -> None:
        """Takes a node away without notice: its raylet is killed, its workers then end by themselves."""
        os.kill(self.process_id(node), signal.SIGKILL)

    def workers(self) -> list[int]:
        """Processes of actors and tasks, of all nodes."""
        mark, found = str(self._folder).encode(), []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has just ended
                words = path.read_bytes()
                title = words.startswith(b"ray::")
                if title and mark in (path.parent / "environ").read_bytes():
                    found.append(int(path.parent.name))
        return found

    def __exit__(self, *_) -> None:
        """Ends what still runs, and forgets the address."""
        for node in self._cluster.list_all_nodes()[::-1]:
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        deadline = time.monotonic() + 10
        while self.workers() and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(OSError):
            if _ADDRESS_FILE.read_text() == self.address:
                _ADDRESS_FILE.unlink()
        for name, value in self._before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        if not self._given:
            shutil.rmtree(self._folder, ignore_errors=True)
