"""The provider's keys: when they are read, by how many, and what holds while the provider is down."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.access.jwks import read_keys
from gateway.access.jwks_source import MAX_BYTES, FileKeys, KeysUnreadable, UrlKeys, check_url
from gateway.access.jwt import KEYS_UNREADABLE, REFUSED
from gateway.domain.errors import Overloaded, Unauthenticated
from tests.serving import serve
from tests.unit.access.issuer import EC, OTHER_RSA, RSA, Issuer, key_set, token


class Provider:
    """An identity provider behind a real socket; answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces = [key_set(RSA)]
        self.pause = 0.0
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.paths.append(scope["path"])
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(self.pause)
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def provider():
    app = Provider()
    with serve(app) as url:
        app.url = f"{url}/jwks"
        yield app


async def refused(issuer: Issuer, presented: bytes) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await issuer.verify(presented)
    return caught.value.message


async def test_keys_are_read_from_a_url(provider: Provider):
    source = UrlKeys(provider.url)

    body = await source.read()

    assert body == key_set(RSA)
    await source.aclose()


@pytest.mark.parametrize(
    "change",
    [
        {"status": 500},
        {"status": 302, "headers": [(b"location", b"/elsewhere")]},
        {"pieces": [b"x" * MAX_BYTES, b"y"]},
        {"headers": [(b"content-encoding", b"gzip")]},
        {"pieces": [b" "] * 20, "pause": 0.1},
        {"pieces": [b" ", b" "], "pause": 2},
    ],
    ids=["error", "redirect", "too large", "compressed", "drips", "hangs"],
)
async def test_what_is_no_answer_is_refused_in_time(provider: Provider, change: dict[str, Any]):
    vars(provider).update(change)
    source = UrlKeys(provider.url, seconds=0.4)
    begun = time.monotonic()

    with pytest.raises(KeysUnreadable):
        await source.read()

    assert time.monotonic() - begun < 1.5
    assert provider.paths == ["/jwks"]
    await source.aclose()


async def test_a_provider_that_is_not_there_is_told(provider: Provider):
    source = UrlKeys("http://127.0.0.1:1/jwks")

    with pytest.raises(KeysUnreadable):
        await source.read()

    await source.aclose()


async def test_a_file_is_read_up_to_its_limit(tmp_path: Path):
    path = tmp_path / "jwks.json"
    source = FileKeys(path)

    with pytest.raises(KeysUnreadable):
        await source.read()
    path.write_bytes(key_set(RSA))
    assert await source.read() == key_set(RSA)
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(KeysUnreadable):
        await source.read()
    await source.aclose()


@pytest.mark.parametrize(
    "url", ["https://id.example.org/k?x=1", "http://127.0.0.1:9/k", "http://localhost/k", "http://[::1]/k"]
)
def test_a_safe_url_is_taken(url: str):
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/k",
        "ftp://127.0.0.1/k",
        "file:///etc/passwd",
        "https:///k",
        "",
        "https://a:b@id.example.org/k",
    ],
)
def test_another_url_is_refused(url: str):
    with pytest.raises(ValueError, match="jwks_url must"):
        check_url(url)


async def test_the_provider_is_down_from_the_start_and_comes_up():
    issuer = Issuer()
    issuer.source.body = None

    with pytest.raises(Overloaded, match=KEYS_UNREADABLE):
        await issuer.verify(token())
    assert not issuer.keys.ready
    with pytest.raises(Overloaded, match=KEYS_UNREADABLE):
        await issuer.verify(token())
    assert issuer.source.reads == 1

    issuer.source.body = key_set(RSA)
    issuer.clock.now += 5
    assert (await issuer.verify(token())).id == "nurse-7"
    assert issuer.keys.ready
    assert issuer.keys.failures == 1


async def test_the_last_good_set_stays_while_the_provider_is_down():
    issuer = Issuer()
    long = {"exp": issuer.clock.now + 90_000}
    await issuer.verify(token(**long))
    issuer.source.body = None

    issuer.clock.now += 3_600
    again = await issuer.verify(token(sub="another", **long))

    assert again.id == "another"
    assert issuer.keys.ready
    assert issuer.source.reads == 2


async def test_while_the_provider_hangs_only_the_first_try_holds_anyone_up():
    issuer = Issuer()
    long = {"exp": issuer.clock.now + 90_000}
    await issuer.verify(token(**long))
    issuer.source.body = None
    issuer.clock.now += 3_600
    await issuer.verify(token(sub="a", **long))

    issuer.source.gate = asyncio.Event()
    issuer.clock.now += 60
    async with asyncio.timeout(1):
        await issuer.verify(token(sub="b", **long))

    await asyncio.sleep(0)
    assert issuer.source.reads == 3
    issuer.source.gate.set()
    await issuer.keys.aclose()


async def test_a_broken_set_does_not_replace_a_good_one():
    issuer = Issuer()
    await issuer.verify(token())
    issuer.source.body = b"<html>"

    issuer.clock.now += 61
    assert await refused(issuer, token(OTHER_RSA)) == REFUSED

    assert (await issuer.verify(token(sub="another"))).id == "another"


async def test_a_new_key_is_found_when_it_is_asked_for():
    issuer = Issuer()
    await issuer.verify(token())
    issuer.source.body = key_set(RSA, OTHER_RSA)

    issuer.clock.now += 60

    assert (await issuer.verify(token(OTHER_RSA))).id == "nurse-7"
    assert issuer.source.reads == 2


async def test_unknown_ids_cost_one_read_a_minute():
    issuer = Issuer()
    await issuer.verify(token())

    for number in range(200):
        assert await refused(issuer, token(EC, "ES256", {"kid": f"made-up-{number}"})) == REFUSED
        issuer.clock.now += 0.9

    assert issuer.source.reads == 1 + 2  # 180 seconds, the last of which is not reached


async def test_a_thousand_wrong_tokens_cost_no_read_and_little_time():
    issuer = Issuer()
    await issuer.verify(token())
    wrong = token(OTHER_RSA)
    begun = time.process_time()

    for _ in range(1_000):
        await refused(issuer, wrong)

    assert issuer.source.reads == 1
    assert time.process_time() - begun < 1


async def test_all_who_wait_share_one_read_and_one_who_leaves_does_not_end_it():
    issuer = Issuer()
    issuer.source.gate = asyncio.Event()
    waiting = [asyncio.create_task(issuer.verify(token(sub=f"n{number}"))) for number in range(50)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.sleep(0.01)

    issuer.source.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert issuer.source.reads == 1
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.id for answer in answers[1:]] == [f"n{number}" for number in range(1, 50)]


async def test_a_real_provider_that_goes_down_leaves_its_keys(provider: Provider):
    issuer = Issuer()
    issuer.keys._source = UrlKeys(provider.url)
    assert (await issuer.verify(token())).id == "nurse-7"
    provider.status = 503
    issuer.clock.now += 61

    assert await refused(issuer, token(EC, "ES256")) == REFUSED
    assert (await issuer.verify(token(sub="another"))).id == "another"

    assert provider.paths == ["/jwks", "/jwks"]
    await issuer.keys.aclose()


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"5", b"{}", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[5,{}]}', b"[" * 100_000],
)
def test_what_is_no_set_of_keys_is_refused(body: bytes):
    with pytest.raises(KeysUnreadable):
        read_keys(body)


def test_only_public_keys_for_signatures_are_taken():
    modulus = str(RSA.as_dict(private=False)["n"])
    entries = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x", "kid": "of the future"},
        EC.as_dict(private=False) | {"use": "enc"},
        {"kty": "RSA", "n": modulus[:100], "e": "AQAB", "kid": "short"},
        {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "broken"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "not on the curve"},
        RSA.as_dict(private=True),
    ]

    keys = read_keys(json.dumps({"keys": entries}).encode())

    assert [(key.kid, key.is_private) for key in keys] == [("rsa-1", False)]
