"""An instance without a Welkin behind it: conversations in memory, behaving as the port promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from fastapi import FastAPI

from gateway.domain.connection import (
    DEFAULT_PAGE,
    Connection,
    Edge,
    Filter,
    Hit,
    Hits,
    Patients,
    Window,
)
from gateway.domain.errors import InvalidCursor, NotFound, Unauthenticated, Unsupported
from gateway.domain.model import (
    ApiVersion,
    Attachment,
    Capability,
    InstanceName,
    Message,
    PatientRecord,
    Sender,
    SenderKind,
)
from gateway.web.app import create_web
from gateway.web.options import InstanceEntry, ReadyState, SignatureOptions, WebOptions
from tests.api.fake_files import FakeFile

START = datetime(2021, 3, 5, 16, 9, 52, 655000, tzinfo=UTC)
GH = InstanceName("gh", "sb-demo")
ACME = InstanceName("acme-health", "live")
PATIENT = "7272b601-bb09-4abf-87c0-ade48ddfaea0"
TOKEN = "canary-chat-token"
"""Opens the patient's conversation where portals are known."""

CARE_TEAM = Sender(SenderKind.CARE_TEAM, "u1", "Grace Hopper")


class FakeInstance:
    """Conversations by patient, oldest first; every call is noted, so that tests can count reads."""

    def __init__(self, name: InstanceName = GH, *, messages: int = 3) -> None:
        self.name = name
        self.api_version = ApiVersion.V1
        self.capabilities = frozenset({Capability.SENDER_NAMES, Capability.ARCHIVE_FILTER})
        self.records = {
            PATIENT: PatientRecord(
                PATIENT, first_name="Ada", last_name="Byron", birth_date=date(1815, 12, 10)
            )
        }
        self.conversations: dict[str, list[Message]] = {PATIENT: []}
        self.calls: list[str] = []
        self.woken: list[str] = []
        self.changed_records: list[str] = []
        self.files: dict[str, FakeFile] = {}
        self.followers = 0
        self.failure: BaseException | None = None
        self._sent: dict[str, Edge] = {}
        self._arrivals: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        for number in range(messages):
            self.receive(f"message {number}")

    def receive(
        self,
        body: str,
        patient_id: str = PATIENT,
        *,
        files: tuple[str, ...] = (),
        sender: Sender = CARE_TEAM,
    ) -> Message:
        """Let a message arrive; safe to call from a test's thread."""
        conversation = self.conversations.setdefault(patient_id, [])
        number = len(conversation)
        message = Message(
            external_id=f"IM{number:04}",
            patient_id=patient_id,
            sender=sender,
            body=body,
            created_at=START + timedelta(seconds=number),
            attachments=tuple(Attachment(file) for file in files),
        )
        conversation.append(message)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring)
        return message

    async def messages(self, patient_id: str, window: Window, filter: Filter) -> Connection:  # noqa: A002
        self._note("messages")
        if patient_id not in self.conversations:
            raise NotFound("Welkin knows no such patient.")
        since = filter.since
        newest_first = [
            message
            for message in reversed(self.conversations[patient_id])
            if since is None or message.created_at > since
        ]
        return _window_on(newest_first, window)

    async def patient(self, patient_id: str) -> PatientRecord | None:
        self._note("patient")
        return self.records.get(patient_id)

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        self._note("send")
        if idempotency_key is not None and idempotency_key in self._sent:
            return self._sent[idempotency_key]
        self._loop = self._loop or asyncio.get_running_loop()
        arrived = self.receive(body, patient_id, files=(attachment_id,) if attachment_id else ())
        message = replace(arrived, sender=Sender(SenderKind.PATIENT, patient_id))
        self.conversations[patient_id][-1] = message
        edge = _edge_of(message)
        if idempotency_key is not None:
            self._sent[idempotency_key] = edge
        return edge

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        self._note("follow")
        async with aclosing(self._tail(patient_id, after)) as tail:
            async for edge in tail:
                yield edge

    def follow_portal(self, token: str, after: str | None) -> AsyncGenerator[Edge]:
        self._note("follow_portal")
        return self._tail(self._patient_behind(token), after)

    async def search(self, query: str, patient_id: str | None, window: Window) -> Hits:
        self._note("search")
        if patient_id is None and Capability.SEARCH_ALL_PATIENTS not in self.capabilities:
            raise Unsupported("This instance searches one patient at a time.")
        conversations = [found for each, found in self.conversations.items() if patient_id in {None, each}]
        newest_first = sorted(
            (message for found in conversations for message in found if query in message.body),
            key=lambda message: message.created_at,
            reverse=True,
        )
        page = _window_on(newest_first, window)
        hits = tuple(
            Hit(edge.cursor, edge.message, f"place:{edge.message.external_id}") for edge in page.edges
        )
        return Hits(hits, has_next_page=page.has_next_page, has_previous_page=page.has_previous_page)

    async def around(self, patient_id: str, place: str, older: int, newer: int) -> Connection:
        self._note("around")
        newest_first = self.conversations[patient_id][::-1]
        at = _place_of(newest_first, place.replace("place:", "cursor:"))
        start, end = max(0, at - newer), at + 1 + older
        return Connection(
            tuple(map(_edge_of, newest_first[start:end])),
            has_next_page=end < len(newest_first),
            has_previous_page=start > 0,
        )

    async def patients(self, search: str | None, window: Window) -> Patients:
        self._note("patients")
        found = [record for record in self.records.values() if (search or "") in (record.first_name or "")]
        cursors = [f"cursor:{record.patient_id}" for record in found]
        if window.after is not None and window.after not in cursors:
            raise InvalidCursor("The cursor is not one of this list.")
        start = 0 if window.after is None else cursors.index(window.after) + 1
        end = start + (DEFAULT_PAGE if window.first is None else window.first)
        return Patients(
            tuple(zip(cursors, found, strict=True))[start:end],
            has_next_page=end < len(found),
            has_previous_page=start > 0,
        )

    async def portal_messages(self, token: str, window: Window) -> Connection:
        self._note("portal_messages")
        return _window_on(self.conversations[self._patient_behind(token)][::-1], window)

    def open_file(self, file_id: str, byte_range: str | None) -> AbstractAsyncContextManager[FakeFile]:
        self._note(f"open_file {file_id} {byte_range}")
        if file_id not in self.files:
            raise NotFound("Welkin knows no such file.")
        return self.files[file_id].opened(byte_range)

    def record_changed(self, patient_id: str) -> None:
        self.changed_records.append(patient_id)

    def wake(self, patient_id: str) -> None:
        self.woken.append(patient_id)

    def fail(self, failure: BaseException | None) -> None:
        """Make every call and every live tail end with this error, from now on."""
        self.failure = failure
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring)

    async def _tail(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        self._loop = asyncio.get_running_loop()
        conversation = self.conversations.get(patient_id, [])
        place = len(conversation) if after is None else _place_of(conversation, after) + 1
        bell = asyncio.Event()
        self._arrivals.add(bell)
        self.followers += 1
        try:
            while True:
                self._note("look")
                for message in conversation[place:]:
                    place += 1
                    yield _edge_of(message)
                await bell.wait()
                bell.clear()
        finally:
            self._arrivals.discard(bell)
            self.followers -= 1

    def _patient_behind(self, token: str) -> str:
        if Capability.PORTAL_TOKENS not in self.capabilities:
            raise Unsupported("This instance knows no chat tokens.")
        if token != TOKEN:
            raise Unauthenticated("The token opens nothing.")
        return PATIENT

    def _note(self, call: str) -> None:
        if call != "look":
            self.calls.append(call)
        if self.failure is not None:
            raise self.failure

    def _ring(self) -> None:
        for bell in self._arrivals:
            bell.set()


async def ready() -> ReadyState:
    """Be ready always."""
    return ReadyState(ready=True, parts={"welkin": "ok"})


def _edge_of(message: Message) -> Edge:
    return Edge(f"cursor:{message.external_id}", message)


def _place_of(conversation: list[Message], cursor: str) -> int:
    for place, message in enumerate(conversation):
        if f"cursor:{message.external_id}" == cursor:
            return place
    raise InvalidCursor("The cursor is not one of this conversation.")


def _window_on(newest_first: list[Message], window: Window) -> Connection:
    start = 0 if window.after is None else _place_of(newest_first, window.after) + 1
    end = len(newest_first) if window.before is None else _place_of(newest_first, window.before)
    if window.last is not None:
        start = max(start, end - window.last)
    else:
        first = DEFAULT_PAGE if window.first is None else window.first
        end = min(end, start + first)
    return Connection(
        edges=tuple(map(_edge_of, newest_first[start:end])),
        has_next_page=end < len(newest_first),
        has_previous_page=start > 0,
    )


KEY, SECRET = b"key-1", b"secret-1"
"""What Welkin's webhooks carry in these tests."""

DEV = WebOptions(graphiql=True, introspection=True, get_queries=True, show_cost=False)
"""The switches of `gateway dev`."""


def web_of(
    *fakes: FakeInstance,
    options: WebOptions = DEV,
    credentials: tuple[tuple[bytes, bytes], ...] = ((KEY, SECRET),),
    signature: SignatureOptions | None = None,
) -> FastAPI:
    """Build the web in front of the fakes."""
    return create_web(
        {fake.name: InstanceEntry(fake, credentials, signature) for fake in fakes}, options, ready
    )
