"""Triton's process: started on a model repository, waited for, and ended.

    with ServerProcess(parts, room, doors) as server:       # it is ready, or a ServingError says why not
        server.check_alive()
        server.http_address                                 # "127.0.0.1:8000"

Its log goes where ours goes, line by line, with whatever a client put into it spelt out.
"""

import collections
import contextlib
import ctypes
import dataclasses
import http.client
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import printable
from tftrt_yolo.serving.ports import bind, in_url
from tftrt_yolo.serving.triton_server.installed import TritonParts

_SECONDS_TO_START = 600.0  # yolov8x with engines to load
MOST_SECONDS_TO_END = 30  # for requests that were accepted, and for clients to close their connections
_MORE_SECONDS = 10.0  # beyond Triton's own limit, before it is killed
_LAST_LINES, _LINE_LENGTH = 12, 300
_PR_SET_PDEATHSIG = 1
# With these a client could read memory of this machine, write files or load models; whoever runs the server has no
# need of them. Statistics stay open.
_CLOSED = "shared-memory,model-repository,trace,logging"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has it; what is removed there has our names
_LIBC = ctypes.CDLL(None)


@dataclasses.dataclass(frozen=True)
class Doors:
    """Where Triton listens.

    Attributes:
      host: Address.
      http_port: For HTTP; 0 for any that is free.
      grpc_port: For gRPC; 0 for any that is free, -1 for none.
      metrics_port: For metrics; 0 for any that is free.
    """

    host: str
    http_port: int
    grpc_port: int
    metrics_port: int = 0

    def opened(self) -> "Doors":
        """The same with ports that are free.

        Raises:
          ServingError: If a port is in use, or the address none of this machine's.
        """
        names = [name for name in ("http_port", "grpc_port", "metrics_port") if getattr(self, name) >= 0]
        with contextlib.ExitStack() as stack:  # all are held until all are known, or one would be given twice
            found = {name: stack.enter_context(bind(self.host, getattr(self, name), name)) for name in names}
            return dataclasses.replace(self, **{name: one.getsockname()[1] for name, one in found.items()})


class ServerProcess:
    """One tritonserver.

    Attributes:
      doors: Where it listens.
    """

    def __init__(
        self,
        parts: TritonParts,
        room: Path,
        doors: Doors,
        asked_to_end: threading.Event,
        *,
        seconds_to_end: int = MOST_SECONDS_TO_END,
    ):
        """Starts nothing yet.

        Args:
          parts: Triton.
          room: A folder with `models`, the repository; whatever else it holds is the server's.
          doors: Where it listens.
          asked_to_end: Set where nobody needs to wait until it is ready.
          seconds_to_end: For requests that were accepted. While a client of HTTP keeps its connection open all of them
            pass, whether it asks for something or not: Triton has no setting by which idle connections would be closed.
        """
        self._asked_to_end, self._seconds_to_end = asked_to_end, seconds_to_end
        self._parts, self._room, self.doors = parts, room, doors.opened()
        self._memory = f"tftrt_yolo_{os.getpid()}_{secrets.token_hex(4)}"  # names of its shared memory begin so
        self._last = collections.deque(maxlen=_LAST_LINES)
        self._process = None

    def __enter__(self) -> "ServerProcess":
        """Starts it, and returns when its model is ready.

        Raises:
          ServingError: If it ends before, or takes too long.
        """
        self._parts.lay_out(self._room / "backends")
        try:
            self._process = subprocess.Popen(
                [str(self._parts.server), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._room,
                env=self._parts.environment(),
                start_new_session=True,  # a terminal's interrupt is ours to deal with
                preexec_fn=_end_with_parent,
            )
            self._reader = threading.Thread(target=self._hand_on, daemon=True)
            self._reader.start()
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Ends it: what was accepted is finished, the rest refused."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self._seconds_to_end + _MORE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._reader.join(_MORE_SECONDS)
        for path in _SHARED_MEMORY.glob(f"{self._memory}*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._room / "backends", ignore_errors=True)

    @property
    def http_address(self) -> str:
        """Host and port for HTTP."""
        return f"{in_url(self.doors.host)}:{self.doors.http_port}"

    def check_alive(self) -> None:
        """Looks whether it runs.

        Raises:
          ServingError: If it ended though it was not asked to.
        """
        status = self._process.poll()
        if status is not None:
            self._reader.join(_MORE_SECONDS)
            raise ServingError(f"Triton's server ended with status {status}. Its last words:\n  {self.last_words()}")

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n  ".join(self._last) or "(none)"

    def _arguments(self) -> list[str]:
        """Its command line."""
        has_gpu = Path("/dev/nvidiactl").exists()
        doors, key = self.doors, f"{_CLOSED}:tftrt-yolo={secrets.token_hex(16)}"
        # Of an address of IPv6 its doors for HTTP are told the family, or they take it for one of IPv4.
        host = f"ipv6:{doors.host}" if ":" in doors.host else doors.host
        given = {
            "model-repository": self._room / "models",
            "backend-directory": self._room / "backends",
            "backend-config": f"python,shm-region-prefix-name={self._memory}",
            "http-address": host,
            "http-port": doors.http_port,
            "http-restricted-api": key,
            "metrics-address": host,
            "metrics-port": doors.metrics_port,
            "allow-gpu-metrics": str(has_gpu).lower(),
            "exit-timeout-secs": self._seconds_to_end,
            "log-info": "false",
        }
        if not has_gpu:
            given["pinned-memory-pool-byte-size"] = 0  # of which Triton would say that it cannot have it
        if doors.grpc_port < 0:
            given["allow-grpc"] = "false"
        else:
            given |= {"grpc-address": in_url(doors.host), "grpc-port": doors.grpc_port, "grpc-restricted-protocol": key}
        return ["--disable-auto-complete-config", *(f"--{name}={value}" for name, value in given.items())]

    def _wait_until_ready(self) -> None:
        """Asks until the model is ready."""
        end = time.monotonic() + _SECONDS_TO_START
        while not self._asked_to_end.is_set() and not self._is_ready():
            self.check_alive()
            if time.monotonic() > end:
                raise ServingError(
                    f"Triton's server was not ready after {_SECONDS_TO_START:.0f} s. Its last words:\n  "
                    f"{self.last_words()}"
                )
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        """Whether the server says so."""
        connection = http.client.HTTPConnection(self.doors.host, self.doors.http_port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _hand_on(self) -> None:
        """Writes its log into ours, and keeps the last lines."""
        for line in self._process.stdout:
            text = printable(line.decode(errors="replace").rstrip().replace("\r", " "))
            if text.strip():
                self._last.append(text[:_LINE_LENGTH])
                print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is the server's log


def _end_with_parent() -> None:
    """Has the system end the server, as TERM does, when whoever started it is gone."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
