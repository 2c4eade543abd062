"""v2's patient records (D2): one by id, and pages of all."""

from __future__ import annotations

from gateway.sandbox import v2_shapes
from gateway.sandbox.answers import Answer, Call, Refused, bad_value, json_answer, read_count
from gateway.sandbox.bending import bend_items, bend_object
from gateway.sandbox.live import Sandbox
from gateway.sandbox.records import StoredPatient

DEFAULT_SIZE = 20
MAX_SIZE = 100
"""Both D2."""


def read_patient(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/patients/{id}``."""
    record = sandbox.store.patients.get(call.path["patient"])
    if record is None:
        raise Refused(404, "PATIENT_NOT_FOUND", "PATIENT", {"id": call.path["patient"]})
    return json_answer(bend_object(call.fault, v2_shapes.patient(record, sandbox.knobs)))


def list_patients(sandbox: Sandbox, call: Call) -> Answer:
    """Answer ``GET …/patients``, in the envelope of its page's family: content and totals (D2)."""
    page = read_count(call.query, "page", 0, 0)
    size = min(read_count(call.query, "size", DEFAULT_SIZE, 1), MAX_SIZE)
    if call.query.get("status", "ACTIVE") not in {"ACTIVE", "INACTIVE"}:
        raise bad_value("status")
    found = [each for each in sandbox.store.patients.values() if _matches(call, each)]
    shown = found[page * size : (page + 1) * size]
    return json_answer(
        {
            "content": bend_items(call.fault, [v2_shapes.patient(record, sandbox.knobs) for record in shown]),
            "totalElements": len(found),
            "totalPages": -(-len(found) // size),
            "page": page,
            "size": size,
        }
    )


def _matches(call: Call, record: StoredPatient) -> bool:
    shown = {
        "firstName": record.first_name,
        "lastName": record.last_name,
        "mrn": record.mrn,
        "status": "ACTIVE" if record.active else "INACTIVE",
    }
    return all(call.query.get(name, value) == value for name, value in shown.items())
