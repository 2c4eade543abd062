"""What is still to be done about claimed keys once their callers have an answer: run from one task.

Each *errand* is a script. It is run until Redis confirms it, or until it is of no use any more: nobody
has to free a lock that has ended by itself. Those of one claim are run in order; a claim whose errand
fails lets the others go first, so that one that Redis refuses holds up nobody else.

How many claims wait is bounded, and the oldest go. That is safe: a lock that is not freed ends by
itself, and a key whose outcome was not written says "unclear", which costs a look.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.store.link import RedisAway, RedisLink

_MAX_CLAIMS = 10_000
_ANSWER_SECONDS = 1.0
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
_LAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Errand:
    """A script, its names and values, and for how many seconds it is of use."""

    script: str
    names: list[str]
    values: tuple[str | bytes | int, ...]
    seconds: float


class Errands:
    """Runs errands through a link, whichever instance they are of."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._waiting: dict[str, list[tuple[float, Errand]]] = {}
        self._runner: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """How many claims have an errand that was not confirmed yet."""
        return len(self._waiting)

    def waiting(self, claim: str) -> bool:
        """Tell whether an errand of a claim waits, so that what comes after it has to wait too."""
        return claim in self._waiting

    def add(self, claim: str, errand: Errand) -> None:
        """Run an errand soon, after the earlier ones of the same claim."""
        until = asyncio.get_running_loop().time() + errand.seconds
        self._waiting.setdefault(claim, []).append((until, errand))
        if len(self._waiting) > _MAX_CLAIMS:
            del self._waiting[next(iter(self._waiting))]
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_all())

    async def aclose(self) -> None:
        """Give what is left a last second, and stop."""
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=_LAST_SECONDS)
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run_all(self) -> None:
        pause = _FIRST_PAUSE
        while self._waiting:
            claim, errands = next(iter(self._waiting.items()))
            first = errands[0]
            if await self._confirmed(first[1]):
                pause = _FIRST_PAUSE
                self._done(claim, first)
                continue
            if claim in self._waiting:
                self._waiting[claim] = self._waiting.pop(claim)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._forget_old()

    async def _confirmed(self, errand: Errand) -> bool:
        try:
            await self._link.script(
                errand.script, errand.names, *errand.values, within=_ANSWER_SECONDS, insist=True
            )
        except RedisAway:
            return False
        return True

    def _done(self, claim: str, first: tuple[float, Errand]) -> None:
        left = [each for each in self._waiting.get(claim, []) if each is not first]
        if left:
            self._waiting[claim] = left
        else:
            self._waiting.pop(claim, None)

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for claim, errands in list(self._waiting.items()):
            if any(until <= now for until, _ in errands):
                left = [each for each in errands if each[0] > now]
                if left:
                    self._waiting[claim] = left
                else:
                    del self._waiting[claim]
