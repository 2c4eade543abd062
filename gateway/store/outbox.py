"""What has to reach Redis however long it takes: changes of scopes, and wakes for other processes.

Both go out in one script, changes first: who hears a wake finds the scope changed already. A change
stays *pending* until Redis has confirmed it; a wake until then or until too many wait, when one that
says "some were missed" takes the place of all.

A script whose answer was lost may have run, and may run late. That is harmless: every attempt sets a
generation that was never there before, and a wake may come twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from gateway.store.keys import StoreKey
from gateway.store.link import RedisAway, RedisLink

_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] .. string.format('%06d', now[2])
local generations = tonumber(ARGV[1])
for i = 1, generations do
  redis.call('SET', KEYS[i], ARGV[i + 2] .. at, 'PX', ARGV[2])
end
for i = generations + 1, #KEYS do
  redis.call('PUBLISH', KEYS[i], ARGV[i + 2])
end
"""
"""A generation is 32 random digits and the moment of the change in microseconds."""

_BATCH = 200
_MAX_CHANGES = 20_000
_MAX_WAKES = 10_000
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_ATTEMPT_SECONDS = 2.0
_LAST_SECONDS = 1.0

Scope = tuple[str, str]
"""The space of an instance, and a scope in it."""

WHOLE = ""
"""The scope that every other one of its space is part of."""

Write = Callable[[], list[tuple[str, bytes]]]
"""Writes a wake: channels, and what to publish on each."""


class Outbox:
    """Sends changes and wakes through a link, in order, until they are confirmed."""

    def __init__(self, link: RedisLink, *, lifetime: float = 60.0) -> None:
        """Keep how long, in seconds, a generation lasts unless it is used."""
        self._link = link
        self._lifetime = lifetime
        self._changes: dict[Scope, int] = {}
        self._wakes: dict[tuple[str, ...], Write] = {}
        self._count = 0
        self._sender: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    @property
    def milliseconds(self) -> int:
        """How long a generation lasts unless it is used."""
        return round(self._lifetime * 1000)

    @property
    def pending(self) -> int:
        """How many changes are not confirmed yet."""
        return len(self._changes)

    def change(self, scope: Scope) -> None:
        """Start a scope's next generation; where too many wait, that of each whole space instead."""
        self._count += 1
        self._changes[scope] = self._count
        if len(self._changes) > _MAX_CHANGES:
            self._changes = {(space, WHOLE): self._count for space, _ in self._changes}
        self._wake_sender()

    def wake(self, what: tuple[str, ...], write: Write, *, missed: Write) -> None:
        """Publish a wake. ``what`` tells equal ones; ``missed`` is what is said for too many."""
        self._wakes[what] = write
        if len(self._wakes) > _MAX_WAKES:
            self._wakes = {(): missed}
        self._wake_sender()

    async def confirmed(self, scope: Scope, within: float) -> bool:
        """Wait until no change of the scope is pending: so many seconds, or not at all for a sick link."""
        end = asyncio.get_running_loop().time() + within
        while scope in self._changes:
            if not self._link.healthy:
                return False
            moved = self._moved
            try:
                async with asyncio.timeout_at(end):
                    await moved.wait()
            except TimeoutError:
                return scope not in self._changes
        return True

    async def aclose(self) -> None:
        """Send what is left if Redis is there, at most for a second, and stop."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=_LAST_SECONDS if self._link.healthy else 0)
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def _wake_sender(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        pause = _FIRST_PAUSE
        while self._changes or self._wakes:
            try:
                await self._send_some()
            except RedisAway:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
            self._moved.set()
            self._moved = asyncio.Event()

    async def _send_some(self) -> None:
        changes = dict(list(self._changes.items())[:_BATCH])
        wakes = dict(list(self._wakes.items())[:_BATCH]) if len(changes) == len(self._changes) else {}
        era = self._link.era
        names = [generation_name(key, era, scope) for scope in changes for key in self._link.keys]
        values: list[str | bytes] = [secrets.token_hex(16) for _ in names]
        published = [each for write in wakes.values() for each in write()]
        values += [message for _, message in published]
        await self._link.script(
            _SCRIPT,
            [*names, *(channel for channel, _ in published)],
            len(names),
            self.milliseconds,
            *values,
            within=_ATTEMPT_SECONDS,
            insist=True,
        )
        if self._link.era != era and changes:
            raise RedisAway  # it may have gone to the names of another run
        self._changes = {scope: n for scope, n in self._changes.items() if changes.get(scope) != n}
        self._wakes = {what: write for what, write in self._wakes.items() if wakes.get(what) is not write}


def generation_name(key: StoreKey, era: str, scope: Scope) -> str:
    """Give the name of a scope's generation."""
    return key.name("generation", era, *scope)
