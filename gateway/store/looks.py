"""Looks at generations and copies in Redis, gathered: what is asked for at once goes in one command.

A command costs this process more than the look costs Redis, so under load looks go together. Equal
ones that were not sent yet are one. One that was sent is never joined: it may have been answered
before a change that the later caller has been told of.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from gateway.store.link import RedisAway, RedisLink

_SCRIPT = """
local each = tonumber(ARGV[1])
local answer = {redis.call('TIME')}
for look = 0, #KEYS / each - 1 do
  local generation = {}
  for i = 1, each - 1 do
    local name = KEYS[look * each + i]
    redis.call('SET', name, ARGV[look + 3] .. '-', 'NX', 'PX', ARGV[2])
    generation[i] = redis.call('GET', name)
  end
  answer[2 * look + 2] = table.concat(generation, ' ')
  answer[2 * look + 3] = redis.call('GET', KEYS[(look + 1) * each])
end
return answer
"""
"""A generation that is not there begins now, without the moment of a change."""

_BATCH = 32
_UNDER_WAY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What Redis told: its time in seconds, the generations, and the copy if one is there."""

    now: float
    generation: str
    value: bytes | None


class Looks:
    """Gathers the looks of one instance. ``milliseconds`` a generation lasts unless it is used."""

    def __init__(
        self, link: RedisLink, milliseconds: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._milliseconds = milliseconds
        self._clock = clock
        self._waiting: dict[tuple[str, ...], asyncio.Future[Look | None]] = {}
        self._senders: set[asyncio.Task[None]] = set()

    async def look(self, names: tuple[str, ...], within: float) -> Look:
        """Look at the generations named and, by the last name, at a copy.

        Raises:
            RedisAway: no answer came within so many seconds.
        """
        answer = self._waiting.get(names)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._waiting[names] = answer
        if len(self._senders) < _UNDER_WAY:
            sender = asyncio.create_task(self._send())
            self._senders.add(sender)
        await asyncio.wait([answer], timeout=within)
        look = answer.result() if answer.done() else None
        if look is None:
            raise RedisAway
        return look

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self._send_some()
        finally:  # at once, and not by a callback: a look in between would find senders that send no more
            self._senders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send_some(self) -> None:
        batch = dict(list(self._waiting.items())[:_BATCH])
        for names in batch:
            del self._waiting[names]
        try:
            looks = await self._ask(list(batch))
        except RedisAway:
            looks = [None] * len(batch)
        for answer, look in zip(batch.values(), looks, strict=True):
            answer.set_result(look)

    async def _ask(self, batch: list[tuple[str, ...]]) -> list[Look]:
        names = [name for each in batch for name in each]
        fresh = [secrets.token_hex(16) for _ in batch]
        sent = self._clock()
        answer = await self._link.script(_SCRIPT, names, len(batch[0]), self._milliseconds, *fresh)
        received = self._clock()
        (seconds, micros), *told = cast("list[tuple[bytes, bytes]]", answer)
        now = int(seconds) + int(micros) / 1e6
        self._link.clock.observe(sent, received, now)
        pairs = zip(cast("list[bytes]", told[::2]), cast("list[bytes | None]", told[1::2]), strict=True)
        return [Look(now, generation.decode("ascii", "replace"), value) for generation, value in pairs]
