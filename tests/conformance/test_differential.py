"""What the gateway answers can be computed from Welkin's data directly, and is the same for both versions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.sandbox import Knobs, SandboxConfig
from tests.api.system import System, system
from tests.conformance.made_queries import WORDS, Filter, Maker, Model, moment

VERSIONS = ("v1", "v2")
QUERIES = 500
BLOCK = 125
PAGE = 17
"""Messages in a page of the upstream: windows begin and end anywhere in it."""

CURSORS = """query ($id: ID!, $first: Int, $after: String, $since: DateTime, $archived: Boolean! = false) {
  patient(patientId: $id) { id
    messages(first: $first, after: $after, since: $since, includeArchived: $archived) {
      edges { cursor node { body } } pageInfo { hasNextPage endCursor } } } }"""
HITS = """query ($id: ID!, $text: String!, $first: Int, $after: String) {
  searchMessages(patientId: $id, query: $text, first: $first, after: $after) {
    edges { cursor node { body } } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture(scope="module")
def running() -> Iterator[System]:
    knobs = Knobs(v1_max_size=PAGE, v2_max_size=PAGE)
    with system(SandboxConfig(knobs=knobs), cache={"ttl_seconds": 1}) as each:
        yield each


@pytest.fixture(scope="module")
def models(running: System) -> dict[str, Model]:
    """Give what both versions know, with every cursor that queries can want, got from pages of many sizes."""
    models = {version: Model(version, running.sandbox) for version in VERSIONS}
    for version, model in models.items():
        sizes = random.Random(version)
        for patient_id in running.sandbox.store.patients:
            for chosen in Maker(model, sizes, shared=False).filters(patient_id):
                model.cursors[patient_id, chosen] = cursors(running, model, patient_id, chosen, sizes)
            for text in WORDS:
                model.cursors[patient_id, text] = hit_cursors(running, model, patient_id, text, sizes)
    return models


@pytest.mark.parametrize("block", range(QUERIES // BLOCK))
def test_answers_are_those_computed_from_welkins_data(running, models, block):
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        answers: list[Any] = []
        shared = seed % 2 == 0
        for version in VERSIONS:
            query, expected = Maker(models[version], random.Random(seed), shared=shared).query()
            answer = running.post(version, query)

            assert answer.get("errors") is None, (version, seed, query, answer["errors"])
            assert answer["data"] == expected, (version, seed, query)
            answers.append(answer["data"])
        if shared:
            assert answers[0] == answers[1], seed


def cursors(
    running: System, model: Model, patient_id: str, chosen: Filter, sizes: random.Random
) -> dict[int, str]:
    """Walk through a list; gives the cursor of each message by its position."""
    since = None if chosen.since_ms is None else moment(chosen.since_ms)
    given = {"id": patient_id, "since": since, "archived": chosen.archived}

    def page(after: str | None) -> Any:
        first = sizes.randint(20, 200)
        patient = running.query(model.version, CURSORS, first=first, after=after, **given)["patient"]
        model.ids[patient_id] = patient["id"]
        return patient["messages"]

    return _walk(page, model.listed(patient_id, chosen))


def hit_cursors(
    running: System, model: Model, patient_id: str, text: str, sizes: random.Random
) -> dict[int, str]:
    """Walk through the hits of a search; gives the cursor of each by its position."""

    def page(after: str | None) -> Any:
        first = sizes.randint(20, 200)
        variables = {"id": patient_id, "text": text, "first": first, "after": after}
        return running.query(model.version, HITS, **variables)["searchMessages"]

    return _walk(page, model.hits(patient_id, text))


def _walk(page: Any, expected: list[Any]) -> dict[int, str]:
    edges: list[Any] = []
    after = None
    while True:
        part = page(after)
        edges += part["edges"]
        if not part["pageInfo"]["hasNextPage"]:
            break
        after = part["pageInfo"]["endCursor"]
    assert [edge["node"]["body"] for edge in edges] == [message.text for message in expected]
    return {message.position: edge["cursor"] for message, edge in zip(expected, edges, strict=True)}
