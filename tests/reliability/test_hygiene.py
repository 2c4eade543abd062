"""Health data stays inside of ``data``: not in headers, labels or errors, nor read in vain."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from gateway.sandbox import FaultRule
from tests.reliability.product import BODIES, MINE, PATHS, READ, SEND, SERVICE, Product

CANARY = "canary-7f3e"

DOORS = {
    "data": ("POST", "graphql", {"json": {"query": READ, "variables": {"id": MINE}}}, SERVICE),
    "stream": ("POST", "graphql", {"json": {"query": "{ __typename }"}}, {"Accept": "text/event-stream"}),
    "refused document": ("POST", "graphql", {"json": {"query": "{ nope }"}}, {}),
    "refused body": ("POST", "graphql", {"content": b"{"}, {"Content-Type": "application/json"}),
    "no proof": ("POST", "graphql", {"json": {}}, {"X-API-Key": "wrong"}),
    "method": ("PUT", "graphql", {}, {}),
    "webhook": ("POST", "webhooks/chat", {"json": {}}, {}),
    "file": ("GET", "files/nothing", {}, {}),
    "nowhere": ("GET", "nowhere", {}, {}),
    "preflight": ("OPTIONS", "graphql", {}, {"Origin": "https://x", "Access-Control-Request-Method": "POST"}),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_answer_may_be_kept_on_the_way(running: Product, door: str):
    method, path, content, headers = DOORS[door]
    url = f"{running.url}/{PATHS['v2']}/{path}"

    answer = running.http.request(method, url, headers=SERVICE | headers, **content)

    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert {"etag", "last-modified", "set-cookie", "x-powered-by", "via"}.isdisjoint(answer.headers)
    assert not re.search(r"\d", answer.headers.get("server", ""))


def test_an_upstream_that_echoes_what_was_written_is_not_quoted(running: Product, version: str):
    """Welkin's errors may hold a name or a text; only the code and a text of the gateway's go on."""
    echo = json.dumps(
        [{"errorCode": "EC_1", "message": f"patient {CANARY} {MINE}", "details": {"a": CANARY}}]
    )
    patient_id = running.new_patient(CANARY)
    for status in (400, 403, 404, 422, 500):
        for operation, query in (("list", BODIES), ("patient", READ), ("send", SEND)):
            if status == 500 and operation != "send":
                continue  # reads are tried again after a while, which tells nothing new here
            running.sandbox.faults.clear()
            args = {"status": status, "text": echo}
            running.sandbox.faults.add(FaultRule("body", operation=operation, times=3, args=args))

            answer = running.ask(version, query, id=patient_id, body=CANARY)

            assert CANARY not in json.dumps(answer.get("errors", []))
            assert "EC_1" not in json.dumps(answer)
    assert CANARY not in (running.folder / "audit.jsonl").read_text()


def test_a_field_that_welkin_adds_is_out_of_reach(running: Product, version: str):
    patient_id = running.new_patient("a", "b")
    for operation in ("list", "patient", "search"):
        running.sandbox.faults.clear()
        running.sandbox.faults.add(FaultRule("extra_fields", operation=operation, times=None))
        answer = running.ask(version, READ, id=patient_id)

        assert "errors" not in answer
        assert set(answer["data"]["patient"]) == {"firstName", "messages"}
        assert [set(node) for node in answer["data"]["patient"]["messages"]["nodes"]] == [
            {"body", "sender"},
            {"body", "sender"},
        ]
    for name in ("ssn", "payload", "extra", "__dict__", "conversation", "throughToken"):
        refused = running.post(version, {"query": f'{{ patient(patientId: "x") {{ {name} }} }}'}).json()
        assert refused["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


WANTS = {
    "{ __typename }": {},
    "{ instance { name apiVersion capabilities } }": {},
    "query ($id: ID!) { patient(patientId: $id) { id patientId __typename } }": {},
    "query ($id: ID!) { patient(patientId: $id) { firstName @include(if: false) id } }": {},
    "query ($id: ID!) { patient(patientId: $id) { ... on Patient @skip(if: true) { email } id } }": {},
    "query ($id: ID!) { patient(patientId: $id) { firstName lastName email } }": {"patient": 1},
    "query ($id: ID!) { a: patient(patientId: $id) { firstName } b: patient(patientId: $id) { email } }": {
        "patient": 1
    },
    "query ($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { id } } } }": {"list": 1},
    "query ($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { patient { id } } } } }": {
        "list": 1
    },
}


@pytest.mark.parametrize("query", WANTS, ids=range(len(WANTS)))
def test_welkin_is_asked_for_what_is_selected_and_no_more(running: Product, version: str, query: str):
    patient_id = running.new_patient("a", "b", "c")
    running.ask(
        version, "query ($id: ID!) { patient(patientId: $id) { email } }", id=MINE
    )  # an upstream token
    running.sandbox.requests.clear()

    answer = running.ask(version, query, id=patient_id)

    counts = running.sandbox.requests.counts
    assert "errors" not in answer
    assert {name.partition(".")[2]: count for name, count in counts.items()} == WANTS[query]


def series(running: Product) -> set[str]:
    lines = running.http.get(f"{running.url}/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_many_patients_names_and_words_make_no_more_series(running: Product):
    def ask(number: int) -> None:
        names = {"operationName": f"Op{number}", "query": f"query Op{number} {{ a{number}: __typename }}"}
        running.post("v2", names)
        running.ask("v2", READ, id=f"{CANARY}-{number}")
        running.ask("v2", BODIES, id=MINE, c=f"{CANARY}-{number}")
        running.http.get(f"{running.url}/{CANARY}-{number}/x/graphql")
        running.http.get(f"{running.url}/{PATHS['v2']}/files/{CANARY}-{number}", headers=SERVICE)
        running.http.request(f"M{number}", f"{running.url}/graphql", headers=SERVICE)

    ask(0)
    series(running)  # which is counted too
    before = series(running)
    for number in range(1, 100):
        ask(number)

    assert series(running) == before
    assert CANARY not in str(before)


def test_no_file_of_the_gateway_compares_a_secret_with_an_equals_sign():
    """Words that name a secret are compared in constant time, on bytes."""
    secret = re.compile(r"(secret|signature|digest|mac|password|webhook_key|credential)s?$")
    folder = Path(__file__).parents[2] / "gateway"
    found = []
    for file in [*folder.glob("web/*.py"), *folder.glob("access/*.py"), *folder.glob("domain/*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                sides = [node.left, *node.comparators]
                words = [side.id for side in sides if isinstance(side, ast.Name)]
                words += [side.attr for side in sides if isinstance(side, ast.Attribute)]
                found += [f"{file.name}:{node.lineno}" for word in words if secret.search(word)]
    assert found == []
