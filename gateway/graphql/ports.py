"""What the schema asks of the inside. The services fulfil this by shape; they inherit nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.domain.connection import Connection, Edge, Filter, Hits, Patients, Window
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord
from gateway.domain.ports import FileStream


class InstanceService(Protocol):
    """Everything that one instance of Welkin offers to clients, whichever version stands behind it.

    Every method may raise any ``GatewayError``; anything else is a fault of the gateway and is masked.
    """

    @property
    def name(self) -> InstanceName:
        """The tenant and instance that are served."""
        ...

    @property
    def api_version(self) -> ApiVersion:
        """The version of Welkin's API behind the instance."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the upstream version can do."""
        ...

    async def messages(self, patient_id: str, window: Window, chosen: Filter, /) -> Connection:
        """Read a window of a patient's conversation.

        Raises:
            BadInput: the window is outside of what is allowed.
            InvalidCursor: a cursor is not one of this conversation and filter.
        """
        ...

    async def patient(self, patient_id: str, /) -> PatientRecord | None:
        """Read a patient's record; None where Welkin knows no such patient."""
        ...

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None, /
    ) -> Edge:
        """Send a message from the patient to the care team.

        Raises:
            SendUnconfirmed: it is not known whether the message was sent.
        """
        ...

    def follow(self, patient_id: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Give every message newer than the cursor (or than now), oldest first, each once, without end."""
        ...

    async def search(self, query: str, patient_id: str | None, window: Window, /) -> Hits:
        """Find messages by their text, newest first.

        Raises:
            BadInput: the query is blank or too long.
            InvalidCursor: the cursor is not one of this search.
            Unsupported: the upstream version cannot search like this.
        """
        ...

    async def around(self, patient_id: str, place: str, older: int, newer: int, /) -> Connection:
        """Read the conversation around a hit, whose ``place`` the search told.

        Raises:
            NotFound: the message is not in its conversation any more.
        """
        ...

    async def patients(self, search: str | None, window: Window, /) -> Patients:
        """Read a window of the list of patients, in the upstream's order.

        Raises:
            BadInput: ``search`` is blank or too long.
            InvalidCursor: the cursor is not one of this list.
        """
        ...

    async def portal_messages(self, token: str, window: Window, /) -> Connection:
        """Read the conversation that a secure patient chat token opens.

        Raises:
            Unauthenticated: the token opens nothing (any more).
            Unsupported: the upstream version knows no such tokens.
        """
        ...

    def follow_portal(self, token: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Follow the conversation that a chat token opens, as ``follow`` does by the patient's id.

        Raises:
            Unauthenticated: the token opens nothing (any more).
            Unsupported: the upstream version knows no such tokens.
        """
        ...

    def open_file(self, file_id: str, byte_range: str | None, /) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment. ``byte_range`` is a Range header's value. Entering and calling both may raise.

        Raises:
            BadInput: the id cannot be one, or the file has no such range.
            NotFound: there is no such file.
            Unsupported: the upstream version has no files.
        """
        ...

    def record_changed(self, patient_id: str, /) -> None:
        """Take note that a patient's record has changed. Returns at once and never fails."""
        ...

    def wake(self, patient_id: str, /) -> None:
        """Take note that a conversation has changed. Returns at once and never fails."""
        ...
