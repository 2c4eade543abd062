"""What a webhook of Welkin's platform means to the gateway: which patient, and what of the patient. No I/O.

The admin chooses the fields of these webhooks, and v2 documents none of their names. So everything
may be missing, and what is not understood is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from gateway.domain.model import InstanceName
from gateway.web.answers import HttpProblem
from gateway.web.webhook_check import other_instance, read_object, read_patient_id

_PLACEHOLDERS = {
    # field --> what the admin panel's test button puts there
    "eventEntity": "EVENT_ENTITY",
    "eventSubtype": "EVENT_SUBTYPE",
    "eventType": "EVENT_TYPE",
    "patientId": "PATIENT_ID",
}
_NAMES = ("eventEntity", "eventSubtype", "eventType", "type", "event")
_INSIDE = ("data", "record", "payload")
_CHAT = ("CHAT", "MESSAGE")
_PATIENT = "PATIENT"


class Effect(Enum):
    """What an event leads to."""

    WAKE = "wake"
    RECORD = "record"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Hint:
    """What is taken from an event: that something of a patient's changed."""

    effect: Effect
    patient_id: str = ""


_NOTHING = Hint(Effect.IGNORED)


def read_hint(body: bytes, instance: InstanceName) -> Hint:
    """Read an event.

    Raises:
        HttpProblem: 400 where it is no JSON object or its patient's id cannot be one, 403 where it
            is for another instance.
    """
    event = read_object(body)
    for field, ours in (("tenantName", instance.tenant), ("instanceName", instance.instance)):
        if event.get(field) not in (None, ours):
            raise other_instance()
    effect = _effect_of(event)
    told = _patient_in(event)
    if effect is Effect.IGNORED or told in (None, "") or _is_test(event):
        return _NOTHING
    if not isinstance(told, str):
        raise HttpProblem(400, "patientId must be a string.")
    return Hint(effect, read_patient_id(told))


def _effect_of(event: dict[str, Any]) -> Effect:
    """Go by the words in the event's names: a chat about a patient is a chat."""
    names = [name.upper() for name in map(event.get, _NAMES) if isinstance(name, str)]
    if any(word in name for name in names for word in _CHAT):
        return Effect.WAKE
    if any(name.startswith(_PATIENT) for name in names):
        return Effect.RECORD
    return Effect.IGNORED


def _is_test(event: dict[str, Any]) -> bool:
    return any(event.get(field) == placeholder for field, placeholder in _PLACEHOLDERS.items())


def _patient_in(event: dict[str, Any]) -> Any:
    """Give what stands for the patient: at the top, else inside of the first part that has it."""
    parts = [event, *(event.get(name) for name in _INSIDE)]
    for part in parts:
        if isinstance(part, dict):
            told = cast("dict[str, Any]", part).get("patientId")
            if told not in (None, ""):
                return told
    return None
