"""What the fields give, what they cost upstream, and what they refuse."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.domain.errors import UpstreamRateLimited, UpstreamTimeout
from gateway.domain.identity import patient_node_id
from gateway.domain.model import Conversation
from tests.api.asking import MESSAGES, SEND, ask
from tests.api.fakes import GH, PATIENT, FakeInstance


def test_a_page_of_messages_comes_newest_first(client: httpx2.Client) -> None:
    answer = ask(client, MESSAGES, "/gh/sb-demo/graphql", id=PATIENT)

    assert answer == {
        "data": {
            "patient": {
                "messages": {
                    "nodes": [
                        {"body": "message 2", "createdAt": "2021-03-05T16:09:54.655Z"},
                        {"body": "message 1", "createdAt": "2021-03-05T16:09:53.655Z"},
                    ]
                }
            }
        }
    }


def test_pages_follow_each_other_by_cursor(client: httpx2.Client) -> None:
    query = """query($after: String) { patient(patientId: "PATIENT") { messages(first: 2, after: $after) {
        edges { cursor node { body } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""

    first = ask(client, query)["data"]["patient"]["messages"]
    second = ask(client, query, after=first["pageInfo"]["endCursor"])["data"]["patient"]["messages"]

    assert [edge["node"]["body"] for edge in first["edges"] + second["edges"]] == [
        "message 2",
        "message 1",
        "message 0",
    ]
    assert second["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": "cursor:IM0000",
        "endCursor": "cursor:IM0000",
    }


def test_since_takes_any_offset(client: httpx2.Client) -> None:
    query = """query($since: DateTime) {
        patient(patientId: "PATIENT") { messages(since: $since) { nodes { body } } }
    }"""

    answer = ask(client, query, since="2021-03-05T18:09:53.655+02:00")

    assert answer["data"]["patient"]["messages"]["nodes"] == [{"body": "message 2"}]


def test_the_record_is_read_only_where_one_of_its_fields_is_selected(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    ask(client, '{ patient(patientId: "PATIENT") { id patientId messages { nodes { body } } } }')
    assert "patient" not in fake.calls

    ask(
        client,
        'query($yes: Boolean!) { patient(patientId: "PATIENT") { ...F } } '
        "fragment F on Patient { firstName @skip(if: $yes) ... on Node { id } }",
        yes=True,
    )
    assert "patient" not in fake.calls

    answer = ask(
        client,
        'query($yes: Boolean!) { patient(patientId: "PATIENT") { ...F } } '
        "fragment F on Patient { given: firstName @include(if: $yes) birthDate }",
        yes=True,
    )
    assert answer == {"data": {"patient": {"given": "Ada", "birthDate": "1815-12-10"}}}
    assert fake.calls.count("patient") == 1


def test_messages_of_one_patient_share_one_record_read(client: httpx2.Client, fake: FakeInstance) -> None:
    answer = ask(
        client,
        '{ patient(patientId: "PATIENT") { messages { '
        "nodes { patient { firstName mrn } } edges { node { patient { id lastName } } } } } }",
    )

    assert answer["data"]["patient"]["messages"]["nodes"][0] == {"patient": {"firstName": "Ada", "mrn": None}}
    assert fake.calls == ["messages", "patient"]


def test_messages_show_their_patient_without_a_read_where_the_id_is_enough(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    ask(client, '{ patient(patientId: "PATIENT") { messages { nodes { patient { id patientId } } } } }')

    assert fake.calls == ["messages"]


def test_an_unknown_patient_is_null(client: httpx2.Client) -> None:
    assert ask(client, '{ patient(patientId: "nobody") { firstName } }') == {"data": {"patient": None}}


def test_a_bad_patient_id_reaches_nothing(client: httpx2.Client, fake: FakeInstance) -> None:
    for bad in ("../admin", "a/b", "a%2Fb", "", ".", "a\0b", "a" * 129):
        answer = ask(client, "query($id: ID!) { patient(patientId: $id) { firstName } }", id=bad)
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert answer["data"] == {"patient": None}

    assert fake.calls == []


def test_a_node_is_found_by_its_global_id_on_its_own_instance_only(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    node_id = patient_node_id(Conversation(GH, PATIENT))
    query = "query($id: ID!) { node(id: $id) { __typename id ... on Patient { firstName } } }"

    assert ask(client, query, id=node_id)["data"]["node"] == {
        "__typename": "Patient",
        "id": node_id,
        "firstName": "Ada",
    }
    assert ask(client, query, "/acme-health/live/graphql", id=node_id) == {"data": {"node": None}}
    assert ask(client, query, id="bm9ib2R5") == {"data": {"node": None}}
    assert ask(client, query, id=patient_node_id(Conversation(GH, "nobody"))) == {"data": {"node": None}}
    assert fake.calls == ["patient", "patient"]


def test_nodes_keep_their_order_and_their_limit(client: httpx2.Client) -> None:
    node_id = patient_node_id(Conversation(GH, PATIENT))
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert ask(client, query, ids=["x", node_id])["data"]["nodes"] == [None, {"id": node_id}]
    assert ask(client, query, ids=["x"] * 101)["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_the_instance_describes_itself(client: httpx2.Client) -> None:
    answer = ask(client, "{ instance { tenant name apiVersion capabilities } }")

    assert answer["data"]["instance"] == {
        "tenant": "gh",
        "name": "sb-demo",
        "apiVersion": "V1",
        "capabilities": ["ARCHIVE_FILTER", "SENDER_NAMES"],
    }


def test_sending_twice_with_one_key_sends_once(client: httpx2.Client, fake: FakeInstance) -> None:
    message = {"patientId": PATIENT, "body": "h\u00e9llo \U0001f469\u200d\U0001f680", "idempotencyKey": "k-1"}

    once, again = (ask(client, SEND, input=message) for _ in range(2))

    assert once == again
    assert [sent.body for sent in fake.conversations[PATIENT][3:]] == [
        "h\u00e9llo \U0001f469\u200d\U0001f680"
    ]


def test_an_attachment_needs_no_text_and_shows_its_path(client: httpx2.Client) -> None:
    answer = ask(client, SEND, input={"patientId": PATIENT, "body": "", "attachmentId": "f-1"})

    node = answer["data"]["sendMessage"]["messageEdge"]["node"]
    assert node["attachments"] == [{"id": "f-1", "url": "/gh/sb-demo/files/f-1"}]


@pytest.mark.parametrize(
    "message",
    [
        {"body": "  \n"},
        {"body": "a\0b"},
        {"body": "\u00e9" * 32769},
        {"body": "x", "idempotencyKey": ""},
        {"body": "x", "idempotencyKey": "k" * 256},
        {"body": "x", "idempotencyKey": "a\nb"},
        {"body": "x", "attachmentId": "../f"},
        {"body": "x", "patientId": "a/b"},
    ],
)
def test_what_cannot_be_a_message_is_not_sent(
    client: httpx2.Client, fake: FakeInstance, message: dict[str, str]
) -> None:
    answer = ask(client, SEND, input={"patientId": PATIENT, **message})

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert fake.calls == []


def test_what_the_instance_cannot_do_says_so(client: httpx2.Client) -> None:
    for query in (
        '{ searchMessages(query: "x") { nodes { id } } }',
        '{ portalMessages(token: "t") { nodes { id } } }',
    ):
        assert ask(client, query)["errors"][0]["extensions"]["code"] == "UNSUPPORTED_BY_UPSTREAM"


def test_a_wrong_window_reaches_nothing(client: httpx2.Client, fake: FakeInstance) -> None:
    for window in ("first: -1", "first: 201", "last: 1000000", "first: 1, last: 1", "first: 2147483648"):
        query = f'{{ patient(patientId: "PATIENT") {{ messages({window}) {{ nodes {{ id }} }} }} }}'
        assert ask(client, query)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", window

    assert fake.calls == []


def test_an_upstream_error_keeps_its_code_and_spares_the_rest(
    client: httpx2.Client, fake: FakeInstance
) -> None:
    fake.fail(UpstreamRateLimited("Welkin asks to slow down.", retry_after=3.5))

    answer = ask(client, '{ instance { name } patient(patientId: "PATIENT") { firstName } }')

    assert answer == {
        "data": {"instance": {"name": "sb-demo"}, "patient": None},
        "errors": [
            {
                "message": "Welkin asks to slow down.",
                "locations": [{"line": 1, "column": 21}],
                "path": ["patient"],
                "extensions": {"code": "UPSTREAM_RATE_LIMITED", "retryAfter": 3.5},
            }
        ],
    }


def test_one_answer_shows_a_bounded_number_of_messages(client: httpx2.Client, fake: FakeInstance) -> None:
    for number in range(150):
        fake.receive(f"more {number}")
    inner = "messages(first: 150) { nodes { id } }"
    query = '{ patient(patientId: "PATIENT") { messages(first: 150) { nodes { patient { INNER } } } } }'

    answer = ask(client, query.replace("INNER", inner))

    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_a_timeout_is_an_error_of_its_field_alone(client: httpx2.Client, fake: FakeInstance) -> None:
    fake.fail(UpstreamTimeout("Welkin did not answer in time."))

    answer = await asyncio.to_thread(ask, client, MESSAGES, id=PATIENT)

    assert answer["errors"][0]["extensions"] == {"code": "UPSTREAM_TIMEOUT"}
    assert answer["errors"][0]["path"] == ["patient", "messages"]
