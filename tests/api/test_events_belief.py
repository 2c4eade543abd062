"""Who is believed to be Welkin's platform: by key and secret or by a signature, and nobody else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway.web.options import InstanceEntry, SignatureOptions, WebOptions
from tests.api.fakes import KEY, PATIENT, SECRET, FakeInstance, web_of
from tests.api.test_events import CREDENTIALS, EVENT, PATH, SIGNING, call, signed
from tests.serving import serve

STAMPED = SignatureOptions(b"signing-secret", header="X-Sig", timestamp_header="X-Time", tolerance_seconds=60)


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    app = web_of(fake, options=WebOptions(), signature=SIGNING)
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-WEBHOOK-API-KEY": KEY},
        {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": b"wrong"},
        {"X-WEBHOOK-API-KEY": SECRET, "X-WEBHOOK-API-SECRET": KEY},
        {"X-WEBHOOK-API-KEY": b"", "X-WEBHOOK-API-SECRET": b""},
        [*CREDENTIALS.items(), ("X-WEBHOOK-API-KEY", KEY)],
        {"X-Welkin-Signature": "0" * 64},
        {"X-Welkin-Signature": ""},
    ],
)
def test_whoever_shows_neither_is_refused_alike(
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
    headers = {"Content-Type": "text/plain"}

    assert client.post(PATH, content=b"\xff" * 100_000, headers=headers).status_code == 401
    assert (
        client.post(PATH, content=b"\xff", headers=headers | {"X-Welkin-Signature": "x"}).status_code == 401
    )


def test_either_way_is_enough(client: httpx2.Client, fake: FakeInstance) -> None:
    body = json.dumps(EVENT).encode()
    wrong_pair = {"X-WEBHOOK-API-KEY": b"old", "X-WEBHOOK-API-SECRET": b"old"}

    for headers in (
        {"X-Welkin-Signature": signed(body)},
        {"X-Welkin-Signature": signed(body), **wrong_pair},
        {"X-Welkin-Signature": "wrong", **CREDENTIALS},
    ):
        assert client.post(PATH, content=body, headers=headers).status_code == 200

    assert fake.woken == [PATIENT] * 3


def test_the_signature_is_over_the_body_byte_by_byte(client: httpx2.Client, fake: FakeInstance) -> None:
    body = json.dumps(EVENT).encode()

    answer = client.post(PATH, content=body + b" ", headers={"X-Welkin-Signature": signed(body)})

    assert (answer.status_code, fake.woken) == (401, [])


def test_a_signed_time_must_be_near(fake: FakeInstance) -> None:
    body = json.dumps(EVENT).encode()
    with serve(web_of(fake, signature=STAMPED, credentials=())) as url, httpx2.Client(base_url=url) as client:
        for stamp, status in (
            (str(int(time.time())), 200),
            (str(int(time.time()) - 3600), 401),
            (str(int(time.time()) + 3600), 401),
            ("soon", 401),
        ):
            headers = {"X-Sig": signed(stamp.encode() + b"." + body), "X-Time": stamp}
            assert client.post(PATH, content=body, headers=headers).status_code == status, stamp
        assert client.post(PATH, content=body, headers={"X-Sig": signed(body)}).status_code == 401

    assert fake.woken == [PATIENT]


def test_the_chat_webhook_takes_no_signature_and_this_one_not_without_being_told(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    body = json.dumps({**EVENT, "message": "x"}).encode()
    headers = {"X-Welkin-Signature": signed(body)}

    assert client.post("/webhooks/chat", content=body, headers=headers).status_code == 401
    with serve(web_of(fake, credentials=())) as base_url:
        assert httpx2.post(f"{base_url}{PATH}", content=body, headers=headers).status_code == 401
        assert httpx2.post(f"{base_url}{PATH}", content=body, headers=CREDENTIALS).status_code == 401
    assert fake.woken == []


def test_options_that_let_anybody_in_or_nobody_cannot_be_configured(fake: FakeInstance) -> None:
    for wrong in (
        {"secret": b""},
        {"secret": b"s", "header": ""},
        {"secret": b"s", "header": "X Sig"},
        {"secret": b"s", "timestamp_header": "X:Time"},
        {"secret": b"s", "tolerance_seconds": 0},
    ):
        with pytest.raises(ValueError, match="webhook"):
            SignatureOptions(**wrong)
    assert "signing-secret" not in repr(InstanceEntry(fake, (), SIGNING))
