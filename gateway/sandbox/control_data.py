"""What the control endpoints do to the store."""

from __future__ import annotations

from typing import Any

from gateway.sandbox.clock import to_ms
from gateway.sandbox.control_bodies import ArchiveBody, BulkBody, FileBody, PatientBody
from gateway.sandbox.history import History
from gateway.sandbox.live import Sandbox, author_of
from gateway.sandbox.records import StoredFile, StoredMessage, StoredPatient

MOST_IDS = 10_000
"""Messages of one request whose ids are answered with."""


class UnknownThing(ValueError):
    """A patient, file or message that the store does not have; the text names the field."""


def check_patient(sandbox: Sandbox, patient_id: str) -> History:
    """Give a patient's conversation.

    Raises:
        UnknownThing: there is no such patient.
    """
    history = sandbox.store.history(patient_id)
    if history is None:
        raise UnknownThing("patientId: there is no such patient.")
    return history


def files(sandbox: Sandbox, file_ids: list[str]) -> tuple[StoredFile, ...]:
    """Give files by their ids.

    Raises:
        UnknownThing: there is no such file.
    """
    missing = [file_id for file_id in file_ids if file_id not in sandbox.store.files]
    if missing:
        raise UnknownThing("fileIds: there is no such file.")
    return tuple(sandbox.store.files[file_id] for file_id in file_ids)


def ids(stored: StoredMessage) -> dict[str, Any]:
    """Tell a message's ids and times."""
    return {
        "patientId": stored.patient_id,
        "position": stored.position,
        "v1Id": stored.v1_id,
        "v2Id": stored.v2_id,
        "providerAt": stored.provider_at,
        "localAt": stored.local_at,
    }


def patients(sandbox: Sandbox) -> list[dict[str, Any]]:
    """List the patients and how many messages each has."""
    found: list[dict[str, Any]] = []
    for patient_id, record in list(sandbox.store.patients.items()):
        history = sandbox.store.history(patient_id)
        count = len(history) if history else 0
        found.append({"patientId": patient_id, "name": record.full_name, "messages": count})
    return found


def add_many(sandbox: Sandbox, wish: BulkBody) -> dict[str, Any]:
    """Add messages at offsets, or evenly spaced.

    Without a start the last one is as of now, or the first one of the second of the newest message
    there is, so that times do not go back.
    """
    history = check_patient(sandbox, wish.patient_id)
    if (wish.count is None) == (wish.offsets is None):
        raise UnknownThing("count: give either count or offsets.")
    offsets = (
        wish.offsets if wish.offsets is not None else [int(n * wish.spacing) for n in range(wish.count or 0)]
    )
    span_ms = max(offsets, default=0) * 1000
    ending_now_ms = max(sandbox.clock.now_ms() - span_ms, history.newest_ms)
    start_ms = ending_now_ms if wish.start is None else to_ms(wish.start)
    archived = frozenset(wish.archived)
    patient, nurse = author_of("patient", wish.patient_id), author_of("care_team", wish.patient_id)
    fixed = author_of(wish.from_, wish.patient_id) if wish.from_ else None
    first = len(history) + 1
    for number, offset in enumerate(offsets):
        sandbox.record(
            wish.patient_id,
            fixed or (nurse if number % 2 else patient),
            wish.text.replace("{n}", str(first + number)),
            at_ms=start_ms + offset * 1000,
            archived=number in archived,
        )
    answer: dict[str, Any] = {"count": len(offsets), "firstPosition": first, "total": len(history)}
    if wish.ids:
        last = min(len(history), first + MOST_IDS - 1)
        answer["messages"] = [ids(history.at(position)) for position in range(first, last + 1)]
    return answer


def add_patient(sandbox: Sandbox, wish: PatientBody) -> dict[str, Any]:
    """Create a patient with a history.

    Raises:
        UnknownThing: the id is taken, or a file is not there.
    """
    patient_id = wish.patient_id or sandbox.store.new_id()
    if patient_id in sandbox.store.patients:
        raise UnknownThing("patientId: there is such a patient already.")
    carried = [files(sandbox, line.file_ids) for line in wish.messages]
    last = max((line.offset for line in wish.messages), default=0)
    start_ms = sandbox.clock.now_ms() - last * 1000 if wish.start is None else to_ms(wish.start)
    record = StoredPatient(
        id=patient_id,
        first_name=wish.first_name,
        last_name=wish.last_name,
        middle_name=wish.middle_name,
        birth_date=wish.birth_date,
        gender=wish.gender,
        email=wish.email,
        phone=wish.phone,
        timezone=wish.timezone,
        mrn=wish.mrn,
        external_id=wish.external_id,
        active=wish.active,
        created_ms=start_ms,
    )
    history = sandbox.store.add_patient(record)
    for line, attached in zip(wish.messages, carried, strict=True):
        moment = start_ms + line.offset * 1000
        sandbox.store.add_message(
            patient_id,
            author_of(line.from_, patient_id),
            line.text,
            at_ms=moment,
            archived=line.archived,
            files=attached,
            read_ms=moment + 60_000 if line.read else None,
        )
    return {"patientId": patient_id, "messages": [ids(stored) for stored in history]}


def archive(sandbox: Sandbox, wish: ArchiveBody) -> dict[str, Any]:
    """Archive messages, as a user of the care team would.

    Raises:
        UnknownThing: a position is beyond the newest message.
    """
    history = check_patient(sandbox, wish.patient_id)
    if max(wish.positions, default=0) > len(history):
        raise UnknownThing("positions: there is no such message.")
    for position in wish.positions:
        history.archive(position, archived=wish.archived)
    return {"count": len(wish.positions)}


def add_file(sandbox: Sandbox, wish: FileBody) -> dict[str, Any]:
    """Keep a file."""
    content = None if wish.text is None else wish.text.encode()
    size = wish.size if content is None else len(content)
    file = StoredFile(sandbox.store.new_id(), wish.name, wish.content_type, size, content)
    return {"fileId": sandbox.store.add_file(file).id, "size": size}
