"""What every webhook's door does alike: limits, the form of the body, and answers that never change.

Welkin keeps the answer in a log of its own, so nothing that came in is shown in it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from gateway.web.answers import JSON, HttpProblem, problem_response
from gateway.web.bodies import is_json, read_body

MAX_BYTES = 64 * 1024
"""Of a webhook's body: a message's text and a few names."""

_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

TAKEN = b'{"ok":true}'


async def answer(taking: Awaitable[None]) -> Response:
    """Answer a webhook, taken or refused."""
    try:
        await taking
    except HttpProblem as problem:
        return problem_response(problem)
    return Response(TAKEN, media_type=JSON)


def outcome(response: Response) -> str:
    """Give what became of a webhook, in the audit trail's words."""
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return "ok"
    return "denied" if response.status_code in _DENIED else "BAD_USER_INPUT"


def unauthenticated() -> HttpProblem:
    """Give the one refusal of everybody who is not believed."""
    return HttpProblem(401, "The webhook's credentials are wrong.", code="UNAUTHENTICATED")


def check_type(request: Request) -> None:
    """Refuse a body that is said to be no JSON; to say nothing is fine.

    Raises:
        HttpProblem: it is said to be something else.
    """
    content_type = request.headers.get("content-type")
    if content_type is not None and not is_json(content_type):
        raise HttpProblem(415, f"The Content-Type must be {JSON}.")


async def read(request: Request, seconds: float) -> bytes:
    """Read a webhook's body.

    Raises:
        HttpProblem: it is too large, too slow, or broke off.
    """
    return await read_body(request, MAX_BYTES, seconds)
