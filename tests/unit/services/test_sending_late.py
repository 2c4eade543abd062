"""Answers that come late count as those in time do, and nobody is told less than is known by the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gateway.domain import deadline
from gateway.domain.connection import Filter, Window
from gateway.domain.errors import BadInput, GatewayError, Overloaded, SendUnconfirmed, UpstreamUnavailable
from gateway.domain.model import Message
from gateway.services.instance import Instance
from tests.unit.services.chat import Chat
from tests.unit.services.fakes import FakeWelkin, run, serve


def now() -> float:
    return asyncio.get_running_loop().time()


async def bodies(instance: Instance, *, all_of_it: bool = False) -> list[str]:
    """Read the newest messages."""
    page = await instance.messages("p1", Window(), Filter(include_archived=all_of_it))
    return [edge.message.body for edge in page.edges]


@dataclass
class Timed(FakeWelkin):
    """Notes when a post has to end, and lets one go out after ``waits`` seconds, if it may still."""

    waits: float = 0.0
    ends: float = 0.0

    async def send_message(self, patient_id: str, body: str, attachment_id: str | None) -> Message:
        self.ends = deadline.at(1_000.0)
        if self.waits >= deadline.remaining():
            await asyncio.sleep(deadline.remaining())
            raise Overloaded("No place was free in time.")
        await asyncio.sleep(self.waits)
        return await super().send_message(patient_id, body, attachment_id)


def test_a_post_ends_before_its_send_and_nothing_goes_out_after_the_caller_was_told():
    async def scenario() -> None:
        chat = Chat()
        welkin = Timed(chat.upstream, on_send=chat.take, latency=1_000.0, waits=9.0, send_latency=0.0)
        instance = serve(welkin, deadline=10)
        began = now()

        with pytest.raises(Overloaded):
            await instance.send("p1", "hello", None, None)

        assert welkin.ends < began + 10
        assert now() <= began + 10
        await asyncio.sleep(60)
        assert welkin.sends == 0

    run(scenario)


@pytest.mark.parametrize("seconds", [10.0, 12.0, 12.004, 12.5, 14.0, 15.512, 15.53, 19.0])
@pytest.mark.parametrize("failures", [[], [UpstreamUnavailable("down")]], ids=["listed", "not listed"])
def test_an_answer_counts_whenever_it_comes_before_the_deadline(seconds: float, failures: list[Exception]):
    async def scenario() -> None:
        chat = Chat()
        chat.stores = False
        instance = serve(chat.welkin, deadline=20)
        chat.welkin.failures = [*failures]
        chat.welkin.send_latency = seconds

        edge = await instance.send("p1", "hello", None, "key")
        again = await instance.send("p1", "hello", None, "key")

        assert edge.message.body == "hello"
        assert again == edge
        assert chat.welkin.sends == 1

    run(scenario)


@pytest.mark.parametrize("seconds", [1.0, 13.3, 19.0])
@pytest.mark.parametrize("refusal", [BadInput("no"), UpstreamUnavailable("not reached")])
def test_a_refusal_counts_whenever_it_comes_and_leaves_the_key_free(seconds: float, refusal: GatewayError):
    async def scenario() -> None:
        chat = Chat()
        chat.answers = chat.stores = False
        chat.failure = refusal
        instance = serve(chat.welkin, deadline=20)
        chat.welkin.send_latency = seconds
        began = now()
        with pytest.raises(type(refusal)):
            await instance.send("p1", "hello", None, "key")
        assert now() - began < seconds + 2
        chat.answers = chat.stores = True

        edge = await instance.send("p1", "hello", None, "key")

        assert edge.message.body == "hello"
        assert chat.welkin.sends == 2

    run(scenario)


def test_after_a_post_that_ended_late_without_a_clear_answer_there_is_one_more_look():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = False
        instance = serve(chat.welkin, deadline=20)
        chat.welkin.send_latency = 17.0  # the looks end 3.5 s after 12 s

        edge = await instance.send("p1", "hello", None, None)

        assert chat.sent == [edge.message.external_id]

    run(scenario)


def test_nobody_is_told_that_a_send_is_unclear_while_it_is_under_way():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = chat.stores = False
        instance = serve(chat.welkin, deadline=20)
        chat.welkin.send_latency = 17.0
        began = now()

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

        assert 17.0 <= now() - began <= 20.0

    run(scenario)


def test_two_messages_that_can_be_the_one_sent_do_not_end_the_wait_for_the_answer():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.send_latency = 9.0
        instance = serve(chat.welkin, deadline=10)
        sending = asyncio.create_task(instance.send("p1", "hello", None, None))
        await asyncio.sleep(1.0)
        for _ in range(2):
            chat.take("hello")  # written elsewhere
            await asyncio.sleep(0.1)

        edge = await sending

        assert edge.message.external_id == "s3"

    run(scenario)


def test_without_a_look_before_an_unclear_end_is_told_at_once():
    async def scenario() -> None:
        chat = Chat()
        chat.answers = False
        chat.welkin.failures = [UpstreamUnavailable("down")]
        instance = serve(chat.welkin, deadline=10)
        began = now()

        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, None)

        assert now() - began < 0.1

    run(scenario)


@pytest.mark.parametrize("key", [None, "key"])
def test_once_a_message_is_found_no_copy_from_before_it_was_listed_is_read(key: str | None):
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.lag = False, 0.45
        instance = serve(chat.welkin)
        sending = asyncio.create_task(instance.send("p1", "hello", None, key))
        await asyncio.sleep(0.4)
        assert "hello" not in await bodies(instance, all_of_it=True)

        await sending

        assert "hello" in await bodies(instance, all_of_it=True)

    run(scenario)


def test_once_the_message_of_an_unclear_key_is_found_no_copy_from_before_is_read():
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.lag = False, 60.0
        instance = serve(chat.welkin)
        with pytest.raises(SendUnconfirmed):
            await instance.send("p1", "hello", None, "key")
        await asyncio.sleep(50)
        assert "hello" not in await bodies(instance, all_of_it=True)
        await asyncio.sleep(10)

        await instance.send("p1", "hello", None, "key")

        assert "hello" in await bodies(instance, all_of_it=True)

    run(scenario)


def test_what_was_read_before_a_send_ended_unclear_is_not_read_again():
    async def scenario() -> None:
        chat = Chat()
        chat.answers, chat.lag = False, 3.7
        instance = serve(chat.welkin)
        sending = asyncio.create_task(instance.send("p1", "hello", None, None))
        await asyncio.sleep(3.4)
        assert "hello" not in await bodies(instance, all_of_it=True)

        with pytest.raises(SendUnconfirmed):
            await sending
        await asyncio.sleep(0.25)

        assert "hello" in await bodies(instance, all_of_it=True)

    run(scenario)


def sending_four(chat: Chat, keys: Callable[[int], str | None]) -> tuple[list[str], float]:
    """Send four messages in one operation of two seconds; gives how each ended, and the time it took."""
    ends: list[str] = []
    took = 0.0

    async def scenario() -> None:
        nonlocal took
        instance = serve(chat.welkin, deadline=2)
        chat.welkin.send_latency = 0.9
        began = now()
        with deadline.operation():
            for number in range(4):
                try:
                    await instance.send("p1", f"text {number}", None, keys(number))
                except GatewayError as error:
                    ends.append(error.code)
                else:
                    ends.append("sent")
        took = now() - began
        await instance.aclose()

    run(scenario)
    return ends, took


@pytest.mark.parametrize("keys", [lambda _: None, str], ids=["without keys", "with keys"])
def test_the_sends_of_one_operation_have_one_deadline_together(keys):
    chat = Chat()

    ends, took = sending_four(chat, keys)

    assert ends == ["sent", "sent", "OVERLOADED", "OVERLOADED"]
    assert took <= 2.0
    assert chat.welkin.sends == 2


def test_a_settled_key_is_answered_also_where_too_little_time_is_left_to_send():
    async def scenario() -> None:
        chat = Chat()
        chat.welkin.send_latency = 1.9
        instance = serve(chat.welkin, deadline=2)
        with deadline.operation():
            first = await instance.send("p1", "hello", None, "key")
            assert await instance.send("p1", "hello", None, "key") == first

    run(scenario)
