"""How v2 writes things down: messages and patients, with every guess on a knob."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from gateway.sandbox.clock import from_ms, iso_ms
from gateway.sandbox.history import MAX_SKEW_MS, MIN_SKEW_MS
from gateway.sandbox.knobs import AttachmentStyle, Knobs, TimeStyle
from gateway.sandbox.records import Author, StoredFile, StoredMessage, StoredPatient

KINDS = {
    "care_team": {"patient": "PATIENT", "care_team": "CARE_TEAM", "system": "SYSTEM"},
    "user": {"patient": "PATIENT", "care_team": "USER", "system": "API_CLIENT"},
    "staff": {"patient": "Patient", "care_team": "Staff", "system": "Automation"},
}
"""Ours --> v2 ``sender``, per style. PATIENT is the only value that is documented (D2)."""

_BERLIN = timezone(timedelta(hours=2))


def message(stored: StoredMessage, knobs: Knobs) -> dict[str, Any]:
    """Write a message in the fields of the one sample there is (D2), and what the knobs add."""
    written: dict[str, Any] = {"id": stored.v2_id, "patientId": stored.patient_id}
    written |= _sender(stored.author, knobs)
    written["body"] = stored.text
    written["sentAt"] = write_time(sent_ms(stored, knobs.v2_times), knobs.v2_times)
    if knobs.v2_read_at == "shown":
        written["readAt"] = None if stored.read_ms is None else write_time(stored.read_ms, knobs.v2_times)
    if stored.files:
        written |= _attachments(stored.files, knobs.v2_attachments)
    return written


def patient(record: StoredPatient, knobs: Knobs) -> dict[str, Any]:
    """Write a patient's record (D2)."""
    created = write_time(record.created_ms, knobs.v2_times)
    return {
        "id": record.id,
        "firstName": record.first_name,
        "lastName": record.last_name,
        "birthDate": record.birth_date,
        "gender": record.gender,
        "email": record.email,
        "phone": record.phone,
        "mrn": record.mrn,
        "status": "ACTIVE" if record.active else "INACTIVE",
        "createdAt": created,
        "updatedAt": created,
    }


def write_time(milliseconds: int, style: TimeStyle) -> str | int:
    """Write a moment in whole seconds as sampled (D2), or in another style (A).

    >>> write_time(1000, "seconds"), write_time(1000, "offset"), write_time(1000, "epoch_ms")
    ('1970-01-01T00:00:01Z', '1970-01-01T02:00:01+02:00', 1000)
    """
    match style:
        case "seconds":
            return f"{from_ms(milliseconds):%Y-%m-%dT%H:%M:%SZ}"
        case "fraction":
            return iso_ms(milliseconds)
        case "nanos":
            return f"{iso_ms(milliseconds)[:-1]}000000Z"
        case "offset":
            return from_ms(milliseconds).astimezone(_BERLIN).isoformat()
        case "epoch_ms":
            return milliseconds


def sent_ms(stored: StoredMessage, style: TimeStyle) -> int:
    """Give when a message was sent, as fine as a style shows it: the same second in every style."""
    if style == "seconds":
        return stored.provider_ms
    skew = stored.local_ms - stored.provider_ms - MIN_SKEW_MS
    return stored.provider_ms + min(max(skew, 0), MAX_SKEW_MS - MIN_SKEW_MS)


def _sender(author: Author, knobs: Knobs) -> dict[str, Any]:
    match knobs.v2_sender:
        case "missing":
            return {}
        case "object":
            kind = KINDS["care_team"][author.kind]
            return {"sender": {"type": kind, "id": author.id, "name": author.name}}
        case "object_v1":
            kind = KINDS["user"][author.kind]
            return {"sender": {"clientType": kind, "id": author.id, "titleName": author.name}}
        case "named":
            sender = {"sender": KINDS["care_team"][author.kind], "senderId": author.id}
            return sender | ({"senderName": author.name} if author.name else {})
        case "care_team" | "user" | "staff":
            return {"sender": KINDS[knobs.v2_sender][author.kind]}


def _attachments(files: tuple[StoredFile, ...], style: AttachmentStyle) -> dict[str, Any]:
    first = files[0]
    written: dict[AttachmentStyle, dict[str, Any]] = {
        "attachments": {"attachments": [_file(file) for file in files]},
        "files": {"files": [_other_file(file) for file in files]},
        "attachment": {"attachment": _file(first)},
        "attachment_id": {"attachmentId": first.id},
        "file_id": {"fileId": first.id},
        "other_names": {"attachments": [{"attachmentId": file.id, "name": file.name} for file in files]},
        "absent": {},
    }
    return written[style]


def _file(file: StoredFile) -> dict[str, Any]:
    return {"id": file.id, "fileName": file.name, "mimeType": file.content_type, "size": file.size}


def _other_file(file: StoredFile) -> dict[str, Any]:
    return {
        "fileId": file.id,
        "originalName": file.name,
        "contentType": file.content_type,
        "fileSize": file.size,
    }
