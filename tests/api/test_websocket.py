"""Operations over `graphql-transport-ws`, on real sockets: what they give, and that they end alone."""

from __future__ import annotations

import json

import pytest

from gateway.domain.errors import Forbidden
from tests.api.dialing import FOLLOW, dial, hear, say, subscribe, until
from tests.api.fakes import PATIENT, FakeInstance


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
