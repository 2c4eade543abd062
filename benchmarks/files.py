"""How much memory a large attachment costs on its way through, and how its speed compares with none between.

    python -m benchmarks.files [MEGABYTES]

Runs the sandbox and the gateway as processes of their own on the loopback, streams one file from
the sandbox directly and once more through the gateway, and prints the gateway's peak memory before
and after, and the ratio of the two times, measured in this one run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.processes import INSTANCES, both, peak_memory_kib


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
    with tempfile.TemporaryDirectory() as folder, both(Path(folder)) as (gateway, url, sandbox):
        made = httpx2.post(f"{sandbox}/control/files", json={"size": megabytes * 1_000_000}).json()
        token = httpx2.post(
            f"{sandbox}/v2/auth/token", json={"secret": "sandbox-secret", "apiClient": "SANDBOXV2"}
        ).json()["token"]
        path = f"files/{made['fileId']}"
        bearer = {"Authorization": f"Bearer {token}"}
        small = httpx2.post(f"{sandbox}/control/files", json={"size": 1_000_000}).json()
        base = f"{url}/{INSTANCES['v2']}"
        stream(f"{base}/files/{small['fileId']}")
        before = peak_memory_kib(gateway.pid) / 1024
        _, direct = stream(f"{sandbox}/v2/{INSTANCES['v2']}/chat/{path}", bearer)
        size, through = stream(f"{base}/{path}")
        after = peak_memory_kib(gateway.pid) / 1024
    print(f"bytes through the gateway      {size:>14,}")
    print(f"peak memory before, after      {before:>8.1f} MiB {after:>8.1f} MiB")
    print(f"time directly, through         {direct:>8.2f} s   {through:>8.2f} s")
    print(f"ratio                          {through / direct:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
