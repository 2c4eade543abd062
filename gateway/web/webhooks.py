"""Welkin's chat webhook: believed or refused, then a nudge to the live part. Nothing of it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.web import webhook_intake as intake
from gateway.web.answers import JSON
from gateway.web.instances import Instances
from gateway.web.metrics import Metrics
from gateway.web.options import Heard, InstanceEntry
from gateway.web.webhook_check import credentials_match, read_event


@dataclass(frozen=True, slots=True)
class WebhookDoor:
    """Answers webhooks for every instance."""

    instances: Instances
    metrics: Metrics
    body_seconds: float
    heard: Heard

    async def take(self, request: Request) -> Response:
        """Answer one webhook, count the answer, and tell of it."""
        entry, known = self.instances.stand_in(request.scope)
        woken: list[str] = []
        response = await intake.answer(self._take(request, entry, woken, known=known))
        self.metrics.webhook(response.status_code)
        if known:  # a name from outside is written down nowhere
            self.heard(entry.service.name, woken[0] if woken else None, intake.outcome(response))
        return response

    async def _take(self, request: Request, entry: InstanceEntry, woken: list[str], *, known: bool) -> None:
        # Credentials first: whoever has none learns nothing else, not even which instances there are.
        if not credentials_match(request.scope["headers"], entry.webhook_credentials) & known:
            raise intake.unauthenticated()
        intake.check_type(request)
        body = await intake.read(request, self.body_seconds)
        woken.append(read_event(body, entry.service.name))
        entry.service.wake(woken[0])


def header(name: str, what: str, *, required: bool) -> dict[str, Any]:
    """Describe a header to OpenAPI."""
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": what,
        "schema": {"type": "string"},
    }


def text(what: str) -> dict[str, Any]:
    """Describe a string to OpenAPI."""
    return {"type": "string", "description": what}


HEADERS = [
    header("X-WEBHOOK-API-KEY", "The key configured in Welkin's admin panel", required=True),
    header("X-WEBHOOK-API-SECRET", "The secret configured in Welkin's admin panel", required=True),
]

ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
"""An id of Welkin's, as OpenAPI writes it."""

BODY: dict[str, Any] = {
    "required": True,
    "description": "Welkin's documented body. Only patientId is used; patientUrl is never fetched.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["patientId", "tenantName", "instanceName", "message"],
                "properties": {
                    "patientId": text("The patient whose conversation changed") | {"pattern": ID_PATTERN},
                    "patientUrl": {"description": "A page in Welkin; ignored"},
                    "tenantName": text("The instance's tenant"),
                    "instanceName": text("The instance's name"),
                    "message": text("The message's text; ignored"),
                },
            }
        }
    },
}
