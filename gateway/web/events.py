"""The webhook of Welkin's platform: believed by its credentials or its signature, and taken as a hint."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.web import webhook_intake as intake
from gateway.web.answers import JSON
from gateway.web.event_check import Effect, Hint, read_hint
from gateway.web.instances import Instances
from gateway.web.metrics import Metrics
from gateway.web.options import Heard, InstanceEntry, SignatureOptions
from gateway.web.signatures import signature_matches
from gateway.web.webhook_check import credentials_match
from gateway.web.webhooks import header

REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class EventsDoor:
    """Answers the platform's webhooks for every instance. ``now`` gives Unix time in seconds."""

    instances: Instances
    metrics: Metrics
    body_seconds: float
    heard: Heard
    now: Callable[[], float] = time.time
    _nobodys: SignatureOptions = field(
        default_factory=lambda: SignatureOptions(secrets.token_bytes()), init=False, repr=False
    )
    """Nobody has this secret: for the same work where no signature can be right."""

    async def take(self, request: Request) -> Response:
        """Answer one webhook, and count the answer and what it led to."""
        entry, known = self.instances.stand_in(request.scope)
        hints: list[Hint] = []
        response = await intake.answer(self._take(request, entry, hints, known=known))
        effect = hints[0].effect.value if hints else REFUSED
        self.metrics.event(response.status_code, effect)
        patient_id = hints[0].patient_id if hints else None
        if known:  # a name from outside is written down nowhere
            self.heard(entry.service.name, patient_id or None, intake.outcome(response))
        return response

    async def _take(self, request: Request, entry: InstanceEntry, hints: list[Hint], *, known: bool) -> None:
        body = await self._believe(request, entry, known=known)
        hint = read_hint(body, entry.service.name)
        _act(entry, hint)
        hints.append(hint)

    async def _believe(self, request: Request, entry: InstanceEntry, *, known: bool) -> bytes:
        """Give the body of a webhook that shows either sign of being Welkin's.

        A signature is over the body, which is read for it only where there can be one. That it can be is
        told by the headers of all instances, so that every address, an unknown one too, behaves alike.
        """
        headers: list[tuple[bytes, bytes]] = request.scope["headers"]
        if credentials_match(headers, entry.webhook_credentials) & known:
            intake.check_type(request)
            return await intake.read(request, self.body_seconds)
        if not any(name in request.headers for name in self.instances.signature_headers):
            raise intake.unauthenticated()
        body = await intake.read(request, self.body_seconds)
        signature = entry.event_signature or self._nobodys
        if not signature_matches(headers, body, signature, self.now()) & known:
            raise intake.unauthenticated()
        intake.check_type(request)
        return body


def _act(entry: InstanceEntry, hint: Hint) -> None:
    if hint.effect is Effect.WAKE:
        entry.service.wake(hint.patient_id)
    elif hint.effect is Effect.RECORD:
        entry.service.record_changed(hint.patient_id)


HEADERS = [
    header("X-WEBHOOK-API-KEY", "The key configured in Welkin's admin panel", required=False),
    header("X-WEBHOOK-API-SECRET", "The secret configured in Welkin's admin panel", required=False),
    header(
        "X-Welkin-Signature",
        "HMAC-SHA256 of the body, hex or base64, in place of key and secret; the gateway's configuration "
        "can give the header another name, and have a timestamp signed too",
        required=False,
    ),
]

_PART = {"description": "The record that the event is about; only its patientId is used, where none is above"}

BODY: dict[str, Any] = {
    "required": True,
    "description": "Any JSON object. An event named after a chat or a message wakes the patient's "
    "conversation; one named after a patient makes the record be read anew; all else is ignored. The fields "
    "have no types: what cannot be used in them is ignored or refused.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "properties": {
                    "eventEntity": {"description": "What the event is about"},
                    "eventSubtype": {"description": "What happened"},
                    "eventType": {"description": "The same in other words, as are type and event"},
                    "patientId": {"description": "The patient"},
                    "tenantName": {
                        "description": "The instance's tenant; where given, it must be this one's"
                    },
                    "instanceName": {
                        "description": "The instance's name; where given, it must be this one's"
                    },
                    "data": _PART,
                    "record": _PART,
                    "payload": _PART,
                },
            }
        }
    },
}
