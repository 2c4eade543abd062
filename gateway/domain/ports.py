"""What the gateway asks of the outside. Adapters fulfil these by shape; they inherit nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.model import ApiVersion, Capability, InstanceName, Message, PatientRecord
from gateway.domain.pages import Numbered, Page, PageRef, PatientPage
from gateway.domain.scan import Ask, Snapshot


class Welkin(Protocol):
    """One Welkin instance, whichever version of the API it speaks.

    Every method may raise ``BadInput`` for an id that cannot stand in a URL (before anything is
    sent), ``Forbidden``, ``NotFound``, and every ``UpstreamError`` but ``SendUnconfirmed``.
    What a version cannot do raises ``Unsupported`` before anything is sent.
    """

    @property
    def api_version(self) -> ApiVersion:
        """The version spoken."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this version can do beyond what both can."""
        ...

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        """Read one page of a conversation.

        A reference of the other version's kind means a conversation that moved: ``PageRefused``.

        Raises:
            PageRefused: the upstream does not accept ``at`` (any more).
        """
        ...

    async def send_message(self, patient_id: str, body: str, attachment_id: str | None) -> Message:
        """Send a message from the patient to the care team, once: never repeated after bytes may have left.

        Raises:
            SendUnconfirmed: the request may have reached Welkin, and no answer says what became of it.
        """
        ...

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a patient's record.

        Raises:
            NotFound: Welkin knows no such patient.
        """
        ...

    async def search_messages(self, query: str, patient_id: str | None, at: PageRef) -> Page:
        """Read one page of the messages whose text contains the query, newest first.

        Raises:
            Unsupported: this version searches one patient at a time, and none is named.
            PageRefused: the upstream does not accept ``at`` (any more).
        """
        ...

    async def list_portal_messages(self, token: str, at: PageRef) -> Page:
        """Read one page of the conversation that a secure patient chat token opens.

        Raises:
            Unauthenticated: the token opens nothing (any more).
        """
        ...

    async def list_patients(self, search: str | None, at: Numbered) -> PatientPage:
        """Read one page of the list of patients whose names or numbers contain ``search``.

        Raises:
            PageRefused: the upstream does not accept ``at`` (any more).
        """
        ...

    def open_file(
        self, file_id: str, *, byte_range: str | None = None
    ) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment for reading, piece by piece. ``byte_range`` is a Range header's value.

        Entering raises ``NotFound`` where there is no such file; leaving early closes the
        upstream's connection.
        """
        ...


class FileStream(Protocol):
    """An attachment on its way through; nothing of it is kept."""

    @property
    def content_type(self) -> str | None:
        """The media type that the upstream gives, if any."""
        ...

    @property
    def file_name(self) -> str | None:
        """The name that the upstream gives, if any."""
        ...

    @property
    def size(self) -> int | None:
        """How many bytes follow, where the upstream says."""
        ...

    @property
    def content_range(self) -> str | None:
        """The part that follows, as a Content-Range header's value; None: the whole file."""
        ...

    @property
    def accepts_ranges(self) -> bool:
        """Whether the upstream gives parts."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the bytes in order.

        Raises:
            UpstreamUnavailable: the upstream broke off before the end.
            UpstreamBadResponse: there are more bytes than a file may have.
        """
        ...


class Source(Protocol):
    """One list of messages that can be walked, its reads shared and kept for a while."""

    def now(self) -> float:
        """Give the moment that ``Ask.not_before`` is measured in, in seconds."""
        ...

    async def page(self, ask: Ask) -> Snapshot:
        """Read a page, a copy if ``ask`` allows it. Raises what the method of ``Welkin`` raises."""
        ...


class Reads(Protocol):
    """The reads of one Welkin instance. The methods raise what the same ones of ``Welkin`` raise."""

    def conversation(self, patient_id: str, *, include_archived: bool = False) -> Source:
        """Give a patient's conversation."""
        ...

    def search(self, query: str, patient_id: str | None) -> Source:
        """Give the hits of a search."""
        ...

    def portal(self, token: str) -> Source:
        """Give the conversation that a chat token opens; nothing of it is kept."""
        ...

    def changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Forget what was read of a conversation, and every search.

        ``elsewhere``: another process of this gateway said so, and has told the shared store already.
        """
        ...

    def record_changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Forget a patient's record."""
        ...

    def sent(self, message: Message) -> None:
        """Take note of the time that the answer to a send told."""
        ...

    def canonical(self, message: Message) -> Message:
        """Give the message with the time that the list tells, where it is known."""
        ...

    async def patient(self, patient_id: str) -> PatientRecord:
        """Read a patient's record."""
        ...


class Sends(Protocol):
    """Remembers sends by the caller's idempotency key, so that one key sends one message."""

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """Claim a key for a send; waits while another call holds it.

        Raises:
            BadInput: the key was used for a different message.
        """
        ...


class Claim(Protocol):
    """A claimed idempotency key."""

    @property
    def earlier(self) -> SendRecord | None:
        """What is remembered of an earlier send under this key."""
        ...

    async def note(self, record: SendRecord | None) -> None:
        """Remember what is known of the send by now; None: nothing was sent."""
        ...

    async def release(self) -> None:
        """End the claim. What was noted stays."""
        ...


class Wakes(Protocol):
    """Tells the other processes of this gateway what this one heard. Neither waits nor raises."""

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        """Tell that a conversation changed."""
        ...

    def record(self, instance: InstanceName, patient_id: str) -> None:
        """Tell that a patient's record changed."""
        ...


class Shelf(Protocol):
    """Small secrets that outlive a process and are shared with its neighbours, kept encrypted.

    A shelf that cannot be reached holds nothing: no method raises, and each ends within moments.
    """

    async def get(self, name: str) -> bytes | None:
        """Give what was put there, unless its time is over."""
        ...

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Keep a value for so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class SendRecord:
    """What is known of a send.

    ``message`` None: it is unclear what became of it. ``known`` are the ids that were listed before
    it, newest first (None: they could not be read, or are not needed any more); ``hints`` lead to the newest.
    """

    message: Message | None
    known: tuple[str, ...] | None = None
    hints: tuple[PageRef, ...] = ()
