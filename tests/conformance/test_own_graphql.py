"""The gateway's own GraphQL: schemathesis makes up documents that fit, and each gets a good answer.

schemathesis takes an error with a path for a fault of the server, unless it knows its code. Ours has more
codes that are the caller's doing, so these are told from faults here, and all else is left to its check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphql
import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.graphql import nodes

from gateway.sandbox.conversations import FILE_PICTURE, LONG, SHORT
from tests.conformance.bounds import bounded
from tests.reliability.product import PATHS, SERVICE, Product, product

SDL = Path(__file__).parents[2] / "schema" / "schema.graphql"
INSTANTS = st.sampled_from(
    ["2021-03-05T16:09:52.655Z", "2030-01-01T00:00:00+14:00", "not a time", "0001-01-01"]
)
schemathesis.graphql.scalar("DateTime", INSTANTS.map(nodes.String))

SCHEMA = schemathesis.graphql.from_path(str(SDL))
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}

CALLERS = {
    "BAD_USER_INPUT",
    "FORBIDDEN",
    "INVALID_CURSOR",
    "LIMIT_EXCEEDED",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "UNSUPPORTED_BY_UPSTREAM",
}
"""Codes of what is the caller's doing. A document that fits the schema is never refused for its form."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("graphql")) as made:
        yield made


@pytest.fixture(scope="module")
def calls() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers.update(SERVICE)
        yield session


def in_known_places(document: str, patient_id: str) -> str:
    """Ask for what exists: made-up ids find nothing."""
    document = re.sub(r'(patientId: )"(?:[^"\\]|\\.)*"', rf'\1"{patient_id}"', document)
    return re.sub(r'(attachmentId: )"(?:[^"\\]|\\.)*"', rf'\1"{FILE_PICTURE.id}"', document)


@pytest.mark.parametrize("version", PATHS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_fits_the_schema_gets_an_answer_that_fits_it(running, calls, name: str, version: str):
    operation = OPERATIONS[name]

    @bounded(25)
    @given(case=operation.as_strategy(), known=st.sampled_from([SHORT, LONG, ""]))
    def check(case: Any, known: str) -> None:
        if known:
            case.body = in_known_places(case.body, known)
        answer = case.call(base_url=f"{running.url}/{PATHS[version]}/graphql", session=calls)

        body = answer.json()
        assert answer.status_code == 200
        assert body.keys() <= {"data", "errors", "extensions"}
        codes = {error["extensions"]["code"] for error in body.get("errors", ())}
        if not codes <= CALLERS:
            case.validate_response(answer, checks=[not_a_server_error])
            pytest.fail(f"{codes - CALLERS} for\n{case.body}")
        if not codes:
            fits(case.body, body["data"])

    check()


def fits(document: str, data: object) -> None:
    """Hold the answer against the document and the schema."""
    (definition,) = graphql.parse(document).definitions
    assert isinstance(definition, graphql.OperationDefinitionNode)
    asked = {
        (field.alias or field.name).value
        for field in definition.selection_set.selections
        if isinstance(field, graphql.FieldNode)
    }
    assert isinstance(data, dict)
    assert data.keys() == asked


def test_every_root_field_is_tried():
    schema = graphql.build_schema(SDL.read_text("utf-8"))
    kinds = [kind for kind in (schema.query_type, schema.mutation_type) if kind is not None]

    assert OPERATIONS.keys() == {f"{kind.name}.{field}" for kind in kinds for field in kind.fields}
