"""The subscription from outside: driven by the sandbox's webhooks, right whatever they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.sandbox.conversations import EMPTY, LONG, SHORT
from tests.api.system import SEND, System, system


@pytest.fixture(scope="module")
def running():
    with system(instance={"reconcile_seconds": 3}) as each:
        yield each


@pytest.fixture(params=["v1", "v2"])
def version(request) -> str:
    return request.param


async def say(running: System, patient_id: str, text: str, sender: str = "care_team", **webhook: Any) -> None:
    body = {"patientId": patient_id, "from": sender, "text": text, "webhook": webhook}
    await asyncio.to_thread(running.control, "POST", "messages", body)


async def take(edges: AsyncIterator[dict[str, Any]], count: int, within: float = 10) -> list[str]:
    """Give the bodies of the next events."""
    async with asyncio.timeout(within):
        return [(await anext(edges))["node"]["body"] for _ in range(count)]


async def nothing_more(edges: AsyncIterator[dict[str, Any]], seconds: float = 1.0) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            raise AssertionError(await anext(edges))


async def test_a_webhook_reaches_the_subscriber(running, version):
    async with running.follow(version, LONG) as edges:
        await asyncio.sleep(0.2)

        await say(running, LONG, "How are you today?")

        assert await take(edges, 1, within=2) == ["How are you today?"]
        await nothing_more(edges)


@pytest.mark.parametrize(
    "webhook",
    [{"duplicate": 4}, {"delay": 1.5}, {"early": 1.5}, {"drop": True}, {"patientUrl": False}],
    ids=lambda webhook: next(iter(webhook)),
)
async def test_whatever_a_webhook_does_the_message_comes_once(running, version, webhook):
    async with running.follow(version, SHORT) as edges:
        await asyncio.sleep(0.2)

        await say(running, SHORT, f"This webhook: {webhook}", **webhook)

        assert await take(edges, 1) == [f"This webhook: {webhook}"]
        await nothing_more(edges, 3.5)


async def test_an_early_webhook_is_delivered_within_a_second_of_being_listed(running, version):
    async with running.follow(version, SHORT) as edges:
        await asyncio.sleep(0.2)
        before = running.lists(version)
        began = time.monotonic()

        await say(running, SHORT, "early", early=2)

        assert await take(edges, 1) == ["early"]
        assert time.monotonic() - began < 3.5
        assert running.lists(version) - before <= 10


async def test_a_burst_arrives_in_order_and_each_message_once(running, version):
    texts = [f"burst {number}" for number in range(50)]
    async with running.follow(version, LONG) as edges:
        await asyncio.sleep(0.2)

        for index, text in enumerate(texts):
            await say(running, LONG, text, duplicate=index % 3, delay=(7 * index % 5) / 10)

        assert await take(edges, 50, within=20) == texts
        await nothing_more(edges)


async def test_what_was_missed_is_replayed_from_the_cursor_before_what_is_new(running, version):
    cursor = running.messages(version, LONG, first=1)["pageInfo"]["startCursor"]
    for number in range(5):
        await say(running, LONG, f"missed {number}", "patient" if number % 2 else "care_team")

    async with running.follow(version, LONG, after=cursor) as edges:
        assert await take(edges, 5) == [f"missed {number}" for number in range(5)]
        await say(running, LONG, "live again")
        assert await take(edges, 1) == ["live again"]


async def test_the_first_message_of_an_empty_conversation_is_delivered(running, version):
    patient_id = f"{EMPTY[:-1]}{version[-1]}x"
    running.control("POST", "patients", {"patientId": patient_id})

    async with running.follow(version, patient_id) as edges:
        await asyncio.sleep(0.3)
        await say(running, patient_id, "Welcome!")

        assert await take(edges, 1) == ["Welcome!"]


async def test_a_send_reaches_the_subscriber_without_any_webhook(running, version):
    async with running.follow(version, LONG) as edges:
        await asyncio.sleep(0.2)

        sent = await asyncio.to_thread(
            running.query, version, SEND, input={"patientId": LONG, "body": "I feel better"}
        )
        async with asyncio.timeout(2):
            edge = await anext(edges)

        assert edge["node"]["id"] == sent["sendMessage"]["messageEdge"]["node"]["id"]


async def test_a_hundred_subscribers_cost_one_upstream_read(running, version):
    patient_id = f"crowd-{version}"
    running.control(
        "POST", "patients", {"patientId": patient_id, "messages": [{"text": "first", "from": "patient"}]}
    )

    # A cursor, so that it does not matter how soon each of them is served.
    cursor = running.messages(version, patient_id, first=1)["pageInfo"]["startCursor"]

    async def subscriber(ready: asyncio.Barrier) -> list[str]:
        async with running.follow(version, patient_id, after=cursor) as edges:
            await ready.wait()
            return await take(edges, 1)

    ready = asyncio.Barrier(101)
    tasks = [asyncio.create_task(subscriber(ready)) for _ in range(100)]
    await ready.wait()
    await asyncio.sleep(1.5)
    before = running.lists(version)
    await say(running, patient_id, "to all")
    received = await asyncio.gather(*tasks)

    assert received == [["to all"]] * 100
    assert running.lists(version) - before <= 2  # one, and perhaps the reconcile timer's


async def test_an_event_of_one_patient_does_not_reach_the_subscriber_of_another(running, version):
    async with running.follow(version, SHORT) as edges:
        await asyncio.sleep(0.2)

        await say(running, LONG, "not for you")

        await nothing_more(edges, 1.5)
