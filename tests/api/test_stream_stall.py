"""A reader that stalls costs little, is let go with a word, and slows nobody else."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from websockets.exceptions import ConnectionClosedError

from gateway.app.http_protocol import PatientHttp
from gateway.web.metrics import Metrics
from gateway.web.options import WebOptions
from gateway.web.streams import Streams
from gateway.web.websocket import Socket
from gateway.web.websocket_protocol import PatientSocket
from tests.api.dialing import FOLLOW, dial, hear, subscribe, until
from tests.api.fakes import PATIENT, web_of
from tests.api.stalling import TEXT, Taking, metric, narrow_socket
from tests.serving import serve

OPTIONS = WebOptions(send_seconds=0.6, keep_alive_seconds=5, max_socket_operations=100, show_cost=False)
MESSAGES = 1_500
LEAST_BYTES = 2_000
"""Of an event, without its frame."""


class Impatient(PatientSocket):
    stall_seconds = 1.5


@pytest.fixture
def fake() -> Taking:
    return Taking()


UNPACKED = {"ws_per_message_deflate": False}
"""As in production; compressed, the texts of these tests would be next to nothing."""


@pytest.fixture
def base_url(fake: Taking) -> Iterator[str]:
    with serve(web_of(fake, options=OPTIONS), http=PatientHttp, ws=Impatient, **UNPACKED) as base_url:
        yield base_url


@pytest.fixture
def patient_url(fake: Taking) -> Iterator[str]:
    with serve(web_of(fake, options=OPTIONS), http=PatientHttp, ws=PatientSocket, **UNPACKED) as base_url:
        yield base_url


def socket_url(base_url: str) -> str:
    return base_url.replace("http", "ws") + "/graphql"


async def receive_all(url: str, fake: Taking, delays: list[float]) -> list[str]:
    """Follow as a good reader, and note how long each message took from its arrival to here."""
    async with dial(url) as client:
        await subscribe(client, "good", FOLLOW, id=PATIENT)
        bodies: list[str] = []
        while len(bodies) < MESSAGES:
            body = (await hear(client))["payload"]["data"]["messageAdded"]["node"]["body"]
            bodies.append(body.partition(" ")[0])
            delays.append(time.monotonic() - float(body.split(" ")[1]))
        return bodies


async def pour(fake: Taking) -> None:
    """Let messages of 2 kB arrive, faster than fifty in a second."""
    for number in range(MESSAGES):
        fake.receive(f"{number} {time.monotonic()} {TEXT}")
        if number % 10 == 9:
            await asyncio.sleep(0.01)


async def test_a_stalled_socket_is_bounded_and_cut_off_and_another_subscriber_gets_all_in_time(
    base_url: str, fake: Taking
) -> None:
    url = socket_url(base_url)
    delays: list[float] = []
    async with dial(url, sock=narrow_socket(url), max_queue=1) as stalled:
        await subscribe(stalled, "stalled", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
        good = asyncio.create_task(receive_all(url, fake, delays))
        await until(lambda: fake.followers == 2)
        began = time.monotonic()

        await pour(fake)

        assert await good == [str(number) for number in range(MESSAGES)]
        assert max(delays) < 2
        await until(lambda: fake.followers == 0)
        assert time.monotonic() - began < 10
        # What left the tail lies in buffers: the client's, the kernel's, the server's.
        assert fake.taken[0] * LEAST_BYTES < 1024 * 1024
        assert fake.taken[1] == MESSAGES
        assert await metric(base_url, 'gateway_streams_cut_total{reason="stalled",transport="ws"}') == 1
        # The client sleeps on; the connection is gone all the same.
        connection = stalled.transport.get_extra_info("socket")
        await until(lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)
        assert await metric(base_url, "gateway_websockets") == 0
        stalled.transport.abort()


async def test_a_reader_that_wakes_up_learns_why_and_resumes_without_a_gap(
    patient_url: str, fake: Taking
) -> None:
    url = socket_url(patient_url)
    received: list[str] = []
    cursor = None
    async with dial(url, sock=narrow_socket(url, 65_536), max_queue=1) as stalled:
        await subscribe(stalled, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
        await pour(fake)
        await until(lambda: fake.followers == 0)

        with suppress(ConnectionClosedError):
            async for frame in stalled:
                message = json.loads(frame)
                if message["type"] == "next":
                    edge = message["payload"]["data"]["messageAdded"]
                    received.append(edge["node"]["body"].partition(" ")[0])
                    cursor = edge["cursor"]

    assert stalled.close_code == 4410
    assert stalled.close_reason == "Reader too slow; resume after the last cursor received"
    assert 0 < len(received) < MESSAGES
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT, after=cursor)
        while len(received) < MESSAGES:
            edge = (await hear(client))["payload"]["data"]["messageAdded"]
            received.append(edge["node"]["body"].partition(" ")[0])
    assert received == [str(number) for number in range(MESSAGES)]


async def test_many_subscriptions_on_one_stalled_socket_fill_no_more_than_one(
    base_url: str, fake: Taking
) -> None:
    url = socket_url(base_url)
    async with dial(url, sock=narrow_socket(url), max_queue=1) as stalled:
        for number in range(100):
            await subscribe(stalled, str(number), FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 100)

        for _ in range(20):
            fake.receive(TEXT)

        await until(lambda: fake.followers == 0)
        # Each has one in its hands, beside what lies in buffers.
        assert (sum(fake.taken) - 100) * LEAST_BYTES < 1024 * 1024
        stalled.transport.abort()


async def test_a_stalled_event_stream_is_cut_off(base_url: str, fake: Taking) -> None:
    connection = narrow_socket(base_url)
    body = json.dumps({"query": FOLLOW, "variables": {"id": PATIENT}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with connection:
        connection.sendall(head.encode() + body)
        await until(lambda: fake.followers == 1)

        await pour(fake)
        await pour(fake)

        await until(lambda: fake.followers == 0)
        assert fake.taken[0] < 2 * MESSAGES
        assert await metric(base_url, 'gateway_streams_cut_total{reason="stalled",transport="sse"}') == 1
        assert await metric(base_url, 'gateway_subscribers{transport="sse"}') == 0


async def test_one_message_at_a_time_is_given_to_the_server() -> None:
    """Else every operation would wait for room in a full buffer, and all would fill it at once."""
    under_way = most = 0

    async def send(_message: Any) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    connection = Socket(
        asyncio.Queue[Any]().get,
        send,
        runner=None,  # type: ignore[arg-type] -- nothing is run
        enter=None,  # type: ignore[arg-type] -- nobody enters
        options=OPTIONS,
        streams=Streams(1),
        metrics=Metrics(CollectorRegistry()),
        request_id="",
    )

    await asyncio.gather(*(connection._send({"type": "ping"}) for _ in range(10)))

    assert most == 1
