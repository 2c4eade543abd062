from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox import SandboxConfig, WebhookOptions, WebhookTarget, create_sandbox
from gateway.sandbox.conversations import LONG, SHORT
from tests.serving import serve


@dataclass
class Receiver:
    """A server that keeps what it gets."""

    url: str = ""
    status: int = 204
    got: list[tuple[float, dict[str, str], dict[str, str]]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append((time.monotonic(), dict(request.headers), await request.json()))
        return Response(status_code=self.status)

    def wait_for(self, count: int, seconds: float = 5) -> list[dict[str, str]]:
        deadline = time.monotonic() + seconds
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return [body for _, _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()
    app = Starlette(routes=[Route("/hook", kept.take, methods=["POST"])])
    with serve(app) as url:
        kept.url = f"{url}/hook"
        yield kept


@pytest.fixture
def aimed(served, receiver):
    body = {"targets": [{"url": receiver.url, "key": "k", "secret": "s", "tenant": "t", "instance": "i"}]}
    served.http.post("/control/webhooks", json=body).raise_for_status()
    return served


def say(aimed, text="Hello", **more):
    body = {"patientId": LONG, "text": text, **more}
    return aimed.http.post("/control/messages", json=body).raise_for_status().json()


def test_a_message_of_the_care_team_posts_five_fields_and_two_headers(aimed, receiver):
    say(aimed, wait=True)

    [(_, headers, body)] = receiver.got
    assert body == {
        "patientId": LONG,
        "patientUrl": f"https://sandbox.invalid/t/i/patients/{LONG}",
        "tenantName": "t",
        "instanceName": "i",
        "message": "Hello",
    }
    assert (headers["x-webhook-api-key"], headers["x-webhook-api-secret"]) == ("k", "s")


def test_a_message_of_the_patient_posts_nothing(aimed, receiver):
    say(aimed, **{"from": "patient"}, wait=True)
    aimed.v1(f"/patients/{LONG}/chat/inbound", "POST", json={"message": "Hi"}).raise_for_status()
    aimed.v2(f"/patients/{LONG}/chat/messages", "POST", json={"body": "Hi"}).raise_for_status()

    assert receiver.wait_for(1, seconds=0.2) == []


def test_a_message_is_there_before_its_webhook_has_been_answered(aimed):
    said = say(aimed)

    newest = aimed.v1(f"/patients/{LONG}/chat", params={"pageSize": 1}).json()["content"][0]
    assert (newest["externalId"], newest["message"]) == (said["v1Id"], "Hello")


def test_a_dropped_webhook_never_comes_but_the_message_does(aimed, receiver):
    said = say(aimed, webhook={"drop": True}, wait=True)

    newest = aimed.v2(f"/patients/{LONG}/chat/messages", params={"size": 1}).json()["data"][0]
    assert newest["id"] == said["v2Id"]
    assert receiver.got == []


def test_a_webhook_can_come_more_than_once(aimed, receiver):
    say(aimed, webhook={"duplicate": 2}, wait=True)

    assert len(receiver.got) == 3
    assert receiver.got[0][2] == receiver.got[2][2]


def test_a_webhook_can_be_late_without_anyone_waiting(aimed, receiver):
    started = time.monotonic()
    say(aimed, webhook={"delay": 0.4})
    answered = time.monotonic() - started

    receiver.wait_for(1)
    assert answered < 0.4 <= receiver.got[0][0] - started


def test_a_webhook_can_come_before_lists_show_the_message(aimed, receiver):
    say(aimed, "Early bird", webhook={"early": 30}, wait=True)

    def newest():
        old = aimed.v1(f"/patients/{LONG}/chat", params={"pageSize": 1}).json()["content"][0]["message"]
        new = aimed.v2(f"/patients/{LONG}/chat/messages", params={"size": 1}).json()["data"][0]["body"]
        return {old, new}

    before = newest()
    aimed.sandbox.clock.advance(30)

    assert len(receiver.got) == 1
    assert "Early bird" not in before
    assert newest() == {"Early bird"}


@pytest.mark.parametrize("how", ["option", "knob"])
def test_the_patients_url_can_be_missing(aimed, receiver, how):
    if how == "knob":
        aimed.sandbox.turn(webhook_patient_url=False)
    say(aimed, webhook={"patientUrl": how != "option"}, wait=True)

    assert set(receiver.got[0][2]) == {"patientId", "tenantName", "instanceName", "message"}


def test_what_became_of_a_webhook_is_kept_without_its_text(aimed, receiver):
    receiver.status = 503
    say(aimed, "A secret", wait=True)
    gone = {"targets": [{"url": "http://127.0.0.1:1/hook"}]}
    aimed.http.post("/control/webhooks", json=gone).raise_for_status()
    say(aimed, "A secret", wait=True)

    shown = aimed.http.get("/control/webhooks")

    assert [delivery["status"] for delivery in shown.json()["deliveries"]] == [503, None]
    assert "secret" not in shown.text


async def test_a_message_can_be_said_in_process_from_another_loop(receiver):
    app = create_sandbox(SandboxConfig(webhooks=(WebhookTarget(receiver.url),)))
    with serve(app):
        said = await app.state.sandbox.say(SHORT, "From the test", wait=True)

    assert said.text == "From the test"
    assert [body["message"] for _, _, body in receiver.got] == ["From the test"]


async def test_a_message_can_be_said_without_a_server(receiver):
    app = create_sandbox(SandboxConfig(webhooks=(WebhookTarget(receiver.url),)))

    await app.state.sandbox.say(SHORT, "No server", wait=True)

    assert len(receiver.got) == 1


async def test_stopping_drops_what_is_late(receiver):
    app = create_sandbox(SandboxConfig(webhooks=(WebhookTarget(receiver.url),)))
    with serve(app):
        await app.state.sandbox.say(SHORT, "Too late", webhook=WebhookOptions(delay=30))
        await asyncio.sleep(0.05)

    assert receiver.got == []
