"""Small secrets that outlive a process: upstream tokens, and until when their endpoint is left alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from gateway.store.link import RedisAway, RedisLink

_MAX_ENTRIES = 10_000
_BUDGET_SECONDS = 0.5
"""More than a cached read gets, and asked for also while Redis is left alone: what a shelf saves is a call
to Welkin that may be refused, and it is needed first when a process has just begun."""

_GET = "return redis.call('MGET', unpack(KEYS))"
_PUT = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end
"""


class MemoryShelf:
    """A shelf in this process's memory. The oldest entries go first once there are too many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, name: str) -> bytes | None:
        """Give what was put there, unless its time is over."""
        value, until = self._entries.get(name, (None, 0.0))
        if value is not None and until <= self._clock():
            del self._entries[name]
            return None
        return value

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds."""
        self._entries[name] = (value, self._clock() + seconds)
        self._entries.move_to_end(name)
        if len(self._entries) > _MAX_ENTRIES:
            self._entries.popitem(last=False)


class RedisShelf:
    """A shelf in Redis, sealed; each value under every key of the list, so that a rotation loses none."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def get(self, name: str) -> bytes | None:
        """Give what was put there, unless its time is over."""
        names = [key.name("shelf", name) for key in self._link.keys]

        try:
            found = cast(
                "list[bytes | None]",
                await self._link.script(_GET, names, within=_BUDGET_SECONDS, insist=True),
            )
        except RedisAway:
            return None
        for key, where, sealed in zip(self._link.keys, names, found, strict=True):
            if sealed is not None:
                try:
                    return key.open(where, sealed)
                except ValueError:
                    continue
        return None

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds."""
        milliseconds = max(1, round(seconds * 1000))
        named = [(key, key.name("shelf", name)) for key in self._link.keys]
        sealed = [key.seal(where, value) for key, where in named]
        try:
            await self._link.script(
                _PUT,
                [where for _, where in named],
                milliseconds,
                *sealed,
                within=_BUDGET_SECONDS,
                insist=True,
            )
        except RedisAway:
            return
