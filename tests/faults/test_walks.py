"""Walks through a whole conversation while the upstream's pages go wrong, seen from outside.

A walk shows each message that was there at its start once and in order, or ends with a documented
error. It never ends early as if that were all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from gateway.sandbox import FaultRule, Sandbox, SandboxConfig
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.records import Author, StoredPatient
from gateway.sandbox.store import CARE_TEAM
from tests.faults.asked import Failed, Visit
from tests.faults.operations import settled
from tests.faults.rig import PAGE, PATIENT, START_MS, Place, rig

COUNT = 21
STEP = 5
MOST_STEPS = 30
"""Arrivals make a walk no longer: they are before its start."""

ONCE, FOR_EVER = 1, None
FAULTS = [
    *(("v1", fault, ONCE) for fault in ("duplicate_items", "token_loop", "newer_loop", "empty_page")),
    *(("v1", fault, FOR_EVER) for fault in ("duplicate_items", "token_loop", "newer_loop", "empty_page")),
    *(("v2", fault, ONCE) for fault in ("duplicate_items", "token_loop", "empty_page")),
    *(("v2", fault, FOR_EVER) for fault in ("duplicate_items", "empty_page")),
]
DOCUMENTED = {"UPSTREAM_BAD_RESPONSE", "UPSTREAM_TIMEOUT", "INVALID_CURSOR"}
WALK = """query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  patient(patientId: $id) {
    messages(first: $first, after: $after, last: $last, before: $before) {
      nodes { body } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""


@dataclass(frozen=True, slots=True)
class Times:
    """How far apart the messages are, in milliseconds, and how fine v2 tells times."""

    apart_ms: int
    style: str = "seconds"


TIMES = {
    "minutes apart": Times(60_000),
    "within one second": Times(0),
    "some in one second": Times(300),
    "in milliseconds": Times(300, "fraction"),
}


def make_place(version: str, name: str) -> Place:
    """Make a conversation whose messages are as far apart as the name says."""
    times = TIMES[name]
    knobs = Knobs(v1_max_size=PAGE, v2_max_size=PAGE, v2_times=times.style)  # type: ignore[arg-type]
    sandbox = Sandbox(SandboxConfig(conversations=False, knobs=knobs))
    sandbox.store.add_patient(StoredPatient(PATIENT, "Canaria", "Canary"))
    for number in range(COUNT):
        author = CARE_TEAM[0] if number % 2 else Author("patient", PATIENT)
        moment = START_MS + number * times.apart_ms
        sandbox.store.add_message(PATIENT, author, f"canary {number}", at_ms=moment)
    return Place(name.replace(" ", "-"), version, sandbox)


async def on_every_conversation(version: str, look: Callable[[Visit], Awaitable[None]]) -> None:
    """Look at conversations with all distances between messages at the same time."""
    places = [make_place(version, name) for name in TIMES]
    async with rig(places, timeout_seconds=10) as http:
        results = await asyncio.gather(
            *(look(Visit(place, http)) for place in places), return_exceptions=True
        )
    problems = [
        f"{place.name}: {error}" for place, error in zip(places, results, strict=True) if error is not None
    ]
    assert not problems, "\n".join(problems)


Prepare = Callable[[], None]


async def older(visit: Visit, prepare: Prepare = lambda: None) -> list[str]:
    """Walk from the newest message to the oldest; gives what was shown, newest first."""
    shown: list[str] = []
    cursor = None
    for _ in range(MOST_STEPS):
        prepare()
        page = (await visit.ask(WALK, id=PATIENT, first=STEP, after=cursor))["patient"]["messages"]
        shown += [node["body"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            return shown
        cursor = page["pageInfo"]["endCursor"]
    raise AssertionError("the walk does not end")


async def newer(visit: Visit, prepare: Prepare = lambda: None) -> list[str]:
    """Walk from the oldest message to the newest; gives what was shown, newest first."""
    shown: list[str] = []
    page = (await visit.ask(WALK, id=PATIENT, last=STEP))["patient"]["messages"]
    for _ in range(MOST_STEPS):
        shown = [node["body"] for node in page["nodes"]] + shown
        if not page["pageInfo"]["hasPreviousPage"]:
            return shown
        prepare()
        cursor = page["pageInfo"]["startCursor"]
        page = (await visit.ask(WALK, id=PATIENT, last=STEP, before=cursor))["patient"]["messages"]
    raise AssertionError("the walk does not end")


both_ways = pytest.mark.parametrize("walk", [older, newer], ids=["to older", "to newer"])


@both_ways
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_messages_that_arrive_before_every_upstream_request_hide_and_double_nothing(version, walk):
    async def look(visit: Visit) -> None:
        before, left = visit.place.texts(), iter(range(40))

        def arrive(_query: str) -> None:
            if (number := next(left, None)) is not None:
                visit.place.say(f"new {number}")

        visit.place.before_call = arrive
        shown = await walk(visit)

        assert [text for text in shown if text in before] == before
        assert len(shown) == len(set(shown))

    await on_every_conversation(version, look)


@both_ways
@pytest.mark.parametrize("status", ["bad_request", "gone"])
async def test_page_tokens_that_die_between_two_pages_cost_no_message(walk, status):
    async def look(visit: Visit) -> None:
        good: set[str] = set()
        kept: set[str] = set()
        faults = visit.place.sandbox.faults

        def refuse_the_old(query: str) -> None:
            if "pageToken" in query and query in kept - good:
                faults.add(FaultRule(status, "list"))
            good.add(query)

        def let_die() -> None:
            kept.update(good)
            good.clear()

        visit.place.before_call = refuse_the_old
        shown = await walk(visit, let_die)

        assert shown == visit.place.texts()

    await on_every_conversation("v1", look)


@both_ways
@pytest.mark.parametrize(
    ("version", "fault", "times"),
    FAULTS,
    ids=["-".join((*case[:2], "once a page" if case[2] else "for ever")) for case in FAULTS],
)
async def test_pages_that_repeat_loop_or_are_empty_double_no_message_and_end_the_walk(
    version, fault, times, walk
):
    async def look(visit: Visit) -> None:
        await visit.ask(WALK, id=PATIENT, first=1)

        def strike() -> None:
            visit.place.sandbox.faults.clear()
            visit.place.sandbox.faults.add(FaultRule(fault, "list", times=times))

        shown = await settled(walk(visit, strike))

        if isinstance(shown, Failed):
            assert shown.code in DOCUMENTED
        else:
            assert shown == visit.place.texts()

    await on_every_conversation(version, look)
