"""Brings the page into the server's application.

page = mounting.mount(app, hub, PageOptions(page=True), listen, Access(), request_timeout_s=30.0)
...
await page.close()                       # where the server ends: nothing keeps its connections open
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Route

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.serving.page.asking import Asker
from tftrt_yolo.serving.page.guard import PATH, Access, PageGuard
from tftrt_yolo.serving.page.page_options import PageOptions
from tftrt_yolo.serving.page.trying import Limits, Trying
from tftrt_yolo.serving.page.uploads import Uploads
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.serving_options import ListenOptions

_AT_ONCE = 16  # largest drops that lie here at a time
_SWEEP_SECONDS = 60.0
_QUIET = {  # Gradio's, which reads them where it likes
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}


def check_library() -> None:
    """Looks for Gradio, before anything starts.

    Raises:
      ServingError: If it is missing; the message says how to install it.
    """
    with _environment(_QUIET):
        try:
            import av  # noqa: F401
            import gradio  # noqa: F401
        except ImportError as error:
            raise ServingError(
                f"The page is made with Gradio and PyAV, and one of them cannot be imported ({first_line(error)}). "
                "Expected the extras demo and video; pip install 'tftrt_yolo[serve,demo,video]', in an environment of "
                "its own where a Pillow of 13 or later is needed."
            ) from error


class Page:
    """The page, while it is served."""

    def __init__(self, uploads: Uploads, streams: set[asyncio.Task]):
        """Takes what there is to end.

        Args:
          uploads: Where files lie.
          streams: Tasks that keep connections open.
        """
        self._uploads, self._streams, self._sweeping = uploads, streams, None

    def begin(self) -> None:
        """Begins to remove old files."""
        self._sweeping = self._sweeping or asyncio.ensure_future(self._sweep())

    async def close(self) -> None:
        """Ends connections that would stay open, and removes all files; again does no harm."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in tuple(self._streams):
            task.cancel()
        await asyncio.to_thread(self._uploads.remove)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await asyncio.to_thread(self._uploads.sweep)


def mount(
    app: FastAPI,
    hub: Hub,
    options: PageOptions,
    listen: ListenOptions,
    access: Access,
    *,
    request_timeout_s: float,
) -> Page:
    """Serves the page at /page of an application that was not started.

    Args:
      app: The application.
      hub: The models, which run in the same loop.
      options: How much of a video is annotated.
      listen: How much may be sent, and how large pictures may be.
      access: Who may come in, and when.
      request_timeout_s: How long a request to a model may take.

    Returns:
      The page, to be closed where the server ends.

    Raises:
      ServingError: If Gradio is missing.
    """
    check_library()
    import gradio

    from tftrt_yolo.serving.page import layout, looks

    uploads, streams = Uploads(most_bytes=_AT_ONCE * listen.max_body_bytes), set()
    asker = Asker(hub, seconds=request_timeout_s)
    trying = Trying(asker, uploads, Limits(options.page_frames, listen.max_pixels))
    with _environment({**_QUIET, "GRADIO_TEMP_DIR": str(uploads.path)}):
        theme = gradio.themes.Default(
            primary_hue="orange", secondary_hue="slate", neutral_hue="slate", font=looks.FONT, font_mono=looks.FONT_MONO
        )
        gradio.mount_gradio_app(
            app,
            layout.blocks(trying, asker),
            PATH,
            allowed_paths=[],
            show_error=False,
            ssr_mode=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            theme=theme,
            css=looks.CSS,
        )
    app.add_middleware(PageGuard, access=access, uploads=uploads, max_body_bytes=listen.max_body_bytes, streams=streams)
    icon = Response(looks.ICON, media_type="image/svg+xml")
    app.router.routes.append(Route("/favicon.ico", lambda _: icon))  # which browsers ask for
    page = Page(uploads, streams)
    _live(app, page)
    return page


def _live(app: FastAPI, page: Page) -> None:
    """Has the page begin and end with the application."""
    around = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI):
        page.begin()
        try:
            async with around(app) as state:
                yield state
        finally:
            await page.close()

    app.router.lifespan_context = lifespan


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
