"""What the resolvers of one operation share: the service, and what was already read for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode
from strawberry.types.info import Info as StrawberryInfo

from gateway.domain.connection import Edge
from gateway.domain.errors import GatewayError, LimitExceeded
from gateway.domain.model import Conversation, PatientRecord
from gateway.graphql.ports import InstanceService

MAX_MESSAGES = 10_000
"""Messages in one answer: 50 full pages. Patients and messages nest in each other, so a short
document could otherwise ask for 200 x 200 x 200 of them."""


class Records:
    """Patients' records, each read at most once per operation, however often it is selected."""

    def __init__(self, service: InstanceService) -> None:
        self._service = service
        self._locks: dict[str, asyncio.Lock] = {}
        self._outcomes: dict[str, PatientRecord | GatewayError | None] = {}

    async def get(self, patient_id: str) -> PatientRecord | None:
        """Give the record; None where Welkin knows no such patient.

        Raises:
            GatewayError: the one read failed; everyone who asks gets the same error.
        """
        # A lock, not a shared task: if the reader is cancelled, the next in line reads.
        async with self._locks.setdefault(patient_id, asyncio.Lock()):
            if patient_id not in self._outcomes:
                self._outcomes[patient_id] = await self._read(patient_id)
        outcome = self._outcomes[patient_id]
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome

    def know(self, record: PatientRecord) -> None:
        """Take a record that came with a list: it need not be read again."""
        self._outcomes.setdefault(record.patient_id, record)

    async def _read(self, patient_id: str) -> PatientRecord | GatewayError | None:
        try:
            return await self._service.patient(patient_id)
        except GatewayError as error:
            return error


@dataclass(slots=True)
class Context:
    """The state of one running operation; a subscription gets a fresh start with every event."""

    service: InstanceService
    request_id: str
    document: DocumentNode
    show_patient: ShowPatient
    resume_after: str | None = None
    """The cursor that the transport says a subscription goes on from; it counts before ``after``."""
    event: Edge | None = field(default=None, init=False)
    """What a subscription shows now, whatever of it was selected."""
    messages_left: int = field(default=MAX_MESSAGES, init=False)
    _begun: bool = field(default=False, init=False)
    _turn: asyncio.Lock | None = field(default=None, init=False)
    _records: Records | None = field(default=None, init=False)

    @property
    def records(self) -> Records:
        """What was read of patients' records so far."""
        if self._records is None:  # most events are shown without one
            self._records = Records(self.service)
        return self._records

    def start_event(self, event: Edge) -> None:
        """Forget what was read for the event before: the next one shows the record as it is then."""
        self.event = event
        self._records = None
        self.messages_left = MAX_MESSAGES

    async def turn(self) -> None:
        """Wait to begin with a page of messages: one in a round of the loop, so that others get their turns.

        A hundred pages that are at hand would otherwise be made in one go, which takes a second.
        """
        if self._begun:
            self._turn = self._turn or asyncio.Lock()
            async with self._turn:
                await asyncio.sleep(0)
        self._begun = True

    def take(self, messages: int) -> None:
        """Count messages of the answer.

        Raises:
            LimitExceeded: one answer would show too many.
        """
        self.messages_left -= messages
        if self.messages_left < 0:
            raise LimitExceeded(f"One operation may show at most {MAX_MESSAGES} messages.")


class Info(StrawberryInfo[Context, None]):
    """What a resolver knows about its place in the operation."""

    @property
    def field_nodes(self) -> list[FieldNode]:
        """Every place of the document that selects this field."""
        return self._core.field_nodes

    @property
    def fragments(self) -> dict[str, FragmentDefinitionNode]:
        """The fragments of the document, by name."""
        return self._core.fragments

    @property
    def variables(self) -> dict[str, Any]:
        """The operation's variables, coerced."""
        return self._core.variable_values

    @property
    def _core(self) -> Any:
        # Any: strawberry hands over its own tuple where its annotation names graphql-core's generic one.
        return cast("Any", self._raw_info)  # pyright: ignore[reportUnknownMemberType] -- the same


ShowPatient: TypeAlias = Callable[[Info, Conversation, bool], Awaitable[Any] | Any]
"""Builds the Patient of a conversation; the flag tells that a chat token opened it. Patients and messages
name each other; this keeps their modules from importing each other."""
