"""Requests whose end can be read in two ways: nothing that hides in one of them is ever run.

What is hidden is a whole request that would send a message. Each test looks at what came back, and at what
Welkin was asked to send.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator

import httpx2
import pytest

from gateway.sandbox import create_sandbox
from gateway.sandbox.conversations import SHORT
from tests.api.system import PATHS, SEND, System
from tests.gateway_process import gateway_process, instance_of
from tests.serving import serve

PAUSE = 0.15
"""Between two pieces, so that the server reads them apart."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
DOOR = f"/{PATHS['v1']}/graphql".encode()
HOST = b"Host: 127.0.0.1"


def sending(text: str) -> bytes:
    variables = {"input": {"patientId": SHORT, "body": text}}
    return json.dumps({"query": SEND, "variables": variables}).encode()


def head(*lines: bytes, start: bytes = b"POST " + DOOR + b" HTTP/1.1", host: bytes = HOST) -> bytes:
    return b"".join(line + b"\r\n" for line in (start, host, b"Content-Type: application/json", *lines, b""))


BODY = sending("shown")
SIZE = len(BODY)
LENGTH = b"Content-Length: %d" % SIZE
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)
HIDDEN = head(b"Connection: close", b"Content-Length: %d" % len(sending("hidden"))) + sending("hidden")
HIDES = b"Content-Length: %d" % len(HIDDEN)
LAST = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    app = create_sandbox()
    secrets = {"secret": "sandbox-secret", "webhook_key": "hook-key", "webhook_secret": "hook-secret"}
    with serve(app) as sandbox_url, httpx2.Client(timeout=30) as http:
        instances = [instance_of(sandbox_url, "v1", PATHS["v1"], **secrets)]
        settings = {"auth": {"mode": "none"}, "instances": instances}
        with gateway_process(tmp_path_factory.mktemp("gateway"), settings) as (url, _):
            yield System(app.state.sandbox, sandbox_url, url, http)


@pytest.fixture
def running(shared: System) -> Iterator[System]:
    shared.sandbox.reset()
    shared.sandbox.requests.clear()
    yield shared
    assert shared.http.get(f"{shared.gateway_url}/healthz").status_code == 200


def connected(running: System) -> socket.socket:
    address = httpx2.URL(running.gateway_url)
    return socket.create_connection((address.host, address.port), timeout=8)


def exchange(running: System, *pieces: bytes) -> list[int]:
    """Send the pieces on one connection; gives the statuses of what was answered until the server closed."""
    received = bytearray()
    with connected(running) as connection:
        with contextlib.suppress(ConnectionError):
            for number, piece in enumerate(pieces):
                time.sleep(PAUSE if number else 0)
                connection.sendall(piece)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65_536):
                received += piece
    return [int(status) for status in STATUS.findall(received)]


def sent(running: System) -> list[str]:
    """Give what was sent to the patient: no text of the sandbox's own is one of these two."""
    texts = [message.text for message in running.sandbox.store.history(SHORT) or ()]
    return sorted(text for text in texts if text in {"shown", "hidden"})


def test_two_requests_that_end_where_they_say_are_both_run(running: System) -> None:
    """What the other tests hide is a request that works."""
    assert exchange(running, head(LENGTH) + BODY + HIDDEN) == [200, 200]
    assert sent(running) == ["hidden", "shown"]
    assert running.sandbox.requests.count("v1.send") == 2


FAULTY_HEADS = {
    "length and chunks": head(LENGTH, CHUNKED) + CHUNKS,
    "chunks and length": head(CHUNKED, b"Content-Length: 3") + CHUNKS,
    "chunks that end before the length": head(HIDES, CHUNKED) + b"0\r\n\r\n",
    "two lengths": head(LENGTH, b"Content-Length: %d" % (SIZE + len(HIDDEN))) + BODY,
    "one length twice": head(LENGTH, LENGTH) + BODY,
    "a list of lengths": head(b"Content-Length: 5, 6") + BODY,
    "a list of one length": head(b"Content-Length: %d, %d" % (SIZE, SIZE)) + BODY,
    "a signed length": head(b"Content-Length: +%d" % SIZE) + BODY,
    "a negative length": head(b"Content-Length: -1") + BODY,
    "a hexadecimal length": head(b"Content-Length: 0x%x" % SIZE) + BODY,
    "a length with an exponent": head(b"Content-Length: 1e3") + BODY,
    "a length in other digits": head("Content-Length: \u0665".encode()) + BODY,
    "a length beyond 64 bits": head(b"Content-Length: " + b"9" * 23) + BODY,
    "an empty length": head(b"Content-Length: ") + BODY,
    "a length and a control character": head(LENGTH + b"\x0b") + BODY,
    "no encoding": head(b"Transfer-Encoding: ") + CHUNKS,
    "chunks, then another encoding": head(b"Transfer-Encoding: chunked, identity") + CHUNKS,
    "chunks, then another encoding, apart": head(CHUNKED, b"Transfer-Encoding: identity") + CHUNKS,
    "chunks in chunks": head(b"Transfer-Encoding: chunked, chunked") + CHUNKS,
    "chunks twice": head(CHUNKED, CHUNKED) + CHUNKS,
    "chunks and a control character": head(CHUNKED + b"\x0b") + CHUNKS,
    "chunks behind a control character": head(b"Transfer-Encoding: \x0bchunked") + CHUNKS,
    "a folded encoding": head(b"Transfer-Encoding:\r\n chunked") + CHUNKS,
    "a folded length": head(b"Content-Length:\r\n %d" % SIZE) + BODY,
    "a length folded into another header": head(b"X: y\r\n " + LENGTH) + BODY,
    "a first header that is folded": head(LENGTH, host=b" " + HOST) + BODY,
    "a blank before the encoding's colon": head(b"Transfer-Encoding : chunked") + CHUNKS,
    "a tab before the encoding's colon": head(b"Transfer-Encoding\t: chunked") + CHUNKS,
    "a blank before the length's colon": head(b"Content-Length : %d" % SIZE) + BODY,
    "a header without a name": head(b": x", LENGTH) + BODY,
    "a header without a colon": head(b"X y", LENGTH) + BODY,
    "NUL in a header's name": head(b"X\0: y", LENGTH) + BODY,
    "NUL in a header": head(b"X: y\0", LENGTH) + BODY,
    "a bare carriage return in a header": head(b"X: y\rz", LENGTH) + BODY,
    "a bare line feed between two headers": head(b"X: y\n" + CHUNKED) + CHUNKS,
    "bare line feeds everywhere": head(LENGTH).replace(b"\r\n", b"\n") + BODY,
    "a bare line feed at the end": head(LENGTH)[:-2] + b"\n" + BODY,
    "bare carriage returns everywhere": head(LENGTH).replace(b"\r\n", b"\r") + BODY,
    "both framings in HTTP/1.0": head(LENGTH, CHUNKED, start=b"POST " + DOOR + b" HTTP/1.0") + CHUNKS,
    "a version that is not known": head(LENGTH, start=b"POST " + DOOR + b" HTTP/1.2") + BODY,
    "CONNECT to another machine": head(start=b"CONNECT 127.0.0.1:1 HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the preface of HTTP/2 as a request": head(start=b"PRI * HTTP/1.1"),
}


@pytest.mark.parametrize("name", FAULTY_HEADS)
def test_a_head_that_can_be_read_in_two_ways_is_refused_with_all_that_follows(
    running: System, name: str
) -> None:
    assert exchange(running, FAULTY_HEADS[name] + HIDDEN) == [400]
    assert running.sandbox.requests.count() == 0


FAULTY_BODIES = {
    "a signed size": b"+%x\r\n" % SIZE,
    "a negative size": b"-%x\r\n" % SIZE,
    "a size with 0x": b"0x%x\r\n" % SIZE,
    "a size beyond 64 bits": b"1" + b"0" * 16 + b"\r\n",
    "a blank behind the size": b"%x \r\n" % SIZE,
    "a blank before the size": b" %x\r\n" % SIZE,
    "no size": b"\r\n",
    "two sizes": b"%x,1\r\n" % SIZE,
    "a bare line feed behind the size": b"%x\n" % SIZE,
    "a bare line feed in an extension": b"%x;a\nb\r\n" % SIZE,
    "a bare carriage return in an extension": b"%x;a\rb\r\n" % SIZE,
    "a size that is too small": b"%x\r\n" % (SIZE - 2),
}


@pytest.mark.parametrize("name", FAULTY_BODIES)
def test_chunks_that_can_be_read_in_two_ways_end_the_connection(running: System, name: str) -> None:
    data = head(CHUNKED) + FAULTY_BODIES[name] + BODY + b"\r\n0\r\n\r\n"

    assert exchange(running, data + HIDDEN) in ([], [400])
    assert running.sandbox.requests.count() == 0


@pytest.mark.parametrize(
    "rest", [b"\n0\n\n", b"0\r\n\r\n", b"\r\n0\r\n" + HIDES + b"\r\n\r\n"], ids=["bare", "none", "trailer"]
)
def test_chunks_that_end_wrongly_or_announce_a_length_behind_them_end_the_connection(
    running: System, rest: bytes
) -> None:
    data = head(CHUNKED) + b"%x\r\n" % SIZE + BODY + rest

    assert exchange(running, data + HIDDEN) in ([], [400])
    assert running.sandbox.requests.count() == 0


@pytest.mark.parametrize(
    "encoding", [b"xchunked", b"identity", b"gzip", b'"chunked"', b"chunked;q=1", b"chunked-x"]
)
def test_an_encoding_that_does_not_tell_where_the_body_ends_is_refused(
    running: System, encoding: bytes
) -> None:
    data = head(b"Transfer-Encoding: " + encoding) + CHUNKS

    assert exchange(running, data + HIDDEN) in ([], [400])
    assert running.sandbox.requests.count() == 0


def test_a_chunk_of_nearly_two_to_the_64_is_one_body_and_too_large(running: System) -> None:
    data = head(CHUNKED) + b"f" * 16 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"

    assert exchange(running, data + HIDDEN + b"x" * 3_000_000) == [413]
    assert running.sandbox.requests.count() == 0


@pytest.mark.parametrize(
    "data",
    [
        head(b"Content-Length: 000%d" % SIZE) + BODY,
        head(b"content-LENGTH:\t %d \t" % SIZE) + BODY,
        head(b"Transfer-Encoding: Chunked") + CHUNKS,
        head(CHUNKED) + b"0" * 20 + CHUNKS,
        head(CHUNKED) + CHUNKS.replace(b"\r\n", b";name=value\r\n", 1),
        head(LENGTH, b"Content_Length: 5", b"Transfer_Encoding: chunked") + BODY,
        head(LENGTH, start=b"POST http://127.0.0.1" + DOOR + b" HTTP/1.1") + BODY,
    ],
    ids=["zeros", "blanks", "capitals", "zeros of a chunk", "extension", "underscores", "absolute form"],
)
def test_what_is_odd_but_means_one_thing_is_taken_as_that(running: System, data: bytes) -> None:
    assert exchange(running, data + HIDDEN) == [200, 200]
    assert sent(running) == ["hidden", "shown"]


@pytest.mark.parametrize(
    "data",
    [
        head(LENGTH, start=b"POST " + DOOR + b" HTTP/1.0") + BODY,
        head(LENGTH, b"Connection: keep-alive", start=b"POST " + DOOR + b" HTTP/1.0") + BODY,
        head(CHUNKED, start=b"POST " + DOOR + b" HTTP/1.0") + CHUNKS,
        head(CHUNKED, b"Connection: keep-alive", start=b"POST " + DOOR + b" HTTP/1.0") + CHUNKS,
        head(LENGTH, b"Connection: close") + BODY,
    ],
    ids=["1.0", "1.0 that would stay", "1.0 in chunks", "1.0 in chunks that would stay", "1.1 that closes"],
)
def test_a_request_that_ends_its_connection_is_the_last_one_that_is_run(running: System, data: bytes) -> None:
    assert exchange(running, data + HIDDEN) == [200]
    assert sent(running) == ["shown"]


def test_a_request_line_without_a_version_runs_nothing_behind_it(running: System) -> None:
    """HTTP/0.9 has no heads: it names no host, and nothing comes after it."""
    assert exchange(running, b"GET /healthz\r\n\r\n" + HIDDEN) in ([400], [421])
    assert running.sandbox.requests.count() == 0


REFUSED = {
    "no such page": (head(HIDES, start=b"POST /nowhere HTTP/1.1"), 404),
    "no such method": (head(HIDES, start=b"PUT " + DOOR + b" HTTP/1.1"), 405),
    "a body with GET": (head(HIDES, start=b"GET " + DOOR + b" HTTP/1.1"), 405),
    "another type": (head(HIDES).replace(b"application/json", b"text/plain"), 415),
    "another host": (head(HIDES, host=b"Host: elsewhere.example"), 421),
    "no host": (head(HIDES, host=b"X: y"), 421),
    "two hosts": (head(HIDES, HOST), 421),
    "no credentials": (head(HIDES, start=f"POST /{PATHS['v1']}/webhooks/chat HTTP/1.1".encode()), 401),
    "no JSON": (head(HIDES), 400),
    "the form of OPTIONS": (head(HIDES, start=b"POST * HTTP/1.1"), 404),
}


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@pytest.mark.parametrize("name", REFUSED)
def test_the_body_of_a_refused_request_is_thrown_away_and_not_run(
    running: System, name: str, *, apart: bool
) -> None:
    refused, status = REFUSED[name]
    pieces = [refused, HIDDEN, LAST] if apart else [refused + HIDDEN + LAST]

    assert exchange(running, *pieces) == [status, 200]
    assert running.sandbox.requests.count() == 0


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"websocket-not"])
def test_an_upgrade_to_what_is_not_spoken_is_ignored_and_the_body_is_the_requests_own(
    running: System, protocol: bytes, *, apart: bool
) -> None:
    """As curl and Java's client send it, who would like to speak HTTP/2."""
    asked = head(LENGTH, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol)
    pieces = [asked, BODY, LAST] if apart else [asked + BODY + LAST]

    assert exchange(running, *pieces) == [200, 200]
    assert sent(running) == ["shown"]


def test_hundreds_of_ignored_wishes_in_one_piece_are_answered_one_after_the_other(running: System) -> None:
    wish = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    assert exchange(running, wish * 600 + LAST) == [200] * 601


def test_a_wish_to_upgrade_and_to_close_closes(running: System) -> None:
    asked = head(LENGTH, b"Connection: upgrade, close", b"Upgrade: h2c")

    assert exchange(running, asked + BODY + HIDDEN) == [200]
    assert sent(running) == ["shown"]


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"GET", b"CONNECT"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b""])
def test_whatever_stands_behind_a_request_to_upgrade_or_to_connect_is_not_run(
    running: System, method: bytes, protocol: bytes, *, apart: bool
) -> None:
    lines = [b"Connection: Upgrade", b"Upgrade: " + protocol] if protocol else []
    asked = head(HIDES, *lines, start=method + b" " + DOOR + b" HTTP/1.1")
    pieces = [asked, HIDDEN, LAST] if apart else [asked + HIDDEN + LAST]

    statuses = exchange(running, *pieces)

    assert statuses[0] in {400, 405}
    assert statuses[1:] in ([], [200])
    assert running.sandbox.requests.count() == 0


@pytest.mark.parametrize(
    "host", [b"elsewhere.example", b"127.0.0.1@elsewhere.example", b"elsewhere.example:80"]
)
def test_an_address_that_names_another_host_than_the_header_is_not_served(
    running: System, host: bytes
) -> None:
    """The host in the address is the one that counts, and the header has to agree with it."""
    data = head(LENGTH, start=b"POST http://" + host + DOOR + b" HTTP/1.1") + BODY

    assert exchange(running, data + LAST)[0] in {400, 421}
    assert running.sandbox.requests.count() == 0


HANDSHAKE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Protocol: graphql-transport-ws",
)
OPENING = b"GET " + DOOR + b" HTTP/1.1"


def test_a_websocket_opens_by_the_handshake_that_is_spoilt_below(running: System) -> None:
    with connected(running) as connection:
        connection.sendall(head(*HANDSHAKE, start=OPENING))

        assert connection.recv(65_536).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(*HANDSHAKE, b"Content-Length: 5", start=OPENING) + b"hello", 400),
        (head(*HANDSHAKE, CHUNKED, start=OPENING) + b"0\r\n\r\n", 400),
        (head(*HANDSHAKE, b"Cookie: " + b"x" * 9_000, start=OPENING), 431),
        (head(*HANDSHAKE, *(b"X-%d: y" % number for number in range(150)), start=OPENING), 431),
        (head(*HANDSHAKE, start=b"GET " + DOOR + b"?" + b"x" * 9_000 + b" HTTP/1.1"), 431),
    ],
    ids=["a length", "chunks", "a long header", "many headers", "a long address"],
)
def test_a_handshake_that_is_not_taken_gets_an_answer_and_its_connection_ends(
    running: System, data: bytes, status: int
) -> None:
    assert exchange(running, data) == [status]
