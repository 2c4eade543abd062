"""The list of patients, and names filled from the record, on both versions."""

from __future__ import annotations

import pytest

from gateway.sandbox.conversations import LONG
from tests.api.system import System, system

PATIENTS = """
query ($first: Int, $after: String, $search: String) {
  patients(first: $first, after: $after, search: $search) {
    edges { cursor node { patientId firstName lastName messages(first: 1) { nodes { body } } } }
    nodes { id }
    pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}
"""
NAMES = """
query ($id: ID!) { patient(patientId: $id) { messages(first: 50) { nodes { sender { kind name } } } } }
"""


def last_name(number: int) -> str:
    """Spell a number in letters: v2's search takes a word with a digit for a record number."""
    return "Name" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")


@pytest.fixture(scope="module")
def running():
    with system(cache={"ttl_seconds": 0}) as each:
        for number in range(130):
            names = {"firstName": "Ada", "lastName": last_name(number)}
            each.control("POST", "patients", {"patientId": f"p-{number:03}", **names})
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


def walk(running: System, version: str, first: int, **variables) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = running.query(version, PATIENTS, first=first, after=cursor, **variables)["patients"]
        ids += [edge["node"]["patientId"] for edge in page["edges"]]
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return ids


@pytest.mark.parametrize("first", [9, 50, 200])
def test_every_patient_is_listed_once(running, version, first):
    ids = walk(running, version, first)

    assert len(ids) == len(set(ids))
    assert {f"p-{number:03}" for number in range(130)} | {LONG} <= set(ids)


def test_a_search_finds_by_name(running, version):
    assert walk(running, version, 10, search=last_name(42)) == ["p-042"]


@pytest.mark.parametrize("search", ["", "  ", "x" * 201])
def test_a_search_that_cannot_be_is_refused(running, version, search):
    assert running.code(version, PATIENTS, search=search) == "BAD_USER_INPUT"


def test_a_cursor_of_another_search_is_refused(running, version):
    cursor = running.query(version, PATIENTS, first=1)["patients"]["pageInfo"]["endCursor"]

    assert running.code(version, PATIENTS, first=1, after=cursor, search="Ada") == "INVALID_CURSOR"
    assert running.code(version, PATIENTS, first=1, after="x") == "INVALID_CURSOR"


def test_names_of_a_page_of_messages_cost_one_record_read(running, version):
    before = running.sandbox.requests.count(f"{version}.patient")

    nodes = running.query(version, NAMES, id=LONG)["patient"]["messages"]["nodes"]

    record = running.query(
        version, "query ($id: ID!) { patient(patientId: $id) { firstName lastName } }", id=LONG
    )
    name = "{firstName} {lastName}".format(**record["patient"])
    assert {n["sender"]["name"] for n in nodes if n["sender"]["kind"] == "PATIENT"} == {name}
    assert running.sandbox.requests.count(f"{version}.patient") - before == 2  # one, and the test's own
