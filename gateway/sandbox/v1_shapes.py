"""How v1 writes things down: messages, patients, Spring pages, errors and headers."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from gateway.sandbox.answers import JSON, Answer, Refused
from gateway.sandbox.clock import Clock, iso_ms
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.records import Author, StoredMessage, StoredPatient

ClientType = Literal["PATIENT", "USER", "SYSTEM"]

CLIENT_TYPES: dict[str, ClientType] = {"patient": "PATIENT", "care_team": "USER", "system": "SYSTEM"}
"""Ours --> v1 ``clientType``. PATIENT and USER are recorded; what an automation is called is a guess (A)."""

_COOKIE_LETTERS = string.ascii_letters + string.digits + "+/"


def message(stored: StoredMessage, *, local: bool, full_name: str | None = None) -> dict[str, Any]:
    """Write a message: with the provider's time, or with Welkin's own and the receiver (R)."""
    written = {
        "sender": _party(stored.author, full_name),
        "message": stored.text,
        "externalId": stored.v1_id,
        "createdAt": iso_ms(stored.local_ms if local else stored.provider_ms),
    }
    if local and stored.author.kind == "care_team":
        return {"sender": written.pop("sender"), "receiver": _patient_party(stored.patient_id)} | written
    return written


def patient(record: StoredPatient, knobs: Knobs) -> dict[str, Any]:
    """Write a patient's record, with its quirks: "" and null mixed (R), a key with a space (D1)."""
    written: dict[str, Any] = {
        "id": record.id,
        "externalId": record.external_id,
        "externalGuid": record.external_guid,
        "mrn": record.mrn,
        "firstName": record.first_name,
        "middleName": record.middle_name,
        "lastName": record.last_name,
        "birthDate": f"{record.birth_date}T00:00:00.000Z" if record.birth_date else None,
        "gender": record.gender,
        "email": record.email,
        "phone": record.phone,
        "timezone " if knobs.v1_timezone_space else "timezone": record.timezone,
        "createdAt": iso_ms(record.created_ms),
        "updatedAt": iso_ms(record.created_ms),
        "careTeam": [],
    }
    if knobs.v1_blanks == "omit":
        return {name: value for name, value in written.items() if value is not None}
    empty = knobs.v1_blanks == "empty" or (knobs.v1_blanks == "mixed" and sum(record.first_name.encode()) % 2)
    kept_null = {"birthDate", "externalGuid"}
    return {
        name: "" if value is None and empty and name not in kept_null else value
        for name, value in written.items()
    }


def spring_page(items: Sequence[Any], page: int, size: int, total: int) -> dict[str, Any]:
    """Write a page of a collection as Spring Data does (R)."""
    pages = -(-total // size)
    order = {"sorted": False, "unsorted": True, "empty": True}
    return {
        "content": list(items),
        "pageable": {
            "pageNumber": page,
            "pageSize": size,
            "offset": page * size,
            "paged": True,
            "unpaged": False,
            "sort": order,
        },
        "last": page + 1 >= pages,
        "first": page == 0,
        "totalElements": total,
        "totalPages": pages,
        "number": page,
        "size": size,
        "numberOfElements": len(items),
        "sort": order,
        "empty": not items,
    }


def error(refused: Refused, clock: Clock) -> Answer:
    """Write an error: a list of objects in every recorded failure (R)."""
    return Answer(
        refused.status, msgspec.json.encode(error_list(refused, clock)), JSON, headers=refused.headers
    )


def error_list(refused: Refused, clock: Clock) -> list[dict[str, Any]]:
    """Write the list of one error that v1 answers with, and perhaps v2 too (A)."""
    entry: dict[str, Any] = {
        "errorCode": refused.code,
        "componentType": refused.component,
        "message": refused.code.replace("_", " ").capitalize(),
        "details": refused.details,
    }
    return [entry | {"date": iso_ms(clock.now_ms())}] if refused.dated else [entry]


def headers(knobs: Knobs, randomness: random.Random) -> list[tuple[str, str]]:
    """Give the headers of every v1 answer, of the recordings of 2022 or of 2023 (R)."""
    shared = [
        ("cache-control", "no-cache, no-store, max-age=0, must-revalidate"),
        ("pragma", "no-cache"),
        ("expires", "0"),
        ("x-content-type-options", "nosniff"),
        ("x-xss-protection", "1; mode=block"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "authorization, content-type, xsrf-token, security-role"),
        ("access-control-expose-headers", "xsrf-token"),
    ]
    if knobs.v1_header_era == "2023":
        return [*shared, ("strict-transport-security", "max-age=31536000 ; includeSubDomains")]
    cookie = "".join(randomness.choices(_COOKIE_LETTERS, k=96))
    life = "Max-Age=604800; Path=/"
    return [
        *shared,
        ("set-cookie", f"AWSALB={cookie}; {life}"),
        ("set-cookie", f"AWSALBCORS={cookie}; {life}; SameSite=None; Secure"),
    ]


def _party(author: Author, full_name: str | None) -> dict[str, Any]:
    return {
        "clientType": CLIENT_TYPES[author.kind],
        "id": author.id,
        "titleName": author.name,
        "patientFullName": full_name,
    }


def _patient_party(patient_id: str) -> dict[str, Any]:
    return {"clientType": "PATIENT", "id": patient_id, "titleName": None, "patientFullName": None}
