"""What many live subscribers cost: memory for each, and the time until all have heard one event.

    python -m benchmarks.subscribers [--subscribers 10000] [--cycles 3] [--json FILE]

Runs the sandbox, the gateway and the subscribers as three processes on the loopback, and afterwards
the same against a bare server that holds the same connections. Exits with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2

from benchmarks.crowd import Crowd, crowd
from benchmarks.processes import (
    INSTANCES,
    WEBHOOK_HEADERS,
    Server,
    both,
    cpu_seconds,
    descriptors,
    free_port,
    many_descriptors,
    memory_kib,
)

KIB_EACH = 80.0
EVENT_SECONDS = 1.0
GROWTH = 1.05
CONVERSATIONS = 100
EVENTS = 5
"""Events to all in each cycle; the slowest counts."""


@dataclass(slots=True)
class Figures:
    """What was measured of one server."""

    kib_each: list[float] = field(default_factory=list)
    seconds_to_all: list[float] = field(default_factory=list)
    seconds_spread: list[float] = field(default_factory=list)
    seconds_to_open: list[float] = field(default_factory=list)
    mib_after: list[float] = field(default_factory=list)
    cpu_seconds_of_events: list[float] = field(default_factory=list)
    lost: int = 0
    """Events that somebody did not hear."""
    refused: dict[str, int] = field(default_factory=dict)
    """Subscriptions that ended by themselves and were opened again, by reason."""

    @property
    def growth(self) -> float:
        """How much more memory is held after the last cycle than after the one before."""
        return self.mib_after[-1] / self.mib_after[-2] if len(self.mib_after) > 1 else 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A server with a crowd before it."""

    server: Server
    host: str
    path: str
    say: Callable[[str, str], None]
    """Says a text to a patient's followers."""
    count: Callable[[], int]
    """How many follow."""
    crowd: Crowd


def cycle(scene: Scene, patients: list[str], count: int, figures: Figures, name: str) -> None:
    """Open all, let them hear events, close all."""
    pid = scene.server.pid
    before = memory_kib(pid)
    figures.seconds_to_open.append(scene.crowd.open(scene.host, scene.path, patients, count))
    wait_until(lambda: scene.count() >= count, "all follow")
    wait_until(lambda: hear_something(scene, patients, count), "all hear")
    figures.kib_each.append((memory_kib(pid) - before) / count)
    spread = len(patients) > 1
    for number in range(1 if spread else EVENTS):
        used = cpu_seconds(pid)
        took = everybody(scene, patients, count, f"{name}, event {number}", figures)
        (figures.seconds_spread if spread else figures.seconds_to_all).append(took)
        figures.cpu_seconds_of_events.append(cpu_seconds(pid) - used)
    for why, number in scene.crowd.close().items():
        figures.refused[why] = figures.refused.get(why, 0) + number
    wait_until(lambda: scene.count() == 0 and descriptors(pid) < 200, "all have gone")
    time.sleep(2)
    figures.mib_after.append(memory_kib(pid) / 1024)


def hear_something(scene: Scene, patients: list[str], count: int) -> bool:
    """Tell whether all hear what is said now: a tail that has only been asked for does not yet."""
    text = f"Does everybody hear this? {time.monotonic()}"
    for patient in patients:
        scene.say(patient, text)
    return scene.crowd.hears(text, count, 5)[0] == count


def everybody(scene: Scene, patients: list[str], count: int, text: str, figures: Figures) -> float:
    """Say something to all; give the seconds until the last one has heard it."""
    began = time.monotonic()
    for patient in patients:
        scene.say(patient, text)
    heard, last = scene.crowd.hears(text, count, 60)
    figures.lost += count - heard
    return last - began


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition, at most a minute."""
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


def measure(scene: Scene, shared: str, patients: list[str], count: int, cycles: int) -> Figures:
    """Warm the server up with a few, then run the cycles, and one over many conversations."""
    cycle(scene, [shared], min(50, count), Figures(), "warm-up")
    figures = Figures()
    for number in range(cycles):
        cycle(scene, [shared], count, figures, f"cycle {number}")
    spread = Figures()
    cycle(scene, patients, count, spread, "spread")
    figures.seconds_spread = spread.seconds_spread
    figures.lost += spread.lost
    return figures


def of_gateway(folder: Path, people: Crowd, count: int, cycles: int, api: str) -> Figures:
    """Measure the gateway."""
    with (
        both(folder) as (server, url, upstream_url),
        httpx2.Client(trust_env=False, timeout=30) as client,
    ):
        key, secret = WEBHOOK_HEADERS.values()
        name = INSTANCES[api]
        tenant, instance = name.split("/")
        target = {"url": f"{url}/{name}/webhooks/chat", "key": key, "secret": secret}
        target |= {"tenant": tenant, "instance": instance}
        client.post(f"{upstream_url}/control/webhooks", json={"targets": [target]}).raise_for_status()

        def add_patient() -> str:
            made = client.post(f"{upstream_url}/control/patients", json={"messages": [{"text": "first"}]})
            return made.raise_for_status().json()["patientId"]

        def say(patient: str, text: str) -> None:
            body = {"patientId": patient, "text": text}
            client.post(f"{upstream_url}/control/messages", json=body).raise_for_status()

        def following() -> int:
            text = client.get(f"{url}/metrics").text
            found = re.search(r'gateway_subscribers\{transport="ws"\} (\d+)', text)
            return int(found[1]) if found else 0

        host = url.removeprefix("http://")
        scene = Scene(server, host, f"/{name}/graphql", say, following, people)
        patients = [add_patient() for _ in range(CONVERSATIONS)]
        return measure(scene, add_patient(), patients, count, cycles)


def of_bare(folder: Path, people: Crowd, count: int, cycles: int) -> Figures:
    """Measure the bare server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = Server((sys.executable, "-m", "benchmarks.bare", str(port)), folder / "bare.log", url)
    server.start()
    try:
        with httpx2.Client(trust_env=False, timeout=30) as client:

            def say(patient: str, text: str) -> None:
                client.post(url, json={"patientId": patient, "text": text}).raise_for_status()

            base = descriptors(server.pid)
            scene = Scene(
                server,
                url.removeprefix("http://"),
                "/",
                say,
                lambda: max(0, descriptors(server.pid) - base),
                people,
            )
            return measure(scene, "shared", ["shared"], count, cycles)
    finally:
        server.stop()


def show(gateway_: Figures, bare: Figures, count: int) -> None:
    """Print both and the ratios."""
    rows = [
        ("KiB for each subscriber", max(gateway_.kib_each), max(bare.kib_each)),
        ("seconds, one event to all", max(gateway_.seconds_to_all), max(bare.seconds_to_all)),
        ("seconds, 100 conversations, one event each", max(gateway_.seconds_spread), 0.0),
        (
            "CPU seconds, one event to all",
            max(gateway_.cpu_seconds_of_events),
            max(bare.cpu_seconds_of_events),
        ),
        ("seconds to open all", max(gateway_.seconds_to_open), max(bare.seconds_to_open)),
        ("MiB after the last cycle", gateway_.mib_after[-1], bare.mib_after[-1]),
        ("memory, last cycle to the one before", gateway_.growth, bare.growth),
    ]
    print(f"{count:,} subscribers{'gateway':>42}{'bare':>10}{'ratio':>8}")
    for name, ours, theirs in rows:
        ratio = f"{ours / theirs:>8.2f}" if theirs else ""
        print(
            f"{name:<48}{ours:>10.2f}{theirs or '':>10.2f}{ratio}" if theirs else f"{name:<48}{ours:>10.2f}"
        )
    print(f"refused at first: {gateway_.refused or 'none'}")
    print(f"{'lost':<48}{gateway_.lost:>10}{bare.lost:>10}")


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--api", choices=tuple(INSTANCES), default="v1")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    most = many_descriptors()
    if wish.subscribers > most - 500:
        parser.error(f"this system allows a process {most} open files")
    with tempfile.TemporaryDirectory() as name, crowd() as people:
        folder = Path(name)
        ours = of_gateway(folder, people, wish.subscribers, wish.cycles, wish.api)
        print(f"gateway: {asdict(ours)}", file=sys.stderr)
        bare = of_bare(folder, people, wish.subscribers, wish.cycles)
    show(ours, bare, wish.subscribers)
    if wish.json is not None:
        wish.json.write_text(json.dumps({"gateway": asdict(ours), "bare": asdict(bare)}, indent=2))
    held = (
        max(ours.kib_each) <= KIB_EACH
        and max(ours.seconds_to_all) <= EVENT_SECONDS
        and ours.growth <= GROWTH
        and ours.lost == 0
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
