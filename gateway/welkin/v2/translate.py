"""v2 JSON into domain values, as pure functions.

The quirks of v2 that they deal with:

* one sample message is all there is, so every field is also looked for under v1's name (D2, A);
* ``sender`` is a word; the care team's is not shown, nor whether it can be an object (A);
* ``readAt`` null means unread; without the key nothing is known. Both are None here;
* attachments are documented for sends only: four forms of them are taken (A);
* a message names its patient, but in a list the patient is the one that was asked for: an id that
  upstream spells in two ways must not become two conversations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from gateway.domain.model import Attachment, Message, PatientRecord, Sender, SenderKind
from gateway.domain.pages import Numbered, PatientPage
from gateway.welkin import patients
from gateway.welkin.drafts import Draft
from gateway.welkin.fields import Record, first_identifier, first_text, identifier, items, record, text
from gateway.welkin.instants import read_message_time
from gateway.welkin.paths import is_upstream_id
from gateway.welkin.v2.envelopes import open_envelope

# v2 sender --> ours (D2 shows PATIENT alone; the others assumed from the platform's words for its users)
SENDER_KINDS: Mapping[str, SenderKind] = {
    "PATIENT": SenderKind.PATIENT,
    "CARE_TEAM": SenderKind.CARE_TEAM,
    "CARETEAM": SenderKind.CARE_TEAM,
    "CLINICIAN": SenderKind.CARE_TEAM,
    "PROVIDER": SenderKind.CARE_TEAM,
    "STAFF": SenderKind.CARE_TEAM,
    "USER": SenderKind.CARE_TEAM,
    "API_CLIENT": SenderKind.SYSTEM,
    "AUTOMATION": SenderKind.SYSTEM,
    "SYSTEM": SenderKind.SYSTEM,
}
_MAX_ATTACHMENTS = 100
"""Of one message: far more than anybody sends, far fewer than would hold the gateway up."""

ATTACHMENT_LISTS = ("attachments", "files")
ATTACHMENT_OBJECTS = ("attachment", "file")
ATTACHMENT_IDS = ("attachmentId", "fileId")
_UNDATED = datetime.min.replace(tzinfo=UTC)


def read_message(answer: object, patient_id: str) -> Message | None:
    """Translate one message, the answer to a send, bare or wrapped; None if it is not readable as one."""
    fields = record(answer)
    if fields is None:
        return None
    for candidate in (fields, record(fields.get("data")), record(fields.get("message"))):
        draft = read_draft(candidate, patient_id) if candidate is not None else None
        if draft is not None and draft.dated:
            return draft.message
    return None


def read_patient(answer: object, patient_id: str) -> PatientRecord:
    """Translate a patient's record, bare or inside ``data``.

    Raises:
        UpstreamBadResponse: it is not a record.
    """
    wrapped = record((record(answer) or {}).get("data"))
    return patients.read_patient(answer if wrapped is None else wrapped, patient_id)


def read_patients(answer: object, at: Numbered) -> tuple[PatientPage, int]:
    """Translate a page of records and count the items that were none.

    Raises:
        UpstreamBadResponse: there is no list in it, or no record in the list.
    """
    envelope = open_envelope(answer)
    found = patients.read_patients(envelope.items)
    told = patients.Told(len(envelope.items), envelope.size, envelope.total, envelope.pages, envelope.last)
    return patients.patient_page(at, found, told), len(envelope.items) - len(found)


def patient_filter(search: str) -> list[tuple[str, str]]:
    """Say in v2's parameters what is looked for.

    v2 has no text search over patients, but three fields to match (D2); how they match is not documented
    (A). A word with a digit is a record number, one name is a last name, of more the first is the first name.

    >>> patient_filter("MRN-7"), patient_filter("Lake"), patient_filter("Mary  Ann Lake")
    ([('mrn', 'MRN-7')], [('lastName', 'Lake')], [('firstName', 'Mary'), ('lastName', 'Ann Lake')])
    """
    words = search.split()
    if len(words) == 1:
        number = any(character.isdigit() for character in search)
        return [("mrn" if number else "lastName", words[0])]
    return [("firstName", words[0]), ("lastName", " ".join(words[1:]))] if words else []


def read_draft(item: Record, patient_id: str) -> Draft | None:
    """Translate one item of a page; None if it has no id."""
    external_id = first_identifier(item, "id", "externalId")
    if external_id is None:
        return None
    created_at = read_message_time(item.get("sentAt")) or read_message_time(item.get("createdAt"))
    message = Message(
        external_id=external_id,
        patient_id=patient_id,
        sender=_sender(item, patient_id),
        body=_body(item),
        created_at=created_at or _UNDATED,
        read_at=read_message_time(item.get("readAt")),
        attachments=tuple(islice(dict.fromkeys(_attachments(item)), _MAX_ATTACHMENTS)),
    )
    return Draft(message, dated=created_at is not None)


def read_find(item: Record, patient_id: str | None) -> Draft | None:
    """Translate a message found across conversations; None if it has no id, or no patient.

    It may be wrapped: ``{"message": {...}, "score": ...}`` (A).
    """
    message = record(item.get("message")) or item
    owner = _named_owner(item) or patient_id
    return read_draft(message, owner) if owner is not None else None


def is_anothers(item: object, patient_id: str | None) -> bool:
    """Tell whether a found message is another patient's than the one asked for."""
    owner = _named_owner(record(item) or {})
    return patient_id is not None and owner is not None and owner != patient_id


def _named_owner(item: Record) -> str | None:
    return owner_of(record(item.get("message")) or item) or owner_of(item)


def owner_of(item: object) -> str | None:
    """Give the patient that an item names, if it is one that could be asked for."""
    found = identifier((record(item) or {}).get("patientId"))
    return found if found is not None and is_upstream_id(found) else None


def _sender(item: Record, patient_id: str) -> Sender:
    fields = record(item.get("sender"))
    kind = _kind(item.get("sender") if fields is None else first_text(fields, "type", "clientType"))
    own = fields or {}
    name = first_text(item, "senderName") or first_text(own, "name", "titleName", "patientFullName")
    if kind is SenderKind.PATIENT:
        return Sender(kind, patient_id, name)
    return Sender(kind, identifier(item.get("senderId")) or identifier(own.get("id")), name)


def _kind(value: object) -> SenderKind:
    """Give the kind; a word that the table does not have is UNKNOWN."""
    word = text(value)
    return SENDER_KINDS.get(word.strip().upper(), SenderKind.UNKNOWN) if word else SenderKind.UNKNOWN


def _body(item: Record) -> str:
    """Give the text as it is, every space of it; media alone has none."""
    return next((body for name in ("body", "message") if isinstance(body := item.get(name), str)), "")


def _attachments(item: Record) -> Iterator[Attachment]:
    """Give the attachments in every form at once; the same file named twice is sorted out by the caller."""
    entries: list[object] = [entry for name in ATTACHMENT_LISTS for entry in items(item.get(name)) or ()]
    entries += [item.get(name) for name in (*ATTACHMENT_OBJECTS, *ATTACHMENT_IDS)]
    for entry in entries:
        fields = record(entry)
        found = first_identifier(fields, "id", "fileId", "attachmentId") if fields else identifier(entry)
        if found is not None:
            yield Attachment(found)
