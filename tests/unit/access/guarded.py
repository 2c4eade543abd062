"""A guard around the service in memory, with a trail in a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from gateway.access.audit import Audit
from gateway.access.guard import GuardedInstance
from gateway.domain.access import Principal, Scope
from tests.unit.access.service import CANARY, MemoryService, lines

MINE, THEIRS, NOBODYS = f"{CANARY}-p1", f"{CANARY}-p2", f"{CANARY}-p0"
ALL = frozenset(Scope)
KEY = b"0123456789abcdef"


class Setup:
    """A guard around a service in memory, with its trail."""

    def __init__(self, path: Path, principal: Principal, clock: Any = time.time) -> None:
        self.path = path
        self.service = MemoryService()
        self.audit = Audit(str(path), key=KEY)
        self.guard = GuardedInstance(self.service, principal, self.audit, "r-1", clock)

    async def trail(self) -> list[dict[str, Any]]:
        await self.audit.aclose()
        return lines(self.path)

    async def outcomes(self) -> list[tuple[str, str, int]]:
        return [(line["action"], line["outcome"], line["count"]) for line in await self.trail()]


def principal(*, scopes: frozenset[Scope] = ALL, patients: Any = frozenset({MINE}), **more: Any) -> Principal:
    return Principal("nurse-7", scopes, patients, **({"instances": None} | more))


async def first_of(edges: Any) -> Any:
    try:
        return await anext(edges)
    finally:
        await edges.aclose()
