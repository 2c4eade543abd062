"""Searching messages, and the conversation around a hit."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx2
import pytest

from gateway.domain.errors import NotFound
from gateway.domain.model import Capability
from tests.api.asking import ask
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve

SEARCH = """query($query: String!, $first: Int, $after: String, $older: Int!, $newer: Int!) {
  searchMessages(query: $query, patientId: "PATIENT", first: $first, after: $after) {
    edges { cursor node { body } context(older: $older, newer: $newer) {
      edges { cursor } nodes { body } pageInfo { hasNextPage hasPreviousPage }
    } }
    nodes { body }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
SIMPLE = '{ searchMessages(query: "message"ARGS) { nodes { body } } }'
AROUND = "{ searchMessages(ARGS) { edges { context(SIZES) { nodes { id } } } } }"


@pytest.fixture
def fake() -> FakeInstance:
    return FakeInstance(messages=6)


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    with serve(web_of(fake)) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


def test_hits_come_newest_first_with_what_stands_around_them(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    answer = ask(client, SEARCH, query="message 3", older=1, newer=2)

    found = answer["data"]["searchMessages"]
    assert found["edges"] == [
        {
            "cursor": "cursor:IM0003",
            "node": {"body": "message 3"},
            "context": {
                "edges": [{"cursor": f"cursor:IM000{number}"} for number in (5, 4, 3, 2)],
                "nodes": [{"body": f"message {number}"} for number in (5, 4, 3, 2)],
                "pageInfo": {"hasNextPage": True, "hasPreviousPage": False},
            },
        }
    ]
    assert found["nodes"] == [{"body": "message 3"}]
    assert fake.calls == ["search", "around"]


def test_pages_of_hits_follow_each_other(client: httpx2.Client) -> None:
    first = ask(client, SEARCH, query="message", first=4, older=0, newer=0)["data"]["searchMessages"]
    cursor = first["pageInfo"]["endCursor"]
    second = ask(client, SEARCH, query="message", after=cursor, older=0, newer=0)["data"]["searchMessages"]

    assert [node["body"] for node in first["nodes"] + second["nodes"]] == [
        f"message {number}" for number in (5, 4, 3, 2, 1, 0)
    ]
    assert first["pageInfo"]["hasNextPage"] is True
    assert second["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": "cursor:IM0001",
        "endCursor": "cursor:IM0000",
    }


def test_hits_without_their_surroundings_cost_one_call(client: httpx2.Client, fake: FakeInstance) -> None:
    ask(client, SIMPLE.replace("ARGS", f', patientId: "{PATIENT}"'))

    assert fake.calls == ["search"]


def test_a_search_of_everybody_needs_an_instance_that_can(client: httpx2.Client, fake: FakeInstance) -> None:
    refused = ask(client, SIMPLE.replace("ARGS", ""))
    fake.capabilities |= {Capability.SEARCH_ALL_PATIENTS}
    fake.receive("message of another patient", "p2")
    found = ask(client, SIMPLE.replace("ARGS", ""))

    assert refused["errors"][0]["extensions"]["code"] == "UNSUPPORTED_BY_UPSTREAM"
    assert {"body": "message of another patient"} in found["data"]["searchMessages"]["nodes"]


@pytest.mark.parametrize("sizes", ["older: -1", "newer: -1", "older: 201", "newer: 201", "older: 2147483647"])
def test_a_size_out_of_range_reads_nothing(client: httpx2.Client, fake: FakeInstance, sizes: str) -> None:
    query = AROUND.replace("ARGS", f'query: "message 3", patientId: "{PATIENT}"').replace("SIZES", sizes)

    error = ask(client, query)["errors"][0]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith(sizes.partition(":")[0])
    assert fake.calls == ["search"]


@pytest.mark.parametrize("arguments", ["first: -1", "first: 201", 'patientId: "../admin"', 'patientId: ""'])
def test_a_wrong_search_reaches_nothing(client: httpx2.Client, fake: FakeInstance, arguments: str) -> None:
    answer = ask(client, SIMPLE.replace("ARGS", f", {arguments}"))

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert fake.calls == []


def test_surroundings_count_towards_what_one_answer_may_show(fake: FakeInstance) -> None:
    """They are read at the same time, so what could come is counted before anything is read."""
    for number in range(40):
        fake.receive(f"message {number}")
    query = AROUND.replace("ARGS", f'query: "message", patientId: "{PATIENT}"')
    with serve(web_of(fake)) as base_url, httpx2.Client(base_url=base_url) as client:
        answer = ask(client, query.replace("SIZES", "older: 200, newer: 200"))

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}
    assert fake.calls.count("around") <= 24


def test_a_hit_that_is_gone_from_its_conversation_says_so(client: httpx2.Client, fake: FakeInstance) -> None:
    async def gone(*_arguments: object) -> None:
        raise NotFound("The message is not in its conversation any more.")

    fake.around = gone

    answer = ask(client, SEARCH, query="message 3", older=1, newer=1)

    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert answer["errors"][0]["path"] == ["searchMessages", "edges", 0, "context"]


def test_what_is_searched_for_is_in_no_log_line(
    client: httpx2.Client, fake: FakeInstance, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail(RuntimeError("canary"))

    with caplog.at_level(logging.DEBUG):
        answer = ask(client, SEARCH, query="canary-text", older=1, newer=1)

    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "canary" not in caplog.text + str(answer)
