"""An instance in memory: two patients, whose texts and names are canaries that must show up nowhere else."""

# ruff: noqa: ARG002 -- a fake is given more than it needs

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.domain.connection import Connection, Edge, Hit, Hits, Patients
from gateway.domain.errors import GatewayError, NotFound
from gateway.domain.model import (
    ApiVersion,
    Capability,
    InstanceName,
    Message,
    PatientRecord,
    Sender,
    SenderKind,
)

GH = InstanceName("gh", "sb-demo")
CANARY = "canary"


def message(patient_id: str, number: int = 1) -> Message:
    sender = Sender(SenderKind.PATIENT, name=f"{CANARY}-name")
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    return Message(f"m{number}", patient_id, sender, f"{CANARY}-text\r\n\x1b[31m", moment)


def edge(patient_id: str, number: int = 1) -> Edge:
    return Edge(f"{CANARY}-cursor", message(patient_id, number))


@dataclass
class MemoryService:
    """Knows the patients in ``known``; counts calls; raises ``error`` first where it is set."""

    known: tuple[str, ...] = (f"{CANARY}-p1", f"{CANARY}-p2")
    error: BaseException | None = None
    calls: list[str] = field(default_factory=list)
    events: asyncio.Queue[Edge | None] = field(default_factory=asyncio.Queue)
    following: int = 0
    closed_files: int = 0
    name: InstanceName = GH
    api_version: ApiVersion = ApiVersion.V2
    capabilities: frozenset[Capability] = frozenset()

    def _called(self, what: str, patient_id: str | None = None) -> None:
        self.calls.append(what)
        if self.error is not None:
            raise self.error
        if patient_id is not None and patient_id not in self.known:
            raise NotFound("Welkin does not know what was asked for (read).")

    async def messages(self, patient_id, window, chosen, /):
        self._called("messages", patient_id)
        return Connection(
            (edge(patient_id), edge(patient_id, 2)), has_next_page=False, has_previous_page=False
        )

    async def patient(self, patient_id, /):
        self._called("patient")
        return PatientRecord(patient_id, first_name=f"{CANARY}-name") if patient_id in self.known else None

    async def send(self, patient_id, body, attachment_id, idempotency_key, /):
        self._called("send", patient_id)
        return edge(patient_id)

    async def search(self, query, patient_id, window, /):
        self._called("search", patient_id)
        hit = Hit("cursor", message(patient_id or self.known[0]), "place")
        return Hits((hit,), has_next_page=False, has_previous_page=False)

    async def around(self, patient_id, place, older, newer, /):
        self._called("around", patient_id)
        return Connection((edge(patient_id),), has_next_page=False, has_previous_page=False)

    async def patients(self, search, window, /):
        self._called("patients")
        records = tuple((f"c{number}", PatientRecord(known)) for number, known in enumerate(self.known))
        return Patients(records, has_next_page=False, has_previous_page=False)

    async def portal_messages(self, token, window, /):
        self._called("portal_messages")
        return Connection((edge(self.known[0]),), has_next_page=False, has_previous_page=False)

    async def follow(self, patient_id, after, /) -> AsyncGenerator[Edge]:
        self._called("follow", patient_id)
        self.following += 1
        try:
            while (event := await self.events.get()) is not None:
                if isinstance(event, GatewayError):
                    raise event
                yield event
        finally:
            self.following -= 1

    def follow_portal(self, token, after, /) -> AsyncGenerator[Edge]:
        return self.follow(self.known[0], after)

    @asynccontextmanager
    async def open_file(self, file_id, byte_range, /):
        self._called("open_file")
        if file_id != f"{CANARY}-file":
            raise NotFound("Welkin does not know what was asked for (file).")
        try:
            yield "the file"
        finally:
            self.closed_files += 1

    def record_changed(self, patient_id, /):
        self._called("record_changed")

    def wake(self, patient_id, /):
        self._called("wake")


def lines(path: Path) -> list[dict[str, Any]]:
    """Give the lines of a trail; each must be JSON, and none may hold a canary."""
    text = path.read_bytes() if path.exists() else b""
    assert CANARY.encode() not in text
    return [json.loads(line) for line in text.splitlines()]
