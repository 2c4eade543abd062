"""One instance of Welkin as the gateway serves it: everything a caller can ask of it, in one place."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from gateway.domain.connection import Connection, Edge, Filter, Window
from gateway.domain.cursor import CursorKeys
from gateway.domain.errors import NotFound, Unsupported
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord
from gateway.domain.ports import Reads, Sends, Welkin
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.services.sending import Sending


class Instance:
    """Serves one Welkin instance, whichever version it speaks.

    ``deadline`` (seconds) bounds each operation over all its upstream reads; ``reconcile_seconds``
    is how often a conversation with listeners is looked at even if no webhook comes.
    """

    def __init__(
        self,
        name: InstanceName,
        welkin: Welkin,
        reads: Reads,
        sends: Sends,
        *,
        cursor_keys: CursorKeys,
        deadline: float,
        reconcile_seconds: float,
    ) -> None:
        self._name = name
        self._welkin = welkin
        self._reads = reads
        self._conversations = Conversations(name, reads, cursor_keys, deadline)
        self._live = Live(self._conversations, reads, reconcile_seconds=reconcile_seconds, deadline=deadline)
        self._sending = Sending(welkin, reads, sends, self._conversations, self._live, deadline=deadline)

    @property
    def name(self) -> InstanceName:
        """Tenant and instance."""
        return self._name

    @property
    def api_version(self) -> ApiVersion:
        """The version that the upstream speaks."""
        return self._welkin.api_version

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the upstream can do."""
        return self._welkin.capabilities

    @property
    def listeners(self) -> int:
        """How many listeners follow a conversation now."""
        return self._live.listeners

    async def messages(self, patient_id: str, window: Window, chosen: Filter) -> Connection:
        """Cut a window out of a conversation; see ``Conversations.messages``."""
        return await self._conversations.messages(patient_id, window, chosen)

    async def patient(self, patient_id: str) -> PatientRecord | None:
        """Read a patient's record; None where Welkin knows no such patient.

        Raises:
            BadInput: the id cannot be one.
            UpstreamError: Welkin did not do its part.
        """
        check_upstream_id(patient_id, "patientId")
        try:
            return await self._reads.patient(patient_id)
        except NotFound:
            return None

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        """Send a message from the patient to the care team; see ``Sending.send``."""
        if attachment_id is not None and Capability.ATTACHMENTS not in self.capabilities:
            raise Unsupported(f"Welkin {self.api_version.value} cannot send attachments.")
        return await self._sending.send(patient_id, body, attachment_id, idempotency_key)

    def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than a cursor, without end; see ``Live.follow``."""
        return self._live.follow(patient_id, after)

    async def search(self, query: str, patient_id: str | None, window: Window) -> Connection:
        """Search messages; not served yet.

        Raises:
            Unsupported: always.
        """
        window.check()
        if patient_id is not None:
            check_upstream_id(patient_id, "patientId")
        del query
        raise Unsupported("Search is not served by this gateway yet.")

    async def portal_messages(self, token: str, window: Window) -> Connection:
        """Read a conversation by a patient's chat token; not served yet.

        Raises:
            Unsupported: always.
        """
        window.check()
        del token
        raise Unsupported("Portal tokens are not served by this gateway yet.")

    def wake(self, patient_id: str) -> None:
        """Take a webhook's hint that a conversation changed."""
        self._live.wake(patient_id)

    async def aclose(self) -> None:
        """End every feed."""
        await self._live.aclose()
