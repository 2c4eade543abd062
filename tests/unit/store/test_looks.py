"""Looks that are gathered are all sent, whenever they are asked for."""

from __future__ import annotations

import asyncio

import pytest

from gateway.store.looks import Looks
from gateway.store.redis_clock import RedisClock
from tests.unit.services.fakes import run


class Link:
    """Answers looks once its gate is open."""

    def __init__(self) -> None:
        self.clock = RedisClock()
        self.scripts = 0
        self.gate = asyncio.Event()

    async def script(self, text: str, names: list[str], each: int, milliseconds: int, *fresh: str):
        del text, names, each, milliseconds
        self.scripts += 1
        await self.gate.wait()
        return [(b"1", b"1"), *(value for _ in fresh for value in (b"generation", b"copy"))]


@pytest.mark.parametrize("rounds", range(6))
def test_a_look_asked_for_while_all_senders_end_is_sent_at_once(rounds: int):
    """So many rounds of the loop after the answers that end them."""

    async def scenario() -> None:
        link = Link()
        looks = Looks(link, 1000, asyncio.get_running_loop().time)  # pyright: ignore[reportArgumentType]
        first: list[asyncio.Task[object]] = []
        for number in range(4):
            first.append(asyncio.create_task(looks.look((f"g{number}", f"c{number}"), 1.0)))
            await asyncio.sleep(0.01)
        assert link.scripts == 4

        async def late() -> bytes | None:
            await link.gate.wait()
            for _ in range(rounds):
                await asyncio.sleep(0)
            return (await looks.look(("g", "c"), 0.05)).value

        other = asyncio.create_task(late())
        await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
        link.gate.set()

        assert await other == b"copy"
        assert asyncio.get_running_loop().time() == began
        await asyncio.gather(*first)

    run(scenario)
