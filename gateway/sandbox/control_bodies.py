"""What the control endpoints read: field names in camelCase, unknown fields refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from gateway.sandbox.credentials import Api
from gateway.sandbox.faults import ApiChoice, FaultName, Operation
from gateway.sandbox.records import AuthorKind

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 366)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Body(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A body of a control request."""


class WebhookBody(Body):
    """How the webhook of a message behaves; see `WebhookOptions`."""

    send: bool = True
    drop: bool = False
    duplicate: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    delay: Seconds = 0
    early: Seconds = 0
    patient_url: bool = True


class SayBody(Body):
    """A message to put into a conversation, now or ``at`` a moment."""

    patient_id: Id
    text: str
    from_: AuthorKind = msgspec.field(name="from", default="care_team")
    at: Moment | None = None
    archived: bool = False
    file_ids: list[str] = []
    webhook: WebhookBody = msgspec.field(default_factory=WebhookBody)
    wait: bool = False


class BulkBody(Body):
    """Many messages without webhooks: ``count`` of them ``spacing`` seconds apart, or one per offset."""

    patient_id: Id
    count: Count | None = None
    spacing: Seconds = 1
    offsets: Annotated[list[Count], msgspec.Meta(max_length=1_000_000)] | None = None
    start: Moment | None = None
    from_: AuthorKind | None = msgspec.field(name="from", default=None)
    text: str = "Message {n}"
    archived: list[Count] = []
    ids: bool = False


class LineBody(Body):
    """One message of a new patient's history; ``offset`` counts seconds from its start."""

    text: str
    from_: AuthorKind = msgspec.field(name="from", default="patient")
    offset: Count = 0
    archived: bool = False
    read: bool = False
    file_ids: list[str] = []


class PatientBody(Body):
    """A new patient, perhaps with a history."""

    patient_id: Id | None = None
    first_name: str = "Pat"
    last_name: str = "Example"
    middle_name: str | None = None
    birth_date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    gender: str = "UNKNOWN"
    email: str | None = None
    phone: str | None = None
    timezone: str | None = None
    mrn: str | None = None
    external_id: str | None = None
    active: bool = True
    start: Moment | None = None
    messages: list[LineBody] = []


class FaultBody(Body):
    """A rule; see `FaultRule`."""

    fault: FaultName
    operation: Operation = "any"
    api: ApiChoice = "any"
    after: Count = 0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    args: dict[str, str | int | float] = {}
    patient_id: str | None = None


class TargetBody(Body):
    """Where webhooks go."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://")]
    key: str = "sandbox-webhook-key"
    secret: str = "sandbox-webhook-secret"
    tenant: str = "gh"
    instance: str = "sb-demo"


class TargetsBody(Body):
    """All targets; an empty list sends none."""

    targets: list[TargetBody]


class ExpireBody(Body):
    """Whose tokens expire: one version's, or everyone's."""

    api: Api | None = None


class PortalTokenBody(Body):
    """A patient's chat token and how long it is good."""

    patient_id: Id
    seconds: Seconds = 3600


class FileBody(Body):
    """A file as if uploaded: its text, or so many bytes of a pattern."""

    name: str = "file.bin"
    content_type: str = "application/octet-stream"
    size: Annotated[int, msgspec.Meta(ge=0, le=10**10)] = 16
    text: str | None = None


class ArchiveBody(Body):
    """Messages to archive, or to bring back, by position from 1."""

    patient_id: Id
    positions: list[Annotated[int, msgspec.Meta(ge=1)]]
    archived: bool = True


class ClockBody(Body):
    """How far to move the sandbox's time forward."""

    advance: Seconds


KnobChanges = dict[str, Any]
"""Names and values; `turn` checks both."""
