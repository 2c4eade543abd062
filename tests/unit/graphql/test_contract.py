"""The schema is what was promised, is published as it is served, and every part of it is explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
    parse,
    validate,
)

from gateway.domain import model
from gateway.graphql.export import check, sdl
from gateway.graphql.instance import ApiVersion, Capability
from gateway.graphql.message import SenderKind
from gateway.graphql.operations import example_operations
from gateway.graphql.patient import RECORD_FIELDS
from gateway.graphql.schema import schema

ROOT = Path(__file__).parents[3]
CONTRACT = Path(__file__).with_name("contract.graphql")


@pytest.fixture
def served() -> GraphQLSchema:
    return build_schema(sdl())


@pytest.fixture
def promised() -> GraphQLSchema:
    return build_schema(CONTRACT.read_text("utf-8"))


def test_the_published_schema_is_the_one_that_is_served() -> None:
    assert (ROOT / "schema" / "schema.graphql").read_text("utf-8") == sdl()


def test_nothing_of_the_contract_is_broken(served: GraphQLSchema, promised: GraphQLSchema) -> None:
    assert find_breaking_changes(promised, served) == []


def test_types_and_defaults_are_exactly_those_of_the_contract(
    served: GraphQLSchema, promised: GraphQLSchema
) -> None:
    """A stricter output type or another default breaks nobody's query, but is not what was promised."""
    expected, actual = dict(_signatures(promised)), dict(_signatures(served))

    assert {place: actual.get(place) for place in expected} == expected


def test_everything_has_a_description(served: GraphQLSchema) -> None:
    assert [place for place, text in _descriptions(served) if not text] == []


def test_a_stale_copy_and_a_broken_promise_are_told_apart() -> None:
    current = sdl()
    promised_more = current.replace("  mrn: String\n", "  mrn: String\n\n  nickname: String\n")

    assert check(current) == []
    assert [problem.partition(":")[0] for problem in check(current.replace("Given name", "Name"))] == [
        "Differs from what is served"
    ]
    assert check(promised_more)[0].startswith("Breaks clients: Field Patient.nickname was removed")
    assert check("type {")[0].startswith("The committed schema cannot be read")


@pytest.mark.parametrize(("name", "text"), list(example_operations().items()))
def test_every_example_is_explained_and_fits_the_schema(served: GraphQLSchema, name: str, text: str) -> None:
    document = parse(text)

    assert text.startswith("# ")
    assert validate(served, document) == []
    assert len(document.definitions) == 1
    assert name.endswith(".graphql")


def test_the_examples_start_with_the_newest_messages() -> None:
    names = list(example_operations())

    assert names[0] == "newest_messages.graphql"
    assert len(names) == len(list((ROOT / "schema" / "operations").iterdir()))


@pytest.mark.parametrize(
    ("ours", "domain"),
    [(SenderKind, model.SenderKind), (ApiVersion, model.ApiVersion), (Capability, model.Capability)],
)
def test_every_domain_value_has_a_word_in_the_schema(ours: type, domain: type) -> None:
    assert {entry.name for entry in ours} == {entry.name for entry in domain}


def test_every_field_of_the_record_is_a_field_of_the_patient(served: GraphQLSchema) -> None:
    patient = served.get_type("Patient")

    assert isinstance(patient, GraphQLObjectType)
    assert set(patient.fields) == RECORD_FIELDS | {"id", "patientId", "messages"}


def test_the_schema_is_built_once() -> None:
    assert schema() is schema()


def _named(graphql: GraphQLSchema) -> Iterator[GraphQLNamedType]:
    builtin = {"String", "Int", "Float", "Boolean", "ID"}
    for name, kind in graphql.type_map.items():
        if not name.startswith("__") and name not in builtin:
            yield kind


def _signatures(graphql: GraphQLSchema) -> Iterator[tuple[str, str]]:
    for kind in _named(graphql):
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", str(field.type)
                for argument_name, argument in field.args.items():
                    default = argument.ast_node and argument.ast_node.default_value
                    shown = f"{argument.type} = {default and default.value}"
                    yield f"{kind.name}.{name}({argument_name})", shown
        elif isinstance(kind, GraphQLInputObjectType):
            for name, slot in kind.fields.items():
                yield f"{kind.name}.{name}", str(slot.type)
        elif isinstance(kind, GraphQLEnumType):
            yield kind.name, " ".join(sorted(kind.values))


def _descriptions(graphql: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    for kind in _named(graphql):
        yield kind.name, kind.description
        if isinstance(kind, GraphQLEnumType):
            for name, value in kind.values.items():
                yield f"{kind.name}.{name}", value.description
        for name, field in getattr(kind, "fields", {}).items():
            yield f"{kind.name}.{name}", field.description
            for argument_name, argument in getattr(field, "args", {}).items():
                yield f"{kind.name}.{name}({argument_name})", argument.description
