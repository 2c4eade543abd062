"""The reads of one Welkin instance, shared and kept: lists of messages that can be walked, and records."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.domain.model import Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.domain.ports import Source, Welkin
from gateway.domain.scan import Ask, Snapshot
from gateway.store.copies import Held
from gateway.store.listed_times import ListedTimes
from gateway.store.reads import SharedReads

_MESSAGE_OVERHEAD = 600
"""Bytes that a message takes beside its text, measured roughly on CPython 3.11."""

_SEARCHES = "searches"


class WelkinReads:
    """Fulfils the ``Reads`` port of the services over one Welkin and one ``SharedReads``."""

    def __init__(self, welkin: Welkin, shared: SharedReads) -> None:
        self._welkin = welkin
        self._shared = shared
        self._listed_at = ListedTimes()

    def conversation(self, patient_id: str, *, include_archived: bool = False) -> Source:
        """Give a patient's conversation."""

        async def load(at: PageRef) -> Page:
            page = await self._welkin.list_messages(patient_id, at, include_archived=include_archived)
            if not (isinstance(page.ref, Linked) and page.ref.local):
                for message in page.messages:
                    self.sent(message)
            return page

        part = "all" if include_archived else "open"
        return _Pages(self._shared, f"conversation/{patient_id}", part, load)

    def search(self, query: str, patient_id: str | None) -> Source:
        """Give the hits of a search."""

        async def load(at: PageRef) -> Page:
            return await self._welkin.search_messages(query, patient_id, at)

        return _Pages(self._shared, _SEARCHES, f"{patient_id or ''}/{query}", load)

    def portal(self, token: str) -> Source:
        """Give the conversation that a chat token opens; nothing of it is kept."""

        async def load(at: PageRef) -> Page:
            page = await self._welkin.list_portal_messages(token, at)
            for message in page.messages:
                self.sent(message)
            return page

        secret = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        return _Pages(self._shared, f"portal/{secret}", "", load, keep=False)

    def changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Forget what was read of a conversation, and every search."""
        self._shared.advance(f"conversation/{patient_id}", elsewhere=elsewhere)
        self._shared.advance(_SEARCHES, elsewhere=elsewhere)

    def record_changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Forget a patient's record."""
        self._shared.advance(f"patient/{patient_id}", elsewhere=elsewhere)

    def sent(self, message: Message) -> None:
        """Take note of the time that the list, or the answer to a send, tells."""
        self._listed_at.note(message.external_id, message.created_at)

    def canonical(self, message: Message) -> Message:
        """Give the message with the time that the list tells, where it is known."""
        listed_at = self._listed_at.of(message.external_id)
        if listed_at is None or listed_at == message.created_at:
            return message
        return replace(message, created_at=listed_at)

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a record. Raises what ``Welkin.patient`` raises."""

        async def load() -> PatientRecord:
            return await self._welkin.patient(patient_id)

        return (await self._shared.get(f"patient/{patient_id}", "", load)).value


@dataclass(frozen=True, slots=True)
class _Pages:
    """One list of messages; ``part`` tells it from others that change together with it."""

    shared: SharedReads
    scope: str
    part: str
    load: Callable[[PageRef], Awaitable[Page]]
    keep: bool = True

    def now(self) -> float:
        return self.shared.now()

    async def page(self, ask: Ask) -> Snapshot:
        async def load() -> Page:
            return await self.load(ask.ref)

        kept = await self.shared.get(
            self.scope,
            self._name(ask.ref),
            load,
            not_before=ask.not_before,
            also=lambda page: self._name(page.ref),
            keep=self.keep,
        )
        return Snapshot(kept.value, kept.began, kept.ended)

    def _name(self, ref: PageRef) -> str:
        match ref:
            case Newest():
                place = "newest"
            case Linked(token, local):
                place = f"{'local' if local else 'token'}/{token}"
            case Numbered(number, size, oldest_first):
                place = f"number/{number}/{size}/{oldest_first}"
        return f"{len(self.part)}:{self.part}/{place}"


def weigh(held: object) -> int:
    """Give the bytes that a kept read takes, roughly."""
    value: object = held.copy.kept.value if isinstance(held, Held) else held
    if isinstance(value, Page):
        return 500 + sum(map(_weigh_message, value.messages))
    return 2_000


def _weigh_message(message: Message) -> int:
    return _MESSAGE_OVERHEAD + 2 * len(message.body) + 150 * len(message.attachments)
