"""Operations over `graphql-transport-ws`, on real sockets: what they give, and that they end alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator

import pytest
from websockets.frames import Frame, Opcode

from gateway.domain.connection import Edge
from gateway.domain.errors import Forbidden, Overloaded, RefetchRequired
from gateway.web.options import WebOptions
from tests.api.dialing import FOLLOW, OPTIONS, dial, hear, say, subscribe, until
from tests.api.fakes import PATIENT, FakeInstance, web_of
from tests.serving import serve


async def test_a_new_message_reaches_the_subscriber(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        fake.receive("fresh")

        assert await hear(client) == {
            "id": "1",
            "type": "next",
            "payload": {"data": {"messageAdded": {"cursor": "cursor:IM0003", "node": {"body": "fresh"}}}},
        }


async def test_what_was_missed_since_the_cursor_comes_first_and_in_order(url: str) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT, after="cursor:IM0000")

        bodies = [(await hear(client))["payload"]["data"]["messageAdded"]["node"]["body"] for _ in range(2)]

    assert bodies == ["message 1", "message 2"]


async def test_queries_and_mutations_run_over_the_socket_too(url: str) -> None:
    async with dial(url) as client:
        await subscribe(client, "q", "{ instance { name } }")

        assert await hear(client) == {
            "id": "q",
            "type": "next",
            "payload": {"data": {"instance": {"name": "sb-demo"}}},
        }
        assert await hear(client) == {"id": "q", "type": "complete"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
        ('subscription { messageAdded(patientId: "a/b") { cursor } }', "BAD_USER_INPUT"),
        ("subscription($id: ID!) { messageAdded(patientId: $id) { cursor } }", "BAD_USER_INPUT"),
        ('subscription { messageAdded(patientId: "p", after: "forged") { cursor } }', "INVALID_CURSOR"),
    ],
)
async def test_an_operation_that_cannot_run_ends_alone(
    url: str, fake: FakeInstance, query: str, code: str
) -> None:
    """The socket and its other operations go on."""
    async with dial(url) as client:
        await subscribe(client, "live", FOLLOW, id=PATIENT)
        await subscribe(client, "bad", query)

        error = await hear(client)
        assert (error["id"], error["type"]) == ("bad", "error")
        assert error["payload"][0]["extensions"]["code"] == code

        await until(lambda: fake.followers == 1)
        fake.receive("still here")
        assert (await hear(client))["id"] == "live"


async def test_an_error_of_the_live_tail_ends_it_with_its_code(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        fake.fail(Forbidden("The credentials do not allow this."))

        error = await hear(client)
        assert error["type"] == "error"
        assert error["payload"] == [
            {"message": "The credentials do not allow this.", "extensions": {"code": "FORBIDDEN"}}
            | {key: error["payload"][0][key] for key in ("locations", "path") if key in error["payload"][0]}
        ]
    await until(lambda: fake.followers == 0)


async def test_a_gap_that_is_too_large_is_told_by_its_own_code(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        fake.fail(RefetchRequired("Too many messages came."))

        error = await hear(client)
        assert (error["type"], error["payload"][0]["extensions"]) == ("error", {"code": "REFETCH_REQUIRED"})


async def test_a_fault_in_the_live_tail_is_masked(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)

        fake.fail(RuntimeError("canary"))

        error = await hear(client)
        assert error["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert "canary" not in json.dumps(error)


async def test_after_complete_nothing_comes_and_the_id_is_free(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
        await say(client, id="1", type="complete")
        await say(client, id="unknown", type="complete")
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.calls.count("follow") == 2 and fake.followers == 1)

        fake.receive("once")
        await say(client, type="ping")

        assert [(await hear(client))["type"] for _ in range(2)] in (["next", "pong"], ["pong", "next"])


async def test_closing_the_socket_ends_its_tails_at_once(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        for number in range(3):
            await subscribe(client, str(number), FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 3)

    await until(lambda: fake.followers == 0)


async def test_a_connection_that_breaks_ends_its_tails_at_once(url: str, fake: FakeInstance) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
        client.transport.abort()
        await until(lambda: fake.followers == 0)


async def test_more_operations_than_allowed_are_refused_and_the_others_go_on(
    url: str, fake: FakeInstance
) -> None:
    async with dial(url) as client:
        for number in range(4):
            await subscribe(client, str(number), FOLLOW, id=PATIENT)

        error = await hear(client)
        assert (error["id"], error["payload"][0]["extensions"]["code"]) == ("3", "LIMIT_EXCEEDED")
        await until(lambda: fake.followers == 3)


async def test_after_complete_in_the_middle_of_a_delivery_nothing_more_comes(
    url: str, fake: FakeInstance
) -> None:
    async with dial(url) as client:
        await subscribe(client, "1", FOLLOW, id=PATIENT)
        await until(lambda: fake.followers == 1)
        for number in range(2_000):
            fake.receive(f"flood {number}")
        await hear(client)

        await say(client, id="1", type="complete")
        await say(client, type="ping")

        while (message := await hear(client)) != {"type": "pong"}:
            assert message["type"] == "next"
        await until(lambda: fake.followers == 0)
        fake.receive("late")
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}


class Sour(FakeInstance):
    """Fails when a tail is left, as an audit trail does that cannot be written."""

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        try:
            async for edge in super().follow(patient_id, after):
                yield edge
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
            raise Overloaded("The trail cannot be written.") from None


async def test_what_goes_wrong_in_the_end_of_an_operation_does_not_hit_the_next_of_its_id() -> None:
    fake = Sour()
    with serve(web_of(fake, options=OPTIONS)) as base_url:
        async with dial(base_url.replace("http", "ws") + "/graphql") as client:
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.followers == 1)
            await say(client, id="1", type="complete")
            await subscribe(client, "1", FOLLOW, id=PATIENT)
            await until(lambda: fake.calls.count("follow") == 2 and fake.followers == 1)
            await asyncio.sleep(0.3)

            fake.receive("to the second")

            message = await hear(client)
            assert message["type"] == "next"
            assert message["payload"]["data"]["messageAdded"]["node"]["body"] == "to the second"


async def test_a_burst_of_short_queries_that_comes_in_one_piece_is_answered(fake: FakeInstance) -> None:
    """Three times as many as may run at once; each has ended before so many others are begun."""
    count = 3 * WebOptions().max_socket_operations
    query = "query ($id: ID!) { patient(patientId: $id) { messages(first: 1) { nodes { body } } } }"
    payload = {"query": query, "variables": {"id": PATIENT}}
    texts = [json.dumps({"id": str(n), "type": "subscribe", "payload": payload}) for n in range(count)]
    frames = [Frame(Opcode.TEXT, text.encode()).serialize(mask=True) for text in texts]
    with serve(web_of(fake)) as base_url:
        async with dial(base_url.replace("http", "ws") + "/graphql", max_queue=None) as client:
            client.transport.write(b"".join(frames))
            kinds: Counter[str] = Counter()
            while kinds["complete"] + kinds["error"] < count:
                kinds[(await hear(client))["type"]] += 1

    assert kinds == {"next": count, "complete": count}
