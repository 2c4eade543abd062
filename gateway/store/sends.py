"""Idempotency keys in this process's memory: what became of the sends of the last day.

What is settled may be forgotten for want of room, what is unclear may not: its key would post a second
time. So the oldest settled keys go first. Then the oldest unclear ones give up the ids that tell their
message from others: they stay unclear, and are not sent again. Once even that is not enough, a new key
is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.domain.errors import BadInput, Overloaded
from gateway.domain.ports import SendRecord

DAY_SECONDS = 24 * 3600.0
_MAX_KEYS = 100_000
_MAX_WEIGHT = 64 * 1024 * 1024
_BARE = 1_000
"""Bytes of a key of which no more is known than that it is unclear; set aside when it is claimed."""

_GIVEN_UP = SendRecord(None)


def used_differently() -> BadInput:
    """Give the error for a key that stands for another message."""
    return BadInput("idempotencyKey was used before for a different message.")


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    claimed_at: float
    record: SendRecord | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    holders: int = 0
    weight: int = _BARE


class MemorySends:
    """Keys are kept for a day, at most 100,000 of them and 64 MiB."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_keys: int = _MAX_KEYS,
        max_weight: int = _MAX_WEIGHT,
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._max_weight = max_weight
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._settled: OrderedDict[str, _Entry] = OrderedDict()
        self._detailed: OrderedDict[str, _Entry] = OrderedDict()  # unclear, with ids to give up
        self._weight = 0

    async def claim(self, key: str, fingerprint: str) -> MemoryClaim:
        """Claim a key; waits while another call holds it.

        Raises:
            BadInput: the key was used for a different message.
            Overloaded: there is no room for another key.
        """
        self._forget_old()
        entry = self._entries.get(key) or self._admit(key, fingerprint)
        if entry.fingerprint != fingerprint:
            raise used_differently()
        entry.holders += 1
        try:
            await entry.turn.acquire()
        except asyncio.CancelledError:
            entry.holders -= 1
            self.forget(key, entry)
            raise
        return MemoryClaim(self, key, entry)

    def note(self, key: str, entry: _Entry, record: SendRecord | None) -> None:
        """Remember what is known of a send by now."""
        entry.record = record
        if self._entries.get(key) is not entry:
            return
        self._settled.pop(key, None)
        self._detailed.pop(key, None)
        self._weigh(entry)
        if record is not None and record.message is not None:
            self._settled[key] = entry
        elif entry.weight > _BARE:
            self._detailed[key] = entry
        self._make_room(keys=0, weight=0)

    def forget(self, key: str, entry: _Entry) -> None:
        """Drop a key under which nothing was sent, unless another call waits for it."""
        if entry.holders == 0 and entry.record is None and self._entries.get(key) is entry:
            self._drop(key)

    def _admit(self, key: str, fingerprint: str) -> _Entry:
        if not self._make_room(keys=1, weight=_BARE):
            raise Overloaded("Too many sends are unclear or under way; nothing was sent.")
        entry = self._entries[key] = _Entry(fingerprint, self._clock())
        self._weight += entry.weight
        return entry

    def _make_room(self, *, keys: int, weight: int) -> bool:
        """Make room for so much more, and tell whether there is. What is bare stays."""
        while (
            crowd := len(self._entries) + keys > self._max_keys
        ) or self._weight + weight > self._max_weight:
            if self._settled:
                self._drop(next(iter(self._settled)))
            elif self._detailed and not crowd:
                _, entry = self._detailed.popitem(last=False)
                entry.record = _GIVEN_UP
                self._weigh(entry)
            else:
                return False
        return True

    def _weigh(self, entry: _Entry) -> None:
        """Take note of the bytes that an entry takes, roughly."""
        self._weight -= entry.weight
        entry.weight = _BARE
        if entry.record is not None:
            text = 0 if entry.record.message is None else 2 * len(entry.record.message.body)
            entry.weight += text + 100 * len(entry.record.known or ()) + 250 * len(entry.record.hints)
        self._weight += entry.weight

    def _drop(self, key: str) -> None:
        self._settled.pop(key, None)
        self._detailed.pop(key, None)
        self._weight -= self._entries.pop(key).weight

    def _forget_old(self) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.holders or entry.claimed_at >= self._clock() - DAY_SECONDS:
                return
            self._drop(key)


class MemoryClaim:
    """A claimed key."""

    def __init__(self, sends: MemorySends, key: str, entry: _Entry) -> None:
        self._sends = sends
        self._key = key
        self._entry = entry

    @property
    def earlier(self) -> SendRecord | None:
        """What is remembered of an earlier send under this key."""
        return self._entry.record

    async def note(self, record: SendRecord | None) -> None:
        """Remember what is known of the send by now; None: nothing was sent."""
        self._sends.note(self._key, self._entry, record)

    async def release(self) -> None:
        """End the claim. What was noted stays."""
        self._entry.holders -= 1
        self._entry.turn.release()
        self._sends.forget(self._key, self._entry)
