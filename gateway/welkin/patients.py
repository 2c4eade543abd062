"""Patients' records and pages of them, which both versions write in the same words.

Recorded v1 records differ in number and order of their fields, have null in one and ``""`` in another,
and documented ones have a key with a space at its end. Version 2 documents a subset of the fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import PatientRecord
from gateway.domain.pages import Numbered, PatientPage
from gateway.welkin.fields import identifier, record, text
from gateway.welkin.instants import read_date
from gateway.welkin.paths import is_upstream_id

GENDERS = frozenset({"MALE", "FEMALE", "OTHER", "UNKNOWN"})
_SIGNS_OF_A_RECORD = frozenset({"id", "firstName", "lastName", "birthDate"})


def read_patient(answer: object, patient_id: str) -> PatientRecord:
    """Translate a record; the id stays the one that was asked for.

    Raises:
        UpstreamBadResponse: it is not a record of a patient.
    """
    fields = {name.strip(): value for name, value in (record(answer) or {}).items()}
    if not _SIGNS_OF_A_RECORD & fields.keys():
        raise UpstreamBadResponse("Welkin's answer is not a patient.")
    return PatientRecord(
        patient_id=patient_id,
        first_name=text(fields.get("firstName")),
        middle_name=text(fields.get("middleName")),
        last_name=text(fields.get("lastName")),
        birth_date=read_date(fields.get("birthDate")),
        gender=_gender(fields.get("gender")),
        email=text(fields.get("email")),
        phone=text(fields.get("phone")),
        timezone=text(fields.get("timezone")),
        mrn=text(fields.get("mrn")),
    )


def read_patients(items: Sequence[object]) -> tuple[PatientRecord, ...]:
    """Translate the records that can be; one without an id that could be asked for is left out.

    Raises:
        UpstreamBadResponse: there are items, and none of them is a record.
    """
    found: dict[str, PatientRecord] = {}
    for item in items:
        patient_id = identifier((record(item) or {}).get("id"))
        if patient_id is not None and is_upstream_id(patient_id):
            found.setdefault(patient_id, read_patient(item, patient_id))
    if items and not found:
        raise UpstreamBadResponse("No item of Welkin's answer is a patient.")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Told:
    """What a page of records tells of the whole list; None is unsaid."""

    count: int
    size: int | None = None
    total: int | None = None
    pages: int | None = None
    last: bool | None = None


def patient_page(at: Numbered, patients: tuple[PatientRecord, ...], told: Told) -> PatientPage:
    """Give the page with the number of the next one; the size that the server really uses counts on.

    >>> patient_page(Numbered(0, 100), (), Told(count=20, size=20, total=21)).following
    Numbered(number=1, size=20, oldest_first=False)
    """
    ref = Numbered(at.number, told.size or at.size)
    following = None if _is_last(ref, told) else Numbered(ref.number + 1, ref.size)
    return PatientPage(ref, patients, following)


def _is_last(at: Numbered, told: Told) -> bool:
    if told.count == 0:
        return True
    if told.last is not None:
        return told.last
    if told.pages is not None:
        return at.number + 1 >= told.pages
    if told.total is not None:
        return at.number * at.size + told.count >= told.total
    return told.count < at.size


def _gender(value: object) -> str | None:
    word = text(value)
    if word is None:
        return None
    return word.strip().upper() if word.strip().upper() in GENDERS else "UNKNOWN"
