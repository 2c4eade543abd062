"""Liveness, readiness and the counters: they answer in time whatever their parts do, and to whom they may."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time

import httpx2
import pytest

from gateway.web.app import create_web
from gateway.web.options import InstanceEntry, Readiness, ReadyState, WebOptions
from tests.api.fakes import FakeInstance, ready
from tests.serving import serve

TOKEN = b"metrics-token"


def web(readiness: Readiness = ready, **options: object):
    fake = FakeInstance()
    return create_web({fake.name: InstanceEntry(fake)}, WebOptions(**options), readiness)  # type: ignore[arg-type]


def test_parts_that_hang_make_it_not_ready_in_time() -> None:
    asked = 0

    async def hang() -> ReadyState:
        nonlocal asked
        asked += 1
        await asyncio.sleep(30)
        raise AssertionError

    with serve(web(hang)) as url, httpx2.Client(base_url=url, timeout=10) as client:
        began = time.monotonic()
        answer = client.get("/readyz")
        took = time.monotonic() - began
        client.get("/readyz")
        live = client.get("/healthz")

    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "have not told in time" in answer.json()["parts"]["server"]
    assert took < 5
    assert live.status_code == 200
    assert asked == 1, "who asks again joins the question that is open"


def test_parts_that_fail_make_it_not_ready_and_show_nothing(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([RuntimeError("canary"), ReadyState(ready=True)])

    async def fail_once() -> ReadyState:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with serve(web(fail_once)) as url, caplog.at_level(logging.DEBUG):
        first, second = httpx2.get(f"{url}/readyz"), httpx2.get(f"{url}/readyz")

    assert (first.status_code, second.status_code) == (503, 200)
    assert "canary" not in first.text + caplog.text
    assert "class=RuntimeError" in caplog.text


@pytest.mark.parametrize("sent", [b"Bearer metrics-token", b"bearer  metrics-token"])
def test_the_counters_are_shown_to_who_has_the_token(sent: bytes) -> None:
    with serve(web(metrics_token=TOKEN)) as url:
        answer = httpx2.get(f"{url}/metrics", headers={"Authorization": sent})

    assert answer.status_code == 200
    assert "gateway_http_requests" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", b"Bearer")],
        [("Authorization", b"Bearer wrong")],
        [("Authorization", b"metrics-token")],
        [("Authorization", b"Basic metrics-token")],
        [("Authorization", b"Bearer metrics-token2")],
        [("Authorization", b"Bearer m\xe9trics")],
        [("Authorization", b"Bearer metrics-token")] * 2,
        [("X-API-Key", TOKEN)],
    ],
)
def test_nobody_else_sees_a_counter(headers: list) -> None:
    with serve(web(metrics_token=TOKEN)) as url, httpx2.Client(base_url=url) as client:
        answer = client.get("/metrics", headers=headers)
        others = [client.get(path).status_code for path in ("/healthz", "/readyz")]

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert others == [200, 200]


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with serve(web(metrics_token=TOKEN)) as url:
        httpx2.get(f"{url}/metrics")
        httpx2.get(f"{url}/metrics", headers={"Authorization": "Basic x"})

    assert compared == [TOKEN, TOKEN]
