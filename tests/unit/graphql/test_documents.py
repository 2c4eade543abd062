"""Documents are prepared once, kept within bounds, and refused without saying what was in them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from graphql import OperationType, parse
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import LimitExceeded
from gateway.graphql import documents
from gateway.graphql.documents import Documents, Refused
from gateway.graphql.limits import Limits, check_limits
from gateway.graphql.schema import schema


@pytest.fixture
def cache() -> Documents:
    return Documents(schema().core, introspection=True)


def codes_of(refused: pytest.ExceptionInfo[Refused]) -> list[str]:
    return [error["extensions"]["code"] for error in refused.value.errors]


def test_a_document_is_prepared_once(cache: Documents) -> None:
    assert cache.prepare("{ __typename }") is cache.prepare("{ __typename }")


def test_the_cache_has_a_bound_and_the_least_used_leaves(cache: Documents) -> None:
    first = cache.prepare("query Q0 { __typename }")
    for number in range(1, documents.MAX_CACHED + 1):
        cache.prepare(f"query Q{number} {{ __typename }}")

    assert len(cache) == documents.MAX_CACHED
    assert cache.prepare("query Q0 { __typename }") is not first


def test_long_and_refused_documents_are_not_kept(cache: Documents) -> None:
    cache.prepare("{ __typename } #" + "x" * documents.MAX_CACHED_CHARACTERS)
    for refused in ("{", "{ nope }"):
        with pytest.raises(Refused):
            cache.prepare(refused)

    assert len(cache) == 0


def test_the_operation_is_chosen_by_name(cache: Documents) -> None:
    several = cache.prepare("query A { __typename } mutation B { __typename }")
    alone = cache.prepare("query A { __typename }")

    assert several.kind_of("B") is OperationType.MUTATION
    assert alone.kind_of(None) is OperationType.QUERY
    for prepared, name in ((several, None), (several, "C"), (alone, "C"), (alone, "")):
        with pytest.raises(Refused) as refused:
            prepared.kind_of(name)
        assert codes_of(refused) == ["BAD_USER_INPUT"]


def test_a_document_without_an_operation_is_refused(cache: Documents) -> None:
    with pytest.raises(Refused):
        cache.prepare("fragment F on Query { __typename }").kind_of(None)


def test_the_errors_of_one_document_are_capped(cache: Documents) -> None:
    with pytest.raises(Refused) as refused:
        cache.prepare("{ " + " ".join(f"nope{number}" for number in range(20)) + " }")

    assert len(codes_of(refused)) == documents.MAX_ERRORS + 1


@given(st.text(max_size=60))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    with suppress(Refused):
        Documents(schema().core, introspection=False).prepare(text)


@given(st.text(alphabet=st.characters(categories=["L"]), min_size=12, max_size=20), st.integers(0, 6))
def test_no_value_of_a_document_is_shown(canary: str, place: int) -> None:
    text = [
        f'{{ "{canary}" }}',
        f'{{ node(id: "{canary}") {{ "{canary}',
        f'{{ node(id: ["{canary}"]) {{ id }} }}',
        f'{{ patient(patientId: "p") {{ messages(first: "{canary}") {{ nodes {{ id }} }} }} }}',
        f'{{ patient(patientId: "p") {{ messages(since: "{canary}") {{ nodes {{ id }} }} }} }}',
        f'query($x: Int = "{canary}") {{ patient(patientId: 1) {{ messages(last: $x) {{ __typename }} }} }}',
        f'{{ node(id: """{canary}""" """{canary}""") {{ id }} }}',
    ][place]

    with pytest.raises(Refused) as refused:
        Documents(schema().core, introspection=True).prepare(text)

    assert canary not in str(refused.value.errors)


def test_deep_nesting_is_refused_whatever_it_is_made_of(cache: Documents) -> None:
    for text in ("{ a" * 500, "{ node(id: " + "[" * 900, "{ ... " * 300 + "{ __typename }" + " }" * 300):
        with pytest.raises(Refused):
            cache.prepare(text)


def test_limits_count_what_fragments_expand_to() -> None:
    spreads = "...F " * 8
    check_limits(parse("{ ...F } fragment F on Query { a: x b: x }"), Limits())
    with pytest.raises(LimitExceeded, match="aliases"):
        check_limits(parse(f"{{ {spreads} }} fragment F on Query {{ a: x b: x }}"), Limits())
    with pytest.raises(LimitExceeded, match="levels"):
        check_limits(parse("{ a { ...F } } fragment F on Query { " + "b { " * 10 + "c" + " }" * 11), Limits())
    with pytest.raises(LimitExceeded, match="directives"):
        check_limits(parse("{ ...F " + "@d " * 51 + "} fragment F on Query { x }"), Limits())


def test_measuring_is_linear_in_the_document() -> None:
    """Forty doublings would be a million million fields."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))

    check_limits(parse(f"{{ ...F0 }} {chain} fragment F40 on Query {{ x }}"), Limits(root_fields=2**40))


def test_fragments_in_a_circle_do_not_hold_the_ruler() -> None:
    check_limits(parse("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A x }"), Limits())


def test_introspection_is_not_measured_by_depth() -> None:
    deep = "ofType { " * Limits().depth + "name" + " }" * Limits().depth

    check_limits(parse(f"{{ __schema {{ types {{ {deep} }} }} }}"), Limits())
