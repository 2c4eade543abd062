"""The control endpoints, below ``/control``: JSON in and out, errors as ``{"error": …}`` that name the field.

=======================  ==================================================================
``GET  ""``              how the sandbox stands: knobs, rules in force, patients
``POST /messages``       put one message into a conversation; the care team's fires the webhook
``POST /bulk``           add many messages fast, without webhooks
``POST /patients``       create a patient, perhaps with a history; ``GET`` lists them
``POST /archive``        archive messages or bring them back
``POST /files``          keep a file that a message can carry
``POST /portal-tokens``  make a patient's chat token
``PATCH /knobs``         change knobs; ``GET`` shows them
``POST /faults``         add one rule or a list; ``GET`` shows, ``DELETE`` removes them
``GET  /requests``       what was asked; ``DELETE`` forgets it
``POST /webhooks``       set the targets; ``GET`` shows targets and deliveries
``POST /tokens/expire``  let every upstream token be expired
``POST /clock``          move the time forward
``POST /reset``          start again
=======================  ==================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox import control_bodies as bodies
from gateway.sandbox import control_data as data
from gateway.sandbox.config import WebhookTarget
from gateway.sandbox.control_data import UnknownThing
from gateway.sandbox.faults import BadFault, FaultRule
from gateway.sandbox.knobs import UnknownKnob
from gateway.sandbox.live import Sandbox
from gateway.sandbox.webhook import WebhookOptions

Read = TypeVar("Read")


def routes(sandbox: Sandbox) -> list[Route]:
    """Give the routes of a sandbox's control endpoints."""
    table = (
        ("GET", "", _status),
        ("POST", "/messages", _say),
        ("POST", "/bulk", _bulk),
        ("POST", "/patients", _add_patient),
        ("GET", "/patients", _list_patients),
        ("POST", "/archive", _archive),
        ("POST", "/files", _add_file),
        ("POST", "/portal-tokens", _portal_token),
        ("PATCH", "/knobs", _turn),
        ("GET", "/knobs", _knobs),
        ("POST", "/faults", _add_faults),
        ("GET", "/faults", _faults),
        ("DELETE", "/faults", _clear_faults),
        ("GET", "/requests", _requests),
        ("DELETE", "/requests", _clear_requests),
        ("POST", "/webhooks", _set_webhooks),
        ("GET", "/webhooks", _webhooks),
        ("POST", "/tokens/expire", _expire),
        ("POST", "/clock", _advance),
        ("POST", "/reset", _reset),
    )
    return [
        Route(f"/control{path}", _endpoint(sandbox, run), methods=[method]) for method, path, run in table
    ]


Run = Callable[[Sandbox, bytes], Awaitable[Any]]


def _endpoint(sandbox: Sandbox, run: Run) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            value, status = await run(sandbox, await request.body()), 200
        except (msgspec.ValidationError, UnknownKnob, BadFault, UnknownThing) as exc:
            value, status = {"error": str(exc)}, 422
        except (msgspec.DecodeError, UnicodeDecodeError):
            value, status = {"error": "The body is not JSON."}, 400
        return Response(msgspec.json.encode(value), status, media_type="application/json")

    return answer


def _decode(body: bytes, kind: type[Read]) -> Read:
    return msgspec.json.decode(body or b"{}", type=kind)


async def _status(sandbox: Sandbox, _body: bytes) -> Any:
    return {
        "knobs": sandbox.knobs,
        "faults": sandbox.faults.rules,
        "patients": data.patients(sandbox),
        "now": sandbox.clock.now(),
    }


async def _say(sandbox: Sandbox, body: bytes) -> Any:
    wish = _decode(body, bodies.SayBody)
    data.check_patient(sandbox, wish.patient_id)
    stored = await sandbox.say(
        wish.patient_id,
        wish.text,
        by=wish.from_,
        at=wish.at,
        archived=wish.archived,
        files=data.files(sandbox, wish.file_ids),
        webhook=WebhookOptions(**msgspec.structs.asdict(wish.webhook)),
        wait=wish.wait,
    )
    return data.ids(stored)


async def _bulk(sandbox: Sandbox, body: bytes) -> Any:
    return data.add_many(sandbox, _decode(body, bodies.BulkBody))


async def _add_patient(sandbox: Sandbox, body: bytes) -> Any:
    return data.add_patient(sandbox, _decode(body, bodies.PatientBody))


async def _list_patients(sandbox: Sandbox, _body: bytes) -> Any:
    return {"patients": data.patients(sandbox)}


async def _archive(sandbox: Sandbox, body: bytes) -> Any:
    return data.archive(sandbox, _decode(body, bodies.ArchiveBody))


async def _add_file(sandbox: Sandbox, body: bytes) -> Any:
    return data.add_file(sandbox, _decode(body, bodies.FileBody))


async def _portal_token(sandbox: Sandbox, body: bytes) -> Any:
    wish = _decode(body, bodies.PortalTokenBody)
    data.check_patient(sandbox, wish.patient_id)
    return {"token": sandbox.credentials.portal_token(wish.patient_id, wish.seconds)}


async def _turn(sandbox: Sandbox, body: bytes) -> Any:
    return sandbox.turn(**_decode(body, bodies.KnobChanges))


async def _knobs(sandbox: Sandbox, _body: bytes) -> Any:
    return sandbox.knobs


async def _add_faults(sandbox: Sandbox, body: bytes) -> Any:
    wishes = (
        _decode(body, list[bodies.FaultBody])
        if body.lstrip().startswith(b"[")
        else [_decode(body, bodies.FaultBody)]
    )
    sandbox.faults.add(*(FaultRule(**msgspec.structs.asdict(wish)) for wish in wishes))
    return await _faults(sandbox, b"")


async def _faults(sandbox: Sandbox, _body: bytes) -> Any:
    return {"faults": sandbox.faults.rules}


async def _clear_faults(sandbox: Sandbox, _body: bytes) -> Any:
    sandbox.faults.clear()
    return await _faults(sandbox, b"")


async def _requests(sandbox: Sandbox, _body: bytes) -> Any:
    log = sandbox.requests
    return {
        "counts": log.counts,
        "peaks": log.peaks,
        "undocumented": log.undocumented,
        "seen": log.seen,
    }


async def _clear_requests(sandbox: Sandbox, _body: bytes) -> Any:
    sandbox.requests.clear()
    return {}


async def _set_webhooks(sandbox: Sandbox, body: bytes) -> Any:
    targets = _decode(body, bodies.TargetsBody).targets
    sandbox.webhooks.targets = tuple(WebhookTarget(**msgspec.structs.asdict(target)) for target in targets)
    return await _webhooks(sandbox, b"")


async def _webhooks(sandbox: Sandbox, _body: bytes) -> Any:
    shown = [
        {"url": target.url, "tenant": target.tenant, "instance": target.instance}
        for target in sandbox.webhooks.targets
    ]
    deliveries = [dataclasses.asdict(delivery) for delivery in sandbox.webhooks.deliveries]
    return {"targets": shown, "deliveries": deliveries}


async def _expire(sandbox: Sandbox, body: bytes) -> Any:
    sandbox.credentials.expire_all(_decode(body, bodies.ExpireBody).api)
    return {}


async def _advance(sandbox: Sandbox, body: bytes) -> Any:
    sandbox.clock.advance(_decode(body, bodies.ClockBody).advance)
    return {"now": sandbox.clock.now()}


async def _reset(sandbox: Sandbox, _body: bytes) -> Any:
    sandbox.reset()
    return {}
