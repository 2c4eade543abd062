"""What makes a webhook believable: its credentials, its form, and whom it is for. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Any, cast

from gateway.domain.errors import BadInput
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import InstanceName
from gateway.web.answers import HttpProblem
from gateway.web.bodies import read_json

KEY = b"x-webhook-api-key"
SECRET = b"x-webhook-api-secret"

_FIELDS = ("patientId", "tenantName", "instanceName", "message")


def credentials_match(headers: Iterable[tuple[bytes, bytes]], known: Sequence[tuple[bytes, bytes]]) -> bool:
    """Compare the credentials in the headers with every pair that is known.

    On raw bytes, since text that is not ASCII breaks the comparison. Every half of every pair is
    compared whatever the others say, so that the time taken tells nothing about which one was wrong.
    """
    received = list(headers)
    key, has_key = only_header(received, KEY)
    secret, has_secret = only_header(received, SECRET)
    matched = False
    for known_key, known_secret in known:
        same_key = hmac.compare_digest(key, known_key)
        same_secret = hmac.compare_digest(secret, known_secret)
        matched |= same_key & same_secret
    return matched & has_key & has_secret


def only_header(headers: list[tuple[bytes, bytes]], name: bytes) -> tuple[bytes, bool]:
    """Give the header's value; not present where it was sent twice, as two readers may pick differently."""
    values = [value for header, value in headers if header.lower() == name]
    return (values[0], True) if len(values) == 1 else (b"", False)


def read_event(body: bytes, instance: InstanceName) -> str:
    """Read the documented body and give the patient's id, all that is used of it.

    Raises:
        HttpProblem: 400 where it has another form, 403 where it is for another instance.
    """
    event = read_object(body)
    for name in _FIELDS:
        if not isinstance(event.get(name), str):
            raise HttpProblem(400, f"{name} must be a string.")
    patient_id = read_patient_id(event["patientId"])
    if InstanceName(event["tenantName"], event["instanceName"]) != instance:
        raise other_instance()
    return patient_id


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object.

    Raises:
        HttpProblem: it is none.
    """
    value = read_json(body, "The body")
    if not isinstance(value, dict):
        raise HttpProblem(400, "The body must be a JSON object.")
    return cast("dict[str, Any]", value)


def read_patient_id(value: str) -> str:
    """Give the patient's id.

    Raises:
        HttpProblem: it cannot be one.
    """
    try:
        return check_upstream_id(value, "patientId")
    except BadInput as error:
        raise HttpProblem(400, error.message) from None


def other_instance() -> HttpProblem:
    """Give the refusal of a webhook that came to the wrong address."""
    return HttpProblem(403, "tenantName and instanceName are not this instance's.", code="FORBIDDEN")
