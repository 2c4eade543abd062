"""One call over a real socket, with servers that break off, drip, bomb, redirect and hang."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import socket
import struct
import time
import tracemalloc
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.domain.errors import GatewayError, UpstreamBadResponse, UpstreamTimeout, UpstreamUnavailable
from gateway.welkin.body import BodyReader, BodyRefused
from gateway.welkin.failures import FAILURES, CallFailed
from gateway.welkin.transport import Answer, Call, Transport
from tests.unit.welkin.wire import Wire, reply, saying, speak

SECRET = "canary-token"


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(max_calls=8, max_body_bytes=100_000)
    yield transport
    await transport.aclose()
    assert transport.in_flight == 0


async def get(transport: Transport, url: str, *, seconds: float = 2.0, method: str = "GET") -> Answer:
    deadline = asyncio.get_running_loop().time() + seconds
    call = Call("list messages", method, url + "/chat?pageToken=a%3D", b"{}" if method == "POST" else None)
    return await transport.call(call, bearer=SECRET, deadline=deadline)


async def failure(transport: Transport, url: str, *, seconds: float = 2.0, method: str = "GET") -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await get(transport, url, seconds=seconds, method=method)
    assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.error!r}"
    return caught.value


async def test_an_answer_comes_back_with_status_body_and_retry_after(transport: Transport) -> None:
    async with speak(saying(reply(b"[]", "429 ", "Retry-After: 7"))) as wire:
        answer = await get(transport, wire.url)

    assert answer == Answer(429, b"[]", "7")


async def test_the_request_is_what_was_asked_and_no_more(transport: Transport) -> None:
    async with speak(saying(reply(b"{}", "200 OK", "Set-Cookie: AWSALB=x; Path=/"))) as wire:
        await get(transport, wire.url, method="POST")
        await get(transport, wire.url)

    post, again = (request.lower() for request in wire.requests)
    assert post.startswith(b"post /chat?pagetoken=a%3d http/1.1")
    assert b"authorization: bearer canary-token" in post
    assert b"content-type: application/json" in post
    assert b"accept-encoding: identity" in post
    assert post.endswith(b"\r\n\r\n{}")
    assert b"cookie" not in again
    assert wire.open <= 1, "the connection is used again"


async def test_a_redirect_is_an_answer_and_is_not_followed(transport: Transport) -> None:
    async with (
        speak(saying(reply(b"{}"))) as elsewhere,
        speak(saying(reply(b"", "302 Found", f"Location: {elsewhere.url}/steal"))) as wire,
    ):
        answer = await get(transport, wire.url)

    assert answer.status == 302
    assert elsewhere.requests == []


async def test_a_refused_connection_was_surely_not_sent(transport: Transport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed = await failure(transport, f"http://127.0.0.1:{unused.getsockname()[1]}", method="POST")

    assert isinstance(failed.error, UpstreamUnavailable)
    assert failed.maybe_sent is False


async def test_a_name_that_nobody_knows_was_surely_not_sent(transport: Transport) -> None:
    failed = await failure(transport, "http://welkin.invalid", method="POST")

    assert isinstance(failed.error, UpstreamUnavailable)
    assert failed.maybe_sent is False


async def reset(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    await asyncio.sleep(0.02)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-", HEAD, HEAD + b"[1, 2"])
async def test_a_reset_may_have_been_sent(transport: Transport, data: bytes) -> None:
    async with speak(lambda writer, _head: reset(writer, data)) as wire:
        failed = await failure(transport, wire.url, method="POST")

    assert isinstance(failed.error, UpstreamUnavailable)
    assert failed.maybe_sent is True


async def close_after(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    writer.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", UpstreamUnavailable),
        (HEAD + b"[1, 2", UpstreamBadResponse),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\n", UpstreamBadResponse),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", UpstreamBadResponse),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", UpstreamBadResponse),
    ],
)
async def test_a_connection_that_ends_early_or_speaks_no_http(
    transport: Transport, data: bytes, kind: type[GatewayError]
) -> None:
    async with speak(lambda writer, _head: close_after(writer, data)) as wire:
        failed = await failure(transport, wire.url, method="POST")

    assert type(failed.error) is kind
    assert failed.maybe_sent is True


async def hang(writer: asyncio.StreamWriter, _head: bytes) -> None:
    await asyncio.sleep(30)
    writer.close()


async def drip_body(writer: asyncio.StreamWriter, _head: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_head(writer: asyncio.StreamWriter, _head: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [hang, drip_body, drip_head])
async def test_the_deadline_stops_what_never_ends(transport: Transport, script: object) -> None:
    async with speak(script) as wire:  # type: ignore[arg-type]
        began = time.monotonic()
        failed = await failure(transport, wire.url, seconds=0.3, method="POST")
        waited = time.monotonic() - began
        await transport.aclose()
        ended = time.monotonic() - began

    assert isinstance(failed.error, UpstreamTimeout)
    assert failed.maybe_sent is True
    assert waited < 2
    assert ended < 4, "the task ends by itself, and with it the connection"


async def test_a_call_that_waited_in_vain_for_a_place_was_not_sent(transport: Transport) -> None:
    async with speak(hang) as wire:
        filling = [asyncio.create_task(failure(transport, wire.url, seconds=0.4)) for _ in range(8)]
        await asyncio.sleep(0.1)

        failed = await failure(transport, wire.url, seconds=0.1, method="POST")
        await asyncio.gather(*filling)

    assert isinstance(failed.error, UpstreamTimeout)
    assert failed.maybe_sent is False
    assert not any(request.startswith(b"POST") for request in wire.requests)


async def test_a_send_whose_caller_left_before_it_began_never_begins(transport: Transport) -> None:
    async with speak(hang) as wire:
        filling = [asyncio.create_task(failure(transport, wire.url, seconds=0.3)) for _ in range(8)]
        await asyncio.sleep(0.05)
        send = asyncio.create_task(get(transport, wire.url, method="POST"))
        await asyncio.sleep(0.05)

        send.cancel()
        await asyncio.gather(*filling)
        await transport.aclose()

    assert send.cancelled()
    assert not any(request.startswith(b"POST") for request in wire.requests)


async def test_a_cancelled_caller_does_not_cancel_a_send_under_way(transport: Transport) -> None:
    answered = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter, _head: bytes) -> None:
        await asyncio.sleep(0.2)
        writer.write(reply(b"{}"))
        answered.set()

    async with speak(slow) as wire:
        send = asyncio.create_task(get(transport, wire.url, method="POST"))
        await asyncio.sleep(0.1)
        send.cancel()
        await transport.aclose()

    assert answered.is_set()


async def test_the_pool_is_not_wedged_by_a_thousand_cancelled_callers(transport: Transport) -> None:
    """encode/httpcore#1093: cancelled inside the pool, calls leave it unable to serve any other."""

    async def slow(writer: asyncio.StreamWriter, _head: bytes) -> None:
        await asyncio.sleep(0.003)
        writer.write(reply(b"[]"))

    async with speak(slow) as wire:
        for wave in range(40):
            calls = [asyncio.create_task(get(transport, wire.url, seconds=5)) for _ in range(25)]
            await asyncio.sleep(0.001 * (wave % 8))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

        answers = await asyncio.gather(*(get(transport, wire.url, seconds=5) for _ in range(30)))

    assert {answer.status for answer in answers} == {200}


async def test_headers_that_drip_do_not_wedge_the_pool_either(transport: Transport) -> None:
    """The one case in which a call is cancelled inside the pool, as the last resort."""
    state = {"drip": True}

    async def script(writer: asyncio.StreamWriter, head: bytes) -> None:
        await drip_head(writer, head) if state["drip"] else writer.write(reply(b"[]"))

    async with speak(script) as wire:
        for _ in range(5):
            await asyncio.gather(*(failure(transport, wire.url, seconds=0.05) for _ in range(30)))
        state["drip"] = False

        answers = await asyncio.gather(*(get(transport, wire.url) for _ in range(20)))

    assert {answer.status for answer in answers} == {200}


@pytest.mark.parametrize("size", [100_001, 5_000_000])
async def test_a_body_over_the_cap_is_refused(transport: Transport, size: int) -> None:
    async with speak(saying(reply(b" " * size))) as wire:
        failed = await failure(transport, wire.url, method="POST")

    assert isinstance(failed.error, UpstreamBadResponse)
    assert failed.maybe_sent is True


async def test_a_bomb_costs_no_more_memory_than_the_cap(transport: Transport) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    async with speak(saying(reply(bomb, "200 OK", "Content-Encoding: gzip"))) as wire:
        tracemalloc.start()
        failed = await failure(transport, wire.url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert isinstance(failed.error, UpstreamBadResponse)
    assert peak < 2_000_000


async def test_gzip_that_was_not_asked_for_is_read_all_the_same(transport: Transport) -> None:
    async with speak(saying(reply(gzip.compress(b'{"a": 1}'), "200 OK", "Content-Encoding: gzip"))) as wire:
        answer = await get(transport, wire.url)

    assert answer.body == b'{"a": 1}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip, gzip", b"x"),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"text", mtime=0)[:-9]),
    ],
)
def test_other_encodings_and_broken_gzip_are_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(BodyRefused):  # noqa: PT012 -- refused at whichever step comes first
        reader = BodyReader(encoding, 1000)
        reader.feed(body)
        reader.finish()


def test_an_empty_body_may_call_itself_gzip() -> None:
    assert BodyReader("gzip", 10).finish() == b""


def test_every_failure_of_the_http_client_has_an_error_of_ours() -> None:
    known = [
        kind
        for _, kind in inspect.getmembers(httpx2, inspect.isclass)
        if issubclass(kind, httpx2.TransportError)
    ]

    assert httpx2.ReadError in known
    for kind in set(known) - {httpx2.TransportError}:
        assert any(base in FAILURES for base in kind.__mro__), kind


async def test_no_repr_shows_ids_or_tokens(transport: Transport) -> None:
    call = Call("list messages", "GET", "http://w/gh/sb/patients/canary/chat?pageToken=canary", b"canary")

    assert "canary" not in repr(call)


async def test_the_wire_keeps_no_connection_after_closing(transport: Transport) -> None:
    async with speak(saying(reply(b"[]"))) as wire:
        await get(transport, wire.url)
        await transport.aclose()
        await _until_closed(wire)

    assert wire.open == 0


async def _until_closed(wire: Wire) -> None:
    for _ in range(100):
        if not wire.open:
            return
        await asyncio.sleep(0.01)
