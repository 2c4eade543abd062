"""What operations cost, and that the table behind it names every field that is paged."""

from __future__ import annotations

import time

import pytest
from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, parse

from gateway.domain.errors import LimitExceeded
from gateway.graphql.cost import CONNECTIONS, MAX_IDS, NODES, READS, cost_of
from gateway.graphql.limits import Limits, check_cost, check_limits
from gateway.graphql.query import MAX_NODES
from gateway.graphql.schema import schema

SIZES = {"first", "last", "older", "newer"}


@pytest.mark.parametrize(
    ("document", "variables", "cost"),
    [
        ("{ instance { name } __typename __schema { types { name } } }", {}, 0),
        ('{ patient(patientId: "p") { patientId } }', {}, 1),
        ('{ patient(patientId: "p") { messages { nodes { body } } } }', {}, 51),
        ('{ patient(patientId: "p") { messages(first: 2) { nodes { body } } } }', {}, 3),
        ('{ patient(patientId: "p") { messages(last: 200, first: 1) { nodes { body } } } }', {}, 201),
        ("{ patients(first: 3) { nodes { messages(last: 5) { nodes { body } } } } }", {}, 18),
        ('{ searchMessages(query: "q", first: 2) { edges { context { nodes { id } } } } }', {}, 24),
        (
            '{ searchMessages(query: "q", first: 2) { edges { context(newer: 0) { nodes { id } } } } }',
            {},
            14,
        ),
        ('{ nodes(ids: ["a", "b"]) { id } }', {}, 2),
        ('{ nodes(ids: "a") { id } }', {}, 1),
        ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 7}, 7),
        ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", {}, 100),
        ("query($n: Int) { patients(first: $n) { nodes { id } } }", {"n": 7}, 7),
        ("query($n: Int) { patients(first: $n) { nodes { id } } }", {}, 50),
        ("query($n: Int = 9) { patients(first: $n) { nodes { id } } }", {}, 9),
        ("query($n: Int = 9) { patients(first: $n) { nodes { id } } }", {"n": None}, 50),
        ("query($n: Int) { patients(first: $n) { nodes { id } } }", {"n": "many"}, 200),
        ("query($n: Int) { patients(first: $n) { nodes { id } } }", {"n": True}, 200),
        ('subscription { messageAdded(patientId: "p") { node { patient { mrn } } } }', {}, 2),
    ],
)
def test_an_operation_costs_the_records_that_it_may_ask_for(
    document: str, variables: dict, cost: int
) -> None:
    assert cost_of(parse(document), None, variables) == cost


def test_fragments_count_wherever_they_are_spread() -> None:
    text = """
    query A { patients(first: 4) { nodes { ...F } } }
    query B { a: patient(patientId: "a") { ...F } b: patient(patientId: "b") { ...F ... { ...F } } }
    fragment F on Patient { messages(first: 10) { nodes { body } } }
    """

    assert [cost_of(parse(text), name, {}) for name in ("A", "B")] == [44, 32]


def test_counting_is_linear_in_the_document() -> None:
    """Forty doublings would be a million million fields."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    document = parse(
        f"{{ ...F0 }} {chain} fragment F40 on Query {{ patients(first: 1) {{ nodes {{ id }} }} }}"
    )

    began = time.monotonic()
    assert cost_of(document, None, {}) == 2**40
    assert time.monotonic() - began < 1


def test_every_field_that_is_paged_is_in_the_table() -> None:
    kinds = [kind for kind in schema().core.type_map.values() if isinstance(kind, GraphQLObjectType)]
    fields = [(name, each) for kind in kinds for name, each in kind.fields.items() if kind.name[:2] != "__"]
    paged = {name: set(each.args) & SIZES for name, each in fields if set(each.args) & SIZES}
    lists = {name for name, each in fields if each.args and isinstance(_bare(each.type), GraphQLList)}
    single = {name for name, each in fields if each.args} - paged.keys() - lists

    assert paged == {name: set(sizes) for name, sizes in CONNECTIONS.items()}
    assert lists == {NODES}
    assert single == READS
    assert MAX_IDS == MAX_NODES


def _bare(kind: object) -> object:
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


def test_too_much_is_refused_by_name() -> None:
    check_cost(10, Limits(cost=10))
    with pytest.raises(LimitExceeded, match="at most 10 records; this one costs 11"):
        check_cost(11, Limits(cost=10))
    check_limits(parse("{ a b ...F } fragment F on Query { c { x y z } }"), Limits(root_fields=3))
    with pytest.raises(LimitExceeded, match="at most 3 root fields"):
        check_limits(parse("{ a b ...F } fragment F on Query { c d }"), Limits(root_fields=3))
