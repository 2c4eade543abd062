"""Who speaks for Welkin: credentials in every wrong way, floods, rotation, and bodies without sense."""

from __future__ import annotations

import hmac
import itertools
import json
import sys
import time

import httpx2
import pytest

from gateway.sandbox import FaultRule
from gateway.web.webhook_check import credentials_match
from tests.reliability.product import MINE, PATHS, Product, product

KEY, SECRET = "hook-key", "hook-secret"
GOOD = {"X-WEBHOOK-API-KEY": KEY, "X-WEBHOOK-API-SECRET": SECRET}


def body(path: str = PATHS["v1"], **changes: object) -> dict[str, object]:
    tenant, instance = path.split("/")
    event = {"patientId": MINE, "patientUrl": "x", "tenantName": tenant, "instanceName": instance}
    return event | {"message": "hello"} | changes


def hook(running: Product, headers: dict[str, str] | list[tuple[str, str]], **content: object):
    url = f"{running.url}/{PATHS['v1']}/webhooks/chat"
    return running.http.post(url, headers=headers, **({"json": body()} | content))


WRONG = {
    "none": {},
    "only the key": {"X-WEBHOOK-API-KEY": KEY},
    "only the secret": {"X-WEBHOOK-API-SECRET": SECRET},
    "swapped": {"X-WEBHOOK-API-KEY": SECRET, "X-WEBHOOK-API-SECRET": KEY},
    "empty": {"X-WEBHOOK-API-KEY": "", "X-WEBHOOK-API-SECRET": ""},
    "other case": {"X-WEBHOOK-API-KEY": KEY.upper(), "X-WEBHOOK-API-SECRET": SECRET.upper()},
    "longer": {"X-WEBHOOK-API-KEY": KEY + "x", "X-WEBHOOK-API-SECRET": SECRET},
    "shorter": {"X-WEBHOOK-API-KEY": KEY[:-1], "X-WEBHOOK-API-SECRET": SECRET},
    "blank inside": {"X-WEBHOOK-API-KEY": "hook- key", "X-WEBHOOK-API-SECRET": SECRET},
    "two keys": [("X-WEBHOOK-API-KEY", KEY), ("x-webhook-api-key", KEY), ("X-WEBHOOK-API-SECRET", SECRET)],
    "in one line": {"X-WEBHOOK-API-KEY": f"{KEY}, {KEY}", "X-WEBHOOK-API-SECRET": SECRET},
    "underscores": {"X_WEBHOOK_API_KEY": KEY, "X_WEBHOOK_API_SECRET": SECRET},
    "as a bearer": {"Authorization": f"Bearer {SECRET}"},
    "a key of a caller": {"X-API-Key": "key-of-a-service"},
    "the upstream's secret": {"X-WEBHOOK-API-KEY": "SANDBOXV1", "X-WEBHOOK-API-SECRET": "sandbox-secret"},
}


def test_every_wrong_way_gets_the_one_answer_and_wakes_nobody(running: Product):
    answers = [hook(running, headers) for headers in WRONG.values()]
    answers += [
        hook(running, {}, json=None, content=junk) for junk in (b"", b"{", b"\xff" * 100, b"[" * 9_000)
    ]
    raw = {b"X-WEBHOOK-API-KEY": b"\xff\x00"[:1], b"X-WEBHOOK-API-SECRET": "gehéim".encode()}
    answers.append(running.http.post(f"{running.url}/{PATHS['v1']}/webhooks/chat", headers=raw, json=body()))
    time.sleep(0.2)

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {tuple(sorted(set(answer.headers))) for answer in answers} == {tuple(sorted(answers[0].headers))}
    assert running.sandbox.requests.count() == 0
    trail = [line for line in running.trail() if line["action"] == "webhook"]
    assert [line["outcome"] for line in trail[-len(answers) :]] == ["denied"] * len(answers)
    assert {line["patient"] for line in trail} == {None}


def test_both_halves_of_every_pair_are_compared_whatever_is_wrong():
    """Counted where the interpreter enters the one function that compares in constant time."""
    known = [(b"key-1", b"secret-1"), (b"key-2", b"secret-2"), (b"key-3", b"secret-3")]
    halves = (b"", b"key-1", b"secret-1", b"key-3", b"secret-3", b"x", "schlüssel".encode(), b"\xff" * 100)
    counted: set[int] = set()
    right = []
    for key, secret in itertools.product(halves, halves):
        headers = [(b"X-Webhook-Api-Key", key), (b"x-webhook-api-secret", secret)]
        calls = 0

        def count(_frame: object, event: str, called: object) -> None:
            nonlocal calls
            calls += event == "c_call" and called is hmac.compare_digest

        sys.setprofile(count)
        try:
            matched = credentials_match(headers, known)
        finally:
            sys.setprofile(None)
        counted.add(calls)
        right += [(key, secret)] if matched else []

    assert counted == {2 * len(known)}
    assert right == [(b"key-1", b"secret-1"), (b"key-3", b"secret-3")]


def test_old_and_new_credentials_are_good_together_until_the_old_ones_are_taken_out(tmp_path):
    """By the configuration: several pairs, and after a restart without the old one it opens nothing."""
    new = {"X-WEBHOOK-API-KEY": "new-key", "X-WEBHOOK-API-SECRET": "new-secret"}
    mixed = {"X-WEBHOOK-API-KEY": "new-key", "X-WEBHOOK-API-SECRET": SECRET}
    for number, pairs in enumerate(([{"key": "new-key", "secret": "new-secret"}], [])):
        folder = tmp_path / str(number)
        folder.mkdir()
        with product(folder, each_instance={"webhook_pairs": pairs}) as running:
            statuses = [hook(running, headers).status_code for headers in (GOOD, new, mixed)]

        assert statuses == ([200, 200, 401] if pairs else [200, 401, 401])


BAD_BODIES = {
    "empty": (b"", 400),
    "no json": (b"{", 400),
    "an array": (b"[]", 400),
    "null": (b"null", 400),
    "a text": (b'"x"', 400),
    "not utf-8": (b'{"patientId": "\xff"}', 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "deep": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
    "a huge number": (b'{"patientId": ' + b"9" * 20_000 + b"}", 400),
    "not a number": (b'{"patientId": NaN}', 400),
    "nul in the id": (json.dumps(body(patientId="a\0b")).encode(), 400),
    "half a pair": (b'{"patientId": "\\ud800", "tenantName": "gh"}', 400),
    "an object for an id": (json.dumps(body(patientId={"$ne": None})).encode(), 400),
    "a list for an id": (json.dumps(body(patientId=[MINE])).encode(), 400),
    "another tenant": (json.dumps(body(tenantName="acme-health")).encode(), 403),
    "another writing of the tenant": (json.dumps(body(tenantName="GH")).encode(), 403),
    "too large": (json.dumps(body(message="x" * 70_000)).encode(), 413),
    "two ids": (b'{"patientId": "../x", "patientId": "a/../b"}', 400),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_without_sense_is_refused_and_not_echoed(running: Product, name: str):
    content, status = BAD_BODIES[name]

    answer = hook(running, {**GOOD, "Content-Type": "application/json"}, json=None, content=content)

    assert answer.status_code == status
    assert MINE not in answer.text
    assert answer.json()["errors"][0]["extensions"]["code"] in {
        "BAD_USER_INPUT",
        "FORBIDDEN",
        "LIMIT_EXCEEDED",
    }
    assert running.calls() == 0


def test_webhooks_are_taken_fast_while_welkin_hangs(running: Product):
    """A webhook is a wake-up: it waits for nothing. With nobody listening it costs Welkin nothing either."""
    running.sandbox.faults.add(FaultRule("hang", times=None))
    took = []
    for _ in range(200):
        began = time.monotonic()
        assert hook(running, GOOD).status_code == 200
        took.append(time.monotonic() - began)
    running.sandbox.faults.clear()

    assert sorted(took)[100] < 0.1
    assert max(took) < 2
    assert running.calls() == 0


def test_who_has_no_credentials_is_told_before_the_body_is_sent(running: Product):
    """A body of a gigabyte is announced; nobody waits for it."""

    def endless():
        for _ in range(1_000):
            yield b"x" * 65_536

    began = time.monotonic()
    try:
        status = hook(running, {}, json=None, content=endless()).status_code
    except httpx2.TransportError:
        status = 401  # the connection was closed while the body was still on its way
    assert status == 401
    assert time.monotonic() - began < 10
