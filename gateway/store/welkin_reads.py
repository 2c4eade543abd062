"""The reads of one Welkin instance, shared and kept: pages of conversations and patients' records."""

from __future__ import annotations

from gateway.domain.model import Message, PatientRecord
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.domain.ports import Welkin
from gateway.domain.scan import Ask, Snapshot
from gateway.store.reads import Kept, SharedReads

_MESSAGE_OVERHEAD = 600
"""Bytes that a message takes beside its text, measured roughly on CPython 3.11."""


class WelkinReads:
    """Fulfils the ``Reads`` port of the services over one Welkin and one ``SharedReads``."""

    def __init__(self, welkin: Welkin, shared: SharedReads) -> None:
        self._welkin = welkin
        self._shared = shared

    def now(self) -> float:
        """Give the moment that ``Ask.not_before`` is measured in."""
        return self._shared.now()

    def changed(self, patient_id: str) -> None:
        """Forget what was read of a conversation: something in it changed."""
        self._shared.advance(f"conversation/{patient_id}")

    async def page(self, patient_id: str, ask: Ask, *, include_archived: bool) -> Snapshot:
        """Read a page. Raises what ``Welkin.list_messages`` raises."""

        async def load() -> Page:
            return await self._welkin.list_messages(patient_id, ask.ref, include_archived=include_archived)

        def part(ref: PageRef) -> str:
            return f"{'all' if include_archived else 'open'}/{_name(ref)}"

        kept = await self._shared.get(
            f"conversation/{patient_id}",
            part(ask.ref),
            load,
            not_before=ask.not_before,
            also=lambda page: part(page.ref),
        )
        return Snapshot(kept.value, kept.began, kept.ended)

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a record. Raises what ``Welkin.patient`` raises."""

        async def load() -> PatientRecord:
            return await self._welkin.patient(patient_id)

        return (await self._shared.get(f"patient/{patient_id}", "", load)).value


def weigh(kept: object) -> int:
    """Give the bytes that a kept read takes, roughly."""
    value: object = kept.value if isinstance(kept, Kept) else kept  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any read
    if isinstance(value, Page):
        return 500 + sum(map(_weigh_message, value.messages))
    return 2_000


def _weigh_message(message: Message) -> int:
    return _MESSAGE_OVERHEAD + 2 * len(message.body)


def _name(ref: PageRef) -> str:
    match ref:
        case Newest():
            return "newest"
        case Linked(token):
            return f"token/{token}"
        case Numbered(number, size, oldest_first):
            return f"number/{number}/{size}/{oldest_first}"
