"""A chat message as clients see it: who wrote it, what it says, what came with it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from strawberry.types.lazy_type import LazyType

from gateway.domain import model
from gateway.domain.errors import GatewayError
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
    """The writer; only the name of a patient may have to be read."""

    conversation: strawberry.Private[Conversation | None]
    told_name: strawberry.Private[str | None]

    kind: SenderKind = strawberry.field(description="Which side of the conversation the writer is on")
    id: strawberry.ID | None = strawberry.field(
        description="Welkin's id of the patient or user, where the upstream tells it"
    )

    @strawberry.field(
        description="Display name, where the upstream tells it; a patient's is taken from the patient's "
        "record, where that can be read. In what a chat token opened, only what the upstream tells: "
        "the token opens the conversation, not the record",
        graphql_type=str | None,
    )
    def name(self, info: Info) -> Any:
        """Show the name that came with the message; waits only where the record has to tell it."""
        if self.told_name is not None or self.conversation is None:
            return self.told_name
        return _name_on_record(info, self.conversation.patient_id)


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
    through_token: strawberry.Private[bool]
    id: strawberry.ID = strawberry.field(
        description="Unique among everything this gateway serves, and the same in every list, "
        "search and event that shows the message"
    )
    external_id: str = strawberry.field(description="Welkin's own id of the message (v1 externalId, v2 id)")
    sender: Sender = strawberry.field(description="Who wrote it")
    body: str = strawberry.field(description='The text; "" where the message is media alone')
    created_at: datetime = strawberry.field(
        description="When it was written: by Welkin's list of the conversation, where this gateway knows "
        "that time; else by Welkin's own store, whose time can be up to 1.2 s later on v1"
    )
    read_at: datetime | None = strawberry.field(
        description="When it was read; null where it was not, or where the upstream does not tell"
    )
    attachments: list[Attachment] = strawberry.field(description="The files sent with it")

    @strawberry.field(
        description="The patient whose conversation this is; in what a chat token opened, the ids alone: "
        "all else is null there, and `messages` is FORBIDDEN",
        graphql_type=_PATIENT,
    )
    def patient(self, info: Info) -> Any:
        """Show the patient; waits only where a field of the record is selected."""
        return info.context.show_patient(info, self.conversation, self.through_token)


def message_of(instance: InstanceName, message: model.Message, *, through_token: bool = False) -> Message:
    """Dress a domain message for the schema; what a chat token opened leads to no patient's record."""
    conversation = Conversation(instance, message.patient_id)
    return Message(
        conversation=conversation,
        through_token=through_token,
        id=strawberry.ID(message_id(conversation, message.external_id)),
        external_id=message.external_id,
        sender=_sender_of(message.sender, None if through_token else conversation),
        body=message.body,
        created_at=message.created_at,
        read_at=message.read_at,
        attachments=[_attachment_of(instance, file) for file in message.attachments],
    )


def _sender_of(sender: model.Sender, conversation: Conversation | None) -> Sender:
    """Dress a sender; the conversation goes along where its patient is the writer and may be named."""
    writes = sender.kind is model.SenderKind.PATIENT
    if not writes or (conversation is not None and sender.id not in {None, conversation.patient_id}):
        conversation = None
    return Sender(
        conversation=conversation,
        told_name=sender.name,
        kind=SenderKind[sender.kind.name],
        id=None if sender.id is None else strawberry.ID(sender.id),
    )


async def _name_on_record(info: Info, patient_id: str) -> str | None:
    try:
        record = await info.context.records.get(patient_id)
    except GatewayError:
        # The message stands without the name; whoever selects the record itself gets the error.
        return None
    known = () if record is None else (record.first_name, record.last_name)
    return " ".join(part for part in known if part) or None


def _attachment_of(instance: InstanceName, file: model.Attachment) -> Attachment:
    return Attachment(id=strawberry.ID(file.id), url=f"/{instance}/files/{file.id}")
