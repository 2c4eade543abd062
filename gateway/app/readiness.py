"""Whether requests should be sent here: every part was well once since the start.

A part that fails later is told of, but does not take the process out of service: the parts are shared
by all processes of a gateway, and without any of them nobody would serve what can still be served.
Nor does one that hangs: whoever asks is answered soon, and told of each part that has not answered yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.web.options import ReadyState

CHECK_SECONDS = 2.0
"""How long one check may take."""

ANSWER_SECONDS = 0.8
"""How long whoever asks is kept waiting: an orchestrator gives up after a second, if not told otherwise."""

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
        self._asking: asyncio.Task[None] | None = None
        self._told: Mapping[str, str] = {}
        self._telling: dict[str, str] = {}
        self._good_until = float("-inf")

    async def __call__(self) -> ReadyState:
        """Give the state of every part, and whether each was well once."""
        if self._clock() >= self._good_until:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            # A caller that leaves does not end it for the others.
            await asyncio.wait({self._asking}, timeout=ANSWER_SECONDS)
        told = self._told
        if self._asking is not None:
            told = {part.name: self._telling.get(part.name, SILENT) for part in self._parts}
        ready = all(part.was_well for part in self._parts)
        degraded = any(each != WELL for each in told.values())
        return ReadyState(ready=ready, parts=told, degraded=degraded)

    async def aclose(self) -> None:
        """Wait for a check under way."""
        if self._asking is not None:
            await asyncio.wait({self._asking})

    async def _ask(self) -> None:
        self._telling = telling = dict[str, str]()

        async def ask(part: Part) -> None:
            telling[part.name] = await part.state()

        try:
            await asyncio.gather(*map(ask, self._parts))
            self._told = {part.name: telling[part.name] for part in self._parts}
            self._good_until = self._clock() + KEPT_SECONDS
        finally:
            self._asking = None
