"""What is still to be done about claims is done from one task, bounded in number and in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.store import errands as module
from gateway.store.errands import Errand, Errands
from gateway.store.link import RedisAway
from tests.unit.services.fakes import run


class Link:
    """A Redis that is there or not, and refuses some scripts."""

    def __init__(self) -> None:
        self.there = False
        self.refused: set[str] = set()
        self.attempts = 0
        self.at_once = 0
        self.done: list[str] = []

    async def script(self, text: str, names: list[str], *values: str, **options: Any) -> None:
        del names, values, options
        self.attempts += 1
        self.at_once += 1
        assert self.at_once == 1
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if not self.there or text in self.refused:
            raise RedisAway
        self.done.append(text)


def made(link: Link) -> Errands:
    return Errands(link)  # pyright: ignore[reportArgumentType]


def errand(text: str, seconds: float = 600.0) -> Errand:
    return Errand(text, [], (), seconds)


def test_however_many_wait_for_a_redis_that_is_away_it_is_asked_twice_a_second():
    async def scenario() -> None:
        link = Link()
        errands = made(link)
        for number in range(1_000):
            errands.add(f"claim {number}", errand(f"{number}"))
        await asyncio.sleep(60)

        assert link.attempts < 130
        link.there = True
        await asyncio.sleep(20)
        assert (errands.pending, sorted(map(int, link.done))) == (0, list(range(1_000)))

    run(scenario)


def test_nothing_is_insisted_on_for_longer_than_it_is_of_use():
    async def scenario() -> None:
        link = Link()
        errands = made(link)
        errands.add("locked", errand("free", seconds=6))
        errands.add("sent", errand("write", seconds=600))
        errands.add("sent", errand("free", seconds=6))
        await asyncio.sleep(7)
        assert errands.pending == 1

        link.there = True
        await asyncio.sleep(1)
        assert (errands.pending, link.done) == (0, ["write"])

        link.there = False
        errands.add("sent", errand("write", seconds=6))
        await asyncio.sleep(7)
        attempts = link.attempts
        await asyncio.sleep(60)
        assert (errands.pending, link.attempts) == (0, attempts)

    run(scenario)


def test_those_of_a_claim_go_in_order_and_one_that_is_refused_holds_up_no_other_claim():
    async def scenario() -> None:
        link = Link()
        link.there, link.refused = True, {"a1"}
        errands = made(link)
        for text in ("a1", "b1", "a2", "b2"):
            errands.add(text[0], errand(text))
        await asyncio.sleep(5)
        assert (link.done, errands.waiting("a"), errands.waiting("b")) == (["b1", "b2"], True, False)

        link.refused = set()
        await asyncio.sleep(1)
        assert link.done == ["b1", "b2", "a1", "a2"]

    run(scenario)


def test_where_too_many_claims_wait_the_oldest_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MAX_CLAIMS", 10)

    async def scenario() -> None:
        link = Link()
        errands = made(link)
        for number in range(100):
            errands.add(f"claim {number}", errand(f"{number}"))
            await asyncio.sleep(0.001)
        assert errands.pending == 10

        link.there = True
        await asyncio.sleep(5)
        assert {*map(int, link.done)} == {*range(90, 100)}

    run(scenario)


def test_what_is_left_at_the_end_has_a_last_second():
    async def scenario() -> None:
        link = Link()
        errands = made(link)
        errands.add("claim", errand("write"))
        asyncio.get_running_loop().call_later(0.5, setattr, link, "there", True)
        await errands.aclose()
        assert link.done == ["write"]

        link.there = False
        errands.add("claim", errand("write"))
        began = asyncio.get_running_loop().time()
        await errands.aclose()
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0)

    run(scenario)
