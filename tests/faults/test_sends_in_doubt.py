"""Sends whose answer was lost, seen from outside: one message, however often and how it is asked for."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.sandbox import FaultRule
from tests.faults.asked import LATE, Failed, Visit
from tests.faults.operations import SEND, settled
from tests.faults.rig import BRIEF, DEADLINE, Place, make_sandbox, rig

LOST = ["stored_error", "stored_reset", "stored_hang"]
TEXT = "canary in doubt"
RETRIES = 8

SECONDS = 3.0
"""For a send: a fifth of it, for what is listed before, is more than a busy machine takes for it."""


@pytest.fixture(params=["v1", "v2"])
def place(request) -> Place:
    return Place("p", request.param, make_sandbox())


async def send(place: Place, http: httpx2.AsyncClient, key: str | None, text: str = TEXT) -> str | Failed:
    """Send a message; gives its id, or how it failed."""
    asked = {"patientId": BRIEF, "body": text, "idempotencyKey": key}
    data = await settled(Visit(place, http).ask(SEND, input=asked))
    return data if isinstance(data, Failed) else data["sendMessage"]["messageEdge"]["node"]["externalId"]


def id_of(place: Place, text: str = TEXT) -> str:
    """Give the id of the one message with this text."""
    (found,) = [m for m in place.sandbox.store.history(BRIEF) or () if m.text == text]
    return found.v1_id if place.version == "v1" else found.v2_id


@pytest.mark.parametrize("fault", LOST)
async def test_retries_with_one_key_give_the_one_message_one_after_the_other_and_at_once(place, fault):
    async with rig([place], timeout_seconds=SECONDS) as http:
        place.sandbox.faults.add(FaultRule(fault, operation="send"))

        first = await send(place, http, "k")
        later = [await send(place, http, "k") for _ in range(2)]
        at_once = await asyncio.gather(*(send(place, http, "k") for _ in range(RETRIES)))

    assert {first, *later, *at_once} == {id_of(place)}


@pytest.mark.parametrize("fault", LOST)
async def test_clients_that_send_one_key_at_once_send_one_message_whatever_becomes_of_its_answer(
    place, fault
):
    async with rig([place], timeout_seconds=SECONDS) as http:
        place.sandbox.faults.add(FaultRule(fault, operation="send", times=None))

        told = await asyncio.gather(*(send(place, http, "k") for _ in range(RETRIES)))
        place.sandbox.faults.clear()
        after = await send(place, http, "k")

    ids = {each for each in (*told, after) if isinstance(each, str)}
    assert ids == {id_of(place)}
    assert {each.code for each in told if isinstance(each, Failed)} <= {"SEND_UNCONFIRMED", "OVERLOADED"}
    assert place.sandbox.requests.count(f"{place.version}.send") == 1


async def test_a_message_that_is_listed_late_is_in_doubt_until_the_key_is_asked_for_again(place):
    place.sandbox.turn(list_lag_seconds=3600)
    async with rig([place]) as http:
        place.sandbox.faults.add(FaultRule("stored_reset", operation="send"))

        doubtful = await send(place, http, "k")
        again = await send(place, http, "k")
        place.sandbox.clock.advance(3601)
        found = await send(place, http, "k")

    assert isinstance(doubtful, Failed)
    assert isinstance(again, Failed)
    assert (doubtful.code, again.code) == ("SEND_UNCONFIRMED", "SEND_UNCONFIRMED")
    assert found == id_of(place)


async def test_a_message_that_never_arrived_stays_in_doubt_and_another_key_sends_it(place):
    async with rig([place]) as http:
        place.sandbox.faults.add(FaultRule("reset", operation="send"))

        doubtful = [await send(place, http, "k"), await send(place, http, "k")]
        sent = await send(place, http, "another")

    assert [each.code for each in doubtful if isinstance(each, Failed)] == ["SEND_UNCONFIRMED"] * 2
    assert sent == id_of(place)


@pytest.mark.parametrize("fault", ["bad_request", "forbidden", "not_found", "rate_limited"])
async def test_a_clear_refusal_leaves_the_key_free(place, fault):
    async with rig([place]) as http:
        place.sandbox.faults.add(FaultRule(fault, operation="send"))

        answer = await http.post(
            f"{place.url}/graphql",
            json={
                "query": SEND,
                "variables": {"input": {"patientId": BRIEF, "body": TEXT, "idempotencyKey": "k"}},
            },
        )
        sent = await until_sent(place, http)

    assert "errors" in answer.json()
    assert sent == id_of(place)


async def until_sent(place: Place, http: httpx2.AsyncClient) -> str:
    """Send with the key until it works: after a 429 the gateway may wait for a moment."""
    async with asyncio.timeout(5):
        while isinstance(sent := await send(place, http, "k"), Failed):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.2)
    return sent


@pytest.mark.parametrize("fault", LOST)
async def test_equal_texts_without_a_key_are_messages_of_their_own(place, fault):
    """The first is found in the conversation; the second must not be taken for it."""
    async with rig([place]) as http:
        place.sandbox.faults.add(FaultRule(fault, operation="send", times=2))

        told = [await send(place, http, None), await send(place, http, None), await send(place, http, None)]

    stored = [m for m in place.sandbox.store.history(BRIEF) or () if m.text == TEXT]
    assert told == [m.v1_id if place.version == "v1" else m.v2_id for m in stored]
    assert len(stored) == 3


async def test_the_sends_of_one_mutation_have_one_deadline_and_those_with_no_time_left_are_not_sent(place):
    fields = " ".join(
        f"m{n}: sendMessage(input: $i) {{ messageEdge {{ node {{ externalId }} }} }}" for n in range(6)
    )
    asked = {
        "query": f"mutation ($i: SendMessageInput!) {{ {fields} }}",
        "variables": {"i": {"patientId": BRIEF, "body": TEXT}},
    }
    async with rig([place]) as http:
        fault = FaultRule("slow", operation="send", times=None, args={"seconds": 0.5 * DEADLINE})
        place.sandbox.faults.add(fault)
        clock = asyncio.get_running_loop().time
        began = clock()

        answer = await http.post(f"{place.url}/graphql", json=asked)
        took = clock() - began

    assert answer.json()["errors"][0]["extensions"]["code"] == "OVERLOADED"
    assert took < DEADLINE + LATE
    assert place.sandbox.requests.count(f"{place.version}.send") <= 2
