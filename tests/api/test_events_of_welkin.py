"""Welkin's generic platform webhook, as the admin panel sends it, wakes what is listening."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json

import pytest

from gateway.sandbox.conversations import LONG, SHORT
from tests.api.system import HOOKS, PATHS, System, system

SECRET = "events-secret"
KEYS = {"X-WEBHOOK-API-KEY": HOOKS["webhook_key"], "X-WEBHOOK-API-SECRET": HOOKS["webhook_secret"]}


@pytest.fixture(scope="module")
def running():
    with system(instance={"events_secret": SECRET, "reconcile_seconds": 60}) as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


def event(running: System, version: str, headers: dict | None = None, **fields) -> tuple[int, str]:
    tenant, instance = PATHS[version].split("/")
    body = json.dumps({"tenantName": tenant, "instanceName": instance, **fields}).encode()
    if headers is None:
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Welkin-Signature": f"sha256={signature}"}
    answer = running.http.post(
        f"{running.gateway_url}/{PATHS[version]}/webhooks/events",
        content=body,
        headers={"content-type": "application/json", **headers},
    )
    return answer.status_code, answer.text


@pytest.mark.parametrize("headers", [None, KEYS], ids=["signed", "key and secret"])
async def test_a_chat_event_wakes_the_conversation(running, version, headers):
    async with running.follow(version, LONG) as edges:
        await asyncio.sleep(0.5)
        text = f"From another app {version} {headers is None}"
        said = {"patientId": LONG, "from": "patient", "text": text}
        await asyncio.to_thread(running.control, "POST", "messages", said)

        status, _ = await asyncio.to_thread(
            event, running, version, headers, eventSubtype="CHAT_UNREAD_MESSAGE", patientId=LONG
        )

        async with asyncio.timeout(3):
            assert (await anext(edges))["node"]["body"] == text
        assert status == 200


def test_a_patient_event_drops_the_kept_record(running, version):
    query = "query ($id: ID!) { patient(patientId: $id) { firstName } }"
    running.query(version, query, id=SHORT)
    before = running.sandbox.requests.count(f"{version}.patient")
    running.query(version, query, id=SHORT)
    kept = running.sandbox.requests.count(f"{version}.patient") - before

    event(running, version, eventEntity="PATIENT", eventSubtype="PATIENT_UPDATED", patientId=SHORT)
    running.query(version, query, id=SHORT)

    assert (kept, running.sandbox.requests.count(f"{version}.patient") - before) == (0, 1)


def test_the_test_button_is_answered_and_does_nothing(running, version):
    placeholders = {"eventEntity": "EVENT_ENTITY", "eventSubtype": "EVENT_SUBTYPE", "patientId": "PATIENT_ID"}

    assert event(running, version, **placeholders)[0] == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-Welkin-Signature": "sha256=" + "0" * 64}, {**KEYS, "X-WEBHOOK-API-SECRET": "wrong"}]
)
def test_who_cannot_prove_it_is_not_believed_and_nothing_is_echoed(running, version, headers):
    status, text = event(running, version, headers, eventEntity="canary", patientId=LONG)

    assert status == 401
    assert "canary" not in text
