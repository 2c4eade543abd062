"""An instance as one caller may see it: the policy is asked at every door, and every use is written down.

Stands between the schema and the services and fulfils the same port, so nothing behind it knows of callers.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

from gateway.access.act import Caller, unknown_patient
from gateway.access.audit import Action, Audit
from gateway.access.following import follow
from gateway.access.ports import Guarded
from gateway.domain.access import Principal, Scope, sees
from gateway.domain.connection import Connection, Edge, Filter, Hits, Patients, Window
from gateway.domain.errors import Forbidden, NotFound
from gateway.domain.model import ApiVersion, Capability, InstanceName, PatientRecord
from gateway.domain.ports import FileStream

_NO_FILES = "A file can be sent only by callers who may see all patients: it does not say whose it is."
_NAME_A_PATIENT = "Name a patient: a search across all patients needs access to all of them."
_NO_LIST = "The list of patients needs access to all of them; patients can be read one by one."
_NO_FILE = "There is no such file."


class GuardedInstance:
    """One instance for one request of one caller. ``clock`` gives Unix seconds.

    Besides what the service raises, every method raises ``Unauthenticated`` where the proof has ended,
    ``NotFound`` for an instance or a patient that is not the caller's, ``Forbidden`` for a missing
    scope, and ``Overloaded`` where a strict audit trail cannot be written.
    """

    def __init__(
        self,
        service: Guarded,
        principal: Principal,
        audit: Audit,
        request_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._principal = principal
        self._audit = audit
        self._caller = Caller(principal, service.name, request_id, audit, clock)

    @property
    def name(self) -> InstanceName:
        """Tenant and instance."""
        return self._service.name

    @property
    def api_version(self) -> ApiVersion:
        """The version that the upstream speaks."""
        return self._service.api_version

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the upstream can do."""
        return self._service.capabilities

    async def messages(self, patient_id: str, window: Window, chosen: Filter, /) -> Connection:
        """Read a window of a conversation that is the caller's to read."""
        async with self._caller.act(Action.MESSAGES, patient_id) as act:
            act.ask(Scope.READ)
            act.ask_patient(patient_id)
            with unknown_patient():
                found = await self._service.messages(patient_id, window, chosen)
            act.count = len(found.edges)
            return found

    async def patient(self, patient_id: str, /) -> PatientRecord | None:
        """Read a patient's record; None also for a patient that the caller may not know of."""
        async with self._caller.act(Action.PATIENT, patient_id) as act:
            act.ask(Scope.READ)
            if not sees(self._principal, patient_id):
                act.deny()
                return None
            found = await self._service.patient(patient_id)
            act.count = int(found is not None)
            act.outcome = act.outcome if found is not None else NotFound.code
            return found

    async def send(
        self, patient_id: str, body: str, attachment_id: str | None, idempotency_key: str | None, /
    ) -> Edge:
        """Send a message for a patient of the caller's.

        A strict trail whose sink fails is found out before; what was sent is not denied afterwards,
        since an error would make the caller send it again.
        """
        async with self._caller.act(Action.SEND, patient_id) as act:
            act.shows = False
            act.ask(Scope.SEND)
            act.ask_patient(patient_id)
            if attachment_id is not None:  # nothing tells whose a file is
                act.ask(Scope.FILES)
                act.ask_everyone(Forbidden(_NO_FILES))
            self._audit.check()
            # With an attachment it may be the file that is not there.
            with unknown_patient() if attachment_id is None else nullcontext():
                sent = await self._service.send(patient_id, body, attachment_id, self._own(idempotency_key))
            act.count = 1
            return sent

    def _own(self, idempotency_key: str | None) -> str | None:
        """Keep the keys of one caller from meeting those of another."""
        return None if idempotency_key is None else f"{self._principal.id}\n{idempotency_key}"

    def follow(self, patient_id: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Follow a conversation that is the caller's to read; see ``following.follow``."""
        return follow(self._caller, patient_id, lambda: self._service.follow(patient_id, after))

    async def search(self, query: str, patient_id: str | None, window: Window, /) -> Hits:
        """Search a conversation of the caller's, or all where all of them are."""
        async with self._caller.act(Action.SEARCH, patient_id) as act:
            act.ask(Scope.SEARCH)
            if patient_id is None:
                act.ask_everyone(Forbidden(_NAME_A_PATIENT))
            else:
                act.ask_patient(patient_id)
            with unknown_patient():
                found = await self._service.search(query, patient_id, window)
            for hit in found.hits:  # whatever the upstream made of the patient that was named
                act.ask_patient(hit.message.patient_id)
            act.count = len(found.hits)
            if patient_id is None:
                act.patients = tuple(hit.message.patient_id for hit in found.hits)
            return found

    async def around(self, patient_id: str, place: str, older: int, newer: int, /) -> Connection:
        """Read around a hit in a conversation that is the caller's to read."""
        async with self._caller.act(Action.AROUND, patient_id) as act:
            act.ask(Scope.READ)
            act.ask_patient(patient_id)
            found = await self._service.around(patient_id, place, older, newer)
            act.count = len(found.edges)
            return found

    async def patients(self, search: str | None, window: Window, /) -> Patients:
        """Read the list of patients, where all of them are the caller's to see.

        A part of the list is not shown: the upstream cannot filter by ids, and a page from which
        patients were taken out would have no right size and no right flags.
        """
        async with self._caller.act(Action.PATIENTS) as act:
            act.ask(Scope.READ)
            act.ask_everyone(Forbidden(_NO_LIST))
            found = await self._service.patients(search, window)
            act.count = len(found.edges)
            act.patients = tuple(record.patient_id for _, record in found.edges)
            return found

    async def portal_messages(self, token: str, window: Window, /) -> Connection:
        """Read the conversation that a chat token opens, if its patient is one of the caller's."""
        async with self._caller.act(Action.PORTAL) as act:
            act.ask(Scope.READ)
            if self._principal.patients is not None:  # whose it is stands in its messages alone
                newest = await self._service.portal_messages(token, Window(first=1))
                act.patient_id = newest.edges[0].message.patient_id if newest.edges else None
                act.ask_patient(act.patient_id or "")
            found = await self._service.portal_messages(token, window)
            for edge in found.edges:
                act.patient_id = edge.message.patient_id
                act.ask_patient(edge.message.patient_id)
            act.count = len(found.edges)
            return found

    def follow_portal(self, token: str, after: str | None, /) -> AsyncGenerator[Edge]:
        """Follow the conversation that a chat token opens; see ``following.follow``."""
        return follow(self._caller, None, lambda: self._service.follow_portal(token, after))

    def open_file(self, file_id: str, byte_range: str | None, /) -> AbstractAsyncContextManager[FileStream]:
        """Open an attachment, where all patients are the caller's: nothing tells whose a file is."""
        return self._open_file(file_id, byte_range)

    @asynccontextmanager
    async def _open_file(self, file_id: str, byte_range: str | None) -> AsyncGenerator[FileStream]:
        async with AsyncExitStack() as stack:
            async with self._caller.act(Action.FILE, file_id=file_id) as act:
                act.ask(Scope.FILES)
                act.ask_everyone(NotFound(_NO_FILE))
                stream = await stack.enter_async_context(self._open(file_id, byte_range))
            yield stream

    @asynccontextmanager
    async def _open(self, file_id: str, byte_range: str | None) -> AsyncGenerator[FileStream]:
        """Tell of a file that is not there in the words that a hidden one has."""
        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(self._service.open_file(file_id, byte_range))
            except NotFound as error:
                raise NotFound(_NO_FILE) from error
            yield stream

    def record_changed(self, patient_id: str, /) -> None:
        """Pass the hint on; it shows nothing."""
        self._service.record_changed(patient_id)

    def wake(self, patient_id: str, /) -> None:
        """Pass the hint on; it shows nothing."""
        self._service.wake(patient_id)
