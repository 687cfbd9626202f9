"""The server: on 127.0.0.1 alone, for pages that fetch nothing from elsewhere."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from advnets.errors import InputError
from advnets.lab.shelf import Shelf

HOST, PORT, TRIED = "127.0.0.1", 7860, 50
# Gradio needs inline scripts and styles, and functions made from text; all of it comes from this server.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


def listen(port: int | None) -> socket.socket:
    """Take a port of 127.0.0.1, or the first free one from PORT on; raises InputError where it is not to be had."""
    for one in [port] if port is not None else range(PORT, PORT + TRIED):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, one))
            taken.listen()
            return taken
        except OSError:
            taken.close()
    which = f"--port is {port}, which" if port is not None else f"every port from {PORT} to {PORT + TRIED - 1}"
    raise InputError(f"{which} is in use or closed to you, allowed: a free one above 1023; set --port")


class Guarded:
    """Tell the browser with every answer that this page loads nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to the start of an answer."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, guarded)


def application(shelf: Shelf) -> FastAPI:
    """Return the page as an application that answers to its own name only."""
    import gradio as gr

    from advnets.lab import page

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.add_middleware(Guarded)
    application.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    mounted: FastAPI = gr.mount_gradio_app(
        application,
        page.build(shelf),
        "/",
        server_name=HOST,
        footer_links=[],
        theme=page.theme(),
        css=page.css(),
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        max_file_size="1mb",
    )
    return mounted


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """Let Gradio send nothing anywhere, and keep its files in a folder that goes when the server does."""
    with tempfile.TemporaryDirectory(prefix="advnets-lab-") as folder:
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield


def serve(shelf: Shelf, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `ready` gets the address once the page can be opened."""
    with contextlib.closing(listen(port)) as taken, _private():
        address = f"http://{HOST}:{taken.getsockname()[1]}"
        settings = uvicorn.Config(application(shelf), log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(settings)
        ready(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[taken])
