"""uvicorn's WebSocket protocol with bounds on what one reader may hold back: how many bytes, and how long.

As shipped, a connection that is closed lives on until its client has read everything, which may be
never; a close frame waits for room in a full buffer; pings are answered without end, whether anybody reads
the answers or not; and a server that stops closes every socket before the app has heard of it. Here

1. the kernel keeps little for a reader: its buffer would else grow to megabytes for each;
2. a close frame waits for nobody, so that a reader who wakes up finds out why the socket ended;
3. a reader that takes nothing for ``stall_seconds`` is cut off, whatever else is going on;
4. a client that does not answer pings is let go, unless it is its full buffer that keeps a ping from it;
5. nothing is read from a client that takes nothing: whatever it asks for would only add to what waits;
6. a server that stops tells the app, which closes the socket in its own words;
7. a handshake that cannot be read gets an answer, and its connection ends;
8. only a client that is silent is pinged: who answers the app's own pings is there.

Hand it to ``uvicorn.Config`` as ``ws``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, ClassVar

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError

from gateway.web.refusals import refusal

SERVER_STOPS = 1012
"""The code of a disconnect that tells the app that the server stops; the socket is open still."""

KERNEL_BYTES = 128 * 1024
"""Of what is on its way to a reader; the kernel doubles it for its own book-keeping."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class PatientSocket(WebSocketsSansIOProtocol):
    """One WebSocket. A subclass may have another patience."""

    stall_seconds: ClassVar[float] = 30.0
    """Longer than the app waits for a reader, so that there is time to find the close frame."""
    stall_bytes: ClassVar[int] = 16 * 1024
    """What a reader has to take off a full buffer within that time."""

    _heard: float = 0.0
    """When something came from the client last, by the loop's clock."""
    _stalling: asyncio.TimerHandle | None = None
    _full: bool = False
    """Whether the write buffer is; ``writable`` does not tell once a close frame has passed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection from HTTP."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end, and let go of the parser, which holds what holds it."""
        self._regain_patience()
        super().connection_lost(exc)
        self.conn.parser.close()
        self.conn.parser_exc = None

    def data_received(self, data: bytes) -> None:
        """Read on, unless the handshake could not be read."""
        self._heard = self.loop.time()
        super().data_received(data)
        wrong = self.conn.handshake_exc
        if wrong is not None and not self.handshake_initiated:
            self.handshake_initiated = True  # so that nothing is answered twice
            too_large = isinstance(wrong, SecurityError) or isinstance(wrong.__cause__, SecurityError)
            self.transport.write(refusal(431 if too_large else 400))
            self.transport.close()

    def pause_writing(self) -> None:
        """Lose patience while the buffer is full, and read nothing."""
        super().pause_writing()
        self._full = True
        self._keep_from_reading()
        self._lose_patience()

    def resume_writing(self) -> None:
        """Regain it, and read on unless the app has yet to take what was read."""
        self._regain_patience()
        self._full = False
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def send_keepalive_ping(self) -> None:
        """Ping a client that has been silent for as long as there is between two pings."""
        left = self._heard + (self.ping_interval or 0.0) - self.loop.time()
        if left > 0:
            self.ping_timer = self.loop.call_later(left, self.send_keepalive_ping)
        else:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """Let go of a client that has not answered a ping."""
        if not self.writable.is_set():
            # The ping waits in the full buffer; the app has a close code for that.
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self._cut()

    def shutdown(self) -> None:
        """Tell the app that the server stops."""
        if self.handshake_complete and not self.close_sent and not self.disconnected:
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": SERVER_STOPS})
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """Send a message; a close frame at once."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        self._keep_from_reading()

    async def receive(self) -> Any:
        """Give the app the next message."""
        message = await super().receive()
        self._keep_from_reading()
        return message

    def _keep_from_reading(self) -> None:
        """Read nothing while the buffer is full; the base class reads on whenever the app takes a message."""
        if self._full and not self.transport.is_closing():
            self.transport.pause_reading()

    def _lose_patience(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stalling = self.loop.call_later(self.stall_seconds, self._look, waiting)

    def _look(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < self.stall_bytes:
            self._cut()
        else:
            self._lose_patience()

    def _cut(self) -> None:
        """Drop the connection, and with it whatever the client has not received."""
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    def _regain_patience(self) -> None:
        if self._stalling is not None:
            self._stalling.cancel()
