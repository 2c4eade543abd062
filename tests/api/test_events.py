"""The webhook of Welkin's platform: what it leads to, and that all else has no effect."""

from __future__ import annotations

import hmac
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway.web.options import SignatureOptions, WebOptions
from tests.api.fakes import ACME, KEY, PATIENT, SECRET, FakeInstance, web_of
from tests.serving import serve

PATH = "/gh/sb-demo/webhooks/events"
CREDENTIALS = {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": SECRET}
SIGNING = SignatureOptions(b"signing-secret")
EVENT = {
    "sourceId": "s-1",
    "sourceName": "Automation",
    "eventEntity": "NOTIFICATION",
    "eventSubtype": "CHAT_UNREAD_MESSAGE",
    "patientId": PATIENT,
    "tenantName": "gh",
    "instanceName": "sb-demo",
    "url": "http://localhost:5000/canary",
}
TEST_BUTTON = {
    "sourceId": "SOURCE_ID",
    "sourceName": "SOURCE_NAME",
    "eventEntity": "EVENT_ENTITY",
    "eventSubtype": "EVENT_SUBTYPE",
    "patientId": "PATIENT_ID",
    "tenantName": "gh",
    "instanceName": "sb-demo",
    "url": "URL",
}


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    app = web_of(fake, FakeInstance(ACME), options=WebOptions(), signature=SIGNING)
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


def call(
    client: httpx2.Client, path: str = PATH, headers: Any = CREDENTIALS, **changes: Any
) -> httpx2.Response:
    event = {name: value for name, value in {**EVENT, **changes}.items() if value is not ...}
    return client.post(path, json=event, headers=headers)


def signed(body: bytes, secret: bytes = b"signing-secret") -> str:
    return hmac.new(secret, body, "sha256").hexdigest()


@pytest.mark.parametrize("path", [PATH, "/webhooks/events"])
def test_an_event_about_a_chat_wakes_the_conversation(
    client: httpx2.Client, fake: FakeInstance, path: str
) -> None:
    answer = call(client, path)

    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    assert (fake.woken, fake.changed_records, fake.calls) == ([PATIENT], [], [])


@pytest.mark.parametrize(
    "names",
    [
        {"eventSubtype": "CHAT_UNREAD_MESSAGE"},
        {"eventEntity": "CHAT"},
        {"eventEntity": "PATIENT", "eventSubtype": "chat_inbound"},
        {"eventType": "message.created"},
        {"type": "Patient.Chat.Message"},
        {"event": "newMessage"},
        {"eventType": 5, "event": "chat"},
    ],
)
def test_chats_are_known_by_any_of_the_names(
    client: httpx2.Client, fake: FakeInstance, names: dict[str, Any]
) -> None:
    client.post(PATH, json={"patientId": PATIENT, **names}, headers=CREDENTIALS)

    assert (fake.woken, fake.changed_records) == ([PATIENT], [])


@pytest.mark.parametrize(
    "names",
    [
        {"eventEntity": "PATIENT", "eventSubtype": "UPDATED"},
        {"eventEntity": "PATIENT_PROFILE"},
        {"eventType": "patient.updated"},
    ],
)
def test_events_about_a_patient_make_the_record_be_read_anew(
    client: httpx2.Client, fake: FakeInstance, names: dict[str, Any]
) -> None:
    client.post(PATH, json={"patientId": PATIENT, **names}, headers=CREDENTIALS)

    assert (fake.woken, fake.changed_records) == ([], [PATIENT])


@pytest.mark.parametrize("part", ["data", "record", "payload"])
def test_the_patient_may_stand_inside(client: httpx2.Client, fake: FakeInstance, part: str) -> None:
    call(client, patientId=..., **{part: {"patientId": PATIENT}})
    call(client, patientId=None, **{part: {"patientId": PATIENT}, "other": {"patientId": "p2"}})

    assert fake.woken == [PATIENT, PATIENT]


@pytest.mark.parametrize(
    "change",
    [
        {"eventEntity": "ENCOUNTER", "eventSubtype": "CREATED"},
        {"eventEntity": "ENCOUNTER", "eventSubtype": "CREATED", "patientId": "../admin"},
        {"eventEntity": ..., "eventSubtype": ...},
        {"eventEntity": ["CHAT"], "eventSubtype": {"x": 1}},
        {"patientId": ...},
        {"patientId": None},
        {"patientId": ""},
        {"patientId": ..., "data": [PATIENT]},
        {"patientId": "PATIENT_ID"},
        {"eventEntity": "EVENT_ENTITY"},
        {"eventSubtype": "EVENT_SUBTYPE", "eventEntity": "CHAT"},
    ],
)
def test_what_is_nothing_to_the_gateway_is_taken_and_left_alone(
    client: httpx2.Client, fake: FakeInstance, change: dict[str, Any]
) -> None:
    answer = call(client, **change)

    assert (answer.status_code, answer.content) == (200, b'{"ok":true}')
    assert (fake.woken, fake.changed_records) == ([], [])


def test_the_test_button_is_answered_and_does_nothing(client: httpx2.Client, fake: FakeInstance) -> None:
    for event in (TEST_BUTTON, {**TEST_BUTTON, "eventEntity": "CHAT", "eventSubtype": "PATIENT"}, {}):
        assert client.post(PATH, json=event, headers=CREDENTIALS).status_code == 200

    assert (fake.woken, fake.changed_records) == ([], [])


@pytest.mark.parametrize(
    "patient_id", ["../admin", "a/b", "a\0b", "\u00e9", "x" * 129, 5, ["x"], {"x": 1}, True]
)
def test_a_patient_id_that_cannot_be_one_is_a_bad_request(
    client: httpx2.Client, fake: FakeInstance, patient_id: Any
) -> None:
    answers = [
        call(client, patientId=patient_id),
        call(client, patientId=..., data={"patientId": patient_id}),
        call(client, patientId=patient_id, eventEntity="PATIENT", eventSubtype=...),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert (fake.woken, fake.changed_records) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        {"tenantName": "acme-health"},
        {"instanceName": "live"},
        {"tenantName": 5},
        {"instanceName": ["sb-demo"]},
    ],
)
def test_an_event_of_another_instance_is_forbidden(
    client: httpx2.Client, fake: FakeInstance, change: dict[str, Any]
) -> None:
    assert call(client, **change).status_code == 403
    assert call(client, eventEntity="X", eventSubtype="Y", **change).status_code == 403
    assert fake.woken == []


def test_an_event_that_names_no_instance_is_for_the_one_addressed(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    assert call(client, tenantName=..., instanceName=None).status_code == 200
    assert fake.woken == [PATIENT]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 60_000, b"5"])
def test_a_body_that_is_no_object_is_a_bad_request(
    client: httpx2.Client, fake: FakeInstance, body: bytes
) -> None:
    headers: dict[str, Any] = {"Content-Type": "application/json"}

    assert client.post(PATH, content=body, headers={**CREDENTIALS, **headers}).status_code == 400
    assert (
        client.post(PATH, content=body, headers={"X-Welkin-Signature": signed(body), **headers}).status_code
        == 400
    )
    assert fake.woken == []


def test_only_json_is_taken_where_a_type_is_given(client: httpx2.Client) -> None:
    body = json.dumps(EVENT).encode()

    for headers in (CREDENTIALS, {"X-Welkin-Signature": signed(body)}):
        for content_type in ("text/plain", "application/json; charset=latin-1", ""):
            answer = client.post(PATH, content=body, headers={**headers, "Content-Type": content_type})
            assert answer.status_code == 415


@pytest.mark.parametrize("headers", [CREDENTIALS, {"X-Welkin-Signature": "0" * 64}])
def test_a_body_too_large_is_refused(client: httpx2.Client, headers: Any) -> None:
    assert call(client, headers=headers, note="x" * 65_536).status_code == 413


def test_a_body_that_never_comes_is_not_waited_for(fake: FakeInstance) -> None:
    app = web_of(fake, options=WebOptions(body_seconds=0.2), signature=SIGNING)
    with serve(app) as base_url:
        url = httpx2.URL(base_url)
        for line in ("X-WEBHOOK-API-KEY: key-1\r\nX-WEBHOOK-API-SECRET: secret-1", "X-Welkin-Signature: 00"):
            with socket.create_connection((url.host, url.port), timeout=10) as raw:
                raw.sendall(
                    f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n{line}\r\n\r\n{{".encode()
                )
                assert raw.recv(4096).startswith(b"HTTP/1.1 408")


def test_other_methods_and_addresses_are_refused_without_a_redirect(client: httpx2.Client) -> None:
    assert client.get(PATH).status_code == 405
    assert call(client, f"{PATH}/").status_code == 404


def test_events_are_counted_by_status_and_effect(client: httpx2.Client) -> None:
    call(client)
    call(client, eventEntity="PATIENT", eventSubtype="UPDATED")
    call(client, eventEntity="canary-entity", eventSubtype="canary-subtype")
    call(client, headers={})

    shown = client.get("/metrics").text
    for status, effect in ((200, "wake"), (200, "record"), (200, "ignored"), (401, "refused")):
        assert f'gateway_webhook_events_total{{effect="{effect}",status="{status}"}} 1.0' in shown
    assert "canary" not in shown


def test_nothing_of_it_is_logged_or_answered(client: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        shown = [
            call(client, eventSubtype="CHAT canary", note="canary"),
            call(client, patientId="canary/x"),
            call(client, tenantName="canary"),
            call(client, headers={"X-Welkin-Signature": "canary"}),
            client.post(PATH, content=b'{"canary', headers=CREDENTIALS),
        ]

    assert "canary" not in "".join(answer.text for answer in shown)
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in logged if "canary" in line or PATIENT in line]
