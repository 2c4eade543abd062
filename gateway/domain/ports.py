"""What the gateway asks of the outside. Adapters fulfil these by shape; they inherit nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.domain.model import ApiVersion, Capability, Message, PatientRecord
from gateway.domain.pages import Page, PageRef


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
        """Find messages by their text, newest first."""
        ...

    async def list_portal_messages(self, token: str, at: PageRef) -> Page:
        """Read the conversation that a secure patient chat token opens."""
        ...

    def open_file(self, file_id: str) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment for reading, piece by piece."""
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

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the bytes in order; an upstream that breaks off raises ``UpstreamUnavailable``."""
        ...
