"""Documents and values that are refused, and that nothing of them is shown or logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx2
import pytest

from gateway.web.options import WebOptions
from tests.api.asking import MESSAGES, RESPONSE_JSON, SEND, code_of
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve


@pytest.fixture
def production(fake: FakeInstance) -> Iterator[httpx2.Client]:
    """The gateway with every switch at its default."""
    with (
        serve(web_of(fake, options=WebOptions(show_cost=False))) as base_url,
        httpx2.Client(base_url=base_url) as client,
    ):
        yield client


def test_a_fault_of_ours_is_masked_and_found_by_its_request_id(
    client: httpx2.Client, fake: FakeInstance, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail(RuntimeError("canary: text of a message"))

    with caplog.at_level(logging.DEBUG):
        response = client.post("/graphql", json={"query": MESSAGES, "variables": {"id": PATIENT}})

    error = response.json()["errors"][0]
    assert "canary" not in response.text
    assert "canary" not in caplog.text
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    assert (
        f"path=patient.messages request={error['extensions']['requestId']} class=RuntimeError" in caplog.text
    )


def test_values_of_a_request_are_never_shown_nor_logged(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [
        {"query": '{ patient(patientId: "canary" '},
        {"query": '{ "canary" }'},
        {"query": '{ node(id: """canary'},
        {"query": '{ patient(patientId: "p") { messages(first: "canary") { nodes { id } } } }'},
        {"query": '{ patient(patientId: "p") { messages(since: "canary") { nodes { id } } } }'},
        {"query": 'mutation { sendMessage(input: {text: "canary"}) { messageEdge { cursor } } }'},
        {"query": SEND, "variables": {"input": {"patientId": "p", "body": ["canary"]}}},
        {"query": SEND, "variables": {"input": {"patientId": "p", "text": "canary"}}},
        {"query": SEND, "variables": {"input": "canary"}},
        {"query": MESSAGES, "variables": {"id": {"canary": 1}}},
        {"query": MESSAGES, "variables": {"id": "p/canary"}},
        {"query": MESSAGES, "operationName": "canary"},
    ]

    with caplog.at_level(logging.DEBUG):
        for request in requests:
            response = client.post("/graphql", json=request)
            assert response.json()["errors"], request
            assert "canary" not in response.text, request

    assert "canary" not in caplog.text


def test_refused_documents_have_codes_of_their_own(client: httpx2.Client) -> None:
    cases = {
        "{": "GRAPHQL_PARSE_FAILED",
        "{ nope }": "GRAPHQL_VALIDATION_FAILED",
        'query($x: Int) { node(id: "x") { id } }': "GRAPHQL_VALIDATION_FAILED",
        '{ patient(patientId: "p") { messages(since: "yesterday") { nodes { id } } } }': "BAD_USER_INPUT",
        '{ patient(patientId: "p") { messages(since: "2021-03-05T16:09:52") { edges { cursor } } } }': (
            "BAD_USER_INPUT"
        ),
    }

    for query, code in cases.items():
        for accept, status in (("application/json", 200), (RESPONSE_JSON, 400)):
            answer = client.post("/graphql", json={"query": query}, headers={"Accept": accept})
            assert (answer.status_code, code_of(answer)) == (status, code), query
            assert "data" not in answer.json()


def test_variables_of_a_wrong_type_are_named_but_not_shown(client: httpx2.Client) -> None:
    answer = client.post(
        "/graphql", json={"query": MESSAGES, "variables": {"id": [1]}}, headers={"Accept": RESPONSE_JSON}
    )

    assert answer.status_code == 400
    assert answer.json() == {
        "errors": [
            {
                "message": "Variable $id must be of type ID!.",
                "locations": [{"line": 1, "column": 9}],
                "extensions": {"code": "BAD_USER_INPUT"},
            }
        ]
    }


def test_documents_beyond_the_limits_are_refused(client: httpx2.Client) -> None:
    nested = "messages { nodes { patient { " * 4 + "id" + " } } }" * 4
    cases = {
        "tokens": "{ " + "__typename " * 1001 + "}",
        "depth": f'{{ patient(patientId: "p") {{ {nested} }} }}',
        "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(16)) + " }",
        "directives": "{ __typename " + "@include(if: true) " * 51 + "}",
    }

    for what, query in cases.items():
        answer = client.post("/graphql", json={"query": query})
        assert code_of(answer) == "LIMIT_EXCEEDED", what


def test_fragments_that_multiply_are_refused_at_once(client: httpx2.Client) -> None:
    doubling = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))

    answer = client.post(
        "/graphql",
        json={"query": f"{{ ...F0 }} {doubling} fragment F40 on Query {{ a: __typename }}"},
        timeout=2,
    )

    assert code_of(answer) == "LIMIT_EXCEEDED"


def test_production_hides_the_schema(production: httpx2.Client) -> None:
    for query in (
        "{ __schema { types { name } } }",
        '{ __type(name: "Query") { name } }',
        "{ instanc { name } }",
    ):
        answer = production.post("/graphql", json={"query": query})
        assert code_of(answer) == "GRAPHQL_VALIDATION_FAILED"
        assert "Did you mean" not in answer.text

    unknown_field = production.post(
        "/graphql",
        json={"query": SEND, "variables": {"input": {"patientId": "p", "body": "x", "attachmentI": 1}}},
    )
    assert "Did you mean" not in unknown_field.text
    assert production.post("/graphql", json={"query": "{ __typename }"}).json() == {
        "data": {"__typename": "Query"}
    }
