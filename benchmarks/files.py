"""How much memory a large attachment costs on its way through, and how its speed compares with none between.

    python benchmarks/files.py [MEGABYTES]

Runs the sandbox and the gateway as processes of their own on the loopback, streams one file from
the sandbox directly and once more through the gateway, and prints the gateway's peak memory before
and after, and the ratio of the two times, measured in this one run.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

CONFIG = """
[server]
port = 0
[auth]
mode = "none"
[[instances]]
tenant = "acme-health"
instance = "live"
api = "v2"
base_url = "{sandbox}/v2"
client = "SANDBOXV2"
secret = "sandbox-secret"
timeout_seconds = 30
"""


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the gateway's command and end it."""
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(timeout=30)


def peak_mebibytes(pid: int) -> float:
    """Give the most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def stream(url: str, headers: dict[str, str] | None = None) -> tuple[int, float]:
    """Read a URL to its end; give the bytes and the seconds."""
    began, size = time.perf_counter(), 0
    with httpx2.stream("GET", url, headers=headers, timeout=60) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            size += len(piece)
    return size, time.perf_counter() - began


def main(megabytes: int) -> None:
    """Measure and print."""
    with process("sandbox", "--port", "0") as upstream, tempfile.TemporaryDirectory() as folder:
        sandbox = re.search(r"http://[\d.:]+", upstream.stdout.readline())[0]
        config = Path(folder) / "gateway.toml"
        config.write_text(CONFIG.format(sandbox=sandbox), encoding="utf-8")
        port = free_port()
        os.environ["GATEWAY_SERVER__PORT"] = str(port)
        with process("serve", "--config", str(config)) as gateway:
            base = f"http://127.0.0.1:{port}"
            wait_for(f"{base}/readyz")
            made = httpx2.post(f"{sandbox}/control/files", json={"size": megabytes * 1_000_000}).json()
            token = httpx2.post(
                f"{sandbox}/v2/auth/token", json={"secret": "sandbox-secret", "apiClient": "SANDBOXV2"}
            ).json()["token"]
            path = f"files/{made['fileId']}"
            bearer = {"Authorization": f"Bearer {token}"}
            small = httpx2.post(f"{sandbox}/control/files", json={"size": 1_000_000}).json()
            stream(f"{base}/files/{small['fileId']}")
            before = peak_mebibytes(gateway.pid)
            _, direct = stream(f"{sandbox}/v2/acme-health/live/chat/{path}", bearer)
            size, through = stream(f"{base}/{path}")
            after = peak_mebibytes(gateway.pid)
    print(f"bytes through the gateway      {size:>14,}")
    print(f"peak memory before, after      {before:>8.1f} MiB {after:>8.1f} MiB")
    print(f"time directly, through         {direct:>8.2f} s   {through:>8.2f} s")
    print(f"ratio                          {through / direct:>8.2f}")


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str) -> None:
    """Wait until something answers."""
    for _ in range(200):
        try:
            httpx2.get(url).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
