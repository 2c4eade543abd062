"""The readers: they page through whole conversations, there and back, while messages arrive."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import httpx2

from benchmarks.ledger.records import PageSeen, Walk
from benchmarks.ledger.scenario import APIS, Api
from benchmarks.ledger.stage import Stage

_PAGE = "{ edges { cursor node { externalId } } pageInfo { hasNextPage hasPreviousPage } }"
OLDER = f"""query($id: ID!, $size: Int, $cursor: String) {{
    patient(patientId: $id) {{ messages(first: $size, after: $cursor) {_PAGE} }}
}}"""
NEWER = f"""query($id: ID!, $size: Int, $cursor: String) {{
    patient(patientId: $id) {{ messages(last: $size, before: $cursor) {_PAGE} }}
}}"""
MENDING = frozenset(
    (
        "UPSTREAM_UNAVAILABLE",
        "UPSTREAM_TIMEOUT",
        "UPSTREAM_RATE_LIMITED",
        "UPSTREAM_BAD_RESPONSE",
        "OVERLOADED",
    )
)
"""Codes after which the same page is asked for again; any other is a defect."""

RETRY_SECONDS = 0.3
PAUSE_SECONDS = 0.05


class Walker:
    """Walks one conversation after the other."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = stage
        self._number = number
        self._chance = random.Random(f"walker {stage.scenario.seed} {number}")
        self.walks: list[Walk] = []

    async def walk(self) -> None:
        """Walk until the run is over."""
        while not self._stage.over.is_set():
            api = self._chance.choice(APIS)
            patient = self._chance.choice(self._stage.patients)
            older = self._new(api, patient)
            cursors = await self._pages(older, OLDER, None)
            if not older.whole:
                return
            # Back from somewhere in the first half of the older side, to whatever is newest then.
            places = list(range(len(cursors) // 2, len(cursors)))
            place = self._chance.choice(places)
            newer = self._new(api, patient)
            newer.towards = "newer"
            newer.start = len(cursors) - place
            await self._pages(newer, NEWER, cursors[place])

    def _new(self, api: Api, patient: str) -> Walk:
        walk = Walk(f"walker {self._number}, walk {len(self.walks)}", patient, api, "older")
        self.walks.append(walk)
        return walk

    async def _pages(self, walk: Walk, query: str, cursor: str | None) -> list[str]:
        """Read page after page; give the cursors of all messages, in the order of the pages."""
        cursors: list[str] = []
        while not self._stage.over.is_set():
            size = self._chance.randint(3, 40)
            asked = time.monotonic()
            answer = await self._ask(walk, query, id=walk.patient, size=size, cursor=cursor)
            if answer is None:
                if not walk.refused:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                break
            found = answer["data"]["patient"]["messages"]
            edges, info = found["edges"], found["pageInfo"]
            stale = (answer.get("extensions") or {}).get("stale")
            walk.pages.append(
                PageSeen(
                    tuple(edge["node"]["externalId"] for edge in edges),
                    info["hasNextPage"],
                    info["hasPreviousPage"],
                    0 if stale else self._stage.known(walk.patient, asked),
                )
            )
            cursors += [edge["cursor"] for edge in edges]
            more = info["hasNextPage" if walk.towards == "older" else "hasPreviousPage"]
            if not more or not edges:
                walk.whole = True
                break
            cursor = edges[-1 if walk.towards == "older" else 0]["cursor"]
            await asyncio.sleep(PAUSE_SECONDS)
        return cursors

    async def _ask(self, walk: Walk, query: str, **variables: Any) -> dict[str, Any] | None:
        try:
            answer = await self._stage.ask(walk.api, query, **variables)
        except httpx2.HTTPError:
            return None
        errors = answer.get("errors")
        if errors:
            code = errors[0]["extensions"]["code"]
            if code not in MENDING:
                walk.refused = code
            return None
        return answer
