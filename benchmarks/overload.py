"""What becomes of three times as many requests as the gateway can answer.

    python -m benchmarks.overload [--seconds 60] [--callers 64] [--report FILE]

Finds the capacity with a closed loop of callers, then offers three times as many requests a second
without waiting for answers, then half of the capacity again. The capacity is found once more at the end,
for the clock of a machine may change meanwhile, and goodput is compared with the mean of both. Prints the
answers that were good (goodput), how long it took to refuse the others, `/healthz` throughout, and the
time until all is well again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import uvloop

from benchmarks import processes
from benchmarks.caller import Answered, Caller
from benchmarks.processes import INSTANCES

FACTOR = 3
WARM_SECONDS = 3.0
CAPACITY_SECONDS = 15.0
BACK_SECONDS = 8.0
LOOK_SECONDS = 0.1
PATIENTS = 200
MESSAGES = 40
LATE_SECONDS = 10.0
"""An answer later than this is none."""

MIN_GOODPUT = 0.8
MAX_RECOVERY_SECONDS = 5.0
MAX_SHED_MS = 100.0
MAX_HEALTHZ_MS = 200.0

QUERY = """query($id: ID!) { patient(patientId: $id) { messages(first: 20) {
    nodes { id createdAt body sender { kind } } pageInfo { hasNextPage endCursor } } } }"""


@dataclass(slots=True)
class Stretch:
    """What was answered in one stretch of time."""

    name: str
    seconds: float = 0.0
    good: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    other: Counter[str] = field(default_factory=Counter)
    healthz: list[float] = field(default_factory=list)
    loop_lag: float = 0.0
    own_lag: float = 0.0
    """How late this process was itself: its figures cannot be better than that."""
    cores: dict[str, float] = field(default_factory=dict)
    """How much of a processor each process had: the gateway can use one, and others may keep it from it."""

    def take(self, answered: Answered, took: float) -> None:
        """Keep one answer."""
        if answered.status == 200 and b'"errors"' not in answered.body:
            self.good.append(took)
        elif answered.status == 503:
            self.shed.append(took)
            self.without_retry_after += b"retry-after" not in answered.head.lower()
        else:
            self.other[str(answered.status)] += 1

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds if self.seconds else 0.0

    def told(self) -> dict[str, Any]:
        """Put it into JSON."""
        return {
            "stretch": self.name,
            "seconds": round(self.seconds, 1),
            "good_a_second": round(self.goodput, 1),
            "good_ms": percentiles(self.good),
            "shed": len(self.shed),
            "shed_ms": percentiles(self.shed),
            "shed_without_retry_after": self.without_retry_after,
            "other": dict(self.other),
            "healthz_ms": percentiles(self.healthz),
            "gateways_loop_lag_ms": round(self.loop_lag * 1000, 1),
            "callers_own_lag_ms": round(self.own_lag * 1000, 1),
            "cores": {name: round(share, 2) for name, share in self.cores.items()},
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Give the usual ones, in milliseconds."""
    ranked = sorted(seconds)
    if not ranked:
        return {}
    return {
        name: round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 1)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


class Load:
    """Offers requests; every caller is a connection."""

    def __init__(self, host: str, path: str, patients: list[str], pids: dict[str, int]) -> None:
        self._host = host
        self._pids = pids
        # One patient after the other: equal reads at once would share one call upstream, the more of them
        # the more callers wait, and a request would cost least where there are most.
        self._requests = cycle([self._request(path, patient) for patient in patients])
        self._idle: list[Caller] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def _request(self, path: str, patient: str) -> bytes:
        body = json.dumps({"query": QUERY, "variables": {"id": patient}}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def closed(self, stretch: Stretch, callers: int, seconds: float) -> None:
        """Let every caller ask again as soon as it was answered."""
        until = time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < until:
                await self._ask(stretch)

        await self._timed(stretch, asyncio.gather(*(one() for _ in range(callers))))

    async def open(self, stretch: Stretch, rate: float, seconds: float) -> None:
        """Ask so often, whatever is answered."""
        began = time.monotonic()

        async def offer() -> None:
            number = 0
            while (passed := time.monotonic() - began) < seconds:
                while number < passed * rate:
                    number += 1
                    task = asyncio.create_task(self._ask(stretch))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                await asyncio.sleep(0.005)

        await self._timed(stretch, offer())

    async def settle(self) -> None:
        """Wait for the answers that are still to come."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LATE_SECONDS)

    async def _timed(self, stretch: Stretch, running: Awaitable[Any]) -> None:
        began = time.monotonic()
        used = {name: processes.cpu_seconds(pid) for name, pid in self._pids.items()}
        watching = asyncio.create_task(self._watch(stretch))
        await running
        stretch.seconds = time.monotonic() - began
        for name, pid in self._pids.items():
            stretch.cores[name] = (processes.cpu_seconds(pid) - used[name]) / stretch.seconds
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        shown = (await self._get("/metrics")).body.decode()
        lag = re.search(r"^gateway_loop_lag_seconds (\S+)", shown, re.MULTILINE)
        stretch.loop_lag = float(lag[1]) if lag else 0.0

    async def _watch(self, stretch: Stretch) -> None:
        while True:
            began = time.monotonic()
            await self._get("/healthz")
            ended = time.monotonic()
            stretch.healthz.append(ended - began)
            await asyncio.sleep(LOOK_SECONDS)
            stretch.own_lag = max(stretch.own_lag, time.monotonic() - ended - LOOK_SECONDS)

    async def _get(self, path: str) -> Answered:
        caller = await Caller.dial(self._host)
        try:
            return await caller.ask(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())
        finally:
            caller.close()

    def _take_idle(self) -> Caller | None:
        while self._idle:
            caller = self._idle.pop()
            if not caller.reader.at_eof():  # else it idled for so long that the gateway closed it
                return caller
            caller.close()
        return None

    async def _ask(self, stretch: Stretch) -> None:
        began = time.monotonic()
        caller: Caller | None = None
        try:
            async with asyncio.timeout(LATE_SECONDS):
                caller = self._take_idle() or await Caller.dial(self._host)
                answered = await caller.ask(next(self._requests))
        except (OSError, TimeoutError) as error:
            stretch.other[type(error).__name__] += 1
            if caller is not None:
                caller.close()
            return
        stretch.take(answered, time.monotonic() - began)
        if caller.open:
            self._idle.append(caller)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of the stretches, and the seconds until the gateway was well after the second."""

    before: Stretch
    over: Stretch
    back: Stretch
    after: Stretch
    recovered: float

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """All of them, in their order."""
        return self.before, self.over, self.back, self.after

    @property
    def ratio(self) -> float:
        """Goodput under too much load, to the capacity found before and after."""
        return 2 * self.over.goodput / (self.before.goodput + self.after.goodput)


async def measure(load: Load, callers: int, seconds: float) -> Played:
    """Play the stretches."""
    before, after = Stretch("capacity, before"), Stretch("capacity, after")
    over, back = Stretch("three times as much"), Stretch("half as much")
    found_in = min(seconds, CAPACITY_SECONDS)
    await load.closed(Stretch("warm-up"), callers, WARM_SECONDS)
    await load.closed(before, callers, found_in)
    await load.open(over, FACTOR * before.goodput, seconds)
    recovered = await recovery(load.closed)
    await load.settle()
    await load.open(back, before.goodput / 2, BACK_SECONDS)
    await load.settle()
    await load.closed(after, callers, found_in)
    return Played(before, over, back, after, recovered)


async def recovery(ask: Callable[[Stretch, int, float], Awaitable[None]]) -> float:
    """Give the seconds until ten requests in a row are answered well and soon."""
    began = time.monotonic()
    while (took := time.monotonic() - began) < 30:
        look = Stretch("recovery")
        await ask(look, 1, 0.1)
        if look.good and not look.shed and not look.other and max(look.good) < 0.25:
            return took
    return took


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--cache", type=float, default=0, help="the gateway's cache.ttl_seconds")
    parser.add_argument("--report", type=Path)
    wish = parser.parse_args()
    processes.many_descriptors()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = f"[cache]\nttl_seconds = {wish.cache:g}"
        with processes.both(folder, more=more) as (server, url, sandbox_url):
            patients = furnish(sandbox_url)
            pids = {"gateway": server.pid, "callers": os.getpid()}
            load = Load(url.removeprefix("http://"), f"/{INSTANCES['v2']}/graphql", patients, pids)
            played = uvloop.run(measure(load, wish.callers, wish.seconds))
            peak = processes.peak_memory_kib(server.pid) / 1024
    told = {
        "stretches": [each.told() for each in played.stretches],
        "goodput_to_capacity": round(played.ratio, 2),
        "recovery_seconds": round(played.recovered, 2),
        "peak_mib": round(peak, 1),
    }
    text = json.dumps(told, indent=2)
    print(text)
    if wish.report is not None:
        wish.report.write_text(text)
    return 0 if is_kept(played) else 1


def furnish(sandbox_url: str) -> list[str]:
    """Make patients, each with more messages than are asked for; give their ids."""
    messages = [{"text": f"message {number}", "offset": number} for number in range(MESSAGES)]
    with httpx2.Client(timeout=30) as client:
        made = [
            client.post(f"{sandbox_url}/control/patients", json={"messages": messages}).raise_for_status()
            for _ in range(PATIENTS)
        ]
    return [each.json()["patientId"] for each in made]


def is_kept(played: Played) -> bool:
    """Tell whether every promise was kept; nobody else may use the machine meanwhile."""
    return (
        played.ratio >= MIN_GOODPUT
        and played.recovered <= MAX_RECOVERY_SECONDS
        and not played.over.without_retry_after
        and percentiles(played.over.shed).get("p99", 0.0) <= MAX_SHED_MS
        and all(percentiles(each.healthz).get("max", 0.0) <= MAX_HEALTHZ_MS for each in played.stretches)
    )


if __name__ == "__main__":
    sys.exit(main())
