"""HTTP/1 connections with a limit on everything that a client could make the server wait for or keep.

uvicorn lets go of a connection that idles between two requests, and of nothing else. Here

1. a request's head must be whole within a time and a size (408, 431), also the one that opens a WebSocket;
2. an answer must be taken at some pace, or its connection is dropped with all that is still to be sent;
3. a body that the application has not read when it answers is thrown away, a bounded amount of it, and the
   connection ends. Closing at once would reset it, and the client might never see the answer;
4. a server that stops gives each connection a last request, so that none is lost on its way;
5. a wish to speak another protocol than a WebSocket's is ignored, and the body after it is the request's own.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.app.patience import Pace, Patience
from gateway.app.request_heads import check_handshake, check_target, without_upgrade
from gateway.app.unread_body import Careful, Outlet
from gateway.web.refusals import refusal
from gateway.web.sse import LIVE
from gateway.web.websocket_protocol import KERNEL_BYTES

CUT = "gateway.cut"
"""The extension by which an application drops a connection together with what was not delivered yet."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LOOKS = 3
"""How often a connection is looked at within the shortest of its deadlines."""


class PatientHttp(HttpToolsProtocol):
    """One connection. A subclass may have another ``patience``."""

    patience: ClassVar[Patience] = Patience()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._began: float | None = None
        """Since when a message, or the first one, is awaited or read; None between two."""
        self._in_body = False
        self._head = 0
        self._silent = 0
        """Bytes since the parser last made something of them."""
        self._status = 400
        self._pace = Pace(self.patience)
        self._look_task: asyncio.TimerHandle | None = None
        self._parting: asyncio.TimerHandle | None = None
        self._rest = 0
        self._stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, and to look whether it comes."""
        super().connection_made(transport)
        self._began = self.loop.time()
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking, and let go of what holds this connection in turn."""
        self._forget()
        super().connection_lost(exc)
        self.cycle = self.scope = cast("Any", None)
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Read on, unless this connection has had its last answer."""
        if self._parting is not None:
            self._rest -= len(data)
            if self._rest < 0:
                self.transport.close()
            return
        self._begin()
        self._silent += len(data)
        self._parse(data)
        if self._silent > self.patience.head_bytes and not self._is_over():
            self._refuse(431)

    def on_message_begin(self) -> None:
        """Start counting a head."""
        self._begin()
        self._head = self._silent = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer."""
        self._count(len(name) + len(value) + len(": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application begin, unless the request comes again without its wish to upgrade."""
        self._in_body = True
        method = self.parser.get_method()
        check_target(method, self.url, self.headers)
        if self._opens_socket():
            check_handshake(method, self.headers)
        if not self._ignores_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop waiting for this message."""
        self._silent = 0
        if self._ignores_upgrade():
            return
        self._began, self._in_body = None, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, if there can be one."""
        if self._parting is not None:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the WebSocket's protocol."""
        self._forget()
        super().handle_websocket_upgrade()
        self.parser = cast("Any", None)  # it holds this

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot or may not read, in the gateway's words."""
        del msg
        self._refuse(self._status)

    def shutdown(self) -> None:
        """Serve what is on its way, and no more. The second time: nothing that has not begun."""
        if self._stopping or self._parting is not None:
            self._close_if_idle()
            return
        self._stopping = True
        if self._is_busy():
            self.cycle.keep_alive = False  # the last one that was read; others may still wait before it
        self.loop.call_later(self.patience.last_call_seconds, self._close_if_idle)

    def cut(self) -> None:
        """Drop the connection, and with it whatever the client has not received."""
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def keep_little(self) -> None:
        """Have the kernel keep little for a reader of a stream: its buffer would grow to megabytes."""
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def part(self) -> None:
        """Close once everything written is on its way; until then throw away what the client still sends."""
        if self._is_over():
            return
        self._rest = self.patience.rest_bytes
        self._parting = self.loop.call_later(self.patience.rest_seconds, self.transport.close)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self.transport.write_eof()

    def write(self, data: bytes) -> None:
        """Send bytes, counted."""
        self._pace.written += len(data)
        self.transport.write(data)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.transport = Outlet(self, cycle)
        cycle.scope["extensions"] = {CUT: self.cut, LIVE: self.keep_little}  # type: ignore[typeddict-item]
        if self._stopping and not self.pipeline:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, Careful(app, cycle, self.patience.small_body))

    def _parse(self, data: bytes) -> None:
        """Parse what came; a request whose wish to upgrade is ignored is parsed anew without it."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if self._opens_socket():
                    self.handle_websocket_upgrade()
                    return
                rest = rest[upgrade.args[0] :]
                self._begin_anew()
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("")
                return
            else:
                return

    def _begin_anew(self) -> None:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        plain = without_upgrade(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.parser.feed_data(plain)

    def _opens_socket(self) -> bool:
        return self.parser.should_upgrade() and self._should_upgrade()

    def _ignores_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _begin(self) -> None:
        if self._began is None:
            self._began = self.loop.time()

    def _count(self, size: int) -> None:
        self._silent = 0
        self._head += size
        if self._head > self.patience.head_bytes:
            self._status = 431
            raise ValueError("The head is too large.")

    def _refuse(self, status: int) -> None:
        if self._is_busy():
            self.cut()  # an answer is being written: another in its middle would be taken for a part of it
            return
        self.write(refusal(status))
        self.part()

    def _look_again(self) -> None:
        patience = self.patience
        seconds = min(patience.head_seconds, patience.stall_seconds) / _LOOKS
        self._look_task = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._look_again()
        now = self.loop.time()
        if self._pace.is_stalled(now, self._waiting()):
            self.cut()
        elif not self._is_over() and self._is_late(now):
            if self._in_body:
                self.cut()  # it was answered before its body was whole, and the rest does not come
            else:
                self._refuse(408)

    def _waiting(self) -> int:
        """Count what the client has not confirmed yet; nothing, if all of it fits into the kernel's buffer.

        Both buffers count: the kernel takes more only once much of what it has is gone, so that ours
        alone would seem to stand still for a reader that is only slow.
        """
        ours = self.transport.get_write_buffer_size()
        if not ours:
            return 0
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):
            (kernels,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
            return ours + kernels
        return ours

    def _is_late(self, now: float) -> bool:
        if self._began is None or self._is_busy():
            return False
        return now - self._began > self.patience.head_seconds

    def _is_busy(self) -> bool:
        if self.cycle is None:  # pyright: ignore[reportUnnecessaryComparison] -- so it begins
            return False
        return not self.cycle.response_complete

    def _is_over(self) -> bool:
        return self._parting is not None or self.transport.is_closing()

    def _close_if_idle(self) -> None:
        if not self._is_busy():
            self.transport.close()

    def _forget(self) -> None:
        for timer in (self._look_task, self._parting):
            if timer is not None:
                timer.cancel()
