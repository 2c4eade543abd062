"""The fault matrix: every operation, every kind of fault, at every upstream call, once and for ever.

At every point an operation ends with exactly the right answer or a documented error, in time, and is
well again soon after the fault is over. What an answer must be is told by ``operations`` and ``asked``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.domain.ports import Welkin
from gateway.sandbox import FaultRule
from tests.faults.asked import LATE, SECRETS, Visit
from tests.faults.kinds import BLOCKING, KINDS, OWN_BYTES, STORED, TIMEOUT, UNAVAILABLE, Kind
from tests.faults.line import Line
from tests.faults.operations import OPERATIONS, Operation, settled
from tests.faults.pulse import STALL
from tests.faults.rig import BRIEF, DEADLINE, PATIENT, Place, make_sandbox, rig

AT_ONCE = 12
"""Points under way at once: most of them wait for a deadline."""

RECOVERY = 5.0
"""Seconds after a fault within which an operation is well again."""

MOST_UNREACHED = 0.5
"""Share of the points that may pass before their fault strikes: some operations look for a while only."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fault strikes."""

    operation: Operation
    kind: Kind
    call: int
    for_ever: bool

    def __str__(self) -> str:
        mode = "for ever" if self.for_ever else "once"
        return f"{self.operation.name} / {self.kind.name} / call {self.call} / {mode}"

    def place(self, name: str, version: str) -> Place:
        """Make a place for it."""
        line = Line(self.call, self.for_ever) if self.kind.fault is None else None
        return Place(name, version, make_sandbox(), line)

    async def arm(self, place: Place) -> None:
        """Let the fault strike from now on."""
        if place.line is not None:
            if self.call == 1:
                await place.line.take_away()
        elif self.kind.fault is not None:
            is_file = self.operation.upstream == "file"
            args = self.kind.args_of_a_file if is_file else self.kind.args
            times = None if self.for_ever else 1
            place.sandbox.faults.add(
                FaultRule(self.kind.fault, after=self.call - 1, times=times, args=args or {})
            )

    async def disarm(self, place: Place) -> None:
        """Let everything work again."""
        place.sandbox.faults.clear()
        if place.line is not None:
            place.line.away_from = 0
            place.line.give_back()

    @property
    def blocks(self) -> bool:
        """Whether the fault looks like Welkin's block of the token endpoint, which is waited for."""
        return self.kind.name == BLOCKING and self.call == 1

    @property
    def codes(self) -> set[str]:
        """The codes that the operation may end in."""
        codes = {self.kind.code, UNAVAILABLE, TIMEOUT}
        if self.operation.upstream == "send":
            codes.add("SEND_UNCONFIRMED")
        if self.operation.upstream == "portal" and self.kind.name == "401":
            codes.add("UNAUTHENTICATED")
        if self.operation.upstream == "file":
            codes.add("broken off")
        return codes


@pytest.mark.parametrize(
    ("operation", "version"),
    [
        pytest.param(operation, version, id=f"{operation.name}-{version}")
        for operation in OPERATIONS
        for version in operation.versions
    ],
)
async def test_every_fault_ends_in_the_right_answer_or_a_documented_error(
    operation: Operation, version: str, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="gateway")
    points = points_of(operation, version, await count_calls(operation, version))
    results = await look_at_all(points, version)

    problems = [f"{version} / {point}: {said}" for point, said in results.items() if isinstance(said, str)]
    figures = [said for said in results.values() if isinstance(said, Figures)]
    told = {
        "points": len(points),
        "unreached": sum(not each.reached for each in figures),
        "latest": max(each.late for each in figures),
        "slowest recovery": max(each.recovery for each in figures),
    }
    for name, value in told.items():
        record_property(name, value)
    print(version, operation.name, told)  # noqa: T201 - for pytest -rP
    assert not problems, "\n".join([f"{len(problems)} of {len(points)} points:", *problems])
    assert told["unreached"] <= MOST_UNREACHED * len(points)
    assert not [secret for secret in (*SECRETS, PATIENT, BRIEF) if secret in caplog.text.lower()]


def test_every_method_of_the_port_is_covered() -> None:
    methods = {
        name
        for name, member in inspect.getmembers(Welkin)
        if inspect.isfunction(member) and not name.startswith("_")
    }

    assert methods == {operation.method for operation in OPERATIONS}


FIRST_PAGE = 2
"""The call for it; the first is for a token."""


def points_of(operation: Operation, version: str, calls: int) -> list[Point]:
    """Give every point of an operation that makes so many calls, but those that are no fault."""

    def is_right(kind: Kind, call: int) -> bool:
        if operation.upstream == "file":
            return kind.name in OWN_BYTES and call == calls
        # Without any hit at all, v2 may answer a search with no body (A).
        return (operation.upstream, version, kind.name) == ("search", "v2", "204") and call == FIRST_PAGE

    kinds = KINDS + (STORED if operation.upstream == "send" else ())
    return [
        Point(operation, kind, call, for_ever)
        for call in range(1, calls + 1)
        for kind in kinds
        for for_ever in (False, True)
        if not is_right(kind, call)
    ]


async def count_calls(operation: Operation, version: str) -> int:
    """Run an operation without faults; gives how many upstream calls it makes, the token's included."""
    place = Place("p", version, make_sandbox())
    async with rig([place]) as http:
        await operation.run(Visit(place, http))
    assert place.sandbox.requests.count(f"{version}.{operation.upstream}")
    assert place.sandbox.requests.count(f"{version}.token") == 1
    return place.calls


@dataclass(frozen=True, slots=True)
class Figures:
    """How a point went: seconds over the deadline, seconds until all was well, whether the fault struck."""

    late: float
    recovery: float
    reached: bool


async def look_at_all(points: list[Point], version: str) -> dict[Point, Figures | str]:
    """Try every point, some at a time; gives the figures of each, or what is wrong there."""
    places = [point.place(f"p{number}", version) for number, point in enumerate(points)]
    turns = asyncio.Semaphore(AT_ONCE)
    results: dict[Point, Figures | str] = {}

    async with rig(places) as http:

        async def look_at(point: Point, place: Place) -> None:
            visit = Visit(place, http)
            async with turns:
                try:
                    recovery = await survive(point, visit)
                    results[point] = Figures(visit.late, recovery, reached=place.calls >= point.call)
                except Exception as error:  # noqa: BLE001 - all points are looked at, and each is told of
                    results[point] = f"{type(error).__name__}: {error}"[:400]

        await asyncio.gather(*map(look_at, points, places))
    return results


async def survive(point: Point, visit: Visit) -> float:
    """Let a fault strike; gives the seconds until all was well after it."""
    await point.arm(visit.place)
    if point.operation.name == "follow":
        return await sit_out(point, visit)
    pulse = visit.place.pulse
    lost = pulse.lost
    failed = await settled(point.operation.run(visit))
    lost = pulse.lost - lost
    await point.disarm(visit.place)
    codes = point.codes | ({"OVERLOADED"} if point.operation.upstream == "send" and lost > STALL else set())
    assert failed is None or failed.code in codes, f"told {failed}, {lost:.2f} s lost"
    if point.blocks:
        assert failed is not None
        assert (failed.retry_after or 0) > 60, "is not told to wait"
        return 0.0
    began = time.monotonic() - pulse.lost
    while (failed := await settled(point.operation.run(visit))) is not None:
        assert time.monotonic() - pulse.lost - began < RECOVERY, f"is not well again: {failed}"
        await asyncio.sleep(0.2)
    recovery = time.monotonic() - pulse.lost - began
    await point.operation.afterwards(visit)
    return recovery


async def sit_out(point: Point, visit: Visit) -> float:
    """A subscription sits faults out: what was written meanwhile comes when they are over."""
    following = asyncio.create_task(settled(point.operation.run(visit)))
    await asyncio.wait([following], timeout=1.5 * DEADLINE if point.for_ever else RECOVERY)
    await point.disarm(visit.place)
    began = time.monotonic()
    if not point.blocks:
        await asyncio.wait([following], timeout=RECOVERY + LATE)
        assert following.done(), "nothing was delivered"
        assert following.result() is None, f"ended with {following.result()}"
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return time.monotonic() - began
