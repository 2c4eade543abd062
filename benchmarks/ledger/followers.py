"""The subscribers: each follows one conversation, leaves at random, and comes back with its last cursor."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from benchmarks.ledger.records import Line
from benchmarks.ledger.scenario import PlannedSubscriber
from benchmarks.ledger.stage import Stage
from benchmarks.processes import INSTANCES
from benchmarks.wire import EventStream, Live, WebSocket, dial

FOLLOW = """subscription($id: ID!, $after: String) {
    messageAdded(patientId: $id, after: $after) { cursor node { externalId } }
}"""
RETRY_SECONDS = 0.25
STALLS = 0.1
"""The share of connections that stop reading for a while."""


class Follower:
    """One subscriber."""

    def __init__(self, stage: Stage, planned: PlannedSubscriber) -> None:
        self._stage = stage
        self._planned = planned
        self._chance = random.Random(f"subscriber {stage.scenario.seed} {planned.number}")
        patient = stage.patients[planned.patient]
        start = None if planned.late else stage.first_positions[patient]
        name = f"{planned.transport} subscriber {planned.number}"
        self.line = Line(name, patient, planned.api, start)
        self._cursor = None if planned.late else stage.first_cursors[planned.api, patient]
        self._first_cursor = self._cursor
        self._last_id: str | None = None
        self._ended = asyncio.Event()

    @property
    def up_to_date(self) -> bool:
        """Whether it has been shown the newest message there is, or never anything."""
        newest = self._stage.truth.ids[self.line.api, self.line.patient][-1]
        events = self.line.events
        return events[-1][1] == newest if events else self.line.start is None

    async def follow(self) -> None:
        """Follow until the run is over, through every end of a connection."""
        scenario = self._stage.scenario
        if self._planned.late:
            await self._stage.until(self._chance.uniform(0.1, 0.6) * scenario.seconds)
        while not self._stage.over.is_set():
            self._ended = asyncio.Event()
            try:
                live = await dial(self._stage.host, self._client)
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._stay(live, self._chance.expovariate(1 / scenario.reconnect))
            if isinstance(live, EventStream):
                self._last_id = live.last_id
            if self.line.ends[-1] != "left":
                await asyncio.sleep(RETRY_SECONDS)

    async def _stay(self, live: Live, seconds: float) -> None:
        if self._chance.random() < STALLS:
            await self._wait(seconds / 2)
            live.hold()
            await self._wait(self._chance.uniform(0.5, 2.0))
            live.go_on()
        await self._wait(seconds)
        live.end("left")

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until the connection or the run ends."""
        ends = [asyncio.ensure_future(each.wait()) for each in (self._ended, self._stage.over)]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    def _client(self) -> Live:
        path = f"/{INSTANCES[self.line.api]}/graphql"
        if self._planned.transport == "ws":
            return WebSocket(self._stage.host, path, self._operation(self._cursor), self._hear, self._end)
        # As a browser's EventSource does: the same request again, and the last event's id in a header.
        after = self._first_cursor if self._last_id else self._cursor
        operation = self._operation(after)
        return EventStream(self._stage.host, path, operation, self._hear, self._end, last_id=self._last_id)

    def _operation(self, after: str | None) -> dict[str, Any]:
        return {"query": FOLLOW, "variables": {"id": self.line.patient, "after": after}}

    def _hear(self, answer: dict[str, Any]) -> None:
        if answer.get("errors"):
            self.line.ends.append(f"error {answer['errors'][0]['extensions']['code']}")
            self._ended.set()
            return
        edge = answer["data"]["messageAdded"]
        self._cursor = edge["cursor"]
        self.line.events.append((time.monotonic(), edge["node"]["externalId"]))

    def _end(self, why: str) -> None:
        self.line.ends.append(why)
        self._ended.set()
