"""What fails takes nothing else with it: not the other fields, and not the other instance."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.sandbox import FaultRule
from tests.faults.asked import Visit, assert_nothing_leaks
from tests.faults.operations import read_page
from tests.faults.rig import BRIEF, PATIENT, Place, make_sandbox, rig

THREE = """query ($a: ID!, $b: ID!, $c: ID!) {
  first: patient(patientId: $a) { messages(first: 2) { nodes { body } } }
  second: patient(patientId: $b) { messages(first: 2) { nodes { body } } }
  third: patient(patientId: $c) { firstName lastName }
}"""
PATIENCE = 5.0
"""Of both instances: long enough that a busy machine's own pauses are not taken for Welkin's."""

BLOCKED = 60
"""Requests into the instance that hangs: nearly as many as it may have calls under way."""

SECONDS = 0.5
"""What a read of the instance beside it may take at most. Alone it takes some 10 ms."""


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("fault", "args", "code"),
    [
        ("server_error", {}, "UPSTREAM_UNAVAILABLE"),
        ("hang", {}, "UPSTREAM_TIMEOUT"),
        ("html", {}, "UPSTREAM_BAD_RESPONSE"),
        ("body", {"text": "[]x"}, "UPSTREAM_BAD_RESPONSE"),
        ("forbidden", {}, "FORBIDDEN"),
    ],
)
async def test_one_patients_failure_leaves_the_others_data(version, fault, args, code):
    place = Place("p", version, make_sandbox())
    place.sandbox.faults.add(FaultRule(fault, operation="list", times=None, args=args, patient_id=BRIEF))
    async with rig([place]) as http:
        variables = {"a": PATIENT, "b": BRIEF, "c": "other-1"}

        answer = await http.post(f"{place.url}/graphql", json={"query": THREE, "variables": variables})

    body = answer.json()
    (error,) = body["errors"]
    assert error["extensions"]["code"] == code
    assert error["path"] == ["second", "messages"]
    assert body["data"] == {
        "first": {"messages": {"nodes": [{"body": text} for text in place.texts()[:2]]}},
        "second": None,
        "third": {"firstName": "Canaria 1", "lastName": "Canaria"},
    }
    assert_nothing_leaks(answer, body)


@pytest.mark.parametrize("hung", ["v1", "v2"])
async def test_an_instance_that_hangs_leaves_the_other_one_as_fast_as_before(hung):
    other = "v2" if hung == "v1" else "v1"
    hanging, quick = Place("hung", hung, make_sandbox()), Place("quick", other, make_sandbox())
    async with rig([hanging, quick], timeout_seconds=PATIENCE) as http:
        stuck, fast = Visit(hanging, http, deadline=PATIENCE), Visit(quick, http, deadline=PATIENCE)
        await read_page(stuck)
        await read_page(fast)
        hanging.sandbox.faults.add(FaultRule("hang", times=None))
        waiting = [asyncio.create_task(read_page(stuck)) for _ in range(BLOCKED)]
        times: list[float] = []

        while time.monotonic() and not all(task.done() for task in waiting) and len(times) < 200:
            began = time.monotonic()
            await read_page(fast)
            times.append(time.monotonic() - began)

        failures = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(failure) for failure in failures} <= {"UPSTREAM_TIMEOUT", "UPSTREAM_UNAVAILABLE"}
        assert len(times) >= 5
        assert sorted(times)[len(times) // 2] < SECONDS
        assert max(times) < PATIENCE, "a read waited for the other instance"
