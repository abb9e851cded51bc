"""Ray: a cluster that is there, or one of this machine alone for as long as a job takes.

with cluster.connected(address=None) as ray:
    nodes = cluster.check_nodes(ray, model)     # the same versions, and the same model, on each
    pool = cluster.pool(nodes, workers)         # how many predictors, and what each may have
"""

import contextlib
import dataclasses
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import absl.logging

from tftrt_yolo.ground import chatter, stages
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.ground.text import counted, first_line, shown
from tftrt_yolo.pipelines.batch_options import WorkerOptions
from tftrt_yolo.pipelines.ray_data import library, predicting
from tftrt_yolo.pipelines.ray_data.predicting import Model

_ADDRESS = "RAY_ADDRESS"  # Ray's own, in the environment
_LOOPBACK = "127.0.0.1"
_PREFIX, _LOCK = "tftrt_yolo_ray_", "lock"
_MOST_FOLDER = 40  # characters, behind which Ray puts the names of sockets, which may have 107 in all
_SHORT_FOLDER = "/tmp"  # noqa: S108 - where a folder of our own is made
# Of a core: what is asked of Ray for a predictor that uses them all, and for a task that decodes beside it. Were they
# equal, Ray Data would take both together into the actors.
_SHARE, _TASK_SHARE = 0.5, 0.45
_PROBE_SECONDS, _KNOCK_SECONDS = 120, 10
_REMEDY = "Expected the same on every node; install it there, or start the job where it is so."


class _WithoutRay:
    """Standard output without what a thread of Ray's prints there, of workers that it lost: that goes to the log."""

    def __init__(self, stream):
        self._stream, self._dropped = stream, threading.local()

    def __getattr__(self, name: str):
        """All else is the stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes what is not Ray's."""
        is_ray = threading.current_thread().name.startswith("ray_") or "(raylet)" in text
        is_end = text == "\n" and getattr(self._dropped, "is_last", False)
        self._dropped.is_last = is_ray
        if not is_ray and not is_end:
            return self._stream.write(text)
        absl.logging.info("%s", text.rstrip())
        return len(text)


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of a cluster.

    Attributes:
      node_id: Ray's.
      name: Its host and address, for messages.
      num_cpus: Its cores, as Ray counts them.
      num_gpus: Its GPUs.
    """

    node_id: str
    name: str
    num_cpus: float
    num_gpus: float


@dataclasses.dataclass(frozen=True)
class Pool:
    """What a job runs on.

    Attributes:
      num_predictors: Actors, one predictor each.
      of_predictor: What Ray is asked for each.
      of_task: What Ray is asked for each task that decodes.
      num_tasks: Tasks that decode at a time; None for as many as there is room for.
    """

    num_predictors: int
    of_predictor: dict[str, float]
    of_task: dict[str, float]
    num_tasks: int | None


@contextlib.contextmanager
def connected(address: str | None) -> Iterator:
    """Connects to a cluster, or starts Ray on this machine alone and ends it.

    Args:
      address: As `WorkerOptions`.

    Yields:
      Ray.

    Raises:
      BatchError: If Ray is missing, the cluster cannot be reached, or its versions are others.
    """
    ray = library.load()
    if ray.is_initialized():  # the user's own, which stays
        yield ray
        return
    address = address or os.environ.get(_ADDRESS) or "local"
    stages.enter("starting Ray" if address == "local" else f"connecting to {shown(address)}")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    with contextlib.ExitStack() as stack:
        if address == "local":
            stack.enter_context(_for_this_machine_alone(ray))
            own = {"_node_ip_address": _LOOPBACK, "include_dashboard": False, "_temp_dir": _folder(stack)}
        else:
            own = {}
        stack.enter_context(chatter.filtered())  # its C++ writes where Python's settings do not reach
        stack.enter_context(contextlib.redirect_stdout(_WithoutRay(sys.stdout)))
        stack.callback(ray.shutdown)
        try:
            _knock(address)
            with _handlers_kept():
                ray.init(address=address, **own, **quiet)
            logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised
            if own and ray.util.get_node_ip_address() != _LOOPBACK:
                raise RuntimeError(f"it would listen on {ray.util.get_node_ip_address()}, where others reach it")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise BatchError(_no_connection(address, error)) from error
        yield ray


def check_nodes(ray, model: Model) -> list[Node]:
    """Refuses a cluster whose nodes have other versions or another model than this machine.

    Args:
      ray: Connected.
      model: The job's.

    Returns:
      The nodes that are alive.

    Raises:
      BatchError: If one has; the message names it.
    """
    stages.enter("looking at the nodes")
    nodes = [
        Node(
            one["NodeID"],
            f"{one['NodeManagerHostname']} ({one['NodeManagerAddress']})",
            one["Resources"].get("CPU", 0.0),
            one["Resources"].get("GPU", 0.0),
        )
        for one in ray.nodes()
        if one["Alive"]
    ]
    here = predicting.versions()
    package = __name__.partition(".")[0]

    def probe() -> tuple[dict, str]:  # it travels as code: on a node without this package its name means nothing
        import importlib
        import platform

        try:
            there = importlib.import_module(f"{package}.pipelines.ray_data.predicting")
        except ImportError as error:
            return {"python": platform.python_version()}, f"cannot import {package}: {error}"
        found = there.versions()
        if found != here:
            return found, ""
        try:
            model.check()
        except importlib.import_module(f"{package}.ground.errors").TftrtYoloError as error:
            return found, str(error)
        return found, ""

    asked = [_on(ray, node, probe) for node in nodes if node.num_cpus or node.num_gpus]
    for node, answer in zip([node for node in nodes if node.num_cpus or node.num_gpus], asked, strict=True):
        _check(node, here, *_answered(ray, node, answer))
    return nodes


def pool(nodes: list[Node], workers: WorkerOptions) -> Pool:
    """Says how many predictors there are, and what each is given.

    Args:
      nodes: The cluster's.
      workers: What was asked for.

    Returns:
      The pool.

    Raises:
      BatchError: If the cluster does not have what was asked for.
    """
    cpus, gpus = sum(node.num_cpus for node in nodes), sum(node.num_gpus for node in nodes)
    share = workers.num_gpus if workers.num_gpus is not None else float(gpus > 0)
    if share:
        number = workers.predictors or max(1, int(gpus / share))
        of_predictor = {"num_gpus": share} | ({"num_cpus": workers.num_cpus} if workers.num_cpus else {})
    else:
        number = workers.predictors or max(1, sum(node.num_cpus > 0 for node in nodes))
        of_predictor = {"num_cpus": float(workers.num_cpus) if workers.num_cpus else _SHARE}
    of_task = {"num_cpus": 1.0 if share else _TASK_SHARE}
    wanted_cpus = number * of_predictor.get("num_cpus", 0.0) + of_task["num_cpus"]
    if number * share > gpus or wanted_cpus > cpus:
        raise BatchError(
            f"{counted(number, 'predictor')} with {of_predictor.get('num_cpus', 0):g} cores and {share:g} of a GPU "
            f"each, and {of_task['num_cpus']:g} of a core to decode, need more than there is: "
            f"{counted(len(nodes), 'node')} with {cpus:g} cores and {gpus:g} GPUs. Ask for fewer with "
            f"{argument('predictors')}, {argument('num_cpus')} or {argument('num_gpus')}."
        )
    return Pool(number, of_predictor, of_task, None if share else number)


def _on(ray, node: Node, function):
    """Runs a function on a node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=strategy)(function).remote()


def _answered(ray, node: Node, answer) -> tuple[dict, str]:
    """What a node said; what kept it from that."""
    try:
        return ray.get(answer, timeout=_PROBE_SECONDS)
    except ray.exceptions.RayError as error:
        raise BatchError(
            f"Node {node.name} cannot run anything for this job ({type(error).__name__}: {first_line(error)}). "
            "Expected a node that answers; look at it with `ray status`."
        ) from error


def _check(node: Node, here: Mapping[str, str], found: Mapping[str, str], fault: str) -> None:
    """Refuses a node that differs."""
    for name, version in here.items():
        if found.get(name, version) != version:
            raise BatchError(f"Node {node.name} has {name} {found[name]}, and here it is {version}. {_REMEDY}")
    if fault:
        raise BatchError(f"Node {node.name} cannot be used: {shown(fault, 2_000)}")


def _knock(address: str) -> None:
    """Tries to reach a cluster's host and port, for Ray itself waits long and in silence."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isascii() and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()
        except OverflowError as error:
            raise ValueError(f"{port} is no port") from error


def _no_connection(address: str, error: Exception) -> str:
    """Why there is no Ray, for a reader."""
    if address == "local":
        return f"Ray cannot be started on this machine ({first_line(error)}). Free memory and disk, or name a cluster."
    told = " ".join(str(error).split()).rstrip(".")
    return (
        f"The cluster {shown(address)} cannot be used: {shown(told, 600)}. Expected the address of a Ray cluster with "
        "the Ray and the Python of this machine, such as `ray start --head` prints."
    )


def _folder(stack: contextlib.ExitStack) -> str:
    """A folder for Ray's sockets, logs and what it moves out of memory; it goes with the stack."""
    folder = tempfile.gettempdir()
    folder = Path(folder if len(folder) <= _MOST_FOLDER else _SHORT_FOLDER)
    for left in folder.glob(f"{_PREFIX}*"):  # by jobs that were killed
        with contextlib.suppress(OSError), open(left / _LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which the system holds for a process that is there
            shutil.rmtree(left, ignore_errors=True)
    made = tempfile.mkdtemp(prefix=_PREFIX, dir=folder)
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    lock = stack.enter_context(open(f"{made}/{_LOCK}", "wb"))  # noqa: SIM115 - the stack closes it
    fcntl.flock(lock, fcntl.LOCK_EX)
    return made


@contextlib.contextmanager
def _for_this_machine_alone(ray) -> Iterator[None]:
    """Has Ray's processes know of no other cluster, and listen on the loopback address.

    Ray takes a loopback address for a mistake, unless it was told that there is to be no cluster; and on any other
    address than 127.0.0.1 its processes listen on all.
    """
    hidden, constants = os.environ.pop(_ADDRESS, None), ray._private.ray_constants
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        if hidden is not None:
            os.environ[_ADDRESS] = hidden


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keeps the process's signal handlers, of which Ray replaces that of TERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if handler is not None:
                signal.signal(number, handler)
