"""Documents that are meant to hurt: refused with a code, for little work, and the rest goes on."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

from gateway.graphql.documents import Refused
from gateway.graphql.execution import Executor, Request
from tests.api.fakes import PATIENT
from tests.reliability.product import MINE, PATHS, SERVICE, Product

CPU_SECONDS = 0.4
"""Refusing takes some 10 ms, at worst 150; a busy machine takes more, one that expands takes seconds."""

SPREAD = " ".join(f"...F{number}" for number in range(10_000))
MANY = {
    "fragments": "{ " + SPREAD + " } " + " ".join(f"fragment F{n} on Query {{ a }}" for n in range(10_000)),
    "variables": "query (" + " ".join(f"$v{n}: Int" for n in range(10_000)) + ") { __typename }",
    "fields that overlap": "{ " + "instance { name } " * 3_000 + "}",
    "fields that overlap within the limit of tokens": "{ instance { " + "name " * 990 + "} }",
    "pairs that conflict": "{ " + " ".join(f"a: instance {{ x{n}: name }}" for n in range(140)) + " }",
    "directives": "{ __typename " + "@include(if: true) " * 10_000 + "}",
    "unknown directives": "{ __typename " + "@a" * 10_000 + "}",
    "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(10_000)) + " }",
    "operations": "query A { __typename } " * 5_000,
    "a list": '{ nodes(ids: ["a"' + ', "a"' * 10_000 + "]) { id } }",
    "an object": "{ a(b: {" + " ".join(f"f{n}: 1" for n in range(10_000)) + "}) }",
    "brackets": "{ a(b: " + "[" * 20_000 + "]" * 20_000 + ") }",
    "braces": "{" * 50_000,
    "types": "query ($a: " + "[" * 5_000 + "ID" + "]" * 5_000 + ") { __typename }",
    "inline fragments": "{ " + "... { " * 5_000 + "__typename" + " }" * 5_000 + " }",
    "fragments in a circle": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % 100} }}" for n in range(100)),
    "fragments that double": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(80))
    + " fragment F80 on Query { __typename }",
    "a chain through inline fragments": "{ ...F0 } "
    + " ".join(
        f"fragment F{n} on Query {{ " + "... { " * 13 + f"...F{n + 1}" + " }" * 13 + " }" for n in range(19)
    )
    + " fragment F19 on Query { a }",
    "numbers": "{ a(b: " + "9" * 500_000 + ") }",
    "a name": "{ " + "a" * 500_000 + " }",
    "a comment without an operation": "#" + "x" * 1_000_000,
    "comments": "#\n" * 400_000,
    "commas": "," * 1_000_000,
    "a byte order mark and blanks": "\ufeff" + " \n" * 400_000,
    "an open string": '{ a(b: "' + "x" * 1_000_000,
    "an open block string": '{ a(b: """' + "x\n" * 400_000,
    "escapes": '{ a(b: "' + "\\u0041" * 150_000 + '") }',
}


def refuse(executor: Executor, text: str) -> float:
    """Give the CPU that refusing takes, in seconds of this thread."""
    began = time.thread_time()
    with pytest.raises(Refused) as caught:
        executor.prepare(Request(text), "r")
    spent = time.thread_time() - began
    codes = {error["extensions"]["code"] for error in caught.value.errors}
    assert codes <= {"LIMIT_EXCEEDED", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}
    assert len(json.dumps(caught.value.errors)) < 5_000
    return spent


@pytest.mark.parametrize("name", MANY)
def test_what_is_too_much_is_refused_for_little_work(name: str):
    executor = Executor(introspection=False)

    assert min(refuse(executor, MANY[name]) for _ in range(3)) < CPU_SECONDS


LONG = 128 * 1024
LONG_TEXTS = {
    "literal": '{ patient(patientId: "%s") { id } }',
    "block": '{ patient(patientId: """%s""") { id } }',
    "comment": "{ __typename } #%s",
    "blanks": "{ __typename }%s",
}


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_long_document_is_not_even_parsed(name: str):
    executor = Executor(introspection=False)
    filler = " " if name == "blanks" else "x"
    text = LONG_TEXTS[name] % (filler * 1_000_000)

    assert min(refuse(executor, text) for _ in range(3)) < 0.01

    room = LONG - len(LONG_TEXTS[name] % "")
    assert executor.prepare(Request(LONG_TEXTS[name] % (filler * room)), "r")
    refuse(executor, LONG_TEXTS[name] % (filler * (room + 1)))
    assert len(executor._documents) == 0  # it will not come again


GROWING = {
    "fields": lambda n: (
        "{ instance { "
        + " ".join(f"... {{ {field} }}" for field in ("name", "tenant", "apiVersion")) * (n // 25)
        + " } }"
    ),
    "fragments": lambda n: (
        "{ ...F0 } "
        + " ".join(f"fragment F{k} on Query {{ ...F{k + 1} ...F{k + 1} }}" for k in range(n // 10))
        + f" fragment F{n // 10} on Query {{ __typename }}"
    ),
    "arguments": lambda n: "{ nodes(ids: [" + '"a" ' * n + "]) { id } }",
    "variables": lambda n: (
        "query ("
        + " ".join(f"$v{k}: Int" for k in range(n // 4))
        + ") { patients(first: $v0) { nodes { id } } }"
    ),
    "directives": lambda n: "{ __typename " + "@include(if: true) " * (n // 20) + "}",
    "inline fragments": lambda n: "{ " + "... @include(if: true) { __typename } " * (n // 20) + "}",
}


@pytest.mark.parametrize("shape", GROWING)
def test_the_work_grows_no_faster_than_the_document(shape: str):
    """Four times the document, at most some ten times the work: squares would give sixteen.

    Equal fields are compared in pairs by the library, up to a bound of its own, so they are few here.
    """
    executor = Executor(introspection=False)

    def cost(size: int) -> float:
        best = float("inf")
        for number in range(7):
            text = GROWING[shape](size) + f" #{number}"
            began = time.thread_time()
            with suppress(Refused):
                executor.prepare(Request(text), "r")
            best = min(best, time.thread_time() - began)
        return best

    assert cost(880) / cost(220) < 10
    assert cost(880) < CPU_SECONDS


@pytest.mark.parametrize("first", [1_000_000, -1, -5, 2**31, 2**63, 201, 1.5, "2", True])
def test_a_page_of_another_size_reads_nothing(running: Product, first: object):
    query = "query ($n: Int) { patients(first: $n) { nodes { messages(first: $n) { nodes { body } } } } }"

    for body in (
        {"query": query, "variables": {"n": first}},
        {"query": query.replace("query ($n: Int)", "").replace("$n", json.dumps(first))},
    ):
        (error, *_) = running.post("v2", body).json()["errors"]
        assert error["extensions"]["code"] in {
            "BAD_USER_INPUT",
            "LIMIT_EXCEEDED",
            "GRAPHQL_VALIDATION_FAILED",
        }
    assert running.calls() == 0


COP = {
    # what graphql-cop looks for --> how it asks
    "alias overloading": {"json": {"query": "{ " + "".join(f"a{n}: __typename " for n in range(101)) + "}"}},
    "array batching": {"json": [{"query": "{ __typename }"}] * 10},
    "directive overloading": {"json": {"query": "{ __typename " + "@aa" * 10 + " }"}},
    "circular introspection": {
        "json": {"query": "{ __schema { types { fields { type { fields { type { name } } } } } } }"}
    },
    "introspection": {"json": {"query": "{ __schema { types { name } } }"}},
    "field suggestions": {"json": {"query": "{ __typename instanc }"}},
    "post by form": {"data": {"query": "{ __typename }"}},
    "trace mode": {"json": {"query": "{ __typename }", "extensions": {"tracing": True}}},
    "unhandled error": {"json": {"query": "qwerty { abc }"}},
}


@pytest.mark.parametrize("finding", COP)
def test_a_scanner_finds_nothing(running: Product, finding: str):
    answer = running.http.post(f"{running.url}/{PATHS['v1']}/graphql", headers=SERVICE, **COP[finding])

    text = answer.text
    assert answer.status_code in {200, 400, 415}
    assert "Did you mean" not in text
    assert "Traceback" not in text
    assert "tracing" not in text
    assert len(answer.json().get("errors", [])) < 10
    assert "data" not in answer.json() or finding == "trace mode"


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_a_scanner_finds_no_page_and_no_query_by_address(running: Product, accept: str):
    for query in ({}, {"query": "{ __typename }"}, {"query": "mutation { __typename }"}):
        for path in ("graphql", f"{PATHS['v1']}/graphql", "graphiql/", "playground", "altair", "console"):
            answer = running.http.get(
                f"{running.url}/{path}", params=query, headers={**SERVICE, "Accept": accept}
            )
            assert answer.status_code in {404, 405}
            assert answer.headers["content-type"] == "application/json"


def test_one_of_several_keys_of_a_json_object_counts(running: Product):
    """The last, as everywhere; and the limits look at what runs."""
    wide = "{ patients(first: 200) { nodes { messages(first: 200) { nodes { id } } } } }"
    body = b'{"query": "{ __typename }", "query": "%s"}' % wide.encode()
    headers = {**SERVICE, "Content-Type": "application/json"}

    answer = running.http.post(f"{running.url}/{PATHS['v1']}/graphql", content=body, headers=headers)

    assert answer.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


MANY_IDS = (
    "query ($i: ID!) { nodes(ids: ["
    + "$i " * 60
    + "]) { ... on Patient { messages(first: 200) { nodes { id } } } } }"
)
COSTLY = "patients(first: 200) { nodes { messages(first: 200) { nodes { id } } } }"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query ($b: Boolean = true) { " + COSTLY.replace(") {", ") @include(if: $b) {", 1) + " }", {}),
        ("query ($b: Boolean!) { ... @skip(if: $b) { " + COSTLY + " } }", {"b": False}),
        ("query ($n: Int = 200) { " + COSTLY.replace("200", "$n") + " }", {}),
        ("query ($n: Int = 1) { " + COSTLY.replace("200", "$n") + " }", {"n": 200}),
        ("query ($n: Int = 1) { " + COSTLY.replace("200", "$n") + " }", {"n": 200.0}),
        ("query ($n: Int = 1) { " + COSTLY.replace("200", "$n") + " }", {"n": "200"}),
        ("query ($n: Int = 1) { " + COSTLY.replace("200", "$n") + " }", {"n": True}),
        ("{ " + COSTLY.replace("messages(first", "messages(last") + " }", {}),
        ("{ " + COSTLY.replace("nodes", "edges { node", 1).replace(" } } }", " } } } }") + " }", {}),
        (
            """{ ...A } fragment A on Query { patients(first: 200) { ...B } }
            fragment B on PatientConnection { nodes { ...C } }
            fragment C on Patient { messages(first: 200) { nodes { id } } }""",
            {},
        ),
        ("query A { __typename } query B { " + COSTLY + " }", {"operationName": "B"}),
        (
            MANY_IDS,
            {"i": "x"},
        ),
        ("{ " + " ".join(f"a{n}: {COSTLY}".replace("200", "99") for n in range(2)) + " }", {}),
    ],
)
def test_no_way_of_writing_makes_it_cheap(running: Product, query: str, variables: dict):
    name = variables.pop("operationName", None)

    answer = running.post("v2", {"query": query, "variables": variables, "operationName": name}).json()

    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED", answer
    assert "cost" in answer["errors"][0]["message"]
    assert running.calls() == 0


@pytest.mark.parametrize(
    "query",
    [
        "{ __schema { types { name } } }",
        '{ __type(name: "Query") { name } }',
        '{ a: __type(name: "Query") { fields { name } } }',
        "{ ...F } fragment F on Query { __schema { types { name } } }",
        "{ ... on Query { ... { __schema { queryType { name } } } } }",
        'query ($n: String! = "Query") { __type(name: $n) { name } }',
        "query A { __typename } query B { __schema { types { name } } }",
        "{ __typename @include(if: false) __schema @include(if: false) { types { name } } }",
    ],
)
async def test_the_schema_is_shown_by_no_way_in(running: Product, query: str):
    """Over HTTP, as a stream and by hash; refused before anything of the document runs."""
    body = {"query": query, "operationName": "A" if "query A" in query else None}
    for headers in (SERVICE, {**SERVICE, "Accept": "text/event-stream"}):
        answer = running.post("v2", body, headers)
        assert "introspection has been disabled" in answer.text
        assert '"data"' not in answer.text
    assert MINE not in answer.text
    assert PATIENT not in answer.text
