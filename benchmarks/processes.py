"""The gateway and its sandbox as real processes on the loopback, and what the kernel tells of them."""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

V1 = "gh/sb-demo"
V2 = "acme-health/live"
INSTANCES = {"v1": V1, "v2": V2}
"""Welkin's versions --> the gateway's instances of them."""

WEBHOOK_HEADERS = {"X-WEBHOOK-API-KEY": "benchmark-key", "X-WEBHOOK-API-SECRET": "benchmark-secret"}

START_SECONDS = 100
"""Long enough for a busy machine."""

_CONFIG = """
[server]
port = {port}
[store]
url = "{store}"
encryption_keys = ["for-the-benchmark-alone-0123456789abcdef"]
[auth]
mode = "none"
[telemetry]
log_level = "WARNING"
{more}
"""
_INSTANCE = """
[[instances]]
tenant = "{tenant}"
instance = "{instance}"
api = "{api}"
base_url = "{sandbox}/{api}"
client = "SANDBOX{client}"
secret = "sandbox-secret"
webhook_key = "benchmark-key"
webhook_secret = "benchmark-secret"
reconcile_seconds = {reconcile}
"""


def configuration(
    sandbox: str, port: int, *, reconcile_seconds: float, store: str = "memory://", more: str = ""
) -> str:
    """Write a configuration with an instance of each version; ``more`` is TOML for other sections."""
    instances = (
        _INSTANCE.format(
            tenant=name.split("/")[0],
            instance=name.split("/")[1],
            api=api,
            client=api.upper(),
            sandbox=sandbox,
            reconcile=reconcile_seconds,
        )
        for api, name in INSTANCES.items()
    )
    return _CONFIG.format(port=port, store=store, more=more) + "".join(instances)


@dataclass(slots=True)
class Server:
    """A command that serves; it can be killed, paused and started again with the same arguments."""

    arguments: tuple[str, ...]
    log: Path
    probe: str
    """A URL that answers 2xx once it is up."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The process's id.

        Raises:
            RuntimeError: it does not run.
        """
        if self.process is None:
            raise RuntimeError("The server does not run.")
        return self.process.pid

    def begin(self) -> None:
        """Start, and do not wait."""
        environment = dict(os.environ)
        if environment.pop("PYTHONDONTWRITEBYTECODE", None):
            # Else every start compiles every library anew, and a restart takes many times as long.
            environment["PYTHONPYCACHEPREFIX"] = str(self.log.parent / "bytecode")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def start(self) -> None:
        """Start, and wait until it answers; raises as `wait` does."""
        self.begin()
        self.wait()

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended instead.
            TimeoutError: it does not answer.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"The server ended:\n{self.log.read_text(errors='replace')[-2000:]}")
            if _answers(self.probe):
                return
            time.sleep(0.05)
        raise TimeoutError(self.probe)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """Send SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Send SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End in order, or by force after 20 s."""
        if self.process is None or self.process.poll() is not None:
            return
        self.go_on()
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()


def sandbox(folder: Path) -> tuple[Server, str]:
    """Begin a sandbox, and do not wait; give it and its base URL."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = (sys.executable, "-m", "gateway", "sandbox", "--port", url.rpartition(":")[2])
    server = Server(arguments, folder / "sandbox.log", f"{url}/control/knobs")
    server.begin()
    return server, url


def gateway(
    folder: Path, upstream: str, *, reconcile_seconds: float = 30, store: str = "memory://", more: str = ""
) -> tuple[Server, str]:
    """Begin a gateway before a sandbox, and do not wait; give it and its base URL."""
    port = free_port()
    config = folder / f"gateway-{port}.toml"
    text = configuration(upstream, port, reconcile_seconds=reconcile_seconds, store=store, more=more)
    config.write_text(text, encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    arguments = (sys.executable, "-m", "gateway", "serve", "--config", str(config))
    server = Server(arguments, folder / "gateway.log", f"{url}/healthz")
    server.begin()
    return server, url


@contextmanager
def both(folder: Path, **options: Any) -> Generator[tuple[Server, str, str]]:
    """Run a sandbox and a gateway before it; give the gateway, its base URL and the sandbox's.

    ``options`` are those of `gateway`.
    """
    upstream, upstream_url = sandbox(folder)
    server: Server | None = None
    try:
        server, url = gateway(folder, upstream_url, **options)
        upstream.wait()
        server.wait()
        yield server, url, upstream_url
    finally:
        for each in (server, upstream):
            if each is not None:
                each.stop()


def _answers(url: str) -> bool:
    """Tell whether a URL answers 2xx, for less than a client with all its contexts costs."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", f"/{path}")
        return 200 <= connection.getresponse().status < 300
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Give a port that nobody listens on, and that no client is given while a server restarts."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def many_descriptors() -> int:
    """Allow this process and those it starts as many open files as the system lets it; give how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def memory_kib(pid: int) -> int:
    """Give the memory that a process holds now."""
    return _status(pid, "VmRSS")


def peak_memory_kib(pid: int) -> int:
    """Give the most memory that a process has held so far."""
    return _status(pid, "VmHWM")


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return _status(pid, "Threads")


def descriptors(pid: int) -> int:
    """Count the open files of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu_seconds(pid: int) -> float:
    """Give the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"{name}:\s+(\d+)", status)
    return int(found[1]) if found else 0
