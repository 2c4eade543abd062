"""One run of the ledger, from the start of the processes to the findings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks import processes
from benchmarks.ledger.chaos import Chaos
from benchmarks.ledger.checker import Findings, check
from benchmarks.ledger.followers import Follower
from benchmarks.ledger.scenario import Scenario, subscribers
from benchmarks.ledger.stage import CALL_SECONDS, TTL_SECONDS, Stage, furnish
from benchmarks.ledger.walkers import Walker
from benchmarks.ledger.writer import Writer

LINGER_SECONDS = 3.0
"""After everybody was shown everything: time for what comes a second time."""

CALLS_AT_ONCE = 200

KEEP_SECONDS = 1.0
"""Idle connections are dropped here long before the servers drop them (5 s): no call meets the end of one."""


@dataclass(frozen=True, slots=True)
class Run:
    """What took part in a run, and what the checker found."""

    stage: Stage
    writer: Writer
    chaos: Chaos
    followers: list[Follower]
    walkers: list[Walker]
    findings: Findings
    seconds: float
    settled: float
    """Seconds from the last webhook until everybody was up to date; the scenario's ``settle`` if never."""
    log: str
    memory_kib: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run is, for a progress bar."""

    written: int
    shown: int
    news: str


Beside = Callable[[Stage], Coroutine[Any, Any, None]]
"""Something that goes on beside a run until its stage is over."""


def play(
    scenario: Scenario,
    folder: Path,
    tell: Callable[[Standing], None] | None = None,
    beside: Sequence[Beside] = (),
) -> Run:
    """Start everything, play a scenario, and check what came of it; ``folder`` keeps logs."""
    processes.many_descriptors()
    options = {
        "reconcile_seconds": scenario.reconcile,
        "store": scenario.store,
        "more": f"[cache]\nttl_seconds = {TTL_SECONDS:g}",
    }
    with processes.both(folder, **options) as (gateway, gateway_url, sandbox_url):
        urls = (gateway_url, sandbox_url)
        return asyncio.run(_play(scenario, gateway, urls, tell or (lambda _: None), beside))


async def _play(
    scenario: Scenario,
    gateway: processes.Server,
    urls: tuple[str, str],
    tell: Callable[[Standing], None],
    beside: Sequence[Beside],
) -> Run:
    limits = httpx2.Limits(
        max_connections=CALLS_AT_ONCE,
        max_keepalive_connections=CALLS_AT_ONCE,
        keepalive_expiry=KEEP_SECONDS,
    )
    timeout = httpx2.Timeout(CALL_SECONDS, pool=None)
    async with httpx2.AsyncClient(trust_env=False, limits=limits, timeout=timeout) as client:
        stage = Stage(scenario, gateway, *urls, client)
        await furnish(stage)
        writer, chaos = Writer(stage), Chaos(stage)
        followers = [Follower(stage, planned) for planned in subscribers(scenario)]
        walkers = [Walker(stage, number) for number in range(scenario.walkers)]
        stage.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for each in followers:
                group.create_task(each.follow())
            for each in walkers:
                group.create_task(each.walk())
            for goes_on in beside:
                group.create_task(goes_on(stage))
            telling = group.create_task(_tell(stage, writer, followers, tell))
            striking = group.create_task(chaos.strike())
            await writer.write()
            await striking
            settled = await _settle(stage, followers)
            await asyncio.sleep(LINGER_SECONDS)
            stage.over.set()
            await telling
        lines = [each.line for each in followers]
        walks = [walk for each in walkers for walk in each.walks]
        return Run(
            stage,
            writer,
            chaos,
            followers,
            walkers,
            check(stage.truth, lines, walks),
            time.monotonic() - stage.began,
            settled,
            gateway.log.read_text(errors="replace"),
            processes.memory_kib(gateway.pid),
        )


async def _settle(stage: Stage, followers: list[Follower]) -> float:
    began = time.monotonic()
    while (took := time.monotonic() - began) < stage.scenario.settle:
        if all(each.up_to_date for each in followers):
            return took
        await asyncio.sleep(0.1)
    return stage.scenario.settle


async def _tell(
    stage: Stage, writer: Writer, followers: list[Follower], tell: Callable[[Standing], None]
) -> None:
    while not stage.over.is_set():
        tell(Standing(writer.written, sum(len(each.line.events) for each in followers), stage.news))
        await asyncio.sleep(0.5)
