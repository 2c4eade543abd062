"""A Welkin that stands still under load and goes on again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.domain.errors import GatewayError, Overloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.domain.pages import Newest
from gateway.sandbox.conversations import SHORT
from gateway.welkin.upstream import Upstream
from gateway.welkin.v1.adapter import WelkinV1

DEADLINE = 1.0


@pytest.fixture
def frozen_at_will() -> Iterator[tuple[str, int]]:
    """Run the sandbox as a process of its own; gives its URL and its process id."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", "sandbox", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, process)
            yield url, process.pid
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx2.get(f"{url}/control", trust_env=False).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise RuntimeError("The sandbox did not start.")


async def timed(welkin: WelkinV1) -> tuple[type[GatewayError] | None, float]:
    began = time.monotonic()
    try:
        await welkin.list_messages(SHORT, Newest(), include_archived=False)
    except GatewayError as error:
        return type(error), time.monotonic() - began
    return None, time.monotonic() - began


def resident_megabytes() -> float:
    """Give the memory that this process takes now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def test_every_call_to_a_welkin_that_stands_still_ends_in_time_and_the_next_succeed(
    frozen_at_will: tuple[str, int],
) -> None:
    url, process = frozen_at_will
    welkin = WelkinV1(Upstream(f"{url}/v1", "gh", "sb-demo", "SANDBOXV1", "sandbox-secret", DEADLINE))
    assert (await timed(welkin))[0] is None

    before = resident_megabytes()
    os.kill(process, signal.SIGSTOP)
    during = await asyncio.gather(*(timed(welkin) for _ in range(200)))
    again = await asyncio.gather(*(timed(welkin) for _ in range(200)))
    assert resident_megabytes() - before < 40
    os.kill(process, signal.SIGCONT)
    back = time.monotonic()
    while (await timed(welkin))[0] is not None:  # noqa: ASYNC110 - asking is what closes the breaker
        await asyncio.sleep(0.02)

    assert time.monotonic() - back < 5
    assert {kind for kind, _ in (*during, *again)} <= {UpstreamTimeout, UpstreamUnavailable, Overloaded}
    assert max(seconds for _, seconds in (*during, *again)) < DEADLINE + 0.5
    assert sum(kind is UpstreamUnavailable for kind, _ in again) > 150, "the breaker spares the second wave"
    async with asyncio.timeout(3):
        while welkin.state.in_flight:  # noqa: ASYNC110 - nobody waits for these any more
            await asyncio.sleep(0.01)
    await welkin.aclose()
