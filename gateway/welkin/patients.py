"""A patient's record, which both versions write in the same words.

Recorded v1 records differ in number and order of their fields, have null in one and ``""`` in another,
and documented ones have a key with a space at its end. Version 2 documents a subset of the fields.
"""

from __future__ import annotations

from gateway.domain.errors import UpstreamBadResponse
from gateway.domain.model import PatientRecord
from gateway.welkin.fields import record, text
from gateway.welkin.instants import read_date

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


def _gender(value: object) -> str | None:
    word = text(value)
    if word is None:
        return None
    return word.strip().upper() if word.strip().upper() in GENDERS else "UNKNOWN"
