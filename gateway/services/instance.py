"""One instance of Welkin as the gateway serves it: everything a caller can ask of it, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

from gateway.domain.connection import Connection, Edge, Filter, Hits, Patients, Window
from gateway.domain.cursor import CursorKeys, Seal
from gateway.domain.deadline import left_of, within
from gateway.domain.errors import NotFound, Unsupported, UpstreamTimeout
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord
from gateway.domain.ports import FileStream, Reads, Sends, Wakes, Welkin
from gateway.services.bell import Undisturbed
from gateway.services.conversations import Conversations
from gateway.services.live import Live
from gateway.services.patients import PatientList
from gateway.services.search import Search
from gateway.services.sending import Sending
from gateway.services.walking import FOR_CALLS


class Instance:
    """Serves one Welkin instance, whichever version it speaks.

    ``deadline`` (seconds) bounds each operation over all its upstream reads; ``reconcile_seconds``
    is how often a conversation with listeners is looked at even if no webhook comes. ``wakes`` is told
    of every change that this process heard of first: by a webhook, or by a send of its own. ``undisturbed``
    is entered while many listeners are woken.
    """

    def __init__(
        self,
        name: InstanceName,
        welkin: Welkin,
        reads: Reads,
        sends: Sends,
        *,
        cursor_keys: CursorKeys,
        seal: Seal,
        deadline: float,
        reconcile_seconds: float,
        wakes: Wakes | None = None,
        undisturbed: Undisturbed = nullcontext,
    ) -> None:
        self._name = name
        self._welkin = welkin
        self._reads = reads
        self._wakes = wakes
        self._deadline = deadline
        self._conversations = Conversations(
            name, welkin.api_version.value, reads, keys=cursor_keys, deadline=deadline
        )
        self._live = Live(
            self._conversations,
            reads,
            reconcile_seconds=reconcile_seconds,
            deadline=deadline,
            told=None if wakes is None else partial(wakes.conversation, name),
            undisturbed=undisturbed,
        )
        self._search = Search(
            name, welkin, reads, self._conversations, keys=cursor_keys, seal=seal, deadline=deadline
        )
        self._patients = PatientList(name, welkin, cursor_keys, deadline)
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
            seconds = left_of(self._deadline)
            with within(seconds * FOR_CALLS):
                async with asyncio.timeout(seconds):
                    return await self._reads.patient(patient_id)
        except NotFound:
            return None
        except TimeoutError as error:
            raise UpstreamTimeout("Welkin did not answer in time.") from error

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None
    ) -> Edge:
        """Send a message from the patient to the care team; see ``Sending.send``."""
        if attachment_id is not None:
            self._need(Capability.ATTACHMENTS)
        return await self._sending.send(patient_id, body, attachment_id, idempotency_key)

    def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than a cursor, without end; see ``Live.follow``."""
        return self._live.follow(patient_id, after)

    async def search(self, query: str, patient_id: str | None, window: Window) -> Hits:
        """Cut a window out of the hits of a search; see ``Search.search``."""
        return await self._search.search(query, patient_id, window)

    async def around(self, patient_id: str, place: str, older: int, newer: int) -> Connection:
        """Cut the conversation around a hit; see ``Search.around``."""
        return await self._search.around(patient_id, place, older, newer)

    async def patients(self, search: str | None, window: Window) -> Patients:
        """Cut a window out of the list of patients; see ``PatientList.window``."""
        return await self._patients.window(search, window)

    async def portal_messages(self, token: str, window: Window) -> Connection:
        """Cut a window out of the conversation that a chat token opens.

        Raises:
            BadInput: the window's counts are out of range.
            Unsupported: the upstream version knows no such tokens.
            Unauthenticated: the token opens nothing (any more).
            InvalidCursor: a cursor was not made here for this conversation.
            UpstreamError: Welkin did not do its part.
        """
        window.check()
        self._need(Capability.PORTAL_TOKENS)
        return await self._conversations.portal(token, window)

    def follow_portal(self, token: str, after: str | None) -> AsyncGenerator[Edge]:
        """Give every message newer than a cursor, without end; see ``Live.follow_portal``."""
        self._need(Capability.PORTAL_TOKENS)
        return self._live.follow_portal(token, after)

    def open_file(self, file_id: str, byte_range: str | None) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment for reading; see ``Welkin.open_file``.

        Raises:
            BadInput: the id cannot be one.
            Unsupported: the upstream version has no files.
        """
        check_upstream_id(file_id, "fileId")
        self._need(Capability.ATTACHMENTS)
        return self._welkin.open_file(file_id, byte_range=byte_range)

    def record_changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Take a hint that a patient's record changed: a webhook's, or (``elsewhere``) another process's."""
        self._reads.record_changed(patient_id, elsewhere=elsewhere)
        if self._wakes is not None and not elsewhere:
            self._wakes.record(self._name, patient_id)

    def _need(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            raise Unsupported(f"Welkin {self.api_version.value} has no {capability.value}.")

    def wake(self, patient_id: str, *, elsewhere: bool = False) -> None:
        """Take a hint that a conversation changed: a webhook's, or (``elsewhere``) another process's."""
        self._live.wake(patient_id, elsewhere=elsewhere)

    def look_again(self) -> None:
        """Look at every conversation that is listened to: hints from elsewhere may have been missed."""
        self._live.look_again()

    async def aclose(self) -> None:
        """Bring sends to their end, and end every feed."""
        await self._sending.aclose()
        await self._live.aclose()
