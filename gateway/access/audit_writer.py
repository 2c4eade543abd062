"""Writes the lines of the audit trail, in a thread of its own, so that no sink can stall the event loop.

Theory. A write to a file, a pipe or a terminal may block: a reader that stopped, a network disk that hangs.
``O_NONBLOCK`` does nothing for files and would change standard output for everyone who shares it. So one
thread writes, behind a bounded queue:

1. each line is one ``write()``, so that lines of several processes do not mix;
2. a line gets its number when it is written, so numbers have no gap; what could not be written is counted,
   and the next line that can be written is preceded by one that tells how many are missing;
3. a full queue and a failed write are the same to the caller: the line is lost, and it is told so;
4. a sink that failed is opened again for the next line.
"""

from __future__ import annotations

import asyncio
import os
import queue
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

QUEUE_LINES = 20_000
"""One message to ten thousand subscribers is as many lines at once; full, it holds about 20 MB."""

STALLED_SECONDS = 2.0
"""A sink that takes longer for a line counts as failing."""

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Line:
    """A line: when it was made, in Unix seconds, and what gives its bytes once its number is known."""

    at: float
    render: Callable[[int], bytes]


@dataclass(slots=True)
class _Ticket:
    """A line on its way, and who waits for it."""

    line: Line
    loop: asyncio.AbstractEventLoop | None = None
    written: asyncio.Future[bool] | None = None
    abandoned: bool = False
    ok: bool = False


class AuditWriter:
    """The thread behind one sink: the path of a file or pipe, or "-" for standard output.

    One event loop may write to it.

    ``missing`` gives the line that tells how many are lost, from its number, their count and the time.
    """

    def __init__(self, sink: str, missing: Callable[[int, int, float], bytes]) -> None:
        self._sink = sink
        self._missing = missing
        self._queue: queue.Queue[_Ticket | None] = queue.Queue(QUEUE_LINES)
        self._fd: int | None = None
        self._number = 0
        self._torn = False
        self._refused = 0  # by the callers' thread
        self._failed = 0  # by the writer's thread, as are those that follow
        self._told = 0
        self._failing = False
        self._busy_since: float | None = None
        self._settled: deque[_Ticket] = deque()
        self._waking = False
        # A daemon: a write that blocks for ever must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def failures(self) -> int:
        """How many lines were lost so far."""
        return self._refused + self._failed

    @property
    def failing(self) -> bool:
        """Whether a line that is put in now is likely to be lost."""
        busy = self._busy_since
        stalled = busy is not None and time.monotonic() - busy > STALLED_SECONDS
        return self._failing or stalled or self._queue.full()

    def put(self, line: Line) -> None:
        """Leave a line to the thread, and wait for nothing."""
        self._enter(_Ticket(line))

    async def write(self, line: Line) -> bool:
        """Write a line and tell whether it stands in the sink. Waits two seconds at most.

        A line given up while its write was under way may appear later: the trail then tells more than
        was shown, never less.
        """
        loop = asyncio.get_running_loop()
        ticket = _Ticket(line, loop, loop.create_future())
        if not self._enter(ticket) or ticket.written is None:
            return False
        # A caller that is cancelled leaves its line behind: what it asked for was read.
        done, _ = await asyncio.wait({ticket.written}, timeout=STALLED_SECONDS)
        ticket.abandoned = not done
        return bool(done) and ticket.written.result()

    async def aclose(self) -> None:
        """Write what is left, as far as the sink lets it within some seconds."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        try:
            self._queue.put(None, timeout=STALLED_SECONDS)
        except queue.Full:
            return
        self._thread.join(STALLED_SECONDS)

    def _enter(self, ticket: _Ticket) -> bool:
        try:
            self._queue.put_nowait(ticket)
        except queue.Full:
            self._refused += 1
            return False
        return True

    def _run(self) -> None:
        while (ticket := self._queue.get()) is not None:
            ticket.ok = not ticket.abandoned and self._try(ticket.line)
            if not ticket.ok:
                self._failed += 1
            if ticket.loop is not None:
                self._settled.append(ticket)
                self._wake(ticket.loop)
        self._close()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop tell those who wait. Waking it costs more than a line: once does for a burst."""
        if not self._waking:
            self._waking = True
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._waking = False  # first, so that a line that comes meanwhile wakes the loop again
        while self._settled:
            ticket = self._settled.popleft()
            if ticket.written is not None and not ticket.written.done():
                ticket.written.set_result(ticket.ok)

    def _try(self, line: Line) -> bool:
        self._busy_since = time.monotonic()
        try:
            self._tell_missing(line.at)
            self._put(line.render(self._number + 1))
        except (OSError, ValueError):  # ValueError: no path at all
            self._failing = True
            self._close()
            return False
        finally:
            self._busy_since = None
        self._failing = False
        return True

    def _tell_missing(self, now: float) -> None:
        lost = self.failures
        if lost > self._told:
            self._put(self._missing(self._number + 1, lost - self._told, now))
            self._told = lost

    def _put(self, line: bytes) -> None:
        if self._fd is None:
            self._fd = _open(self._sink)
        rest = b"\n" + line if self._torn else line
        while rest:
            written = os.write(self._fd, rest)
            rest = rest[written:]
            self._torn = bool(rest)  # a disk that fills up keeps half of a line
        self._number += 1

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(sink: str) -> int:
    if sink == STANDARD_OUTPUT:
        return os.dup(1)
    fd = os.open(sink, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        os.fchmod(fd, 0o600)  # it may have been there before, open to more people
    return fd
