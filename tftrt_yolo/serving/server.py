"""The server: the models, the doors before them, and how both begin and end.

async with Server(Settings(models, batching, listen)) as server:   # the doors are open when it is entered
    server.serving.http_url
    await server.drain()                                           # finishes what is accepted and refuses the rest
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import resource
import time

from tftrt_yolo.contract import read_metadata
from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.serving import credentials
from tftrt_yolo.serving.http.application import application
from tftrt_yolo.serving.http.bodies import Intake
from tftrt_yolo.serving.http.door import HttpDoor
from tftrt_yolo.serving.http.gate import Gate
from tftrt_yolo.serving.http.service import Service
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.page.page_options import PageOptions
from tftrt_yolo.serving.ports import bind, in_url
from tftrt_yolo.serving.protocol.memory import AnswerMemory
from tftrt_yolo.serving.rpc.door import RpcDoor
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions
from tftrt_yolo.serving.serving_report import Serving, ServingReport, line_of, warning_of

_CUT_SECONDS = 5.0  # for answers to be read, when all are given
_RETRY_SECONDS = 5.0  # for another server to be there


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a server is told.

    Attributes:
      models: Which models.
      batching: How requests become batches.
      listen: Where the doors are.
      observing: What an operator sees.
      page: Whether there is a page to try the models on.
    """

    models: ModelOptions
    batching: BatchingOptions = dataclasses.field(default_factory=BatchingOptions)
    listen: ListenOptions = dataclasses.field(default_factory=ListenOptions)
    observing: ObservingOptions = dataclasses.field(default_factory=ObservingOptions)
    page: PageOptions = dataclasses.field(default_factory=PageOptions)


class Server:
    """Models and doors, in the running loop.

    Attributes:
      app: The application behind the door for HTTP, to which others may mount theirs before it is entered.
      hub: The models.
      observing: What is counted and logged.
    """

    def __init__(self, settings: Settings):
        """Reads what it needs, and takes its ports; nothing is answered yet.

        Args:
          settings: What it is told.

        Raises:
          SavedModelError: If the directory is none of ours.
          ServingError: If a port is in use, an address none of this machine's, or a token or certificate unusable.
        """
        with contextlib.ExitStack() as undone:
            self._prepare(settings, undone)
            undone.pop_all()
        self._start, self._cut_seconds = time.perf_counter(), _CUT_SECONDS

    def _prepare(self, settings: Settings, undone: contextlib.ExitStack) -> None:
        """Makes everything; what is to be given back if the rest fails is left in `undone`."""
        listen = settings.listen
        self._settings, self._gate = settings, Gate()
        token = None if listen.token_file is None else credentials.read_token(listen.token_file)
        if listen.tls_certificate is not None:
            credentials.tls_context(listen.tls_certificate, listen.tls_key)
        taken = bind(listen.host, listen.http_port, "http_port")
        undone.callback(taken.close)
        if settings.models.saved_model_dir is not None:
            read_metadata(settings.models.saved_model_dir)  # before anything starts
        self.observing = Observing(settings.observing)
        undone.callback(self.observing.close)
        self.hub = Hub(settings.models, settings.batching, self.observing, max_pixels=listen.max_pixels)
        intake = Intake(most_bytes=listen.max_body_bytes, seconds=listen.client_timeout_s)
        answers, seconds = AnswerMemory(listen.max_answer_bytes), settings.batching.request_timeout_s
        service = Service(self.hub, self._gate, intake, answers, seconds, self.observing)
        self.app = application(service, token=token)
        self._page = _page_of(self, settings, self._gate, token)
        self._http = HttpDoor(self.app, taken, listen)
        self._rpc = self._rpc_door(token) if listen.grpc_port >= 0 else None

    async def __aenter__(self) -> "Server":
        """Loads the models; when it returns, both doors are open."""
        _allow_many_connections()
        try:
            await self._http.start()
            if self._rpc is not None:
                await self._rpc.start()
            await self.hub.start()
        except BaseException:
            await self.__aexit__()
            raise
        self._gate.open()
        self._start = time.perf_counter()
        return self

    async def __aexit__(self, *_) -> None:
        """Ends whatever is left."""
        self._gate.close(retry_after_seconds=_RETRY_SECONDS)
        with contextlib.suppress(asyncio.CancelledError):
            await self.hub.stop()
        await self._close_doors()
        self.observing.close()

    async def drain(self) -> None:
        """Finishes what is accepted; new requests are refused meanwhile, and readiness is over at once."""
        self._gate.close(retry_after_seconds=_RETRY_SECONDS)
        await self.hub.stop()
        await self._close_doors()

    def abandon(self) -> None:
        """Finishes nothing any longer: what is under way is refused, and all ends at once."""
        self.hub.abandon()
        self._cut_seconds = 0.0

    async def _close_doors(self) -> None:
        """Lets clients read their last answers."""
        if self._page is not None:
            await self._page.close()
        if self._rpc is not None:
            await self._rpc.stop(self._cut_seconds)
        await self._http.stop(self._cut_seconds)

    def _rpc_door(self, token: str | None) -> RpcDoor:
        """The door for gRPC; it takes its port."""
        return RpcDoor(
            self.hub,
            self._settings.listen,
            self.observing,
            token=token,
            request_timeout_s=self._settings.batching.request_timeout_s,
            check_open=self._gate.check,
        )

    @property
    def serving(self) -> Serving:
        """Where the doors are, and what is behind them."""
        listen = self._settings.listen
        scheme = "http" if listen.tls_certificate is None else "https"
        host = in_url(listen.host)
        states = self.hub.models()
        warnings = [warning_of(state) for state in states if state.is_native]
        warnings += dict.fromkeys(state.why_slow for state in states if state.why_slow)  # of all alike
        return Serving(
            http_url=f"{scheme}://{host}:{self._http.port}",
            page_url=f"{scheme}://{host}:{self._http.port}/page/" if self._page else None,
            grpc_address=f"{host}:{self._rpc.port}" if self._rpc else None,
            models=tuple(map(line_of, states)),
            warnings=(*warnings, *_warnings_of(listen)),
        )

    def report(self, models: tuple[str, ...]) -> ServingReport:
        """What it did.

        Args:
          models: Lines of those that were there.

        Returns:
          The report.
        """
        return ServingReport(self.observing.metrics.outcomes(), time.perf_counter() - self._start, models)


def _page_of(server: Server, settings: Settings, gate: Gate, token: str | None):
    """The page, brought into the server's application; None without one."""
    if not settings.page.page:
        return None
    from tftrt_yolo.serving.page import mounting  # with the extra demo
    from tftrt_yolo.serving.page.guard import Access

    access = Access(gate.check, token)
    seconds = settings.batching.request_timeout_s
    return mounting.mount(server.app, server.hub, settings.page, settings.listen, access, request_timeout_s=seconds)


def _warnings_of(listen: ListenOptions) -> list[str]:
    """What an operator should know of the doors."""
    if _is_loopback(listen.host):
        return []
    if listen.token_file is None:
        return [
            f"Everybody who reaches {listen.host} may ask. A token keeps others out: {setting('token_file', 'FILE')}."
        ]
    if listen.tls_certificate is None:
        flags = f"{setting('tls_certificate', 'FILE')} and {setting('tls_key', 'FILE')}"
        return [f"The token travels as plain text. Give {flags}."]
    return []


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_many_connections() -> None:
    """Raises the number of open files to what the system allows: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
