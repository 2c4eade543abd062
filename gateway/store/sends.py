"""Idempotency keys in this process's memory: what became of the sends of the last day."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.domain.errors import BadInput
from gateway.domain.ports import SendRecord

DAY_SECONDS = 24 * 3600.0
_MAX_KEYS = 100_000
_MAX_WEIGHT = 64 * 1024 * 1024


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
    weight: int = 0


class MemorySends:
    """Keys are kept for a day, at most 100,000 of them and 64 MiB; the oldest settled ones go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._weight = 0

    async def claim(self, key: str, fingerprint: str) -> MemoryClaim:
        """Claim a key; waits while another call holds it.

        Raises:
            BadInput: the key was used for a different message.
        """
        self._forget_old()
        entry = self._entries.setdefault(key, _Entry(fingerprint, self._clock()))
        if entry.fingerprint != fingerprint:
            raise used_differently()
        entry.holders += 1
        try:
            await entry.turn.acquire()
        except asyncio.CancelledError:
            entry.holders -= 1
            raise
        return MemoryClaim(self, key, entry)

    def weigh(self, entry: _Entry) -> None:
        """Take note of the bytes that a record takes, roughly."""
        self._weight -= entry.weight
        entry.weight = 0
        if entry.record is not None:
            text = 0 if entry.record.message is None else 2 * len(entry.record.message.body)
            entry.weight = 1_000 + text + 100 * len(entry.record.known or ()) + 250 * len(entry.record.hints)
        self._weight += entry.weight

    def forget(self, key: str, entry: _Entry) -> None:
        """Drop a key under which nothing was sent, unless another call waits for it."""
        if entry.holders == 0 and entry.record is None and self._entries.get(key) is entry:
            del self._entries[key]

    def _forget_old(self) -> None:
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            too_old = entry.claimed_at < self._clock() - DAY_SECONDS
            too_many = len(self._entries) >= _MAX_KEYS or self._weight > _MAX_WEIGHT
            if entry.holders or not (too_old or too_many):
                return
            self._weight -= entry.weight
            del self._entries[key]


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
        self._entry.record = record
        self._sends.weigh(self._entry)

    async def release(self) -> None:
        """End the claim. What was noted stays."""
        self._entry.holders -= 1
        self._entry.turn.release()
        self._sends.forget(self._key, self._entry)
