"""GraphQL over server-sent events: when it is spoken, how it looks, and that it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest

from gateway.domain.errors import Forbidden
from gateway.web.options import WebOptions
from tests.api.asking import wait_until
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve

STREAM = {"Accept": "text/event-stream"}
FOLLOW = {
    "query": "subscription($id: ID!) { messageAdded(patientId: $id) { node { body } } }",
    "variables": {"id": PATIENT},
}
OPTIONS = WebOptions(keep_alive_seconds=0.2, get_queries=True, show_cost=False)


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    with serve(web_of(fake, options=OPTIONS)) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


def events(text: str) -> list[tuple[str, Any]]:
    """Read events by the standard's rules; comments are pings."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in block.splitlines()
        )
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]) if fields.get("data") else None))
    return found


def test_a_query_runs_as_a_stream_of_one_event_where_that_is_preferred(client: httpx2.Client) -> None:
    answer = client.post("/graphql", json={"query": "{ instance { name } }"}, headers=STREAM)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "\r" not in answer.text
    assert events(answer.text) == [("next", {"data": {"instance": {"name": "sb-demo"}}}), ("complete", None)]


def test_a_query_by_get_streams_too(client: httpx2.Client) -> None:
    answer = client.get("/graphql", params={"query": "{ __typename }"}, headers=STREAM)

    assert events(answer.text) == [("next", {"data": {"__typename": "Query"}}), ("complete", None)]


@pytest.mark.parametrize(
    "accept",
    [
        "application/graphql-response+json, application/json, text/event-stream, multipart/mixed",
        "application/json, text/event-stream;q=0.9",
        "text/event-stream;q=0.5, */*",
    ],
)
def test_clients_that_merely_list_streams_get_json(client: httpx2.Client, accept: str) -> None:
    """The client urql lists it in every request."""
    answer = client.post("/graphql", json={"query": "{ __typename }"}, headers={"Accept": accept})

    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json, text/event-stream", "*/*"])
def test_a_subscription_streams_wherever_streams_are_taken(
    client: httpx2.Client, fake: FakeInstance, accept: str
) -> None:
    with client.stream("POST", "/graphql", json=FOLLOW, headers={"Accept": accept}) as answer:
        wait_until(lambda: fake.followers == 1)
        fake.receive("fresh")
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "fresh" in text:
                break

    assert events(text) == [("next", {"data": {"messageAdded": {"node": {"body": "fresh"}}}})]
    wait_until(lambda: fake.followers == 0)


def test_a_subscription_needs_a_stream(client: httpx2.Client) -> None:
    answer = client.post("/graphql", json=FOLLOW, headers={"Accept": "application/json"})

    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (406, "BAD_USER_INPUT")


def test_a_quiet_stream_is_kept_alive(client: httpx2.Client) -> None:
    with client.stream("POST", "/graphql", json=FOLLOW, headers=STREAM) as answer:
        pieces = answer.iter_text()
        began = time.monotonic()
        text = "".join(next(pieces) for _ in range(3))

    assert text == ":\n\n" * 3
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nope }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { messageAdded(patientId: "a/b") { cursor } }', "BAD_USER_INPUT"),
        ('subscription { messageAdded(patientId: "p", after: "x") { cursor } }', "INVALID_CURSOR"),
    ],
)
def test_what_cannot_run_is_one_event_with_its_code(client: httpx2.Client, query: str, code: str) -> None:
    answer = client.post("/graphql", json={"query": query}, headers=STREAM)

    (kind, body), last = events(answer.text)
    assert (kind, body["errors"][0]["extensions"]["code"], last) == ("next", code, ("complete", None))
    assert "data" not in body


def test_an_error_of_the_live_tail_ends_the_stream(client: httpx2.Client, fake: FakeInstance) -> None:
    with client.stream("POST", "/graphql", json=FOLLOW, headers=STREAM) as answer:
        wait_until(lambda: fake.followers == 1)
        fake.fail(Forbidden("The credentials do not allow this."))
        text = answer.read().decode()

    (kind, body), last = events(text)
    assert (kind, body["errors"][0]["extensions"]["code"], last) == ("next", "FORBIDDEN", ("complete", None))


def test_bad_requests_and_mutations_by_get_are_no_streams(client: httpx2.Client) -> None:
    malformed = client.post("/graphql", content=b"{", headers={**STREAM, "Content-Type": "application/json"})
    mutation = client.get(
        "/graphql",
        params={
            "query": 'mutation { sendMessage(input: {patientId: "p", body: "x"}) { messageEdge { cursor } } }'
        },
        headers=STREAM,
    )

    assert (malformed.status_code, mutation.status_code) == (400, 405)


def test_a_client_that_leaves_ends_its_tail_at_once(client: httpx2.Client, fake: FakeInstance) -> None:
    with client.stream("POST", "/graphql", json=FOLLOW, headers=STREAM):
        wait_until(lambda: fake.followers == 1)

    wait_until(lambda: fake.followers == 0)


def test_at_shutdown_a_stream_ends_without_complete(fake: FakeInstance) -> None:
    """So that its client comes back, elsewhere."""
    app = web_of(fake, options=OPTIONS)

    async def hearing_drain(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        if scope.get("path") == "/drain":
            app.state.drain.set()
        await app(scope, receive, send)

    with (
        serve(hearing_drain) as base_url,
        httpx2.Client(base_url=base_url) as client,
        client.stream("POST", "/graphql", json=FOLLOW, headers=STREAM) as answer,
    ):
        wait_until(lambda: fake.followers == 1)
        httpx2.post(f"{base_url}/drain")
        text = answer.read().decode()
        assert text.endswith("\n\n: the server restarts; resume after the last id\nretry: 1000\n\n")
        assert events(text) == []
        refused = client.post("/graphql", json=FOLLOW, headers=STREAM)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["errors"][0]["extensions"]["code"] == "OVERLOADED"
    assert fake.followers == 0


def test_every_event_has_its_cursor_as_its_id_whatever_was_selected(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    query = "subscription($id: ID!) { it: messageAdded(patientId: $id) { cursor: node { body } } }"
    asked = {"query": query, "variables": {"id": PATIENT}}
    with client.stream("POST", "/graphql", json=asked, headers=STREAM) as answer:
        wait_until(lambda: fake.followers == 1)
        fake.receive("a")
        fake.receive("b")
        lines = answer.iter_lines()
        ids = [next(line for line in lines if line.startswith("id:")) for _ in range(2)]

    assert ids == ["id: cursor:IM0003", "id: cursor:IM0004"]


@pytest.mark.parametrize("after", [None, "cursor:IM0000", "forged"])
def test_the_last_id_that_a_client_saw_counts_before_the_documents_cursor(
    client: httpx2.Client, after: str | None
) -> None:
    """A client that comes back sends the request that it began with, and the header."""
    query = """subscription($id: ID!, $after: String) {
        messageAdded(patientId: $id, after: $after) { node { body } }
    }"""
    asked = {"query": query, "variables": {"id": PATIENT, "after": after}}
    headers = {**STREAM, "Last-Event-ID": "cursor:IM0001"}
    with client.stream("POST", "/graphql", json=asked, headers=headers) as answer:
        lines = [line for line in read_event(answer) if not line.startswith(":")]

    assert lines == [
        "event: next",
        "id: cursor:IM0002",
        'data: {"data":{"messageAdded":{"node":{"body":"message 2"}}}}',
    ]


def test_an_empty_last_id_is_none(client: httpx2.Client) -> None:
    query = 'subscription($id: ID!) { messageAdded(patientId: $id, after: "cursor:IM0001") { cursor } }'
    asked = {"query": query, "variables": {"id": PATIENT}}
    with client.stream("POST", "/graphql", json=asked, headers={**STREAM, "Last-Event-ID": ""}) as answer:
        assert "id: cursor:IM0002" in read_event(answer)


@pytest.mark.parametrize("last_id", [b"forged", b"cursor:IM9999", b"\xe9\xff"])
def test_a_last_id_that_is_no_cursor_is_refused(client: httpx2.Client, last_id: bytes) -> None:
    headers = [(b"Accept", b"text/event-stream"), (b"Last-Event-ID", last_id)]
    answer = client.post("/graphql", json=FOLLOW, headers=headers)

    (kind, body), last = events(answer.text)
    assert (kind, body["errors"][0]["extensions"]["code"], last) == (
        "next",
        "INVALID_CURSOR",
        ("complete", None),
    )
    assert "id:" not in answer.text


def read_event(answer: httpx2.Response) -> list[str]:
    """Read the lines up to the end of the first event that has data."""
    lines: list[str] = []
    for line in answer.iter_lines():
        if not line and any(each.startswith("data:") for each in lines):
            return [each for each in lines if each]
        lines.append(line)
    raise AssertionError("The stream ended.")
