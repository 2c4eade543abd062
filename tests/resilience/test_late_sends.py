"""Sends over real sockets whose answers come late, or whose turn at Welkin does: told as they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.domain.cursor import CursorKeys
from gateway.domain.errors import BadInput, GatewayError, SendUnconfirmed
from gateway.domain.model import InstanceName
from gateway.services.instance import Instance
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.sealing import CursorSeal
from gateway.store.sends import MemorySends
from gateway.store.welkin_reads import WelkinReads, weigh
from gateway.welkin.v1.adapter import WelkinV1
from tests.resilience.fake_welkin import EMPTY, PATIENT, FakeWelkin, read
from tests.unit.welkin.wire import reply

Connect = Callable[..., WelkinV1]
DEADLINE = 3.5
SENT = reply(
    b'{"sender":{"clientType":"PATIENT","id":"91be"},"message":"hello","externalId":"IM1",'
    b'"createdAt":"2030-01-01T10:06:00.000Z"}'
)
REFUSED = reply(b"{}", "422 Unprocessable Content")


def serve(welkin: WelkinV1) -> Instance:
    """Build an instance whose operations have less time than Welkin's calls alone."""
    reads = WelkinReads(welkin, SharedReads(BoundedMemoryCache(weigh=weigh), 30))
    keys = CursorKeys.from_secrets(["secret"])
    return Instance(
        InstanceName("gh", "sb-demo"),
        welkin,
        reads,
        MemorySends(),
        cursor_keys=keys,
        seal=CursorSeal(),
        deadline=DEADLINE,
        reconcile_seconds=30,
    )


def answer_posts(fake: FakeWelkin, data: bytes, seconds: float) -> None:
    """Answer every post so late; reads at once."""

    async def answer(_: int) -> bytes:
        if not fake.wire.requests[-1].startswith(b"POST"):
            return EMPTY
        await asyncio.sleep(seconds)
        return data

    fake.answer = answer


@pytest.mark.parametrize("seconds", [0.3, 2.75])
async def test_an_answer_counts_after_the_last_look_too(
    fake: FakeWelkin, connect: Connect, seconds: float
) -> None:
    instance = serve(connect(timeout_seconds=DEADLINE))
    answer_posts(fake, SENT, seconds)

    edge = await instance.send(PATIENT, "hello", None, "key")
    again = await instance.send(PATIENT, "hello", None, "key")

    assert edge.message.external_id == "IM1"
    assert again == edge
    assert fake.sends == 1


@pytest.mark.parametrize("seconds", [0.3, 2.75])
async def test_a_refusal_counts_after_the_last_look_too_and_leaves_the_key_free(
    fake: FakeWelkin, connect: Connect, seconds: float
) -> None:
    instance = serve(connect(timeout_seconds=DEADLINE))
    answer_posts(fake, REFUSED, seconds)
    with pytest.raises(BadInput):
        await instance.send(PATIENT, "hello", None, "key")
    answer_posts(fake, SENT, 0.0)

    edge = await instance.send(PATIENT, "hello", None, "key")

    assert edge.message.external_id == "IM1"
    assert fake.sends == 2


async def test_a_post_that_stands_in_line_does_not_go_out_once_its_caller_was_told(
    fake: FakeWelkin, connect: Connect
) -> None:
    """The only place is taken until after the send's deadline, and the call alone would have time still."""
    welkin = connect(timeout_seconds=10.0, max_calls=1)
    instance = serve(welkin)
    await read(welkin)

    async def slowly(_: int) -> bytes:
        await asyncio.sleep(DEADLINE + 0.3)
        return EMPTY

    fake.answer = slowly
    reading = asyncio.create_task(read(welkin))
    await asyncio.sleep(0.1)
    began = time.monotonic()

    with pytest.raises(GatewayError) as told:
        await instance.send(PATIENT, "hello", None, None)

    assert not isinstance(told.value, SendUnconfirmed)  # it is clear: nothing was sent
    assert time.monotonic() - began < DEADLINE + 0.5
    await reading
    await asyncio.sleep(0.3)
    assert fake.sends == 0
