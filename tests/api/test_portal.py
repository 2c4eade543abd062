"""The conversation that a secure patient chat token opens: v2 only, and the token is a secret."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from gateway.sandbox.conversations import EMPTY, LONG, SHORT
from tests.api.system import PATHS, System, system

PORTAL = """
query ($token: String!, $first: Int, $after: String, $last: Int, $before: String) {
  portalMessages(token: $token, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { id body } }
    pageInfo { hasNextPage hasPreviousPage endCursor startCursor }
  }
}
"""
FOLLOW = """
subscription ($token: String!, $after: String) {
  portalMessageAdded(token: $token, after: $after) { cursor node { body } }
}
"""


@pytest.fixture(scope="module")
def running():
    with system(instance={"reconcile_seconds": 2}) as each:
        yield each


@pytest.fixture(params=[True, False], ids=["paged", "at once"])
def paged(request, running):
    running.sandbox.turn(v2_portal_pages=request.param)
    yield request.param
    running.sandbox.turn(v2_portal_pages=True)


def token_for(running: System, patient_id: str, **options) -> str:
    return running.control("POST", "portal-tokens", {"patientId": patient_id, **options})["token"]


def test_a_token_opens_its_whole_conversation_page_by_page(running, paged):
    token = token_for(running, LONG)
    bodies: list[str] = []
    cursor = None
    while True:
        page = running.query("v2", PORTAL, token=token, first=70, after=cursor)["portalMessages"]
        bodies += [edge["node"]["body"] for edge in page["edges"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert bodies == [m.text for m in reversed(list(running.sandbox.store.history(LONG)))]


def test_messages_and_cursors_are_those_of_the_conversation(running):
    token = token_for(running, LONG)

    portal = running.query("v2", PORTAL, token=token, first=5)["portalMessages"]["edges"]
    listed = running.messages("v2", LONG, first=10)["edges"]
    following = running.messages("v2", LONG, first=5, after=portal[4]["cursor"])["edges"]

    assert [e["node"]["body"] for e in portal] == [e["node"]["body"] for e in listed[:5]]
    assert [e["node"] for e in following] == [e["node"] for e in listed[5:]]


def test_a_cursor_of_another_patient_is_refused(running):
    other = running.messages("v2", SHORT, first=1)["pageInfo"]["endCursor"]

    assert running.code("v2", PORTAL, token=token_for(running, LONG), after=other) == "INVALID_CURSOR"


def test_an_empty_conversation_is_empty_and_no_cursor_is_good_there(running):
    token = token_for(running, EMPTY)

    page = running.query("v2", PORTAL, token=token)["portalMessages"]

    assert page["edges"] == []
    assert not page["pageInfo"]["hasNextPage"]
    assert running.code("v2", PORTAL, token=token, after="x") == "INVALID_CURSOR"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_token_that_opens_nothing_is_unauthenticated_however_welkin_says_it(running, status):
    running.sandbox.turn(v2_portal_refusal=status)

    answer = running.post("v2", PORTAL, token="canary-token-7c1d")

    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert "canary" not in json.dumps(answer)
    running.sandbox.turn(v2_portal_refusal=401)


def test_v1_knows_no_such_tokens(running):
    assert running.code("v1", PORTAL, token="t") == "UNSUPPORTED_BY_UPSTREAM"


async def test_what_is_written_reaches_who_follows_by_token(running, paged):
    token = token_for(running, LONG)
    url = f"{running.gateway_url}/{PATHS['v2']}/graphql".replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init"}))
        await socket.recv()
        payload = {"query": FOLLOW, "variables": {"token": token}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        await asyncio.sleep(0.5)

        for number in range(3):
            body = {"patientId": LONG, "from": "care_team", "text": f"To you {number} {paged}"}
            await asyncio.to_thread(running.control, "POST", "messages", body)

        received = []
        async with asyncio.timeout(10):
            while len(received) < 3:
                message = json.loads(await socket.recv())
                if message["type"] == "next":
                    received.append(message["payload"]["data"]["portalMessageAdded"]["node"]["body"])
    assert received == [f"To you {number} {paged}" for number in range(3)]
