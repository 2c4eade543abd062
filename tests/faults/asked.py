"""What a client asks of the gateway, and what must be true of every answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.faults.rig import BRIEF, DEADLINE, FILE, PATIENT, Place

LATE = 1.5
"""Seconds over the deadline that an answer may take here. The promise is 0.5; machines of CI are noisy."""

SECRETS = ("canary", "canaria", "plum", "sandbox-secret", "traceback", "authorization")
"""What may stand nowhere but in ``data``, in small letters."""

CODES = frozenset(
    {
        "NOT_FOUND",
        "OVERLOADED",
        "SEND_UNCONFIRMED",
        "UNAUTHENTICATED",
        "UPSTREAM_BAD_RESPONSE",
        "UPSTREAM_RATE_LIMITED",
        "UPSTREAM_TIMEOUT",
        "UPSTREAM_UNAVAILABLE",
    }
)
"""The documented codes that a fault of the upstream can have; a caller's own mistakes are not among them."""


class Failed(Exception):
    """The gateway said, as documented, that it could not."""

    def __init__(self, code: str, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


@dataclass
class Visit:
    """A client's eyes on one instance."""

    place: Place
    http: httpx2.AsyncClient
    late: float = -DEADLINE
    """By how much the slowest answer so far came after the deadline, in seconds."""
    deadline: float = DEADLINE
    """``timeout_seconds`` of the instance."""
    unsent: list[str] = field(default_factory=list)
    """Texts of which the gateway said that they were not sent."""
    keys: dict[str, str | None] = field(default_factory=dict)
    """Texts that were sent with a key, and the ids of the messages, where they were told."""

    async def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        """Run an operation; gives its data, which has no part missing.

        Raises:
            Failed: the answer is an error.
        """
        asked = {"query": document, "variables": variables}
        answer = await self._in_time(self.http.post(f"{self.place.url}/graphql", json=asked))
        body = answer.json()
        assert answer.status_code in {200, 503}, (answer.status_code, body)
        assert_nothing_leaks(answer, body)
        if answer.status_code == 503:  # a send whose turn came too late, on a machine that stalled
            assert "retry-after" in answer.headers
            assert self.failed(body["errors"]).code == "OVERLOADED"
        if "errors" not in body:
            assert body.get("extensions", {}).keys() <= {"cost"}, body["extensions"]
            return body["data"]
        raise self.failed(body["errors"])

    async def read_file(self) -> bytes:
        """Read the file; gives it whole.

        Raises:
            Failed: the answer is an error, or breaks off and shows it.
        """
        try:
            answer = await self._in_time(self.http.get(f"{self.place.url}/files/{FILE.id}"))
        except httpx2.TransportError:
            raise Failed("broken off") from None
        if answer.status_code == 200:
            return answer.content
        body = answer.json()
        assert answer.status_code in {404, 429, 502, 503, 504}, (answer.status_code, body)
        assert_nothing_leaks(answer, body)
        raise self.failed(body["errors"])

    def failed(self, errors: list[dict[str, Any]]) -> Failed:
        """Check the errors of an answer, and give the one that there is."""
        codes = {error["extensions"]["code"] for error in errors}
        assert codes <= CODES, errors
        assert len(codes) == 1, errors
        return Failed(codes.pop(), errors[0]["extensions"].get("retryAfter"))

    async def _in_time(self, answering: Any) -> httpx2.Response:
        clock = asyncio.get_running_loop().time
        began, lost = clock(), self.place.pulse.lost
        answer = await answering
        lost = self.place.pulse.lost - lost
        self.late = max(self.late, clock() - began - lost - self.deadline)
        assert self.late < LATE, f"the answer came {self.late:.2f} s after the deadline"
        return answer


def assert_nothing_leaks(answer: httpx2.Response, body: dict[str, Any]) -> None:
    """Look for health data, secrets and traces of code beside ``data``."""
    beside = {name: part for name, part in body.items() if name != "data"}
    said = (json.dumps(beside) + repr(answer.headers)).lower()
    assert not [secret for secret in (*SECRETS, PATIENT, BRIEF) if secret in said], beside
