"""The main job from outside: one conversation, the same from either version, page by page."""

from __future__ import annotations

import httpx2
import pytest

from gateway.sandbox import SandboxConfig
from gateway.sandbox.conversations import ARCHIVED, CLOCKS, EMPTY, LONG, SHORT, TIES
from tests.api.system import MESSAGES, PATHS, System, gateway, system

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def running():
    with system() as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


def bodies(nodes: list[dict]) -> list[str]:
    return [node["body"] for node in nodes]


def stored(running: System, patient_id: str) -> list[str]:
    """Give what the sandbox keeps, newest first."""
    return [message.text for message in reversed(list(running.sandbox.store.history(patient_id)))]


def test_the_newest_five_and_the_next_five_by_cursor(running, version):
    newest = running.messages(version, LONG, first=5)
    following = running.messages(version, LONG, first=5, after=newest["pageInfo"]["endCursor"])

    shown = [edge["node"]["body"] for page in (newest, following) for edge in page["edges"]]
    assert shown == stored(running, LONG)[:10]
    assert (newest["pageInfo"]["hasPreviousPage"], newest["pageInfo"]["hasNextPage"]) == (False, True)
    assert (following["pageInfo"]["hasPreviousPage"], following["pageInfo"]["hasNextPage"]) == (True, True)


@pytest.mark.parametrize("size", [1, 7, 50, 100, 200])
@pytest.mark.parametrize("patient_id", [LONG, TIES, SHORT, CLOCKS, EMPTY])
def test_both_versions_give_equal_walks_of_equal_histories(running, patient_id, size):
    if size == 1 and patient_id == LONG:
        size = 13  # the same, in fewer requests

    v1 = running.walk("v1", patient_id, size)
    v2 = running.walk("v2", patient_id, size)

    assert bodies(v1) == bodies(v2) == stored(running, patient_id)
    assert [(n["createdAt"], n["sender"]) for n in v1] == [(n["createdAt"], n["sender"]) for n in v2]


def test_going_back_to_newer_messages_by_before(running, version):
    walked = running.messages(version, LONG, first=200)["edges"]

    page = running.messages(version, LONG, last=30, before=walked[180]["cursor"])
    alone = running.messages(version, LONG, before=walked[20]["cursor"])

    assert page["edges"] == walked[150:180]
    assert [e["node"] for e in alone["edges"]] == [e["node"] for e in walked[:20]]
    assert (alone["pageInfo"]["hasPreviousPage"], alone["pageInfo"]["hasNextPage"]) == (False, True)


def test_last_without_before_is_the_beginning_of_the_conversation(running, version):
    page = running.messages(version, LONG, last=3)

    assert [e["node"]["body"] for e in page["edges"]] == stored(running, LONG)[-3:]
    assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (True, False)


def test_since_leaves_what_is_strictly_newer(running, version):
    tenth = running.messages(version, LONG, first=10)["edges"][9]["node"]["createdAt"]

    nodes = running.walk(version, LONG, 4, since=tenth)

    assert all(node["createdAt"] > tenth for node in nodes)
    assert bodies(nodes) == stored(running, LONG)[: len(nodes)]


def test_archived_messages_show_only_when_asked_for(running):
    open_only = running.walk("v1", ARCHIVED, 3)
    everything = running.walk("v1", ARCHIVED, 3, all=True)

    history = list(running.sandbox.store.history(ARCHIVED))
    assert bodies(everything) == [m.text for m in reversed(history)]
    assert bodies(open_only) == [m.text for m in reversed(history) if not m.archived]
    assert len(open_only) < len(everything)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"first": 1, "last": 1}, "BAD_USER_INPUT"),
        ({"first": -1}, "BAD_USER_INPUT"),
        ({"first": 201}, "BAD_USER_INPUT"),
        ({"last": 1_000_000}, "BAD_USER_INPUT"),
        ({"first": 2**31}, "BAD_USER_INPUT"),
        ({"after": "nonsense"}, "INVALID_CURSOR"),
        ({"before": ""}, "INVALID_CURSOR"),
        ({"since": "yesterday"}, "BAD_USER_INPUT"),
        ({"id": "../admin"}, "BAD_USER_INPUT"),
        ({"id": "a%2Fb"}, "BAD_USER_INPUT"),
        ({"id": UNKNOWN}, "NOT_FOUND"),
    ],
)
def test_what_cannot_be_served_has_its_code_and_costs_no_upstream_read(running, version, arguments, code):
    before = running.lists(version)

    assert running.code(version, MESSAGES, **{"id": LONG, **arguments}) == code

    assert running.lists(version) - before == (1 if code == "NOT_FOUND" else 0)


def test_a_cursor_opens_only_the_conversation_and_filter_it_was_made_for(running):
    cursor = running.messages("v1", LONG, first=1)["pageInfo"]["endCursor"]
    forged = ("A" if cursor[0] != "A" else "B") + cursor[1:]

    assert running.code("v1", MESSAGES, id=TIES, after=cursor) == "INVALID_CURSOR"
    assert running.code("v2", MESSAGES, id=LONG, after=cursor) == "INVALID_CURSOR"
    assert running.code("v1", MESSAGES, id=LONG, after=cursor, all=True) == "INVALID_CURSOR"
    assert running.code("v1", MESSAGES, id=LONG, after=forged) == "INVALID_CURSOR"
    assert running.code("v1", MESSAGES, id=LONG, after=cursor[:-1]) == "INVALID_CURSOR"


def test_the_record_is_asked_for_only_if_a_field_of_it_is_selected(running, version):
    count = running.sandbox.requests.count
    before = count(f"{version}.patient")

    running.messages(version, SHORT, first=1)
    running.query(version, "query ($id: ID!) { patient(patientId: $id) { id patientId } }", id=SHORT)
    unread = count(f"{version}.patient") - before
    record = running.query(version, "query ($id: ID!) { patient(patientId: $id) { firstName } }", id=SHORT)

    assert (unread, count(f"{version}.patient") - before) == (0, 1)
    assert record["patient"]["firstName"]
    assert running.query(
        version, "query ($id: ID!) { patient(patientId: $id) { firstName } }", id=UNKNOWN
    ) == {"patient": None}


def test_reads_are_kept_until_something_tells_of_a_change(running, version):
    running.messages(version, SHORT, first=1)
    before = running.lists(version)

    for _ in range(5):
        running.messages(version, SHORT, first=2)

    assert running.lists(version) == before


def test_v1_is_read_by_either_path_segment(running):
    expected = running.messages("v1", SHORT, first=3)

    with gateway(running.sandbox_url, v1={"patients_segment": "patient"}) as other:
        answer = httpx2.post(
            f"{other}/{PATHS['v1']}/graphql", json={"query": MESSAGES, "variables": {"id": SHORT, "first": 3}}
        ).json()

    assert answer["data"]["patient"]["messages"] == expected


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_page_100_000_messages_down_costs_as_many_requests_as_one_100_down(version):
    with system(SandboxConfig(conversations=False), cache={"ttl_seconds": 0}) as running:
        running.control("POST", "patients", {"patientId": "deep"})
        running.control("POST", "bulk", {"patientId": "deep", "count": 100_300})
        cursors = {depth: deep_cursor(running, version, depth) for depth in (100, 100_000)}
        costs = {}
        for depth, cursor in cursors.items():
            before = running.lists(version)
            page = running.messages(version, "deep", first=50, after=cursor)
            costs[depth] = running.lists(version) - before
            numbers = [int(e["node"]["body"].split()[-1]) for e in page["edges"]]
            assert numbers == list(range(numbers[0], numbers[0] - 50, -1))
            assert numbers[0] == 100_300 - depth

    assert costs[100] == costs[100_000] <= 2, costs


DOWN = """
query ($id: ID!, $first: Int, $after: String) {
  patient(patientId: $id) { messages(first: $first, after: $after) { pageInfo { endCursor } } }
}
"""


def deep_cursor(running: System, version: str, depth: int) -> str:
    """Walk down to a depth in large pages, as a client would, and give the cursor there."""
    cursor, at = None, 0
    while at < depth:
        first = min(200, depth - at)
        data = running.query(version, DOWN, id="deep", first=first, after=cursor)
        cursor, at = data["patient"]["messages"]["pageInfo"]["endCursor"], at + first
    return cursor


def test_cursors_survive_a_restart_and_a_move_to_the_other_version(running, version):
    edges = running.messages(version, TIES, first=200)["edges"]
    middle = edges[len(edges) // 2]
    following = [e["node"]["body"] for e in edges[len(edges) // 2 + 1 :]]
    own_second_on = [
        e["node"]["body"] for e in edges if e["node"]["createdAt"] <= middle["node"]["createdAt"]
    ]

    def read(url: str) -> list[str]:
        answer = httpx2.post(
            f"{url}/{PATHS[version]}/graphql",
            json={"query": MESSAGES, "variables": {"id": TIES, "first": 200, "after": middle["cursor"]}},
        ).json()
        return [e["node"]["body"] for e in answer["data"]["patient"]["messages"]["edges"]]

    with gateway(running.sandbox_url) as restarted:
        assert read(restarted) == following
    with gateway(running.sandbox_url, swap=True) as moved:
        assert read(moved) == own_second_on
