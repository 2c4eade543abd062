"""Who may see which conversation, from outside: every door, both kinds of proof, and the trail."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import contextmanager, suppress

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.app import build
from gateway.sandbox import SandboxConfig, create_sandbox
from gateway.sandbox.conversations import FILE_LETTER, LONG, SHORT
from gateway.settings import parse
from tests.api.system import FOLLOW, MESSAGES, SEND
from tests.serving import serve

SEARCH = (
    "query ($query: String!, $id: ID) { searchMessages(query: $query, patientId: $id) { nodes { body } } }"
)
NODE = "query ($id: ID!) { node(id: $id) { id ... on Patient { firstName } } }"
NODE_ID = "query ($id: ID!) { patient(patientId: $id) { id firstName } }"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ISSUER = "https://id.example.org/"
ALL_SCOPES = "messages:read messages:send search files"
KEYS = {"service": "key-of-a-service", "reader": "key-of-a-reader"}


def key(name: str, **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(),
        "scopes": ALL_SCOPES.split(),
        "patients": ["*"],
        "instances": ["acme-health/live"],
        **changes,
    }


@contextmanager
def guarded(folder, sandbox_url: str):
    signing = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
    (folder / "jwks.json").write_text(json.dumps({"keys": [signing.as_dict(private=False)]}))
    auth = {
        "mode": ["api-key", "jwt"],
        "keys": [key("service"), key("reader", scopes=["messages:read"], patients=[SHORT])],
        "jwt": {
            "issuer": ISSUER,
            "audience": "welkin-gateway",
            "jwks_file": str(folder / "jwks.json"),
            "instances": ["acme-health/live"],
        },
    }
    instances = [
        {"tenant": tenant, "instance": name, "api": api, "base_url": f"{sandbox_url}/{api}", "client": client}
        | {"secret": "sandbox-secret"}
        for tenant, name, api, client in (
            ("acme-health", "live", "v2", "SANDBOXV2"),
            ("gh", "sb-demo", "v1", "SANDBOXV1"),
        )
    ]
    settings = {
        "auth": auth,
        "instances": instances,
        "telemetry": {"audit_file": str(folder / "audit.jsonl")},
    }
    with serve(build(parse(settings, {})).web) as url:
        yield url, signing


class Caller:
    def __init__(self, url: str, signing: RSAKey, sandbox, folder) -> None:
        self.url = f"{url}/acme-health/live"
        self.other = f"{url}/gh/sb-demo"
        self.signing = signing
        self.sandbox = sandbox
        self.trail = folder / "audit.jsonl"

    def token(self, **changes: object) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": "welkin-gateway",
            "sub": "ada",
            "iat": now,
            "exp": now + 600,
            "scope": ALL_SCOPES,
            "welkin_patients": [SHORT],
        }
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims | changes, self.signing)

    def bearer(self, **changes: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(**changes)}"}

    def ask(self, document: str, headers: dict[str, str], **variables: object) -> dict:
        body = {"query": document, "variables": variables}
        answer = httpx2.post(f"{self.url}/graphql", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def caller(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    app = create_sandbox(SandboxConfig())
    with serve(app) as sandbox_url, guarded(folder, sandbox_url) as (url, signing):
        yield Caller(url, signing, app.state.sandbox, folder)


def plain(answer: dict) -> dict:
    """Give an answer without what differs by nature."""
    answer.pop("extensions", None)
    return answer


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Basic {KEYS['service']}"},
        {"Authorization": f"Bearer {KEYS['service']}"},
    ],
)
def test_without_a_proof_every_door_is_closed_and_welkin_is_not_asked(caller, headers):
    before = dict(caller.sandbox.requests.counts)
    body = {"query": MESSAGES, "variables": {"id": SHORT}}

    answers = [
        httpx2.post(f"{caller.url}/graphql", json=body, headers=headers),
        httpx2.get(f"{caller.url}/files/{FILE_LETTER.id}", headers=headers),
    ]

    for answer in answers:
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert dict(caller.sandbox.requests.counts) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example.org/"},
        {"aud": "other"},
        {"exp": 1},
        {"nbf": 4102444800},
        {"sub": ""},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_that_is_not_for_us_opens_nothing(caller, changes):
    answer = httpx2.post(
        f"{caller.url}/graphql", json={"query": "{ __typename }"}, headers=caller.bearer(**changes)
    )

    assert answer.status_code == 401


def test_a_service_with_access_to_all_sees_all(caller):
    headers = {"X-API-Key": KEYS["service"]}

    data = caller.ask(MESSAGES, headers, id=LONG, first=2)["data"]

    assert len(data["patient"]["messages"]["edges"]) == 2
    assert caller.ask(SEARCH, headers, query="pharmacy")["data"]["searchMessages"]["nodes"]
    file = httpx2.get(f"{caller.url}/files/{FILE_LETTER.id}", headers=headers)
    assert file.content == FILE_LETTER.content


def test_an_instance_that_is_not_theirs_looks_as_if_it_were_not_served(caller):
    headers = {"X-API-Key": KEYS["service"]}
    query = {"query": "{ __typename }"}

    other = httpx2.post(f"{caller.other}/graphql", json=query, headers=headers)
    nowhere = httpx2.post(f"{caller.url}x/graphql", json=query, headers=headers)

    assert other.status_code == nowhere.status_code == 404
    assert other.json() == nowhere.json()


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (MESSAGES, {}),
        (NODE_ID, {}),
        (SEND, {"input": {"body": "hello"}}),
        (SEARCH, {"query": "a"}),
    ],
    ids=["messages", "patient", "send", "search"],
)
def test_another_patient_looks_like_one_that_does_not_exist(caller, document, variables):
    def ask(patient_id: str) -> dict:
        given = json.loads(json.dumps(variables))
        if "input" in given:
            given["input"]["patientId"] = patient_id
        else:
            given["id"] = patient_id
        return plain(caller.ask(document, caller.bearer(), **given))

    refused, missing = ask(LONG), ask(UNKNOWN)

    assert refused == missing or document is SEARCH
    assert not (refused.get("data") or {}).get("patient")


def test_hits_of_other_patients_are_not_shown_even_if_welkin_finds_them(caller):
    """The search is narrowed by Welkin; the guard does not take its word for it."""
    hits = caller.ask(SEARCH, caller.bearer(welkin_patients=[LONG]), query="a", id=LONG)["data"]

    assert hits["searchMessages"]["nodes"]


def test_a_token_does_not_open_another_tenant(caller):
    answer = httpx2.post(f"{caller.other}/graphql", json={"query": "{ __typename }"}, headers=caller.bearer())

    assert answer.status_code == 404


def test_who_sees_one_patient_cannot_attach_files(caller):
    message = {"patientId": SHORT, "body": "look", "attachmentId": FILE_LETTER.id}

    (error,) = caller.ask(SEND, caller.bearer(), input=message)["errors"]

    assert error["extensions"]["code"] == "FORBIDDEN"


def test_a_node_of_another_patient_is_null(caller):
    mine = caller.ask(NODE_ID, caller.bearer(), id=SHORT)["data"]["patient"]
    theirs = caller.ask(NODE_ID, {"X-API-Key": KEYS["service"]}, id=LONG)["data"]["patient"]["id"]

    assert mine["firstName"]
    assert caller.ask(NODE, caller.bearer(), id=mine["id"])["data"]["node"]["firstName"] == mine["firstName"]
    assert caller.ask(NODE, caller.bearer(), id=theirs)["data"] == {"node": None}


def test_what_a_scope_does_not_cover_is_forbidden_and_not_done(caller):
    headers = {"X-API-Key": KEYS["reader"]}

    (sent,) = caller.ask(SEND, headers, input={"patientId": SHORT, "body": "hello"})["errors"]
    (searched,) = caller.ask(SEARCH, headers, query="a", id=SHORT)["errors"]
    file = httpx2.get(f"{caller.url}/files/{FILE_LETTER.id}", headers=headers)

    assert (sent["extensions"]["code"], searched["extensions"]["code"]) == ("FORBIDDEN", "FORBIDDEN")
    assert file.status_code == 403
    assert caller.sandbox.requests.count("v2.send") == 0


async def open_socket(caller: Caller, payload: dict | None):
    socket = await connect(
        f"{caller.url}/graphql".replace("http", "ws", 1),
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
    )
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    return socket


@pytest.mark.parametrize("payload", [None, {}, {"x-api-key": "wrong"}, {"authorization": "Bearer x"}])
async def test_a_socket_without_a_proof_is_closed(caller, payload):
    socket = await open_socket(caller, payload)

    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), 5)
    assert socket.close_code == 4403


async def test_a_subscription_ends_when_the_token_does_and_nothing_is_delivered_later(caller):
    token = caller.token(exp=int(time.time()) + 4)
    socket = await open_socket(caller, {"authorization": f"Bearer {token}"})
    assert json.loads(await socket.recv())["type"] == "connection_ack"
    payload = {"query": FOLLOW, "variables": {"id": SHORT}}
    await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    began, received = time.monotonic(), []

    async with asyncio.timeout(20):
        with suppress(ConnectionClosed):
            while True:
                received.append(await socket.recv())

    assert socket.close_code == 4403
    assert 1 < time.monotonic() - began < 4 + 5
    assert not any('"next"' in frame and "body" in frame for frame in received)


def test_the_trail_tells_who_did_what_and_no_more(caller):
    caller.ask(MESSAGES, caller.bearer(sub="trail"), id=SHORT, first=2)
    caller.ask(MESSAGES, caller.bearer(sub="trail"), id=LONG, first=2)
    time.sleep(0.3)

    text = caller.trail.read_text()
    lines = [json.loads(line) for line in text.splitlines()]

    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    mine = [(line["action"], line["outcome"]) for line in lines if line["who"] == "trail"]
    assert any(line["who"] == "nobody" for line in lines)
    assert len(mine) == 2
    assert mine[0][1] == "ok"
    assert mine[1][1] != "ok"
    assert SHORT not in text
    assert LONG not in text
