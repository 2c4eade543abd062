"""Serve an ASGI app to a test: a real socket on a free port of the loopback, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from gateway.app.http_protocol import PatientHttp
from gateway.web.websocket_protocol import PatientSocket

START_SECONDS = 20
"""Long enough for a slow machine to run the app's start-up."""

STOP_SECONDS = 2
"""How long open requests may finish; then they are cancelled."""

Asgi = Callable[..., Awaitable[Any]]
"""Anything that uvicorn can serve."""


@contextlib.contextmanager
def serve(app: Asgi, **options: Any) -> Iterator[str]:
    """Run the app until the block ends and give its base URL, without a trailing slash.

    ``options`` go to uvicorn, for a test that needs another limit or protocol.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    # A sandbox breaks connections on purpose, which the gateway's own protocol would not let it do.
    is_sandbox = hasattr(getattr(app, "state", None), "sandbox")
    defaults: dict[str, Any] = {
        "http": "httptools" if is_sandbox else PatientHttp,
        "ws": "websockets-sansio" if is_sandbox else PatientSocket,
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "log_level": logging.CRITICAL,
        "timeout_graceful_shutdown": STOP_SECONDS,
    }
    server = uvicorn.Server(uvicorn.Config(app, **(defaults | options)))
    failures: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(server, listener, failures), name=f"serve-{port}")
    thread.start()
    try:
        _wait_for_start(server, thread, failures)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=START_SECONDS)
        listener.close()
    if thread.is_alive():
        raise RuntimeError("The server did not stop.")


def _run(server: uvicorn.Server, listener: socket.socket, failures: list[BaseException]) -> None:
    try:
        server.run(sockets=[listener])
    except (Exception, SystemExit) as exc:  # noqa: BLE001 -- handed to the test, which raises it
        failures.append(exc)


def _wait_for_start(server: uvicorn.Server, thread: threading.Thread, failures: list[BaseException]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if failures or not thread.is_alive():
            raise RuntimeError("The app did not start.") from (failures[0] if failures else None)
        if time.monotonic() > deadline:
            raise TimeoutError("The app took too long to start.")
        time.sleep(0.005)
