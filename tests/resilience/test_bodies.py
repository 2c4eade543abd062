"""Answers that are too large, too slow or not what they should be, while others are served."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
from collections.abc import Callable

import pytest

from gateway.domain.errors import GatewayError, UpstreamBadResponse, UpstreamTimeout
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, FakeWelkin, read
from tests.unit.welkin.wire import reply

Connect = Callable[..., WelkinV1]

CAP = 1_000_000


def page(count: int, size: int = 10) -> bytes:
    """Write a page of v1."""
    content = [
        {
            "externalId": f"m{number}",
            "message": "x" * size,
            "createdAt": "2030-01-01T10:00:00Z",
            "sender": {"clientType": "USER", "id": "u"},
        }
        for number in range(count)
    ]
    return json.dumps({"meta": {}, "content": content}).encode()


BOMBS: dict[str, bytes] = {
    "plain": reply(b'{"content":["' + b"x" * 20_000_000 + b'"]}'),
    "many messages": reply(page(100_000)),
    "one large message": reply(page(1, 5_000_000)),
    "gzip": reply(gzip.compress(b" " * 50_000_000), "200 OK", "Content-Encoding: gzip"),
    "headers": reply(b"{}", "200 OK", "X: " + "x" * 200_000),
}


@pytest.mark.parametrize("bomb", sorted(BOMBS))
async def test_a_bomb_is_refused_within_the_cap_and_others_are_served(
    fake: FakeWelkin, connect: Connect, bomb: str
) -> None:
    welkin = connect(max_body_bytes=CAP, timeout_seconds=10.0)
    await read(welkin)

    async def in_pieces() -> bytes:  # so that the fake, in the same process, holds no copy of the whole
        for start in range(0, len(BOMBS[bomb]), 65_536):
            fake.writer.write(BOMBS[bomb][start : start + 65_536])
            await fake.writer.drain()
        return b""

    fake.answer = lambda _: in_pieces()
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamBadResponse):
            await read(welkin)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 3 * CAP
    fake.answer = lambda _: EMPTY
    assert (await read(welkin)).messages == ()


async def test_a_large_page_is_read_beside_the_loop(fake: FakeWelkin, connect: Connect) -> None:
    """Reading it must not keep every other caller waiting."""
    welkin = connect(timeout_seconds=20.0)
    body = reply(page(5_000, 300))
    fake.answer = lambda _: body

    # The best of three: whatever else stops this process does not do so every time.
    assert min([await longest_wait_beside(welkin) for _ in range(3)]) < 1.0, "0.2 on a quiet machine"


async def longest_wait_beside(welkin: WelkinV1) -> float:
    """Read the page; gives how many seconds another task had to wait for its turn at most."""
    longest, last = 0.0, time.monotonic()
    reading = asyncio.create_task(read(welkin))
    while not reading.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert len(reading.result().messages) == 5_000
    return longest


@pytest.mark.parametrize("slow", ["headers", "body"])
async def test_what_drips_ends_at_the_deadline(fake: FakeWelkin, connect: Connect, slow: str) -> None:
    welkin = connect(timeout_seconds=0.4)
    await read(welkin)
    head, _ = EMPTY.split(b"\r\n\r\n")

    async def drip() -> bytes:
        writer = fake.writer
        data = b"HTTP/1.1 200 OK\r\nX: " if slow == "headers" else head + b"\r\n\r\n"
        while not writer.is_closing():
            writer.write(data)
            data = b" "
            await writer.drain()
            await asyncio.sleep(0.02)
        return b""

    fake.answer = lambda _: drip()
    began = time.monotonic()
    outcomes = await asyncio.gather(*(read(welkin) for _ in range(20)), return_exceptions=True)

    assert {type(each) for each in outcomes} == {UpstreamTimeout}
    assert time.monotonic() - began < 3, "what drips never ends by itself"


LIES = {
    "html": reply(b"<html>maintenance</html>"),
    "errors with 200": reply(b'[{"errorCode":"UNKNOWN_ERROR"}]'),
    "no object": reply(b"null"),
    "wrong types": reply(b'{"meta":5,"content":"x"}'),
    "trailing garbage": reply(page(2) + b"}}"),
    "not a number": reply(b'{"meta":{},"content":[NaN]}'),
    "latin-1": reply(page(1).replace(b"xxx", b"\xe9xx")),
    "cut in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n[1,",
}


@pytest.mark.parametrize("lie", sorted(LIES))
async def test_what_is_no_page_is_told_once_and_the_next_read_is_clean(
    fake: FakeWelkin, connect: Connect, lie: str
) -> None:
    welkin = connect(timeout_seconds=1.0)
    await read(welkin)

    async def and_no_more() -> bytes:
        fake.writer.write(LIES[lie])
        return b""

    fake.answer = lambda _: and_no_more() if lie == "cut in a chunk" else LIES[lie]
    with pytest.raises(GatewayError) as caught:
        await read(welkin)

    assert type(caught.value) is UpstreamBadResponse
    assert fake.reads == 2
    fake.answer = lambda _: reply(page(3))
    assert len((await read(welkin)).messages) == 3
