"""What can be sent."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.domain.errors import BadInput
from gateway.domain.identity import check_upstream_id
from gateway.graphql.connection import MessageEdge, edge_of
from gateway.graphql.context import Info

MAX_BODY_BYTES = 64 * 1024
"""Bytes of UTF-8 in one message."""

MAX_KEY = 255
"""Characters of an idempotency key, as others allow it (Stripe's limit)."""


@strawberry.input(description="A message from the patient to the care team")
class SendMessageInput:
    """What `sendMessage` takes."""

    patient_id: strawberry.ID = strawberry.field(description="Welkin's id of the patient who writes")
    body: str = strawberry.field(
        description="The text, up to 64 KiB of UTF-8; may be empty only with an attachment"
    )
    attachment_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of a pre-uploaded file; v2 only"
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Sending twice with one key sends one message, and returns it both times; "
        "1 to 255 printable characters",
    )


@strawberry.type(description="What was sent")
class SendMessagePayload:
    """The answer to `sendMessage`."""

    message_edge: MessageEdge = strawberry.field(description="The message as it stands in the conversation")


@strawberry.type(description="Everything that changes something")
class Mutation:
    """The root of writes."""

    @strawberry.mutation(description="Send a message from the patient to the care team")
    async def send_message(
        self,
        info: Info,
        message: Annotated[SendMessageInput, strawberry.argument(name="input", description="What to send")],
    ) -> SendMessagePayload:
        """Check everything that can be checked here, then send."""
        patient_id = check_upstream_id(message.patient_id, "patientId")
        attachment_id = message.attachment_id
        if attachment_id is not None:
            check_upstream_id(attachment_id, "attachmentId")
        check_body(message.body, has_attachment=attachment_id is not None)
        check_key(message.idempotency_key)
        service = info.context.service
        edge = await service.send(patient_id, message.body, attachment_id, message.idempotency_key)
        return SendMessagePayload(message_edge=edge_of(service.name, edge))


def check_body(body: str, *, has_attachment: bool) -> None:
    """Refuse a text that cannot be a message.

    Raises:
        BadInput: it is empty without an attachment, too long, or holds what no upstream can store.
    """
    if not body.strip() and not has_attachment:
        raise BadInput("body must not be empty unless there is an attachment.")
    if "\0" in body:
        raise BadInput("body must not contain NUL.")
    try:
        size = len(body.encode())
    except UnicodeEncodeError as exc:
        raise BadInput("body must be valid Unicode; it holds half of a surrogate pair.") from exc
    if size > MAX_BODY_BYTES:
        raise BadInput(f"body must be at most {MAX_BODY_BYTES} bytes of UTF-8.")


def check_key(key: str | None) -> None:
    """Refuse an idempotency key that is empty, too long or not printable.

    Raises:
        BadInput: it is one of these.
    """
    if key is not None and not (1 <= len(key) <= MAX_KEY and key.isprintable()):
        raise BadInput(f"idempotencyKey must be 1 to {MAX_KEY} printable characters.")
