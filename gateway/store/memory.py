"""A cache in this process's memory, bounded in entries and in weight.

It is an aiocache backend, so that anything that speaks aiocache's interface fits here. What
aiocache ships for memory has no bound and one timer per key; this one drops the least recently used
entry, and looks at the clock when it is asked.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiocache.base import BaseCache  # pyright: ignore[reportMissingTypeStubs] - aiocache ships none
from aiocache.serializers import NullSerializer  # pyright: ignore[reportMissingTypeStubs] - the same


@dataclass(frozen=True, slots=True)
class _Entry:
    value: object
    weight: int
    expires_at: float


class BoundedMemoryCache(BaseCache):
    """Least recently used entries go first once there are too many, or they weigh too much.

    ``weigh`` gives the bytes of a value, roughly. Values are handed out as they were put in, so they
    have to be immutable.
    """

    def __init__(
        self,
        *,
        weigh: Callable[[object], int],
        max_entries: int = 20_000,
        max_weight: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(serializer=NullSerializer(), timeout=0)  # pyright: ignore[reportUnknownMemberType] - untyped
        self._weigh = weigh
        self._max_entries = max_entries
        self._max_weight = max_weight
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._weight = 0

    @property
    def weight(self) -> int:
        """The weight of all entries together, in bytes."""
        return self._weight

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return True

    async def _get(self, key: str, encoding: str = "utf-8", _conn: Any = None) -> object:  # noqa: ARG002 - aiocache's
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def _set(
        self,
        key: str,
        value: object,
        ttl: float | None = None,
        _cas_token: Any = None,
        _conn: Any = None,
    ) -> bool:
        self._drop(key)
        expires_at = float("inf") if ttl is None else self._clock() + ttl
        self._entries[key] = _Entry(value, self._weigh(value), expires_at)
        self._weight += self._entries[key].weight
        while len(self._entries) > self._max_entries or self._weight > self._max_weight:
            self._drop(next(iter(self._entries)))
        self._drop_expired()
        return True

    def _drop_expired(self) -> None:
        """Let go of a few that nobody asked for again; each new entry pays for two old ones."""
        for key in list(islice(self._entries, 2)):
            if self._entries[key].expires_at <= self._clock():
                self._drop(key)

    async def _delete(self, key: str, _conn: Any = None) -> int:
        return int(self._drop(key))

    async def _exists(self, key: str, _conn: Any = None) -> bool:
        return await self._get(key) is not None

    async def _clear(self, namespace: str | None = None, _conn: Any = None) -> bool:  # noqa: ARG002 - aiocache's
        self._entries.clear()
        self._weight = 0
        return True

    def _drop(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._weight -= entry.weight
        return entry is not None
