"""Access at the doors for HTTP: who is refused, in which order, and what a refusal shows."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from gateway.domain.errors import UpstreamUnavailable
from tests.api.asking import MESSAGES, SEND, code_of, raw_request, read_all
from tests.api.fake_access import REFUSED, FakeAccess
from tests.api.fake_files import FakeFile
from tests.api.fakes import ACME, KEY, PATIENT, SECRET, FakeInstance, web_of
from tests.serving import serve

NURSE = {"Authorization": "Bearer nurse"}
READER = {"X-API-Key": "reader"}
QUERY = {"query": "{ instance { name } }"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def access() -> FakeAccess:
    return FakeAccess()


@pytest.fixture
def client(fake: FakeInstance, access: FakeAccess) -> Iterator[httpx2.Client]:
    app = web_of(fake, FakeInstance(ACME), options=access.options())
    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize("path", ["/graphql", "/gh/sb-demo/graphql", "/acme-health/live/graphql"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nobody"}, {"X-API-Key": ""}, {"X-API-Key": "reader", **NURSE}],
)
def test_nobody_gets_in_without_a_proof(
    client: httpx2.Client, access: FakeAccess, path: str, headers: dict
) -> None:
    answer = client.post(path, json=QUERY, headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == {"errors": [{"message": REFUSED, "extensions": {"code": "UNAUTHENTICATED"}}]}
    assert access.admitted == []


def test_every_way_in_asks(client: httpx2.Client, fake: FakeInstance) -> None:
    fake.files["f-1"] = FakeFile(b"bytes")
    answers = [
        client.get("/graphql", params=QUERY),
        client.post("/graphql", json=QUERY, headers=STREAM),
        client.get("/graphql", params=QUERY, headers=STREAM),
        client.put("/graphql"),
        client.get("/files/f-1"),
        client.head("/gh/sb-demo/files/f-1"),
        client.get("/gh/sb-demo/files/a%2Fb"),
    ]

    assert [answer.status_code for answer in answers] == [401] * 7
    assert fake.calls == []


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "x-api-key"])
def test_a_proof_in_the_address_is_never_looked_at(
    client: httpx2.Client, access: FakeAccess, name: str
) -> None:
    assert client.post(f"/graphql?{name}=nurse", json=QUERY).status_code == 401
    assert access.asked == [(None, None)]


@pytest.mark.parametrize("header", ["Authorization: Bearer nurse", "X-API-Key: reader"])
def test_a_header_given_twice_is_refused_unasked(
    client: httpx2.Client, access: FakeAccess, header: str
) -> None:
    lines = ("POST /graphql HTTP/1.1", header, header, "Content-Length: 0", "Connection: close")

    assert b" 401 " in read_all(raw_request(client, *lines)).partition(b"\r\n")[0]
    assert access.asked == []


def test_values_arrive_as_they_were_sent(client: httpx2.Client, access: FakeAccess) -> None:
    client.post("/graphql", json=QUERY, headers=[(b"authorization", b"Bearer \xff\xe9")])

    assert access.asked == [(b"Bearer \xff\xe9", None)]


def test_the_proof_comes_before_the_body_and_the_document(client: httpx2.Client) -> None:
    """A body that never comes would hold whoever waits for it."""
    lines = ("POST /graphql HTTP/1.1", "Content-Type: application/json", "Content-Length: 999999999")
    connection = raw_request(client, *lines)
    with connection:
        assert b" 401 " in connection.recv(65_536).partition(b"\r\n")[0]
    assert client.post("/graphql", content=b"{", headers={"Content-Type": "text/plain"}).status_code == 401
    assert code_of(client.post("/graphql", json={"query": "{"})) == "UNAUTHENTICATED"


def test_an_instance_of_others_looks_as_one_that_is_not_there(client: httpx2.Client) -> None:
    for path in ("graphql", "files/f-1"):
        hidden = client.get(f"/acme-health/live/{path}", params=QUERY, headers=NURSE)
        unknown = client.get(f"/no/body/{path}", params=QUERY, headers=NURSE)

        assert (hidden.status_code, hidden.content) == (404, unknown.content)
        assert hidden.headers.keys() == unknown.headers.keys()
    assert client.get("/no/body/graphql", params=QUERY).status_code == 401


@pytest.mark.parametrize("headers", [NURSE, READER])
def test_whoever_is_known_is_served_as_themselves(
    client: httpx2.Client, access: FakeAccess, headers: dict
) -> None:
    answer = client.post("/graphql", json={"query": MESSAGES, "variables": {"id": PATIENT}}, headers=headers)

    assert answer.json()["data"]["patient"]["messages"]["nodes"][0]["body"] == "message 2"
    (admitted,) = access.admitted
    assert admitted[1] == answer.headers["x-request-id"]


def test_a_file_is_opened_by_the_guarded_instance(
    client: httpx2.Client, fake: FakeInstance, access: FakeAccess
) -> None:
    fake.files["f-1"] = FakeFile(b"bytes")

    assert client.get("/files/f-1", headers=READER).content == b"bytes"
    assert [name for name, _ in access.admitted] == ["reader"]


def test_a_scope_that_is_missing_is_told(client: httpx2.Client, fake: FakeInstance) -> None:
    sent = {"query": SEND, "variables": {"input": {"patientId": PATIENT, "body": "x"}}}

    assert code_of(client.post("/graphql", json=sent, headers=READER)) == "FORBIDDEN"
    assert fake.calls == []


def test_a_patient_of_others_looks_as_one_that_is_not_there(client: httpx2.Client) -> None:
    """Once the guard says it, once Welkin does: same words, same place."""
    asked = {"query": MESSAGES, "variables": {"id": PATIENT}}
    hidden = client.post("/graphql", json=asked, headers={"X-API-Key": "other"})
    asked["variables"] = {"id": "nobody-at-all"}
    unknown = client.post("/graphql", json=asked, headers=NURSE)

    assert code_of(hidden) == "NOT_FOUND"
    assert hidden.json() == unknown.json()


def test_a_proof_that_cannot_be_checked_now_is_not_called_wrong(
    client: httpx2.Client, access: FakeAccess
) -> None:
    access.failure = UpstreamUnavailable("The identity provider does not answer.")
    answer = client.post("/graphql", json=QUERY, headers=NURSE)

    assert (answer.status_code, code_of(answer)) == (503, "UPSTREAM_UNAVAILABLE")


def test_graphiql_health_and_webhooks_ask_nobody(client: httpx2.Client, access: FakeAccess) -> None:
    hook = {"patientId": PATIENT, "tenantName": "gh", "instanceName": "sb-demo", "message": "x"}
    headers = {"X-WEBHOOK-API-KEY": KEY.decode(), "X-WEBHOOK-API-SECRET": SECRET.decode()}
    answers = [
        client.get("/graphql", headers={"Accept": "text/html"}),
        client.get("/no/body/graphql", headers={"Accept": "text/html"}),
        client.get("/healthz"),
        client.get("/readyz"),
        client.get("/metrics"),
        client.post("/webhooks/chat", json=hook, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [200] * 6
    assert answers[0].content == answers[1].content
    assert access.asked == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_page_cannot_post(client: httpx2.Client, kind: str) -> None:
    """These kinds need no preflight, so a page elsewhere could send them with what the browser holds."""
    answer = client.post(
        "/graphql", content=b'{"query":"{__typename}"}', headers={**NURSE, "Content-Type": kind}
    )

    assert answer.status_code == 415
