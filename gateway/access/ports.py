"""What the guard asks of the instance behind it. The services fulfil this by shape.

The same methods as the schema's own port has; each raises what the service behind it raises.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.domain.connection import Connection, Edge, Filter, Hits, Patients, Window
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord
from gateway.domain.ports import FileStream


class Guarded(Protocol):
    """One instance of Welkin, open to whoever holds it."""

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
        """Read a window of a patient's conversation."""
        ...

    async def patient(self, patient_id: str, /) -> PatientRecord | None:
        """Read a patient's record; None where there is no such patient."""
        ...

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None, /
    ) -> Edge:
        """Send a message from the patient to the care team."""
        ...

    def follow(self, patient_id: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Give every newer message, without end."""
        ...

    async def search(self, query: str, patient_id: str | None, window: Window, /) -> Hits:
        """Find messages by their text."""
        ...

    async def around(self, patient_id: str, place: str, older: int, newer: int, /) -> Connection:
        """Read the conversation around a hit."""
        ...

    async def patients(self, search: str | None, window: Window, /) -> Patients:
        """Read a window of the list of patients."""
        ...

    async def portal_messages(self, token: str, window: Window, /) -> Connection:
        """Read the conversation that a chat token opens."""
        ...

    def follow_portal(self, token: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Follow the conversation that a chat token opens."""
        ...

    def open_file(self, file_id: str, byte_range: str | None, /) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment."""
        ...

    def record_changed(self, patient_id: str, /) -> None:
        """Take note that a patient's record has changed."""
        ...

    def wake(self, patient_id: str, /) -> None:
        """Take note that a conversation has changed."""
        ...
