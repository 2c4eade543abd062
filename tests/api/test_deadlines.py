"""One operation has one deadline, whatever it leads to and whoever it has to wait for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection

from gateway.sandbox import FaultRule
from gateway.sandbox.conversations import LONG, SHORT
from tests.api.system import MESSAGES, PATHS, SEND, System, system

DEADLINE = 2.0
LATE = DEADLINE + 1.2
"""Half a second is promised; the rest is for a slow machine."""

RECORD = "query ($id: ID!) { patient(patientId: $id) { firstName } }"
NESTED = "query ($id: ID!) { patient(patientId: $id) { firstName messages(first: 3) { nodes { body } } } }"


@pytest.fixture
def running() -> Iterator[System]:
    with system(instance={"timeout_seconds": DEADLINE}) as each:
        for version in PATHS:
            each.messages(version, SHORT, first=1)  # so that a token is there
        yield each


async def ask(running: System, document: str, **variables: Any) -> tuple[float, dict[str, Any]]:
    """Give how long an answer of v2 took, and the answer."""
    began = time.monotonic()
    async with httpx2.AsyncClient(timeout=30) as http:
        url = f"{running.gateway_url}/{PATHS['v2']}/graphql"
        answer = await http.post(url, json={"query": document, "variables": variables})
    return time.monotonic() - began, answer.json()


async def test_what_is_read_one_after_the_other_has_one_deadline(running):
    running.sandbox.faults.add(FaultRule("slow", operation="any", times=None, args={"seconds": 1.6}))

    took, answer = await ask(running, NESTED, id=LONG)

    assert took < LATE
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UPSTREAM_TIMEOUT"]


async def test_who_joins_the_read_of_a_record_keeps_their_own_deadline(running):
    running.sandbox.faults.add(FaultRule("hang", operation="patient", times=None))

    async def later(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return (await ask(running, RECORD, id=LONG))[0]

    assert max(await asyncio.gather(later(0), later(0.2), later(0.4))) < LATE


async def test_a_send_that_waited_for_its_turn_has_only_what_is_left(running):
    running.sandbox.faults.add(FaultRule("hang", operation="send", times=None))

    async def later(number: int) -> tuple[float, dict[str, Any]]:
        await asyncio.sleep(0.15 * number)
        return await ask(running, SEND, input={"patientId": SHORT, "body": f"send {number}"})

    outcomes = await asyncio.gather(*(later(number) for number in range(3)))

    assert max(took for took, _ in outcomes) < LATE
    codes = {answer["errors"][0]["extensions"]["code"] for _, answer in outcomes}
    assert codes <= {"SEND_UNCONFIRMED", "OVERLOADED"}
    posted = running.sandbox.requests.count("v2.send")
    assert posted == sum(
        answer["errors"][0]["extensions"]["code"] == "SEND_UNCONFIRMED" for _, answer in outcomes
    )


async def test_a_crowded_line_to_welkin_ends_no_subscription():
    crowd = [f"pt_crowd{number}" for number in range(30)]
    with system(instance={"max_calls": 2, "reconcile_seconds": 5, "timeout_seconds": 5}) as running:
        for patient_id in crowd:
            first = {"text": "x", "from": "care_team"}
            running.control("POST", "patients", {"patientId": patient_id, "messages": [first]})
        async with AsyncExitStack() as stack:
            tails: list[AsyncIterator[dict[str, Any]]] = []
            for patient_id in crowd:
                page = await asyncio.to_thread(running.messages, "v1", patient_id, first=1)
                after = page["pageInfo"]["startCursor"]
                tails.append(await stack.enter_async_context(running.follow("v1", patient_id, after)))
            running.sandbox.faults.add(FaultRule("slow", operation="list", times=None, args={"seconds": 0.2}))
            for patient_id in crowd:
                await running.sandbox.say(patient_id, "new", wait=False)

            async with asyncio.timeout(60):
                edges = await asyncio.gather(*(anext(tail) for tail in tails))

    assert [edge["node"]["body"] for edge in edges] == ["new"] * len(crowd)


async def test_a_stale_record_in_an_event_is_marked():
    document = (
        "subscription ($id: ID!) { messageAdded(patientId: $id) { node { body patient { firstName } } } }"
    )
    cache = {"ttl_seconds": 0.5, "stale_if_error_seconds": 60}
    with system(instance={"timeout_seconds": 3}, cache=cache) as running:
        running.query("v2", RECORD, id=LONG)
        async with running.socket("v2") as socket:
            payload = {"query": document, "variables": {"id": LONG}}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            await asyncio.sleep(1)
            running.sandbox.faults.add(FaultRule("unavailable", operation="patient", times=None))
            await running.sandbox.say(LONG, "hello", wait=False)
            async with asyncio.timeout(20):
                event = await next_event(socket)

    assert event["data"]["messageAdded"]["node"]["patient"]["firstName"]
    assert event["extensions"]["stale"]["seconds"] > 0


async def next_event(socket: ClientConnection) -> dict[str, Any]:
    """Give the payload of the next event."""
    while (message := json.loads(await socket.recv()))["type"] == "ping":
        pass
    assert message["type"] == "next", message
    return message["payload"]


def test_readiness_asks_for_few_tokens_while_one_list_fails():
    with system(instance={"timeout_seconds": 3}, cache={"ttl_seconds": 0}) as running:
        running.messages("v1", SHORT, first=1)
        running.sandbox.requests.clear()
        running.sandbox.faults.add(FaultRule("server_error", operation="list", times=None, patient_id=LONG))
        for _ in range(4):
            for _ in range(6):
                running.messages("v1", SHORT, first=1)
            running.post("v1", MESSAGES, id=LONG, first=1)
            running.http.get(f"{running.gateway_url}/readyz")
            time.sleep(1.05)  # an answer of /readyz is given again for a second

        assert running.sandbox.requests.count("v1.token") <= 1
