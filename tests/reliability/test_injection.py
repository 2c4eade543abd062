"""Whatever a caller sends, Welkin is asked for documented paths alone, and nobody else is asked at all."""

from __future__ import annotations

import base64
from urllib.parse import quote

import httpx2
import pytest
from websockets.sync.client import connect

from gateway.sandbox import FaultRule
from tests.hostile import HOSTILE_IDS
from tests.reliability.product import MINE, PATHS, SERVICE, Product
from tests.serving import serve

READ = "query ($id: ID!) { patient(patientId: $id) { firstName messages(first: 1) { nodes { body } } } }"
SEARCH = 'query ($id: ID!) { searchMessages(query: "a", patientId: $id) { nodes { body } } }'
SEND = 'mutation ($id: ID!) { sendMessage(input: {patientId: $id, body: "x"}) { messageEdge { cursor } } }'
ATTACH = (
    f'mutation ($id: ID!) {{ sendMessage(input: {{patientId: "{MINE}", body: "x", attachmentId: $id}}) '
    "{ messageEdge { cursor } } }"
)
PAGE = f'query ($c: String) {{ patient(patientId: "{MINE}") {{ messages(WHERE: $c) {{ nodes {{ id }} }} }} }}'
HITS = (
    "query ($c: String) "
    f'{{ searchMessages(query: "a", patientId: "{MINE}", after: $c) {{ nodes {{ id }} }} }}'
)
FOLLOW = "subscription ($id: ID!) { messageAdded(patientId: $id) { cursor } }"
BY_ID = {"patient": READ, "search": SEARCH, "send": SEND, "attachment": ATTACH, "subscription": FOLLOW}


@pytest.mark.parametrize("door", BY_ID)
def test_an_id_that_is_none_is_refused_and_nobody_is_asked(running: Product, version: str, door: str):
    stream = {**SERVICE, "Accept": "text/event-stream"} if door == "subscription" else SERVICE
    for nasty in HOSTILE_IDS:
        answer = running.post(version, {"query": BY_ID[door], "variables": {"id": nasty}}, stream)

        assert answer.status_code == 200, nasty
        assert "BAD_USER_INPUT" in answer.text or "UNSUPPORTED_BY_UPSTREAM" in answer.text, nasty
    assert running.sandbox.requests.count() == 0


def test_a_global_id_that_holds_one_names_nothing(running: Product, version: str):
    tenant, instance = PATHS[version].split("/")
    ids = []
    for nasty in HOSTILE_IDS:
        for parts in ((tenant, instance, nasty), (nasty, instance, MINE), (tenant, nasty, MINE)):
            text = "".join(f"{len(part)}:{part}" for part in ("Patient", *parts))
            ids.append(base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode())
    ids += [*HOSTILE_IDS, "MTIzNDU2Nzg5OjA", base64.b64encode(b"7:Patient99999999999999:x").decode()]
    for start in range(0, len(ids), 100):
        query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Patient { firstName } } }"

        found = running.ask(version, query, ids=ids[start : start + 100])

        assert found == {"data": {"nodes": [None] * len(ids[start : start + 100])}}
    assert running.sandbox.requests.count() == 0


def test_a_cursor_that_holds_one_is_refused(running: Product, version: str):
    forged = [base64.urlsafe_b64encode(b"\0" * 16 + nasty.encode()).decode() for nasty in HOSTILE_IDS]
    queries = [
        PAGE.replace("WHERE", "after"),
        PAGE.replace("WHERE", "before"),
        HITS,
        "query ($c: String) { patients(after: $c) { nodes { id } } }",
    ]
    for query in queries:
        for cursor in [*HOSTILE_IDS, *forged]:
            (error,) = running.ask(version, query, c=cursor)["errors"]

            assert error["extensions"]["code"] == "INVALID_CURSOR"
    assert running.sandbox.requests.count() == 0


def test_a_text_that_is_searched_for_stays_in_its_place(running: Product, version: str):
    queries = (
        f'query ($q: String!) {{ searchMessages(query: $q, patientId: "{MINE}") {{ nodes {{ body }} }} }}',
        "query ($q: String!) { patients(search: $q, first: 1) { nodes { id } } }",
    )
    for nasty in filter(None, HOSTILE_IDS):
        for query in queries:
            codes = {
                error["extensions"]["code"]
                for error in running.ask(version, query, q=nasty).get("errors", ())
            }
            assert codes <= {"BAD_USER_INPUT", "LIMIT_EXCEEDED"}, nasty

    assert running.strange_paths() == []
    assert running.sandbox.requests.undocumented == ()


def test_a_file_id_that_is_none_reaches_nobody(running: Product):
    for nasty in HOSTILE_IDS:
        for written in {quote(nasty, safe=""), quote(nasty, safe="/")}:
            answer = running.http.get(f"{running.url}/{PATHS['v2']}/files/{written}", headers=SERVICE)

            assert answer.status_code in {400, 404, 431}, nasty
    assert running.sandbox.requests.count() == 0


def test_an_instance_that_is_none_reaches_nobody(running: Product):
    """Also in the forms of a path that a proxy and a server may read differently."""
    # Dots alone are taken out by the client itself.
    nasties = [quote(nasty, safe="") for nasty in HOSTILE_IDS if nasty.strip(".")]
    places = [f"{nasty}/sb-demo" for nasty in nasties] + [f"gh/{nasty}" for nasty in nasties]
    places += ["GH/sb-demo", "gh/sb-demo/", "gh//sb-demo", "gh/sb-demo%00", "gh/sb-dem%C3%B6"]
    for place in places:
        for door, method in (("graphql", "POST"), ("webhooks/chat", "POST"), ("files/x", "GET")):
            url = httpx2.URL(f"{running.url}/{place}/{door}")

            answer = running.http.request(method, url, headers=SERVICE, json={"query": "{ __typename }"})

            assert answer.status_code in {400, 401, 404, 405, 431}, place
            assert answer.json()["errors"], place
    assert running.sandbox.requests.count() == 0


HEADERS = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "evil=canary",
    "X-Request-Id": "canary-1",
    "X-Correlation-Id": "canary-2",
    "baggage": "user=canary",
    "Forwarded": "for=canary;host=evil",
    "X-Forwarded-Host": "canary.evil",
    "X-Original-URL": "/metrics",
    "X-HTTP-Method-Override": "DELETE",
    "Cookie": "canary=1",
}


def test_no_header_of_a_caller_is_passed_on_or_believed(running: Product, version: str):
    """The gateway's own request id, host and path count, whatever is sent beside them."""
    running.heard.clear()

    answer = running.post(version, {"query": READ, "variables": {"id": MINE}}, SERVICE | HEADERS)

    assert answer.json()["data"]["patient"]["firstName"]
    assert "canary" not in str(answer.headers)
    assert len(answer.headers["x-request-id"]) == 32
    assert running.heard
    assert not [name for name, value in running.heard if b"canary" in value or b"4bf92f" in value]


def test_the_address_of_a_socket_reaches_nobody(running: Product):
    url = f"{running.url}/{PATHS['v2']}/graphql?token=x&patientId=../admin".replace("http", "ws", 1)
    with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        socket.send('{"type": "connection_init"}')
        with pytest.raises(Exception, match="4403"):
            socket.recv(timeout=5)
    assert running.sandbox.requests.count() == 0


def test_a_redirect_of_welkins_is_not_followed(running: Product, version: str):
    """Last, since a gateway that was refused so often may take Welkin for broken for a while."""
    asked: list[str] = []

    async def elsewhere(scope, receive, send):
        if scope["type"] == "http":
            asked.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

    query = f'query {{ patient(patientId: "{MINE}") {{ messages(first: 3) {{ nodes {{ body }} }} }} }}'
    with serve(elsewhere, lifespan="off") as other:
        codes = []
        for status in (301, 302, 303, 307, 308):
            running.sandbox.reset()
            args = {"location": f"{other}/evil", "status": status}
            running.sandbox.faults.add(FaultRule("redirect", operation="list", times=None, args=args))
            codes += [error["extensions"]["code"] for error in running.ask(version, query)["errors"]]
        running.sandbox.credentials.expire_all()
        running.sandbox.faults.add(FaultRule("redirect", operation="token", times=None, args=args))
        codes += [error["extensions"]["code"] for error in running.ask(version, query)["errors"]]

    assert codes[0] == "UPSTREAM_BAD_RESPONSE"
    assert set(codes) <= {"UPSTREAM_BAD_RESPONSE", "UPSTREAM_UNAVAILABLE"}
    assert len(codes) == 6
    assert asked == []
    assert running.strange_paths() == []
