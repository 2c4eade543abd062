"""Whether memory, descriptors and tasks stay flat while everything goes on for a long time.

    python -m benchmarks.soak [--minutes 20] [--seed 1] [--report FILE] [--log FILE]

Plays the ledger's scenario without kills, so that one process lives through it: messages, webhooks,
subscribers that come and go, readers, searches, sends, pauses and failures upstream. Samples the gateway
from outside, and prints how fast each figure grows after the first quarter, which is its warm-up.
Exits with 1 where memory grows faster than 1 MiB in 10 minutes, or the ledger disagrees.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from benchmarks import processes
from benchmarks.ledger.report import progress, report
from benchmarks.ledger.run import play
from benchmarks.ledger.scenario import APIS, Scenario
from benchmarks.ledger.stage import Stage

EVERY_SECONDS = 5.0
KEYS = 100
"""Idempotency keys that are used again and again: each is kept for a day, which is longer than a run."""
MOST_MIB_IN_TEN_MINUTES = 1.0
WARM_UP = 0.25

SEARCH = """query($id: ID!) { searchMessages(query: "earlier", patientId: $id, first: 5) {
    nodes { id createdAt sender { name } } } }"""
RECORDS = "{ patients(first: 20) { nodes { patientId firstName } } instance { tenant } }"
SEND = """mutation($id: ID!, $key: String) { sendMessage(input: {patientId: $id, body: "hello",
    idempotencyKey: $key}) { messageEdge { cursor } } }"""


@dataclass(slots=True)
class Samples:
    """Figures of the gateway by name, each with the seconds at which it was taken."""

    figures: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def take(self, name: str, at: float, value: float) -> None:
        """Keep one figure."""
        self.figures.setdefault(name, []).append((at, value))

    def slope(self, name: str) -> float:
        """Give how much a figure grows in 10 minutes, after the warm-up."""
        taken = self.figures[name]
        warm = [each for each in taken if each[0] >= taken[-1][0] * WARM_UP]
        seconds, values = zip(*warm, strict=True)
        return statistics.linear_regression(seconds, values).slope * 600 if len(warm) > 1 else 0.0


def scenario(minutes: float, seed: int) -> Scenario:
    """Give a run of so many minutes in which the process is not killed."""
    rate = 15.0
    return Scenario(
        messages=round(minutes * 60 * rate),
        patients=60,
        subscribers=120,
        walkers=3,
        history_least=250,  # so that a page is as full at the start as at the end
        history_most=350,
        seed=seed,
        rate=rate,
        kills=0,
        pauses=max(1, round(minutes / 3)),
        bursts=max(1, round(minutes)),
        reconnect=15.0,
    )


async def sample(stage: Stage, samples: Samples) -> None:
    """Look at the gateway again and again, until the run is over."""
    pid = stage.gateway.pid
    while not stage.over.is_set():
        at = time.monotonic() - stage.began
        samples.take("MiB", at, processes.memory_kib(pid) / 1024)
        samples.take("descriptors", at, processes.descriptors(pid))
        samples.take("threads", at, processes.threads(pid))
        try:
            shown = (await stage.client.get(f"{stage.gateway_url}/metrics")).text
        except httpx2.HTTPError:
            shown = ""
        tasks = re.search(r"^gateway_tasks (\S+)", shown, re.MULTILINE)
        if tasks:
            samples.take("tasks", at, float(tasks[1]))
        live = re.findall(r"^gateway_subscribers\{.*\} (\S+)", shown, re.MULTILINE)
        if live:
            samples.take("subscribers", at, sum(map(float, live)))
        await asyncio.sleep(EVERY_SECONDS)


async def visit(stage: Stage) -> None:
    """Search, list and send, in conversations that the ledger does not keep."""
    chance = random.Random(f"visitor {stage.scenario.seed}")
    others = [(await stage.control("patients", {}))["patientId"] for _ in range(5)]
    number = 0
    while not stage.over.is_set():
        number += 1
        api = chance.choice(APIS)
        query, variables = chance.choice(
            (
                (SEARCH, {"id": chance.choice(stage.patients)}),
                (RECORDS, {}),
                (SEND, {"id": others[number % len(others)], "key": f"{stage.scenario.seed}-{number % KEYS}"}),
            )
        )
        try:
            await stage.ask(api, query, **variables)
        except httpx2.HTTPError:
            await asyncio.sleep(0.5)
        await asyncio.sleep(chance.uniform(0.05, 0.3))


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a file for the samples and the ledger's report")
    parser.add_argument("--log", type=Path, help="a file for what the gateway logged")
    wish = parser.parse_args()
    plan = scenario(wish.minutes, wish.seed)
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder, progress(plan) as tell:
        run = play(plan, Path(folder), tell, [lambda stage: sample(stage, samples), visit])
    told = report(run)
    if wish.log is not None:
        wish.log.write_text(run.log)
    for name, taken in samples.figures.items():
        values = [value for _, value in taken]
        warm = values[int(len(values) * WARM_UP)]
        print(
            f"{name:<12} first {values[0]:>8.1f}  warm {warm:>8.1f}  last {values[-1]:>8.1f}"
            f"  most {max(values):>8.1f}  in 10 minutes {samples.slope(name):>+8.2f}"
        )
    print(f"ledger: {told['defects']}")
    if wish.report is not None:
        wish.report.write_text(json.dumps({"samples": samples.figures, "ledger": told}, indent=1))
    return 0 if told["ok"] and samples.slope("MiB") <= MOST_MIB_IN_TEN_MINUTES else 1


if __name__ == "__main__":
    sys.exit(main())
