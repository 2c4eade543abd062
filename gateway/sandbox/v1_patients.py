"""v1's patient records: one by any of its ids, and pages of all."""

from __future__ import annotations

from gateway.sandbox import v1_shapes
from gateway.sandbox.answers import Answer, Call, Refused, bad_value, json_answer, read_count, read_object
from gateway.sandbox.bending import bend_items, bend_object
from gateway.sandbox.live import Sandbox
from gateway.sandbox.records import StoredPatient

LOOKUPS = {"ID": "id", "EID": "external_id", "EGUID": "external_guid", "MRN": "mrn"}
"""v1 ``type`` --> our field (P, S; EGUID also R)."""

DEFAULT_SIZE = 20
"""Of Spring pages (R)."""

MAX_SIZE = 1000
"""Of Spring pages (A)."""


def read_patient(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/patients/{id}``, where ``type`` says which id it is."""
    wanted, kind = call.path["patient"], call.query.get("type", "ID")
    if kind not in LOOKUPS:
        raise bad_value("type")
    name = LOOKUPS[kind]
    record = sandbox.store.find_patient(lambda each: getattr(each, name) == wanted)
    if record is None:
        raise Refused(404, "PATIENT_NOT_FOUND", "PATIENT", {"id": wanted})
    return json_answer(bend_object(call.fault, v1_shapes.patient(record, sandbox.knobs)))


def list_patients(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/patients``: a Spring page, perhaps of those with an e-mail address or a text (D1)."""
    email, text = call.query.get("email"), call.query.get("query", "").casefold()
    found = [each for each in _all(sandbox) if email is None or each.email == email]
    return _page(sandbox, call, [each for each in found if text in _searched(each)])


def filter_patients(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``POST …/by-filter/patients``; an empty filter gives everyone (R)."""
    read_object(call.body or b"{}")
    return _page(sandbox, call, _all(sandbox))


def _searched(record: StoredPatient) -> str:
    """Give what ``query`` looks at: names and numbers (A)."""
    return " ".join(filter(None, (record.full_name, record.mrn, record.phone, record.email))).casefold()


def _all(sandbox: Sandbox) -> list[StoredPatient]:
    return list(sandbox.store.patients.values())


def _page(sandbox: Sandbox, call: Call, records: list[StoredPatient]) -> Answer:
    page = read_count(call.query, "page", 0, 0)
    size = min(read_count(call.query, "size", DEFAULT_SIZE, 1), MAX_SIZE)
    shown = records[page * size : (page + 1) * size]
    items = bend_items(call.fault, [v1_shapes.patient(record, sandbox.knobs) for record in shown])
    return json_answer(v1_shapes.spring_page(items, page, size, len(records)))
