"""What an operation made is freed with its answer, and not when the garbage collector comes by.

Circles of objects are found only by a look at everything that lives, in which nobody is served.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.reliability.product import BODIES, MINE, SEND, Product

TIMES = 20
OF_ONE_OPERATION = {
    "gateway.graphql.freed.FreedExecution",
    "gateway.graphql.context.Context",
    "gateway.app.unread_body.Outlet",
    "uvicorn.protocols.http.httptools_impl.RequestResponseCycle",
    "gateway.welkin.attempts._Call",
    "tenacity.asyncio.AsyncRetrying",
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """Count what lives of the kinds that each operation has of its own."""
    kinds = (type(each) for each in gc.get_objects())
    names = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter({name: names[name] for name in OF_ONE_OPERATION})


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
    before = alive()
    for number in range(TIMES):
        answer = running.ask(version, QUERIES[name], id=MINE, body=f"number {number}")
        assert "errors" not in answer

    grown = alive() - before
    # The last answer's own objects may still be on their way out.
    assert all(count <= 2 for count in grown.values()), grown
    assert running.calls() > 0
