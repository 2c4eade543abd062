"""From a request to the right operation and back: credentials, faults, errors in each version's shape."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from gateway.sandbox import v1_shapes, v2_errors
from gateway.sandbox.answers import Answer, Call, Refused
from gateway.sandbox.credentials import Api, Verdict
from gateway.sandbox.faults import INSTEAD, Fault
from gateway.sandbox.instead import answer_instead
from gateway.sandbox.live import Sandbox
from gateway.sandbox.requests_log import SeenRequest, mask
from gateway.sandbox.routes import Found, find, knows_path
from gateway.sandbox.wire import deliver

LARGEST_BODY = 1024 * 1024
"""Bytes of a request that are read (A)."""

REFUSALS = {Verdict.EXPIRED: "TOKEN_EXPIRED", Verdict.INVALID: "NOT_VALID_JSON_WEB_TOKEN"}
"""What became of the token --> v1 ``errorCode`` (R)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, before its credentials are looked at."""

    api: Api
    path: str
    found: Found | None
    fault: Fault | None

    @property
    def operation(self) -> str | None:
        """The operation's name; None for an undocumented request."""
        return self.found.route.operation if self.found else None


async def serve(sandbox: Sandbox, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request below ``/v1`` or ``/v2``."""
    raw_path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
    asked = _read(sandbox, scope["method"], raw_path)
    name = f"{asked.api}.{asked.operation or 'undocumented'}"
    sandbox.requests.enter(name)
    status = 0
    try:
        answer = _answer(sandbox, asked, _call(scope, asked, await _read_body(receive)))
        status = answer.status
        await deliver(answer, asked.fault, receive, send, sized=asked.api == "v2")
    finally:
        query = mask(scope["query_string"].decode("latin-1"))
        struck = asked.fault.name if asked.fault else None
        seen = SeenRequest(asked.api, asked.operation, scope["method"], raw_path, query, struck, status)
        sandbox.requests.leave(name, seen)


def _read(sandbox: Sandbox, method: str, raw_path: str) -> Asked:
    api: Api = "v1" if raw_path.startswith("/v1") else "v2"
    path = _below_prefix(sandbox, api, raw_path.removeprefix(f"/{api}"))
    found = find(api, "GET" if method == "HEAD" else method, path)
    fault = sandbox.faults.pick(api, found.route.operation, found.path.get("patient")) if found else None
    return Asked(api, path, found, fault)


def _answer(sandbox: Sandbox, asked: Asked, call: Call) -> Answer:
    def write(refused: Refused) -> Answer:
        if asked.api == "v1":
            return v1_shapes.error(refused, sandbox.clock)
        return v2_errors.error(refused, sandbox.clock, sandbox.knobs.v2_errors)

    answer = answer_instead(asked.fault, sandbox.clock, write)
    try:
        if asked.fault is None or asked.fault.name not in INSTEAD:
            done = _run(sandbox, asked, call)
            answer = answer or done
    except Refused as refused:
        answer = write(refused)
    answer = answer or Answer(500, b"", None)
    if asked.api == "v2":
        return answer
    headers = tuple(v1_shapes.headers(sandbox.knobs, sandbox.randomness))
    return dataclasses.replace(answer, headers=answer.headers + headers)


def _run(sandbox: Sandbox, asked: Asked, call: Call) -> Answer:
    if asked.found is None:
        if knows_path(asked.api, asked.path):
            raise Refused(405, "METHOD_NOT_ALLOWED", "COMMON")
        raise Refused(404, "RESOURCE_NOT_FOUND", "COMMON")
    if len(call.body) > LARGEST_BODY:
        raise Refused(413, "REQUEST_TOO_LARGE", "COMMON")
    route = asked.found.route
    if not (route.open or (route.operation == "portal" and not sandbox.knobs.v2_portal_bearer)):
        verdict = sandbox.credentials.judge(asked.api, call.headers.get("authorization"))
        if verdict is not Verdict.GOOD:
            raise Refused(401, REFUSALS[verdict], "AUTH")
    return route.run(sandbox, call)


def _below_prefix(sandbox: Sandbox, api: Api, path: str) -> str:
    """Take off the prefix of the Core Concepts page, where the knob asks for it (D2)."""
    if api == "v1" or sandbox.knobs.v2_prefix == "none" or path == "/auth/token":
        return path
    return path.removeprefix("/v1") if path.startswith("/v1/") else "/undocumented"


def _call(scope: Scope, asked: Asked, body: bytes) -> Call:
    headers: dict[str, Any] = {
        name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
    }
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"))
    return Call(asked.found.path if asked.found else {}, query, headers, body, asked.fault)


async def _read_body(receive: Receive) -> bytes:
    """Read a request, but no more than one byte too many."""
    body = bytearray()
    while len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)
