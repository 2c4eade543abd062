"""What the schema asks of the inside. The services fulfil this by shape; they inherit nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from gateway.domain.connection import Connection, Edge, Filter, Window
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord


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

    async def search(self, query: str, patient_id: str | None, window: Window, /) -> Connection:
        """Find messages by their text, newest first.

        Raises:
            Unsupported: the upstream version cannot search like this.
        """
        ...

    async def portal_messages(self, token: str, window: Window, /) -> Connection:
        """Read the conversation that a secure patient chat token opens.

        Raises:
            Unsupported: the upstream version knows no such tokens.
        """
        ...

    def wake(self, patient_id: str, /) -> None:
        """Take note that a conversation has changed. Returns at once and never fails."""
        ...
