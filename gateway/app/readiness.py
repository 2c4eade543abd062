"""Whether requests should be sent here: every part was well once since the start.

A part that fails later is told of, but does not take the process out of service: the parts are shared
by all processes of a gateway, and without any of them nobody would serve what can still be served.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.web.options import ReadyState

CHECK_SECONDS = 2.0
"""How long one check may take."""

KEPT_SECONDS = 1.0
"""How long an answer is good for: asking often costs the parts nothing."""

WELL = "ok"
SILENT = "does not answer"


@dataclass(slots=True)
class Part:
    """Something the gateway needs. ``check`` gives None, or in words without secrets what is wrong."""

    name: str
    check: Callable[[], Awaitable[str | None]]
    was_well: bool = field(default=False, init=False)

    async def state(self) -> str:
        """Check the part now."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                wrong = await self.check()
        except TimeoutError:
            wrong = SILENT
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one part, the others are told of
            wrong = f"its check failed ({type(error).__name__})"
        self.was_well |= wrong is None
        return WELL if wrong is None else wrong


class Readiness:
    """Asks all parts at once; answers that are a second old are given again."""

    def __init__(self, parts: Sequence[Part], clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = tuple(parts)
        self._clock = clock
        self._asking: asyncio.Task[Mapping[str, str]] | None = None
        self._told: Mapping[str, str] = {}
        self._good_until = float("-inf")

    async def __call__(self) -> ReadyState:
        """Give the state of every part, and whether each was well once."""
        if self._clock() >= self._good_until:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.wait({self._asking})  # a caller that leaves does not end it for the others
        ready = all(part.was_well for part in self._parts)
        degraded = any(told != WELL for told in self._told.values())
        return ReadyState(ready=ready, parts=self._told, degraded=degraded)

    async def aclose(self) -> None:
        """Wait for a check under way."""
        if self._asking is not None:
            await asyncio.wait({self._asking})

    async def _ask(self) -> Mapping[str, str]:
        try:
            states = await asyncio.gather(*(part.state() for part in self._parts))
            self._told = {part.name: state for part, state in zip(self._parts, states, strict=True)}
            self._good_until = self._clock() + KEPT_SECONDS
            return self._told
        finally:
            self._asking = None
