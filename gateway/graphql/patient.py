"""A patient: the door to the conversation, and the part of Welkin's record that the schema shows.

The record costs a request to Welkin, so it is read only where one of its fields is selected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable
from datetime import date, datetime
from typing import Annotated

import strawberry
from strawberry.utils.str_converters import to_camel_case

from gateway.domain import connection as domain
from gateway.domain.connection import Filter, Window
from gateway.domain.errors import Forbidden
from gateway.domain.identity import patient_node_id
from gateway.domain.model import Conversation, PatientRecord
from gateway.graphql.arguments import After, Before, First, Last
from gateway.graphql.connection import MessageConnection, PageInfo, connection_of, page_info_of
from gateway.graphql.context import Info
from gateway.graphql.selection import selects

RECORD_FIELDS = frozenset(to_camel_case(field.name) for field in dataclasses.fields(PatientRecord)) - {
    "patientId"
}
"""The fields that only Welkin's record can fill."""

_TYPES = frozenset({"Patient", "Node"})


@strawberry.interface(description="Something that can be fetched again by its id")
class Node:
    """Relay's interface, without strawberry's relay integration."""

    id: strawberry.ID = strawberry.field(description="Unique among everything this gateway serves")


@strawberry.type(description="A patient of this instance")
class Patient(Node):
    """Plain attributes, but for the conversation, which is read from Welkin."""

    conversation: strawberry.Private[Conversation]
    through_token: strawberry.Private[bool]
    patient_id: strawberry.ID = strawberry.field(description="Welkin's own id of the patient")
    first_name: str | None = strawberry.field(default=None, description="Given name")
    middle_name: str | None = strawberry.field(default=None, description="Middle name")
    last_name: str | None = strawberry.field(default=None, description="Family name")
    birth_date: date | None = strawberry.field(default=None, description="Date of birth")
    gender: str | None = strawberry.field(default=None, description="Gender, in Welkin's words")
    email: str | None = strawberry.field(default=None, description="Email address")
    phone: str | None = strawberry.field(default=None, description="Phone number")
    timezone: str | None = strawberry.field(default=None, description="Time zone, as Welkin names it")
    mrn: str | None = strawberry.field(default=None, description="Medical record number")

    @strawberry.field(description="The patient's conversation with the care team, newest message first")
    async def messages(
        self,
        info: Info,
        *,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        since: Annotated[
            datetime | None,
            strawberry.argument(description="Only messages strictly newer than this instant"),
        ] = None,
        include_archived: Annotated[
            bool,
            strawberry.argument(description="Archived messages too, where the upstream knows of archiving"),
        ] = False,
    ) -> MessageConnection:
        """Read a window of the conversation."""
        if self.through_token:
            raise Forbidden("A chat token opens its conversation alone: page through it with portalMessages.")
        window = Window(first=first, after=after, last=last, before=before)
        window.check()
        await info.context.turn()
        found = await info.context.service.messages(
            self.conversation.patient_id, window, Filter(since=since, include_archived=include_archived)
        )
        info.context.take(len(found.edges))
        return connection_of(self.conversation.instance, found)


@strawberry.type(description="A patient and the cursor that finds the place in the list again")
class PatientEdge:
    """One entry of the list."""

    cursor: str = strawberry.field(description="Opaque; good for `after` of the same list")
    node: Patient = strawberry.field(description="The patient, with the record that the list told")


@strawberry.type(description="Patients in Welkin's order")
class PatientConnection:
    """A page of the list of patients."""

    edges: list[PatientEdge] = strawberry.field(description="The patients of this page with their cursors")
    nodes: list[Patient] = strawberry.field(description="The patients of this page")
    page_info: PageInfo = strawberry.field(description="What lies on either side of this page")


async def find_patient(info: Info, conversation: Conversation) -> Patient | None:
    """Give the patient; None where the record was needed and Welkin has none."""
    if not _needs_record(info):
        return _patient_of(conversation, None)
    record = await info.context.records.get(conversation.patient_id)
    return None if record is None else _patient_of(conversation, record)


def show_patient(info: Info, conversation: Conversation, through_token: bool) -> Patient | Awaitable[Patient]:  # noqa: FBT001 -- as the type has it
    """Give the patient of a message, at once where the record is not needed, or not to be read."""
    if through_token or not _needs_record(info):
        return _patient_of(conversation, None, through_token=through_token)
    return _read_patient(info, conversation)


async def _read_patient(info: Info, conversation: Conversation) -> Patient:
    # A message without a record behind it still belongs to somebody, so this is never None.
    return _patient_of(conversation, await info.context.records.get(conversation.patient_id))


def _needs_record(info: Info) -> bool:
    return selects(info, RECORD_FIELDS, _TYPES)


def patient_connection_of(info: Info, found: domain.Patients) -> PatientConnection:
    """Dress a window on the list of patients; their records need not be read again."""
    name = info.context.service.name
    edges: list[PatientEdge] = []
    for cursor, record in found.edges:
        info.context.records.know(record)
        edges.append(
            PatientEdge(cursor=cursor, node=_patient_of(Conversation(name, record.patient_id), record))
        )
    return PatientConnection(
        edges=edges,
        nodes=[edge.node for edge in edges],
        page_info=page_info_of(found, [edge.cursor for edge in edges]),
    )


def _patient_of(
    conversation: Conversation, record: PatientRecord | None, *, through_token: bool = False
) -> Patient:
    known = PatientRecord(conversation.patient_id) if record is None else record
    return Patient(
        conversation=conversation,
        through_token=through_token,
        id=strawberry.ID(patient_node_id(conversation)),
        patient_id=strawberry.ID(conversation.patient_id),
        first_name=known.first_name,
        middle_name=known.middle_name,
        last_name=known.last_name,
        birth_date=known.birth_date,
        gender=known.gender,
        email=known.email,
        phone=known.phone,
        timezone=known.timezone,
        mrn=known.mrn,
    )
