"""A chat message as clients see it: who wrote it, what it says, what came with it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from strawberry.types.lazy_type import LazyType

from gateway.domain import model
from gateway.domain.identity import message_id
from gateway.domain.model import Conversation, InstanceName
from gateway.graphql.context import Info

_PATIENT = LazyType[Any, Any]("Patient", "gateway.graphql.patient")
"""By name, since the patient's module needs this one."""


@strawberry.enum(name="SenderKind", description="Who wrote a message")
class SenderKind(Enum):
    """The schema's words for the domain's kinds."""

    PATIENT = strawberry.enum_value("PATIENT", description="The patient")
    CARE_TEAM = strawberry.enum_value("CARE_TEAM", description="A member of the care team")
    SYSTEM = strawberry.enum_value("SYSTEM", description="An automation or an API client")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="A kind that this gateway does not know yet")


@strawberry.type(description="Who wrote a message")
class Sender:
    """The writer; id and name only where the upstream tells them."""

    kind: SenderKind = strawberry.field(description="Which side of the conversation the writer is on")
    id: strawberry.ID | None = strawberry.field(
        description="Welkin's id of the patient or user, where the upstream tells it"
    )
    name: str | None = strawberry.field(description="Display name, where the upstream tells it")


@strawberry.type(description="A file sent with a message")
class Attachment:
    """A file by its id, and where this gateway streams it."""

    id: strawberry.ID = strawberry.field(description="Welkin's file id")
    url: str = strawberry.field(
        description="Path on this gateway that streams the file: /{tenant}/{instance}/files/{fileId}"
    )


@strawberry.type(
    description="A chat message. No Node: neither version of Welkin can fetch one message by its id"
)
class Message:
    """Plain attributes, but for the patient, whose record may have to be read."""

    conversation: strawberry.Private[Conversation]
    id: strawberry.ID = strawberry.field(
        description="Unique among everything this gateway serves, and the same in every list, "
        "search and event that shows the message"
    )
    external_id: str = strawberry.field(description="Welkin's own id of the message (v1 externalId, v2 id)")
    sender: Sender = strawberry.field(description="Who wrote it")
    body: str = strawberry.field(description='The text; "" where the message is media alone')
    created_at: datetime = strawberry.field(description="When it was written")
    read_at: datetime | None = strawberry.field(
        description="When it was read; null where it was not, or where the upstream does not tell"
    )
    attachments: list[Attachment] = strawberry.field(description="The files sent with it")

    @strawberry.field(
        description="The patient whose conversation this is",
        graphql_type=_PATIENT,
    )
    def patient(self, info: Info) -> Any:
        """Show the patient; waits only where a field of the record is selected."""
        return info.context.show_patient(info, self.conversation)


def message_of(instance: InstanceName, message: model.Message) -> Message:
    """Dress a domain message for the schema."""
    conversation = Conversation(instance, message.patient_id)
    return Message(
        conversation=conversation,
        id=strawberry.ID(message_id(conversation, message.external_id)),
        external_id=message.external_id,
        sender=_sender_of(message.sender),
        body=message.body,
        created_at=message.created_at,
        read_at=message.read_at,
        attachments=[_attachment_of(instance, file) for file in message.attachments],
    )


def _sender_of(sender: model.Sender) -> Sender:
    return Sender(
        kind=SenderKind[sender.kind.name],
        id=None if sender.id is None else strawberry.ID(sender.id),
        name=sender.name,
    )


def _attachment_of(instance: InstanceName, file: model.Attachment) -> Attachment:
    return Attachment(id=strawberry.ID(file.id), url=f"/{instance}/files/{file.id}")
