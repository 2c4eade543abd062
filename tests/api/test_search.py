"""Search and the conversation around a hit, from outside, on both versions."""

from __future__ import annotations

import base64
import re

import pytest

from gateway.sandbox import SandboxConfig
from gateway.sandbox.conversations import CLOCKS, LONG, SHORT, TIES
from tests.api.system import MESSAGES, System, system

SEARCH = """
query ($query: String!, $id: ID, $first: Int, $after: String, $older: Int! = 3, $newer: Int! = 2) {
  searchMessages(query: $query, patientId: $id, first: $first, after: $after) {
    edges {
      cursor
      node { id externalId body createdAt patient { patientId } }
      context(older: $older, newer: $newer) {
        edges { cursor node { id body createdAt } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
IDS = "query ($id: ID!) { patient(patientId: $id) { messages(first: 200) { nodes { id body createdAt } } } }"


@pytest.fixture(scope="module")
def running():
    with system() as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


def search(running: System, version: str, query: str, **variables) -> dict:
    return running.query(version, SEARCH, query=query, **variables)["searchMessages"]


def hits_of(running: System, patient_id: str, query: str) -> list[str]:
    """Give what has to be found, newest first."""
    history = reversed(list(running.sandbox.store.history(patient_id)))
    return [
        message.text for message in history if query.lower() in message.text.lower() and not message.archived
    ]


@pytest.mark.parametrize("size", [1, 3, 200])
def test_every_hit_is_found_once_newest_first(running, version, size):
    expected = hits_of(running, LONG, "pharmacy")
    found: list[str] = []
    cursor = None
    while True:
        page = search(running, version, "Pharmacy", id=LONG, first=size, after=cursor, older=0, newer=0)
        found += [edge["node"]["body"] for edge in page["edges"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert len(expected) > 3
    assert found == expected


def test_the_context_of_a_hit_is_the_list_around_it_and_its_cursors_continue_there(running, version):
    listed = running.query(version, IDS, id=LONG)["patient"]["messages"]["nodes"]
    order = [node["id"] for node in listed]
    page = search(running, version, "pharmacy", id=LONG, first=3)

    for edge in page["edges"]:
        at = order.index(edge["node"]["id"])
        around = edge["context"]
        assert [e["node"]["id"] for e in around["edges"]] == order[max(0, at - 2) : at + 4]
        assert around["pageInfo"]["hasPreviousPage"] == (at > 2)
        following = running.messages(version, LONG, first=4, after=around["pageInfo"]["endCursor"])
        assert [e["node"]["body"] for e in following["edges"]] == [n["body"] for n in listed[at + 4 : at + 8]]
        before = running.messages(version, LONG, last=2, before=around["pageInfo"]["startCursor"])
        assert [e["node"]["body"] for e in before["edges"]] == [
            n["body"] for n in listed[max(0, at - 4) : max(0, at - 2)]
        ]


@pytest.mark.parametrize("patient_id", [CLOCKS, TIES])
def test_one_message_has_one_id_and_the_lists_time_wherever_it_is_shown(running, version, patient_id):
    listed = {n["id"]: n for n in running.query(version, IDS, id=patient_id)["patient"]["messages"]["nodes"]}

    page = search(running, version, "a", id=patient_id, older=2, newer=2)

    assert page["edges"]
    for edge in page["edges"]:
        assert edge["node"]["createdAt"] == listed[edge["node"]["id"]]["createdAt"]
        for near in edge["context"]["edges"]:
            assert near["node"] == listed[near["node"]["id"]]


def test_without_a_patient_v2_searches_all_and_v1_says_that_it_cannot(running):
    page = search(running, "v2", "pharmacy", first=200, older=0, newer=0)

    patients = {edge["node"]["patient"]["patientId"] for edge in page["edges"]}
    assert len(patients) > 1
    before = running.sandbox.requests.count("v1.search")
    assert running.code("v1", SEARCH, query="pharmacy") == "UNSUPPORTED_BY_UPSTREAM"
    assert running.sandbox.requests.count("v1.search") == before


@pytest.mark.parametrize("query", ["", "   ", "x" * 501, "a\0b"])
def test_a_query_that_cannot_be_searched_for_is_refused_unsent(running, version, query):
    before = running.sandbox.requests.count(f"{version}.search")

    assert running.code(version, SEARCH, query=query, id=LONG) == "BAD_USER_INPUT"

    assert running.sandbox.requests.count(f"{version}.search") == before


def test_a_cursor_continues_only_its_own_search_and_does_not_show_the_text(running, version):
    page = search(running, version, "pharmacy", id=LONG, first=1, older=0, newer=0)
    cursor = page["edges"][0]["cursor"]
    place = page["edges"][0]["context"]["edges"][0]["cursor"]

    assert running.code(version, SEARCH, query="walk", id=LONG, after=cursor) == "INVALID_CURSOR"
    assert running.code(version, SEARCH, query="pharmacy", id=SHORT, after=cursor) == "INVALID_CURSOR"
    assert running.code(version, MESSAGES, id=LONG, after=cursor) == "INVALID_CURSOR"
    assert running.code(version, SEARCH, query="pharmacy", id=LONG, after=place) == "INVALID_CURSOR"
    assert b"pharmacy" not in decoded(cursor) + decoded(place)


def decoded(cursor: str) -> bytes:
    """Decode base64 as often as it goes: Welkin's tokens lie inside ours."""
    seen = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for token in re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", seen):
        seen += base64.b64decode(token + b"=" * (-len(token) % 4))
    return seen


def test_a_message_that_arrives_is_found_by_the_next_search(running, version):
    text = f"A word that nobody wrote before: xylophone{version}"
    assert search(running, version, f"xylophone{version}", id=SHORT)["edges"] == []

    running.control("POST", "messages", {"patientId": SHORT, "from": "care_team", "text": text, "wait": True})

    for _ in range(30):
        edges = search(running, version, f"xylophone{version}", id=SHORT)["edges"]
        if edges:
            break
    assert [edge["node"]["body"] for edge in edges] == [text]


def test_the_context_of_a_deep_hit_costs_a_bounded_number_of_reads(version):
    with system(SandboxConfig(conversations=False), cache={"ttl_seconds": 0}) as deep:
        deep.control("POST", "patients", {"patientId": "deep"})
        deep.control("POST", "bulk", {"patientId": "deep", "count": 50_000, "text": "Message {n}."})
        before = deep.lists(version)

        (edge,) = search(deep, version, "Message 123.", id="deep")["edges"]

        assert [e["node"]["body"] for e in edge["context"]["edges"]] == [
            f"Message {n}." for n in (125, 124, 123, 122, 121, 120)
        ]
        assert deep.lists(version) - before <= 40
