"""Every operation of the gateway that asks something of Welkin, each with what is right about its answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from gateway.domain.connection import Filter
from gateway.domain.cursor import CursorKeys, Cursors
from gateway.domain.model import Conversation, InstanceName
from gateway.domain.target import Position
from tests.faults.asked import Failed, Visit
from tests.faults.pulse import STALL
from tests.faults.rig import BRIEF, CURSOR_KEY, FILE, HOOK, MESSAGES, PATIENT

LIST = """query ($id: ID!, $first: Int, $after: String) { patient(patientId: $id) {
  messages(first: $first, after: $after) {
    nodes { body } pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
RECORD = "query ($id: ID!) { patient(patientId: $id) { patientId firstName lastName birthDate } }"
SEARCH = """query ($id: ID, $text: String!, $first: Int) {
  searchMessages(query: $text, patientId: $id, first: $first) {
    nodes { body } pageInfo { hasNextPage hasPreviousPage } } }"""
CONTEXT = """query ($id: ID, $text: String!) { searchMessages(query: $text, patientId: $id, first: 1) {
  edges { context(older: 2, newer: 2) { nodes { body } } } } }"""
PATIENTS = "{ patients(first: 3) { nodes { patientId lastName } pageInfo { hasNextPage } } }"
PORTAL = """query ($token: String!, $first: Int) { portalMessages(token: $token, first: $first) {
  nodes { body } pageInfo { hasNextPage hasPreviousPage } } }"""
SEND = """mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { messageEdge { node { externalId body } } } }"""
FOLLOW = """subscription ($id: ID!, $after: String) {
  messageAdded(patientId: $id, after: $after) { node { body } } }"""
T = TypeVar("T")
NUMBERS = itertools.count()

BOTH = ("v1", "v2")


async def nothing(_visit: Visit) -> None:
    """Ask nothing."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation. ``run`` ends with the right answer or raises ``Failed``; anything else is a defect."""

    name: str
    method: str
    """The method of the port that it needs."""
    upstream: str
    """How the sandbox's log calls what that method asks."""
    run: Callable[[Visit], Awaitable[None]]
    versions: tuple[str, ...] = BOTH
    afterwards: Callable[[Visit], Awaitable[None]] = nothing
    """What must still be true when all is well again."""


async def read_page(visit: Visit) -> None:
    data = await visit.ask(LIST, id=PATIENT, first=5)

    page = data["patient"]["messages"]
    assert bodies(page) == visit.place.texts()[:5]
    assert flags(page) == (True, False)


async def walk(visit: Visit) -> None:
    """Three pages, which are all there are."""
    texts, cursor = visit.place.texts(), None
    for number in range(3):
        page = (await visit.ask(LIST, id=PATIENT, first=3, after=cursor))["patient"]["messages"]
        assert bodies(page) == texts[number * 3 : number * 3 + 3]
        assert flags(page) == (number < 2, number > 0)
        cursor = page["pageInfo"]["endCursor"]


async def read_record(visit: Visit) -> None:
    data = await visit.ask(RECORD, id=PATIENT)

    assert data["patient"] == {
        "patientId": PATIENT,
        "firstName": "Canaria",
        "lastName": "Canary",
        "birthDate": "1990-01-01",
    }


async def search(visit: Visit) -> None:
    page = (await visit.ask(SEARCH, id=PATIENT, text="apple", first=5))["searchMessages"]

    assert bodies(page) == [text for text in visit.place.texts() if "apple" in text][:5]
    assert flags(page) == (True, False)


async def search_with_context(visit: Visit) -> None:
    data = await visit.ask(CONTEXT, id=PATIENT, text="apple 5")

    (edge,) = data["searchMessages"]["edges"]
    at = MESSAGES - 1 - 5
    assert bodies(edge["context"]) == visit.place.texts()[at - 2 : at + 3]


async def list_patients(visit: Visit) -> None:
    page = (await visit.ask(PATIENTS))["patients"]

    assert page["nodes"] == [{"patientId": f"other-{n}", "lastName": "Canaria"} for n in range(3)]
    assert page["pageInfo"] == {"hasNextPage": True}


async def read_portal(visit: Visit) -> None:
    token = visit.place.sandbox.credentials.portal_token(PATIENT, 60)

    page = (await visit.ask(PORTAL, token=token, first=5))["portalMessages"]

    assert bodies(page) == visit.place.texts()[:5]
    assert flags(page) == (True, False)


async def read_file(visit: Visit) -> None:
    assert await visit.read_file() == FILE.content


async def send(visit: Visit) -> None:
    await send_text(visit, f"canary sent {next(NUMBERS)}")


async def send_with_key(visit: Visit) -> None:
    """Send with a key that is remembered, for ``send_again``."""
    number = next(NUMBERS)
    text = f"canary sent {number}"
    visit.keys[text] = None
    visit.keys[text] = await send_text(visit, text, key=text)


async def stay_unsent(visit: Visit) -> None:
    """Look for messages that arrived after the gateway had said that they were not sent."""
    assert not set(visit.unsent) & set(visit.place.texts(BRIEF)), "sent later"


async def send_again(visit: Visit) -> None:
    """Send all that was tried once more, with the same keys; nothing may be there twice."""
    for text, told in visit.keys.items():
        again = await send_in_time(visit, text)
        if isinstance(again, Failed):
            assert again.code == "SEND_UNCONFIRMED", f"a key gives {again}"
            assert told is None, "a key that gave a message gives none now"
        else:
            assert told in (None, again), "a key gives another message than before"


async def send_in_time(visit: Visit, text: str) -> str | Failed:
    """Send with a key; once more where the machine took the time, so that the send did not begin."""
    while True:
        lost = visit.place.pulse.lost
        sent = await settled(send_text(visit, text, key=text))
        too_late = isinstance(sent, Failed) and sent.code == "OVERLOADED"
        if not too_late or visit.place.pulse.lost - lost <= STALL:
            return sent


async def send_text(visit: Visit, text: str, key: str | None = None) -> str:
    """Send a message, and look in the conversation how often it is there; gives its id."""
    asked = {"patientId": BRIEF, "body": text, "idempotencyKey": key}
    data = await settled(visit.ask(SEND, input=asked))
    count = visit.place.texts(BRIEF).count(text)
    if isinstance(data, Failed):
        assert count <= (data.code == "SEND_UNCONFIRMED"), "sent, and not told"
        if data.code != "SEND_UNCONFIRMED" and key is None:
            visit.unsent.append(text)
        raise data
    assert count == 1
    node = data["sendMessage"]["messageEdge"]["node"]
    assert node["body"] == text
    sent = next(m for m in visit.place.sandbox.store.history(BRIEF) or () if m.text == text)
    assert node["externalId"] == (sent.v1_id if visit.place.version == "v1" else sent.v2_id)
    return node["externalId"]


async def settled(running: Awaitable[T]) -> T | Failed:
    """Give how an operation ended, be it that it failed."""
    try:
        return await running
    except Failed as failed:
        return failed


async def follow(visit: Visit) -> None:
    """Subscribe, and get the two messages that are written then, each once and in order."""
    url = f"{visit.place.url}/graphql".replace("http", "ws", 1)
    async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        after = cursor_of_newest(visit)
        await socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": FOLLOW, "variables": {"id": BRIEF, "after": after}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        for number in (1, 2):
            text = f"canary written {number} {next(NUMBERS)}"
            visit.place.say(text, BRIEF)
            await ring(visit)
            assert await next_event(visit, socket) == text


async def ring(visit: Visit) -> None:
    """Send the chat webhook."""
    body = {
        "tenantName": "gh",
        "instanceName": visit.place.name,
        "patientId": BRIEF,
        "message": "not looked at",
        "patientUrl": "",
    }
    headers = {
        "X-WEBHOOK-API-KEY": HOOK["webhook_key"],
        "X-WEBHOOK-API-SECRET": HOOK["webhook_secret"],
    }
    answer = await visit.http.post(f"{visit.place.url}/webhooks/chat", json=body, headers=headers)
    assert answer.status_code < 300, answer.text


async def next_event(visit: Visit, socket: ClientConnection) -> str:
    """Give the text of the next message that is delivered."""
    while (message := json.loads(await socket.recv()))["type"] == "ping":
        await socket.send(json.dumps({"type": "pong"}))
    if message["type"] == "error":
        raise visit.failed(message["payload"])
    assert message["type"] == "next", message
    assert message["payload"].keys() == {"data"}, message["payload"].keys()
    return message["payload"]["data"]["messageAdded"]["node"]["body"]


def cursor_of_newest(visit: Visit) -> str:
    """Make the cursor of the newest message, as a gateway with the same key would have."""
    conversation = Conversation(InstanceName("gh", visit.place.name), BRIEF)
    cursors = Cursors(CursorKeys.from_secrets([CURSOR_KEY]), conversation, edition=visit.place.version)
    newest = list(visit.place.sandbox.store.history(BRIEF) or ())[-1]
    external_id = newest.v1_id if visit.place.version == "v1" else newest.v2_id
    time = datetime.fromtimestamp(newest.provider_ms / 1000, UTC)
    return cursors.make(Position(external_id, time), Filter())


def bodies(connection: dict[str, Any]) -> list[str]:
    """Give the texts of a page."""
    return [node["body"] for node in connection["nodes"]]


def flags(connection: dict[str, Any]) -> tuple[bool, bool]:
    """Give whether there is more behind a page, and before it."""
    return connection["pageInfo"]["hasNextPage"], connection["pageInfo"]["hasPreviousPage"]


OPERATIONS = (
    Operation("read a page", "list_messages", "list", read_page),
    Operation("walk three pages", "list_messages", "list", walk),
    Operation("read a record", "patient", "patient", read_record),
    Operation("search", "search_messages", "search", search),
    Operation("search with context", "search_messages", "search", search_with_context, ("v1",)),
    Operation("list patients", "list_patients", "patients", list_patients),
    Operation("read by chat token", "list_portal_messages", "portal", read_portal, ("v2",)),
    Operation("read a file", "open_file", "file", read_file, ("v2",)),
    Operation("send", "send_message", "send", send, afterwards=stay_unsent),
    Operation("send with a key", "send_message", "send", send_with_key, afterwards=send_again),
    Operation("follow", "list_messages", "list", follow),
)
