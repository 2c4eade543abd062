"""Welkin's chat webhook: who is believed, what is taken, and that all else has no effect."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway.web.options import InstanceEntry, WebOptions
from tests.api.fakes import ACME, KEY, PATIENT, SECRET, FakeInstance, web_of
from tests.serving import serve

PATH = "/gh/sb-demo/webhooks/chat"
CREDENTIALS = {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": SECRET}
EVENT = {
    "patientId": PATIENT,
    "patientUrl": "http://localhost:5000/gh/sb-demo/patients/x",
    "tenantName": "gh",
    "instanceName": "sb-demo",
    "message": "Webhook test...",
}
OLD = (b"old-key", b"old-secret")


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    app = web_of(fake, FakeInstance(ACME), options=WebOptions(), credentials=((KEY, SECRET), OLD))
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


def call(
    client: httpx2.Client, path: str = PATH, headers: Any = CREDENTIALS, **changes: Any
) -> httpx2.Response:
    event = {name: value for name, value in {**EVENT, **changes}.items() if value is not ...}
    return client.post(path, json=event, headers=headers)


@pytest.mark.parametrize("path", [PATH, "/webhooks/chat"])
def test_the_documented_body_wakes_the_conversation(
    client: httpx2.Client, fake: FakeInstance, path: str
) -> None:
    answer = call(client, path)

    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert fake.woken == [PATIENT]
    assert fake.calls == []


def test_header_names_in_any_case_and_any_current_pair_are_good(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    lower = call(client, headers={"x-webhook-api-key": KEY, "x-webhook-api-secret": SECRET})
    older = call(client, headers={"X-WEBHOOK-API-KEY": OLD[0], "X-WEBHOOK-API-SECRET": OLD[1]})

    assert (lower.status_code, older.status_code) == (200, 200)
    assert fake.woken == [PATIENT, PATIENT]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-WEBHOOK-API-KEY": KEY},
        {"X-WEBHOOK-API-SECRET": SECRET},
        {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": b"wrong"},
        {"X-WEBHOOK-API-KEY": b"wrong", "X-WEBHOOK-API-SECRET": SECRET},
        {"X-WEBHOOK-API-KEY": SECRET, "X-WEBHOOK-API-SECRET": KEY},
        {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": OLD[1]},
        {"X-WEBHOOK-API-KEY": b"", "X-WEBHOOK-API-SECRET": b""},
        {"X-WEBHOOK-API-KEY": b"key -1", "X-WEBHOOK-API-SECRET": SECRET},
        {"X-WEBHOOK-API-KEY": "k\u00e9y".encode("latin-1"), "X-WEBHOOK-API-SECRET": "s\u00e9cret".encode()},
        [*CREDENTIALS.items(), ("X-WEBHOOK-API-KEY", KEY)],
        [*CREDENTIALS.items(), ("X-WEBHOOK-API-SECRET", b"other")],
    ],
)
def test_wrong_credentials_are_all_refused_alike(
    client: httpx2.Client, fake: FakeInstance, headers: Any
) -> None:
    answer = call(client, headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {
        "errors": [
            {
                "message": "The webhook's credentials are wrong.",
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ]
    }
    assert fake.woken == []


def test_credentials_come_before_everything_else(client: httpx2.Client) -> None:
    answer = client.post(PATH, content=b"\xff" * 100_000, headers={"Content-Type": "text/plain"})

    assert answer.status_code == 401


def test_without_configured_credentials_nobody_is_believed(fake: FakeInstance) -> None:
    with serve(web_of(fake, credentials=())) as base_url:
        for headers in (CREDENTIALS, {"X-WEBHOOK-API-KEY": b"", "X-WEBHOOK-API-SECRET": b""}):
            assert httpx2.post(f"{base_url}{PATH}", json=EVENT, headers=headers).status_code == 401


def test_empty_credentials_cannot_be_configured(fake: FakeInstance) -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        InstanceEntry(fake, ((b"key", b""),))


def test_credentials_are_not_in_the_entrys_text(fake: FakeInstance) -> None:
    assert "secret-1" not in repr(InstanceEntry(fake, ((KEY, SECRET),)))


@pytest.mark.parametrize("field", ["patientId", "tenantName", "instanceName", "message"])
@pytest.mark.parametrize("value", [..., None, 5, ["x"], {"x": 1}])
def test_a_body_of_another_form_is_a_bad_request(
    client: httpx2.Client, fake: FakeInstance, field: str, value: Any
) -> None:
    assert call(client, **{field: value}).status_code == 400
    assert fake.woken == []


@pytest.mark.parametrize("patient_id", ["", "../admin", "a/b", "a\0b", "\u00e9", "x" * 129])
def test_a_patient_id_that_cannot_be_one_is_a_bad_request(client: httpx2.Client, patient_id: str) -> None:
    assert call(client, patientId=patient_id).status_code == 400


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"x"', b"{", b"\xff", b"[" * 60_000, b"{}"])
def test_a_body_that_is_no_object_is_a_bad_request(
    client: httpx2.Client, fake: FakeInstance, body: bytes
) -> None:
    answer = client.post(PATH, content=body, headers={**CREDENTIALS, "Content-Type": "application/json"})

    assert answer.status_code == 400
    assert fake.woken == []


def test_the_url_in_it_may_be_anything_since_nobody_opens_it(client: httpx2.Client) -> None:
    for url in (..., None, 5, "file:///etc/passwd"):
        assert call(client, patientUrl=url).status_code == 200


def test_more_fields_than_documented_are_taken(client: httpx2.Client) -> None:
    assert call(client, newField={"x": [1]}).status_code == 200


@pytest.mark.parametrize(
    "change", [{"tenantName": "acme-health"}, {"instanceName": "live"}, {"tenantName": "GH"}]
)
def test_a_webhook_of_another_instance_is_forbidden(
    client: httpx2.Client, fake: FakeInstance, change: dict[str, str]
) -> None:
    assert call(client, **change).status_code == 403
    assert fake.woken == []


def test_only_json_is_taken_where_a_type_is_given(client: httpx2.Client) -> None:
    body = json.dumps(EVENT).encode()

    assert client.post(PATH, content=body, headers=CREDENTIALS).status_code == 200
    for content_type in ("text/plain", "application/json; charset=latin-1", ""):
        answer = client.post(PATH, content=body, headers={**CREDENTIALS, "Content-Type": content_type})
        assert answer.status_code == 415


def test_a_body_too_large_is_refused(client: httpx2.Client) -> None:
    assert call(client, message="x" * 65_536).status_code == 413


def test_a_body_without_an_end_is_cut_off(client: httpx2.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        raw.sendall(
            b"POST /webhooks/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"X-WEBHOOK-API-KEY: key-1\r\nX-WEBHOOK-API-SECRET: secret-1\r\n\r\n"
        )
        for _ in range(3):
            raw.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_other_methods_and_addresses_are_refused_without_a_redirect(client: httpx2.Client) -> None:
    assert client.get(PATH).status_code == 405
    assert client.put(PATH).status_code == 405
    assert call(client, f"{PATH}/").status_code == 404


def test_webhooks_are_counted_by_status(client: httpx2.Client) -> None:
    call(client)
    call(client, headers={})

    shown = client.get("/metrics").text
    assert 'gateway_webhooks_total{status="200"} 1.0' in shown
    assert 'gateway_webhooks_total{status="401"} 1.0' in shown
