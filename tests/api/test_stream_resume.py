"""Resuming after a long absence, from outside and on both versions: all that was missed, once, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.api.system import FOLLOW, PATHS, System, system

MISSED = 1_000
DURING = 40


@pytest.fixture(scope="module")
def running() -> Iterator[System]:
    with system(instance={"reconcile_seconds": 3}) as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


def away(running: System, version: str, name: str) -> tuple[str, str]:
    """Make a conversation; give its patient, and a cursor behind which a thousand messages have come."""
    patient_id = f"{name}-{version}"
    first = {"patientId": patient_id, "messages": [{"text": "before", "from": "patient"}]}
    running.control("POST", "patients", first)
    cursor = running.messages(version, patient_id, first=1)["pageInfo"]["startCursor"]
    missed = {"patientId": patient_id, "count": MISSED, "spacing": 0, "from": "care_team", "text": "m{n}"}
    running.control("POST", "bulk", missed)
    return patient_id, cursor


async def arrive(running: System, patient_id: str) -> None:
    """Let messages come while the thousand are replayed."""
    for number in range(DURING):
        body = {"patientId": patient_id, "from": "care_team", "text": f"during {number}"}
        await asyncio.to_thread(running.control, "POST", "messages", body)


def expected(running: System, version: str, patient_id: str) -> list[str]:
    return [node["body"] for node in reversed(running.walk(version, patient_id, 200))][1:]


async def test_a_thousand_missed_messages_come_before_the_live_ones_with_no_gap_at_the_seam(
    running: System, version: str
) -> None:
    patient_id, cursor = away(running, version, "seam")
    received: list[str] = []
    async with running.follow(version, patient_id, after=cursor) as edges:
        arriving = asyncio.create_task(arrive(running, patient_id))
        async with asyncio.timeout(60):
            while len(received) < MISSED + DURING:
                received.append((await anext(edges))["node"]["body"])
        await arriving

    assert received == expected(running, version, patient_id)
    assert received[-DURING:] == [f"during {number}" for number in range(DURING)]


async def test_an_event_stream_that_breaks_again_and_again_is_taken_up_by_its_last_id(
    running: System, version: str
) -> None:
    patient_id, cursor = away(running, version, "ids")
    url = f"{running.gateway_url}/{PATHS[version]}/graphql"
    asked = {"query": FOLLOW, "variables": {"id": patient_id, "after": cursor}}
    received: list[str] = []
    last_id = ""
    async with asyncio.timeout(60), httpx2.AsyncClient(timeout=30) as http:
        arriving = asyncio.create_task(arrive(running, patient_id))
        while len(received) < MISSED + DURING:
            before = len(received)
            headers = {"Accept": "text/event-stream", "Last-Event-ID": last_id}
            async with http.stream("POST", url, json=asked, headers=headers) as answer:
                async for line in answer.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        last_id = value
                    elif name == "data":
                        received.append(json.loads(value)["data"]["messageAdded"]["node"]["body"])
                        if len(received) - before == 170 or len(received) == MISSED + DURING:
                            break
        await arriving

    assert received == expected(running, version, patient_id)
