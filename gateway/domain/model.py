"""What a conversation is made of, in the gateway's own words.

Only values live here: frozen, free of I/O and of any upstream's vocabulary.
A value that an upstream does not tell is ``None``; nothing is made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum


class ApiVersion(Enum):
    """The version of Welkin's API that an instance speaks."""

    V1 = "v1"
    V2 = "v2"


class Capability(Enum):
    """Something that one upstream version can do and another may not."""

    ARCHIVE_FILTER = "archive filter"
    ATTACHMENTS = "attachments"
    PORTAL_TOKENS = "portal tokens"
    READ_RECEIPTS = "read receipts"
    SEARCH_ALL_PATIENTS = "search across all patients"
    SENDER_NAMES = "sender names"


class SenderKind(Enum):
    """Who wrote a message. UNKNOWN is a kind that the gateway has no word for yet."""

    PATIENT = "patient"
    CARE_TEAM = "care team"
    SYSTEM = "system"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote a message: the kind is always known, id and name where the upstream tells them."""

    kind: SenderKind
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file sent with a message, by Welkin's file id."""

    id: str


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    ``external_id`` is Welkin's own id and the only identity: the same message can carry two
    different times (v1 list and v1 search, up to 1.1 s apart; recorded).
    ``created_at`` and ``read_at`` are aware datetimes in UTC, in milliseconds at the finest.
    """

    external_id: str
    patient_id: str
    sender: Sender
    body: str
    created_at: datetime
    read_at: datetime | None = None
    attachments: tuple[Attachment, ...] = ()

    def __hash__(self) -> int:
        """Go by the identity alone: a message is looked up for everybody who gets it."""
        return hash(self.external_id)


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """The part of a patient's record that the schema shows; empty strings are ``None``."""

    patient_id: str
    first_name: str | None = None
    middle_name: str | None = None
    last_name: str | None = None
    birth_date: date | None = None
    gender: str | None = None
    email: str | None = None
    phone: str | None = None
    timezone: str | None = None
    mrn: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceName:
    """A tenant (organisation) and one of its instances (environments)."""

    tenant: str
    instance: str

    def __str__(self) -> str:
        """Give the form that stands in paths: ``tenant/instance``."""
        return f"{self.tenant}/{self.instance}"


@dataclass(frozen=True, slots=True)
class Conversation:
    """The one conversation that a patient has in an instance."""

    instance: InstanceName
    patient_id: str
