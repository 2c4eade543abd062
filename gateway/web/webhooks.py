"""Welkin's chat webhook: believed or refused, then a nudge to the live part. Nothing of it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.web.answers import JSON, HttpProblem, problem_response
from gateway.web.bodies import is_json, read_body
from gateway.web.instances import Instances
from gateway.web.metrics import Metrics
from gateway.web.options import InstanceEntry
from gateway.web.webhook_check import credentials_match, read_event

MAX_BYTES = 64 * 1024
"""Of a webhook's body: a message's text and four names."""

TAKEN = b'{"ok":true}'


@dataclass(frozen=True, slots=True)
class WebhookDoor:
    """Answers webhooks for every instance."""

    instances: Instances
    metrics: Metrics
    body_seconds: float

    async def take(self, request: Request) -> Response:
        """Answer one webhook, and count the answer."""
        entry = self.instances.find(request.scope)
        try:
            await self._take(request, entry)
            response = Response(TAKEN, media_type=JSON)
        except HttpProblem as problem:
            response = problem_response(problem)
        self.metrics.webhook(response.status_code)
        return response

    async def _take(self, request: Request, entry: InstanceEntry) -> None:
        # Credentials first: whoever has none learns nothing else.
        if not credentials_match(request.scope["headers"], entry.webhook_credentials):
            raise HttpProblem(401, "The webhook's credentials are wrong.", code="UNAUTHENTICATED")
        content_type = request.headers.get("content-type")
        if content_type is not None and not is_json(content_type):
            raise HttpProblem(415, f"The Content-Type must be {JSON}.")
        body = await read_body(request, MAX_BYTES, self.body_seconds)
        entry.service.wake(read_event(body, entry.service.name))


def _header(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "description": what, "schema": {"type": "string"}}


def _text(what: str) -> dict[str, Any]:
    return {"type": "string", "description": what}


HEADERS = [
    _header("X-WEBHOOK-API-KEY", "The key configured in Welkin's admin panel"),
    _header("X-WEBHOOK-API-SECRET", "The secret configured in Welkin's admin panel"),
]

BODY: dict[str, Any] = {
    "required": True,
    "description": "Welkin's documented body. Only patientId is used; patientUrl is never fetched.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["patientId", "tenantName", "instanceName", "message"],
                "properties": {
                    "patientId": _text("The patient whose conversation changed")
                    | {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"},
                    "patientUrl": {"description": "A page in Welkin; ignored"},
                    "tenantName": _text("The instance's tenant"),
                    "instanceName": _text("The instance's name"),
                    "message": _text("The message's text; ignored"),
                },
            }
        }
    },
}
