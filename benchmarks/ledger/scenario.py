"""What a run will do, drawn from its seed before it begins; the same seed gives the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Blow = Literal["kill", "pause", "burst"]
"""SIGKILL and a new start; SIGSTOP and SIGCONT; failures upstream."""

Api = Literal["v1", "v2"]
Transport = Literal["ws", "sse"]
APIS: tuple[Api, ...] = ("v1", "v2")


@dataclass(frozen=True, slots=True)
class Scenario:
    """How large a run is and how hard it is hit. Times are in seconds."""

    messages: int = 10_000
    patients: int = 100
    subscribers: int = 300
    walkers: int = 4
    history_least: int = 3
    """The fewest messages that a patient has before the run, and below the most."""
    history_most: int = 60
    seed: int = 1
    rate: float = 40.0
    """Messages a second."""
    dropped: float = 0.05
    doubled: float = 0.10
    delayed: float = 5.0
    """The longest delay of a webhook; every one has its own, so that they arrive shuffled."""
    hidden: float = 0.1
    """The share of messages that lists show only later."""
    hidden_longest: float = 2.0
    by_patient: float = 0.2
    """The share of messages without a webhook at all: Welkin fires it for the care team's alone."""
    reconnect: float = 8.0
    """How long a subscriber stays connected, on average."""
    kills: int = 4
    pauses: int = 4
    bursts: int = 6
    pause: float = 4.0
    burst: float = 3.0
    reconcile: float = 10.0
    settle: float = 60.0
    """How long the last messages may take to reach everybody."""
    store: str = "memory://"

    @property
    def seconds(self) -> float:
        """How long messages are written."""
        return self.messages / self.rate


SHORT = Scenario(
    messages=500,
    patients=12,
    subscribers=36,
    walkers=2,
    rate=40.0,
    delayed=2.0,
    hidden_longest=1.0,
    reconnect=4.0,
    kills=1,
    pauses=1,
    bursts=1,
    pause=1.5,
    burst=1.5,
    reconcile=2.0,
    settle=15.0,
)
"""For every change: some 20 seconds."""


@dataclass(frozen=True, slots=True)
class PlannedWebhook:
    """One webhook to one instance, so many seconds after its message."""

    api: Api
    delay: float


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message of one patient, at a time from the start, and what becomes of its webhooks."""

    number: int
    at: float
    patient: int
    by: Literal["care_team", "patient"]
    hidden: float
    webhooks: tuple[PlannedWebhook, ...]
    dropped: int
    doubled: int


@dataclass(frozen=True, slots=True)
class PlannedBlow:
    """Something bad, at a time from the start."""

    at: float
    blow: Blow
    seconds: float


@dataclass(frozen=True, slots=True)
class PlannedSubscriber:
    """Whom a subscriber follows, and how; ``late`` ones begin in mid-run, at what is then the present."""

    number: int
    patient: int
    api: Api
    transport: Transport
    late: bool


def messages(scenario: Scenario) -> list[PlannedMessage]:
    """Plan the messages, in the order in which they are written."""
    chance = random.Random(f"messages {scenario.seed}")
    times = sorted(chance.uniform(0, scenario.seconds) for _ in range(scenario.messages))
    return [_message(scenario, chance, number, at) for number, at in enumerate(times)]


def blows(scenario: Scenario) -> list[PlannedBlow]:
    """Plan what goes wrong: evenly over the run, in a random order, none at its very edges."""
    chance = random.Random(f"blows {scenario.seed}")
    kinds: list[Blow] = ["kill"] * scenario.kills + ["pause"] * scenario.pauses + ["burst"] * scenario.bursts
    chance.shuffle(kinds)
    step = scenario.seconds / (len(kinds) + 1)
    lengths = {"kill": 0.0, "pause": scenario.pause, "burst": scenario.burst}
    return [
        PlannedBlow((number + 1 + chance.uniform(-0.2, 0.2)) * step, kind, lengths[kind])
        for number, kind in enumerate(kinds)
    ]


def subscribers(scenario: Scenario) -> list[PlannedSubscriber]:
    """Plan the subscribers: spread over patients, versions and transports alike."""
    chance = random.Random(f"subscribers {scenario.seed}")
    planned: list[PlannedSubscriber] = []
    for number in range(scenario.subscribers):
        around, patient = divmod(number, scenario.patients)
        api = APIS[(around + patient) % 2]
        transport: Transport = "ws" if chance.random() < 0.5 else "sse"
        planned.append(PlannedSubscriber(number, patient, api, transport, late=chance.random() < 0.1))
    return planned


def _message(scenario: Scenario, chance: random.Random, number: int, at: float) -> PlannedMessage:
    patient = chance.randrange(scenario.patients)
    hidden = chance.uniform(0, scenario.hidden_longest) if chance.random() < scenario.hidden else 0.0
    if chance.random() < scenario.by_patient:
        return PlannedMessage(number, at, patient, "patient", hidden, (), 0, 0)
    planned: list[PlannedWebhook] = []
    dropped = doubled = 0
    for api in APIS:
        if chance.random() < scenario.dropped:
            dropped += 1
            continue
        twice = chance.random() < scenario.doubled
        doubled += twice
        planned += [PlannedWebhook(api, chance.uniform(0, scenario.delayed)) for _ in range(1 + twice)]
    return PlannedMessage(number, at, patient, "care_team", hidden, tuple(planned), dropped, doubled)
