"""What an operation made is freed with its answer, and not when the garbage collector comes by.

Circles of objects are found only by a look at everything that lives, in which nobody is served.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection

from gateway.sandbox.faults import FaultName, FaultRule
from tests.api.dialing import FOLLOW, close_code, dial, hear, say, subscribe
from tests.reliability.product import BODIES, MINE, PATHS, SEND, SERVICE, Product, product

TIMES = 20
FEW = 8
OF_ONE_OPERATION = {
    "gateway.graphql.freed.FreedExecution",
    "gateway.graphql.context.Context",
    "gateway.app.unread_body.Outlet",
    "uvicorn.protocols.http.httptools_impl.RequestResponseCycle",
    "gateway.welkin.attempts._Call",
    "tenacity.asyncio.AsyncRetrying",
}
OF_ONE_TAIL = {
    "gateway.services.feed.Feed",
    "gateway.services.tail.Tail",
    "gateway.graphql.context.Context",
}
OF_ONE_SOCKET = OF_ONE_TAIL | {
    "gateway.web.websocket.Socket",
    "gateway.web.websocket_operations.Operations",
    "gateway.services.feed.Feed",
    "gateway.services.tail.Tail",
    "gateway.graphql.context.Context",
    "gateway.web.websocket_protocol.PatientSocket",
    "websockets.server.ServerProtocol",
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@contextmanager
def left_in_circles() -> Iterator[Counter[str]]:
    """Count by kind what the collector finds of what is done meanwhile."""
    left: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield left
        time.sleep(0.2)  # the last answer's own objects may still be on their way out
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left.update(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def operations_in(left: Counter[str]) -> int:
    """Count the operations that left something, but for those whose call was repeated, as a few are.

    The library for that leaves a circle, in which there may be the error of the attempt.
    """
    errors = sum(left[name] for name in left if name.startswith("gateway.domain.errors."))
    return max(errors, left["gateway.graphql.freed.FreedExecution"]) - left["tenacity.Future"]


def alive(of: set[str]) -> Counter[str]:
    """Count what lives of some kinds."""
    kinds = (type(each) for each in gc.get_objects())
    names = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter({name: names[name] for name in of})


QUERIES = {
    "read": BODIES,
    "send": SEND,
    "search": 'query ($id: ID!) { searchMessages(query: "a", patientId: $id) '
    "{ edges { context { nodes { id } } } } }",
    "patients": "{ patients(first: 5) { nodes { firstName } } }",
}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.usefixtures("no_collector")
def test_nothing_of_an_operation_waits_for_the_collector(running: Product, name: str, version: str):
    running.ask(version, QUERIES[name], id=MINE, body="first")
    before = alive(OF_ONE_OPERATION)
    for number in range(TIMES):
        answer = running.ask(version, QUERIES[name], id=MINE, body=f"number {number}")
        assert "errors" not in answer

    grown = alive(OF_ONE_OPERATION) - before
    # The last answer's own objects may still be on their way out.
    assert all(count <= 2 for count in grown.values()), grown
    assert running.calls() > 0


FAILURES: list[tuple[str, FaultName | None]] = [
    (BODIES, "server_error"),
    (BODIES, "rate_limited"),
    (BODIES, "html"),
    (BODIES, "reset"),
    (BODIES, None),
    (SEND, None),
]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("document", "fault"), FAILURES)
def test_nothing_of_an_operation_that_failed_waits_for_the_collector(
    tmp_path: Path, document: str, fault: FaultName | None, version: str
):
    """An error holds the frames that it passed through, and a task that ended with it holds the error."""
    with product(tmp_path, {"timeout_seconds": 1.0}) as made:
        made.ask(version, document, id=MINE, body="first")  # so that there is a token
        if fault is not None:
            made.sandbox.faults.add(FaultRule(fault, operation="any", times=None))
        made.ask(version, document, id="nobody", body="first")
        with left_in_circles() as left:
            for number in range(FEW):
                answer = made.ask(version, document, id=f"nobody-{number}", body=f"number {number}")
                assert answer["errors"]

    assert operations_in(left) <= 0, left


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nothing_of_what_an_older_page_stood_in_for_waits_for_the_collector(tmp_path: Path, version: str):
    cache = {"ttl_seconds": 1, "stale_if_error_seconds": 600}
    with product(tmp_path, {"timeout_seconds": 1.0}, cache=cache) as made:
        made.ask(version, BODIES, id=MINE)
        time.sleep(1.1)
        made.sandbox.faults.add(FaultRule("unavailable", operation="any", times=None))
        made.ask(version, BODIES, id=MINE)
        with left_in_circles() as left:
            for _ in range(FEW):
                assert "errors" not in made.ask(version, BODIES, id=MINE)

    assert operations_in(left) <= 0, left


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.usefixtures("no_collector")
def test_nothing_of_an_event_stream_waits_for_the_collector(running: Product, version: str):
    def follow() -> None:
        asked = {"query": FOLLOW, "variables": {"id": MINE}}
        headers = SERVICE | {"Accept": "text/event-stream"}
        url = f"{running.url}/{PATHS[version]}/graphql"
        with running.http.stream("POST", url, json=asked, headers=headers) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ":"
            time.sleep(0.05)
            running.ask(version, SEND, id=MINE, body="hello")
            assert next(line for line in lines if line.startswith("id:"))

    kinds = OF_ONE_TAIL | OF_ONE_OPERATION | {"gateway.web.sse.EventStream"}
    follow()
    before = alive(kinds)
    for _ in range(TIMES):
        follow()
    time.sleep(0.5)

    grown = alive(kinds) - before
    assert all(count <= 2 for count in grown.values()), grown


async def leave(_client: ClientConnection) -> None:
    """Close the socket in good order."""


async def complete(client: ClientConnection) -> None:
    await say(client, type="complete", id="1")
    await asyncio.sleep(0.02)


async def abort(client: ClientConnection) -> None:
    client.transport.abort()


async def talk_nonsense(client: ClientConnection) -> None:
    client.transport.write(b"\xff\xff\xff\xff\xff\xff")
    assert await close_code(client) == 1002


async def send_no_json(client: ClientConnection) -> None:
    await client.send("{")
    assert await close_code(client) == 4400


ENDS = [leave, complete, abort, talk_nonsense, send_no_json]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_a_socket_and_what_it_followed_waits_for_the_collector(
    running: Product, end: Callable[[ClientConnection], Awaitable[None]], version: str
):
    async def follow() -> None:
        url = f"{running.url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
        async with dial(url, init=False) as client:
            await say(client, type="connection_init", payload=SERVICE)
            assert await hear(client) == {"type": "connection_ack"}
            await subscribe(client, "1", FOLLOW, id=MINE)
            await asyncio.sleep(0.05)
            await asyncio.to_thread(running.ask, version, SEND, id=MINE, body="hello")
            assert (await hear(client))["type"] == "next"
            await end(client)

    await follow()
    before = alive(OF_ONE_SOCKET)
    for _ in range(TIMES):
        await follow()
    await asyncio.sleep(0.5)

    grown = alive(OF_ONE_SOCKET) - before
    assert all(count <= 2 for count in grown.values()), grown


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_what_was_followed_waits_for_the_collector_while_the_socket_lives(
    running: Product, version: str
):
    url = f"{running.url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
    async with dial(url, init=False) as client:
        await say(client, type="connection_init", payload=SERVICE)
        assert await hear(client) == {"type": "connection_ack"}
        before = alive(OF_ONE_TAIL)
        for number in range(TIMES):
            await subscribe(client, str(number), FOLLOW, id=MINE)
            await asyncio.sleep(0.05)
            await say(client, type="complete", id=str(number))
        await asyncio.sleep(0.5)

        grown = alive(OF_ONE_TAIL) - before
        assert all(count <= 2 for count in grown.values()), grown
