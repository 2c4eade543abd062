"""v1 JSON into domain values, as pure functions.

The quirks of v1 that they deal with:

* ``externalId`` is the only id; a message names neither its patient nor its attachments (R);
* ``sender.titleName`` is null for patients; ``patientFullName`` comes in the answer to a send alone (R);
* the same message has another ``createdAt`` in searches, up to 1.1 s later (R): times are no identity;
* an automation can write too, and its ``clientType`` is nowhere documented (N);
* ``message`` may be null where media was sent (N);
* patient records mix null and ``""``, and their keys can have trailing spaces (R, D1);
* ``nextPageToken`` leads to older messages; only the token says whether there are any, never the count (R).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import Message, PatientRecord, Sender, SenderKind
from gateway.domain.pages import Numbered, PatientPage
from gateway.welkin import patients
from gateway.welkin.drafts import Draft, newest_first, read_drafts
from gateway.welkin.fields import (
    Record,
    count,
    first_identifier,
    first_text,
    flag,
    identifier,
    items,
    record,
    text,
)
from gateway.welkin.instants import read_message_time

# v1 sender.clientType --> ours (R, D1; the last three assumed from the platform's other labels)
SENDER_KINDS: Mapping[str, SenderKind] = {
    "PATIENT": SenderKind.PATIENT,
    "USER": SenderKind.CARE_TEAM,
    "CARE_TEAM": SenderKind.CARE_TEAM,
    "API_CLIENT": SenderKind.SYSTEM,
    "AUTOMATION": SenderKind.SYSTEM,
    "SYSTEM": SenderKind.SYSTEM,
}
_UNDATED = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list as v1 answers it, and how many of its items were not messages."""

    messages: tuple[Message, ...]
    older_token: str | None
    newer_token: str | None
    dropped: int


def read_list(answer: object, patient_id: str) -> Listed:
    """Translate a page of a conversation.

    Raises:
        UpstreamBadResponse: it is not ``{"meta": {...}, "content": [...]}``, or holds no message at all.
    """
    return read_page(answer, lambda item: read_draft(item, patient_id))


def read_page(answer: object, translate: Callable[[Record], Draft | None]) -> Listed:
    """Translate a page whose items ``translate`` reads.

    Raises:
        UpstreamBadResponse: as of ``read_list``.
    """
    envelope = record(answer)
    meta = record(envelope.get("meta")) if envelope is not None else None
    content = items(envelope.get("content")) if envelope is not None else None
    if meta is None or content is None:
        raise UpstreamBadResponse("Welkin's answer is not a page of messages.")
    drafts = read_drafts(content, translate)
    return Listed(
        messages=newest_first(drafts),
        older_token=page_token(meta.get("nextPageToken")),
        newer_token=page_token(meta.get("prevPageToken")),
        dropped=len(content) - len(drafts),
    )


def read_message(answer: object, patient_id: str) -> Message | None:
    """Translate one message, the answer to a send; None if it is not readable as one."""
    fields = record(answer)
    draft = read_draft(fields, patient_id) if fields is not None else None
    return draft.message if draft is not None and draft.dated else None


def read_patient(answer: object, patient_id: str) -> PatientRecord:
    """Translate a patient's record.

    Raises:
        UpstreamBadResponse: it is not a record.
    """
    return patients.read_patient(answer, patient_id)


def read_patients(answer: object, at: Numbered) -> tuple[PatientPage, int]:
    """Translate a page of records, a Spring page (R), and count the items that were none.

    Raises:
        UpstreamBadResponse: there is no list in it, or no record in the list.
    """
    envelope = record(answer) or {}
    content = items(envelope.get("content"))
    if content is None:
        raise UpstreamBadResponse("Welkin's answer is not a page of patients.")
    found = patients.read_patients(content)
    told = patients.Told(
        count=len(content),
        size=count(envelope.get("size")) or None,
        total=count(envelope.get("totalElements")),
        pages=count(envelope.get("totalPages")),
        last=flag(envelope.get("last")),
    )
    return patients.patient_page(at, found, told), len(content) - len(found)


def read_draft(item: Record, patient_id: str) -> Draft | None:
    """Translate one item of a page; None if it has no id."""
    external_id = first_identifier(item, "externalId", "id")
    if external_id is None:
        return None
    created_at = read_message_time(item.get("createdAt")) or read_message_time(item.get("sentAt"))
    message = Message(
        external_id=external_id,
        patient_id=patient_id,
        sender=_sender(item.get("sender")),
        body=_body(item),
        created_at=created_at or _UNDATED,
    )
    return Draft(message, dated=created_at is not None)


def _sender(value: object) -> Sender:
    fields = record(value)
    if fields is None:
        return Sender(_kind(value))
    return Sender(
        kind=_kind(fields.get("clientType")),
        id=identifier(fields.get("id")),
        name=first_text(fields, "titleName", "patientFullName"),
    )


def _kind(value: object) -> SenderKind:
    """Give the kind; a word that the table does not have is UNKNOWN."""
    word = text(value)
    return SENDER_KINDS.get(word.strip().upper(), SenderKind.UNKNOWN) if word else SenderKind.UNKNOWN


def _body(item: Record) -> str:
    """Give the text as it is, every space of it; media alone has none."""
    return next((body for name in ("message", "body") if isinstance(body := item.get(name), str)), "")


def page_token(value: object) -> str | None:
    """Give a page token byte for byte; absent, null and empty all mean that there is no such page."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UpstreamBadResponse("Welkin's page token is not a text.")
    return value
