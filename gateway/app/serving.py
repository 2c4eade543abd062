"""The process around the app: how it listens, what it tells uvicorn, and how it stops.

Stopping, in order: the app is told (``/readyz`` says no, streams end), connections are still taken for
``drain_seconds`` so that a balancer notices, then no more; requests under way finish, the lifespan ends.
SIGTERM gives them ten seconds. SIGINT, and any second signal, gives them one. Either way the process exits
with 0; a part that hangs beyond every limit makes it 1. SIGHUP is logged and ignored.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import garbage
from gateway.app.http_protocol import PatientHttp
from gateway.web.websocket_protocol import PatientSocket

logger = logging.getLogger("gateway.app.serving")

SOCKET_BYTES = 512 * 1024
"""The largest WebSocket message taken: the longest text of a send, every character escaped, fits."""

STOP_SECONDS = 10.0
"""How long requests in flight may take once the process was told to stop."""

HURRY_SECONDS = 1.0
"""The same after SIGINT or a second signal."""

STREAM_SECONDS = 2.0
"""How long WebSockets may take to say their own goodbye before the server says it."""

LATEST_SECONDS = 11.0
"""The same from the stop's beginning: a long ``drain_seconds`` leaves the requests less."""

CLOSE_SECONDS = 2.0
"""For the app to close what it opened."""

LAST_RESORT_SECONDS = 14.5
"""From the stop's beginning to an exit whatever hangs, a thread that never returns included."""

ACCEPTED_AT_ONCE = 16
"""Connections taken in one round of the event loop, see `repeated`."""

_TICK = 0.05
_VANISHED_SECONDS = 25
"""After which a peer that answers nothing is given up."""


class GatewayServer(uvicorn.Server):
    """uvicorn, with an ordered end that is never longer than it may be."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_stop: Callable[[], None] | None = None,
        drain_seconds: float = 0.0,
        collector: garbage.Collector | None = None,
    ) -> None:
        super().__init__(config)
        self._collector = collector
        self._on_stop = on_stop
        self._drain_seconds = drain_seconds
        self._signalled = False
        self._hurried = asyncio.Event()
        self._told: set[Any] = set()
        self._collecting: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal, faster at the second or at Ctrl+C."""
        del frame
        if self.should_exit or sig == signal.SIGINT:
            self.hurry()
        self._signalled = self.should_exit = True

    def hurry(self) -> None:
        """Give what is under way a second, no more."""
        self._hurried.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take the signals that end a process, and the one that would end it by accident."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGHUP, _ignore_hangup)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(signal.SIGHUP, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then have garbage collected at other times than Python would, by whoever is given for it."""
        await super().startup(sockets)
        if self._collector is not None:
            garbage.prepare()
            open_now = self.server_state.connections
            self._collecting = asyncio.create_task(self._collector.run(lambda: len(open_now)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End everything, in order and in time."""
        logger.info("stopping")
        if self._collecting is not None:
            self._collecting.cancel()
        latest = asyncio.get_running_loop().time() + LATEST_SECONDS
        if self._signalled:
            _exit_at_last()
        if self._on_stop is not None:
            self._on_stop()
        if self._drain_seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), self._drain_seconds)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._finish_requests(latest)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.lifespan.shutdown(), CLOSE_SECONDS)
        logger.info("stopped")

    async def _finish_requests(self, latest: float) -> None:
        state, loop = self.server_state, asyncio.get_running_loop()
        began = loop.time()
        hurried_at: float | None = None
        while state.connections or state.tasks:
            now = loop.time()
            if self._hurried.is_set() and hurried_at is None:
                hurried_at = now
            self._say_goodbye(sockets_too=now - began > STREAM_SECONDS or hurried_at is not None)
            late = now > min(latest, began + STOP_SECONDS)
            if late or (hurried_at is not None and now - hurried_at > HURRY_SECONDS):
                break
            await asyncio.sleep(_TICK)
        if tasks := set(state.tasks):
            logger.warning("requests=%d were cut off by the stop", len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=HURRY_SECONDS)
        for connection in list(state.connections):
            connection.transport.abort()

    def _say_goodbye(self, *, sockets_too: bool) -> None:
        """Tell each connection once that it is its last request; a WebSocket ends by itself if it can."""
        for connection in list(self.server_state.connections):
            if connection not in self._told and (sockets_too or isinstance(connection, HttpToolsProtocol)):
                self._told.add(connection)
                connection.shutdown()


class Companion(GatewayServer):
    """A server beside another in one process: it leaves the signals to the other."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take no signal."""
        yield


def configure(app: Any, http: type[HttpToolsProtocol] = PatientHttp) -> uvicorn.Config:
    """Give uvicorn's configuration for an app. A sandbox, which breaks connections, needs uvicorn's own."""
    return uvicorn.Config(
        app,
        loop="gateway.app.lookups:new_event_loop",
        http=http,
        ws=PatientSocket,
        ws_max_size=SOCKET_BYTES,
        ws_per_message_deflate=False,
        access_log=False,
        log_config=None,
        server_header=False,
    )


def run(server: GatewayServer, listener: socket.socket) -> None:
    """Serve until a signal ends it."""
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(server.serve(repeated(listener)))


def run_beside(
    server: GatewayServer, listener: socket.socket, companion: Companion, companions_listener: socket.socket
) -> None:
    """Serve two apps; the companion ends after the other."""

    async def both() -> None:
        task = asyncio.create_task(companion.serve([companions_listener]))
        try:
            await server.serve(repeated(listener))
        finally:
            companion.hurry()
            companion.should_exit = True
            await task

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(both())


def listen(host: str, port: int) -> socket.socket:
    """Take an address, so that a second process fails here, and keep watch over the peers that vanish.

    Raises:
        OSError: the address cannot be taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _watch_peers(listener)
        listener.bind((host, port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def repeated(listener: socket.socket) -> list[socket.socket]:
    """Give a listener several times: uvloop takes one connection from each in a round.

    With much to do a round takes milliseconds, and connections would wait for seconds to be taken.
    """
    return [listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]


def _watch_peers(listener: socket.socket) -> None:
    """Set what accepted connections inherit: a probe after silence, and an end to waiting for an answer."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _VANISHED_SECONDS // 2),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", _VANISHED_SECONDS // 10),
        ("TCP_USER_TIMEOUT", _VANISHED_SECONDS * 1000),
    ):
        if hasattr(socket, name):  # Linux has them all
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _ignore_hangup(_signal: int, _frame: FrameType | None) -> None:
    logger.warning("SIGHUP is ignored: a restart reads the configuration anew")


def _exit_at_last() -> None:
    timer = threading.Timer(LAST_RESORT_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
