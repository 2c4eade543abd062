"""Clients that take their time, or send what nobody reads: cut off, while all others are served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.app.http_protocol import PatientHttp
from gateway.app.patience import Pace, Patience
from gateway.web.options import WebOptions
from tests.api.dialing import dial, hear, say
from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve

HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
QUERY = {"query": "{ __typename }"}
LARGE = 64 * 1024 * 1024


class Hasty(PatientHttp):
    patience = Patience(head_seconds=0.6, stall_seconds=0.6, rest_seconds=0.5)


async def large(scope, receive, send) -> None:
    """Answer with more than any kernel's buffers hold."""
    if scope["type"] == "http":
        length = (b"content-length", b"%d" % LARGE)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": b"x" * LARGE})


@pytest.fixture
def url(fake: FakeInstance) -> Iterator[str]:
    with serve(web_of(fake, options=WebOptions(body_seconds=0.6)), http=Hasty) as base_url:
        yield base_url


@contextlib.contextmanager
def connected(url: str, *, window: int | None = None) -> Iterator[socket.socket]:
    parts = httpx2.URL(url)
    with socket.socket() as connection:
        if window is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.settimeout(10)
        connection.connect((parts.host, parts.port))
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1024 * 1024):
            received += piece
    return bytes(received)


def pour(connection: socket.socket, piece: bytes) -> int:
    """Send without an end; gives how much it took until the server had enough."""
    sent = 0
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while sent < 1024 * 1024 * 1024:
            sent += connection.send(piece)
    return sent


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAccept: ",
        b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_a_head_that_does_not_come_is_cut_off(url: str, head: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(head)
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert b'"code":"BAD_USER_INPUT"' in answer


@pytest.mark.parametrize("drop", [b"X: y\r\n", b"\r\n"])
def test_a_head_that_drips_is_cut_off_too(url: str, drop: bytes) -> None:
    began = time.monotonic()
    with connected(url) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" if drop != b"\r\n" else b"")
        connection.settimeout(0.05)
        while time.monotonic() < began + 10:
            connection.sendall(drop)
            with contextlib.suppress(TimeoutError):
                assert connection.recv(1024).startswith(b"HTTP/1.1 408 ")
                break

    assert time.monotonic() < began + 5


def test_a_second_head_has_no_more_time_than_the_first(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /hea")
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize(
    "rest", [b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_a_body_that_does_not_come_is_cut_off(url: str, rest: bytes) -> None:
    with connected(url) as connection:
        connection.sendall(HEAD + rest)
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200_000, 431),
        (b"GET /" + b"x" * 1_000_000, 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400),
    ],
)
def test_a_head_too_large_or_senseless_is_refused_in_the_gateways_words(
    url: str, head: bytes, status: int
) -> None:
    with connected(url) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head)
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/json" in answer


def test_trailers_and_chunk_extensions_have_no_room_either(url: str) -> None:
    before = resident_bytes()
    for start in (b"0\r\nX: ", b"1;"):
        with connected(url) as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + start)
            assert pour(connection, b"x" * 100_000) < LARGE

    assert resident_bytes() < before + LARGE


def test_a_head_of_usual_size_is_taken(url: str) -> None:
    assert httpx2.get(f"{url}/healthz", headers={"X": "x" * 32_000}).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n", 415),
        (HEAD, 413),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\n", 405),
        (b"POST /webhooks/chat HTTP/1.1\r\nHost: x\r\n", 401),
        (b"POST /nowhere HTTP/1.1\r\nHost: x\r\n", 404),
    ],
)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_not_wanted_is_not_taken(url: str, head: bytes, status: int, *, chunked: bool) -> None:
    before = resident_bytes()
    with connected(url) as connection:
        if chunked:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            sent = pour(connection, b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        else:
            connection.sendall(head + b"Content-Length: 1000000000\r\n\r\n")
            sent = pour(connection, b"x" * 0x10000)
        answer = rest_of(connection)

    assert sent < LARGE
    assert resident_bytes() < before + LARGE
    if answer:  # the client may have sent on until the connection was gone, and the answer with it
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in answer


def test_an_answer_that_ends_the_connection_arrives(url: str) -> None:
    """Who sends a body somewhat too large still reads why it was refused."""
    with connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1500000\r\n\r\n" + b"x" * 900_000)
        answer = rest_of(connection)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"}")


def test_a_small_body_that_nobody_read_leaves_the_connection_in_use(url: str) -> None:
    ask = b"POST /webhooks/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with connected(url) as connection:
        for _ in range(3):
            connection.sendall(ask)
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")
            connection.sendall(b"x" * 1000)


def test_a_small_body_that_never_comes_does_not_hold_the_connection(url: str) -> None:
    with connected(url) as connection:
        connection.sendall(b"POST /webhooks/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        assert b"connection: close" not in rest_of(connection)


def test_a_reader_that_stalls_loses_its_answer() -> None:
    with serve(large, http=Hasty, lifespan="off") as url, connected(url, window=4096) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2.5)  # it is the reader's time that is the matter
        assert len(rest_of(connection)) < LARGE


def test_a_reader_that_is_slow_but_reads_gets_the_whole_answer() -> None:
    class Patient(PatientHttp):
        patience = Patience(stall_seconds=1.0)

    with serve(large, http=Patient, lifespan="off") as url, connected(url, window=65_536) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        began, received = time.monotonic(), 0
        while time.monotonic() < began + 2.5:
            received += len(connection.recv(65_536))
            time.sleep(0.05)
        assert received + len(rest_of(connection)) > LARGE


def test_a_pace_is_judged_by_what_was_taken() -> None:
    pace = Pace(Patience(stall_seconds=30, stall_bytes=1000))
    pace.written = 5000

    assert not pace.is_stalled(0, 5000)
    assert not pace.is_stalled(29, 4100)
    assert pace.is_stalled(31, 4100)
    assert not pace.is_stalled(31, 3900)  # took enough, and starts anew
    pace.written += 200
    assert pace.is_stalled(62, 4100)  # what was added since does not count as taken
    assert not pace.is_stalled(62, 0)
    assert not pace.is_stalled(63, 10)


async def test_an_open_websocket_is_not_a_slow_head(url: str) -> None:
    async with dial(url.replace("http", "ws") + "/graphql") as client:
        await asyncio.sleep(1.5)
        await say(client, type="ping")
        assert (await hear(client))["type"] == "pong"


def test_hundreds_of_slow_clients_at_once_delay_nobody(url: str) -> None:
    slow = [b"GET /healthz HTTP/1.1\r\nHost: x\r\n"] * 200 + [HEAD + b"Content-Length: 9\r\n\r\n{"] * 100
    with contextlib.ExitStack() as stack, httpx2.Client(base_url=url, timeout=5) as client:
        connections = [stack.enter_context(connected(url)) for _ in slow]
        for connection, request in zip(connections, slow, strict=True):
            connection.sendall(request)

        answers = [client.post("/graphql", json=QUERY).status_code for _ in range(50)]

        assert answers == [200] * 50
        assert {rest_of(each)[:12] for each in connections} == {b"HTTP/1.1 408"}
