"""A patient's message is sent once; where nobody can tell what became of it, the caller is told so."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.connection import Filter, Window
from gateway.domain.errors import BadInput, SendUnconfirmed, Unsupported, UpstreamUnavailable
from tests.unit.services.chat import Chat
from tests.unit.services.fakes import run, serve


def test_a_send_returns_the_message_and_the_next_read_shows_it():
    async def scenario() -> None:
        chat = Chat()
        instance = serve(chat.welkin)
        await instance.messages("p1", Window(), Filter())

        edge = await instance.send("p1", "hello", None, None)
        await asyncio.sleep(0.01)
        page = await instance.messages("p1", Window(), Filter())
        behind = await instance.messages("p1", Window(after=edge.cursor), Filter())

        assert [e.message.external_id for e in page.edges] == [edge.message.external_id, "m0"]
        assert [e.message.external_id for e in behind.edges] == ["m0"]

    run(scenario)


@pytest.mark.parametrize("lag", [0.0, 0.4, 3.0])
def test_a_send_whose_answer_was_lost_is_found_in_the_conversation_and_not_repeated(lag):
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.lag = False, lag
        instance = serve(chat.welkin)

        edge = await instance.send("p1", "hello", None, None)

        assert edge.message.body == "hello"
        assert (chat.welkin.sends, chat.sent) == (1, [edge.message.external_id])

    run(scenario)


def test_a_send_that_nobody_can_account_for_is_unconfirmed_and_not_repeated():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = chat.stores = False
        instance = serve(chat.welkin)

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

        assert chat.welkin.sends == 1

    run(scenario)


def test_an_earlier_message_with_the_same_text_is_not_taken_for_the_send():
    async def scenario() -> None:
        chat = Chat()
        instance = serve(chat.welkin)
        await instance.send("p1", "hello", None, None)
        chat.answers = chat.stores = False

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

    run(scenario)


def test_without_a_look_at_the_conversation_before_nothing_is_claimed_after():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = False
        chat.welkin.failures = [UpstreamUnavailable("down")]
        instance = serve(chat.welkin)

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

        assert chat.welkin.sends == 1

    run(scenario)


def test_one_key_sends_one_message_and_returns_it_every_time_also_at_once():
    async def scenario() -> None:
        chat = Chat()
        instance = serve(chat.welkin)

        edges = await asyncio.gather(*(instance.send("p1", "hello", None, "key") for _ in range(5)))
        edges.append(await instance.send("p1", "hello", None, "key"))

        assert {e.message.external_id for e in edges} == set(chat.sent)
        assert chat.welkin.sends == 1

    run(scenario)


def test_a_key_used_for_another_message_is_refused():
    async def scenario() -> None:
        chat = Chat()
        instance = serve(chat.welkin)
        await instance.send("p1", "hello", None, "key")

        with pytest.raises(BadInput, match="idempotencyKey"):
            await instance.send("p1", "other", None, "key")

        assert chat.welkin.sends == 1

    run(scenario)


def test_an_unconfirmed_key_looks_again_and_never_sends_again():
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.lag = False, 60.0
        instance = serve(chat.welkin)
        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, "key")
        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, "key")
        await asyncio.sleep(60)

        edge = await instance.send("p1", "hello", None, "key")

        assert (chat.welkin.sends, chat.sent) == (1, [edge.message.external_id])

    run(scenario)


def test_a_key_whose_send_was_refused_can_be_used_again():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = chat.stores = False
        chat.failure = UpstreamUnavailable("not reached")
        instance = serve(chat.welkin)
        with pytest.raises(UpstreamUnavailable):
            await instance.send("p1", "hello", None, "key")
        chat.answers = chat.stores = True

        edge = await instance.send("p1", "hello", None, "key")

        assert edge.message.body == "hello"

    run(scenario)


def test_a_caller_that_goes_away_does_not_stop_the_send_nor_lose_its_key():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.latency = 1.0
        instance = serve(chat.welkin)
        caller = asyncio.create_task(instance.send("p1", "hello", None, "key"))
        await asyncio.sleep(1.5)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)

        edge = await instance.send("p1", "hello", None, "key")

        assert (chat.welkin.sends, chat.sent) == (1, [edge.message.external_id])

    run(scenario)


def test_an_attachment_for_an_upstream_that_has_none_is_refused_before_anything_is_sent():
    async def scenario() -> None:
        chat = Chat()

        with pytest.raises(Unsupported):
            await serve(chat.welkin).send("p1", "hello", "file-1", None)

        assert (chat.welkin.sends, chat.welkin.lists) == (0, 0)

    run(scenario)


def test_a_lost_send_is_not_taken_for_an_equal_one_under_another_key():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = chat.stores = False
        instance = serve(chat.welkin)
        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "yes", None, "first")
        chat.answers = chat.stores = True
        await instance.send("p1", "yes", None, "second")

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "yes", None, "first")

        assert (chat.welkin.sends, len(chat.sent)) == (2, 1)

    run(scenario)


def test_a_lost_send_is_not_taken_for_an_equal_one_that_is_listed_late():
    async def scenario() -> None:
        chat = Chat()
        chat.lag = 1.0
        instance = serve(chat.welkin)
        await instance.send("p1", "yes", None, None)
        chat.answers = chat.stores = False

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "yes", None, None)

    run(scenario)


def test_a_fault_after_the_post_began_leaves_the_key_unclear_and_nothing_is_sent_twice():
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.failure = False, RuntimeError("a fault of ours")
        instance = serve(chat.welkin)
        with pytest.raises(RuntimeError):
            await instance.send("p1", "once", None, "key")

        edge = await instance.send("p1", "once", None, "key")

        assert (chat.welkin.sends, chat.sent) == (1, [edge.message.external_id])

    run(scenario)


def test_a_send_ends_within_its_deadline_also_when_everything_hangs():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.latency = 1_000.0
        instance = serve(chat.welkin, deadline=10)
        began = asyncio.get_running_loop().time()

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

        assert asyncio.get_running_loop().time() - began <= 10.5

    run(scenario)


def test_an_answer_that_comes_late_still_counts():
    async def scenario() -> None:
        chat = Chat()
        chat.stores = False
        instance = serve(chat.welkin, deadline=10)
        await instance.messages("p1", Window(), Filter())
        chat.welkin.send_latency = 7.0

        edge = await instance.send("p1", "hello", None, None)

        assert edge.message.body == "hello"

    run(scenario)


def test_who_waits_for_a_turn_and_leaves_sends_nothing():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.latency = 2.0
        instance = serve(chat.welkin, deadline=10)
        first = asyncio.create_task(instance.send("p1", "one", None, None))
        await asyncio.sleep(0.5)
        others = [asyncio.create_task(instance.send("p1", f"n{n}", None, None)) for n in range(20)]
        await asyncio.sleep(0.5)
        for other in others:
            other.cancel()
        await first
        await asyncio.sleep(60)

        assert chat.welkin.sends == 1
        assert not instance._sending._turns._locks

    run(scenario)


def test_shutting_down_waits_for_a_send_under_way():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.latency = 1.0
        instance = serve(chat.welkin)
        caller = asyncio.create_task(instance.send("p1", "hello", None, None))
        await asyncio.sleep(0.5)
        caller.cancel()

        await instance.aclose()

        assert len(chat.sent) == 1
        assert len(asyncio.all_tasks()) <= 2

    run(scenario)
