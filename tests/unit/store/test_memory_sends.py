"""Idempotency keys in memory: within bounds, and no key that is unclear is forgotten within its day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import Overloaded
from gateway.domain.model import Message, Sender, SenderKind
from gateway.domain.ports import SendRecord
from gateway.store.sends import DAY_SECONDS, MemorySends

KEYS = 6
WEIGHT = 6_500
NEVER = SendRecord(None)


def settled(length: int = 4) -> SendRecord:
    """Make the record of a message of so many characters."""
    sender = Sender(SenderKind.PATIENT, "c1")
    return SendRecord(Message("m1", "p1", sender, "x" * length, datetime(2026, 1, 2, tzinfo=UTC)))


def unclear(ids: int = 10) -> SendRecord:
    """Make the record of a send that is unclear, before which so many messages were listed."""
    return SendRecord(None, tuple(f"id-{number}" for number in range(ids)))


async def note(sends: MemorySends, key: str, *records: SendRecord | None) -> SendRecord | None:
    """Claim a key and note something; gives what was remembered before."""
    claim = await sends.claim(key, "print")
    try:
        earlier = claim.earlier
        for record in records:
            await claim.note(record)
        return earlier
    finally:
        await claim.release()


def small(clock: Callable[[], float] = lambda: 0.0) -> MemorySends:
    return MemorySends(clock, max_keys=KEYS, max_weight=WEIGHT)


async def test_where_there_are_too_many_the_oldest_settled_goes_first_and_no_unclear_one():
    sends = small()
    await note(sends, "unclear", NEVER)
    for number in range(KEYS):
        await note(sends, f"settled {number}", settled())

    assert "settled 0" not in sends._entries
    assert await note(sends, "unclear") == NEVER
    assert await note(sends, "settled 1") == settled()


async def test_where_they_are_too_heavy_the_oldest_unclear_one_gives_up_what_it_knows():
    sends = small()
    for number in range(3):
        await note(sends, f"unclear {number}", unclear(12))

    assert await note(sends, "unclear 0") == NEVER
    assert await note(sends, "unclear 1") == unclear(12)
    assert await note(sends, "unclear 2") == unclear(12)


async def test_a_new_key_is_refused_where_all_is_unclear_until_one_is_cleared_up_or_a_day_is_over():
    now = 0.0
    sends = small(lambda: now)
    for number in range(KEYS):
        await note(sends, f"unclear {number}", unclear())
    with pytest.raises(Overloaded, match="nothing was sent"):
        await sends.claim("new", "print")

    await note(sends, "unclear 3", settled())
    await note(sends, "new", NEVER)
    with pytest.raises(Overloaded, match="nothing was sent"):
        await sends.claim("newer", "print")
    assert await note(sends, "unclear 0") is not None

    now = DAY_SECONDS + 1
    assert await note(sends, "unclear 0") is None


async def test_a_key_under_which_nothing_was_sent_leaves_nothing():
    sends = small()
    for number in range(3 * KEYS):
        await note(sends, f"refused {number}", unclear(), None)

    assert (len(sends._entries), sends._weight) == (0, 0)


async def test_who_leaves_while_it_waits_for_a_key_leaves_nothing():
    sends = small()
    claim = await sends.claim("key", "print")
    waiting = asyncio.create_task(sends.claim("key", "print"))
    await asyncio.sleep(0)
    await claim.release()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert (len(sends._entries), sends._weight) == (0, 0)


async def test_a_message_that_is_dropped_while_its_key_is_held_weighs_nothing():
    sends = small()
    await note(sends, "key", settled())
    claim = await sends.claim("key", "print")
    for number in range(KEYS):
        await note(sends, f"unclear {number}", NEVER)
    assert "key" not in sends._entries
    weight = sends._weight

    await claim.note(settled(100))
    await claim.release()

    assert (len(sends._entries), sends._weight) == (KEYS, weight)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefghij"),
        st.one_of(
            st.none(),
            st.integers(0, 40).map(unclear),
            st.integers(0, 1_500).map(settled),
            st.just(NEVER),
        ),
        st.sampled_from([0.0, 12_000.0]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_an_unclear_key_is_never_forgotten_within_its_day_and_the_bounds_hold(steps):
    now = 0.0

    async def scenario() -> None:
        nonlocal now
        sends = small(lambda: now)
        unclear_since: dict[str, float] = {}
        for key, record, pause in steps:
            now += pause
            known = key in unclear_since and now - unclear_since[key] <= DAY_SECONDS
            try:
                claim = await sends.claim(key, "print")
            except Overloaded:
                assert not known
                assert not sends._settled
                continue
            if known:
                assert claim.earlier is not None
                assert claim.earlier.message is None
            if claim.earlier is None:
                unclear_since.pop(key, None)
                await claim.note(record)
                if record is not None and record.message is None:
                    unclear_since[key] = now
            elif claim.earlier.message is None and record is not None and record.message is not None:
                await claim.note(record)
                del unclear_since[key]
            await claim.release()
            assert len(sends._entries) <= KEYS
            assert sends._weight <= WEIGHT
            assert sends._weight == sum(entry.weight for entry in sends._entries.values())
            assert sends._entries.keys() >= sends._settled.keys() | sends._detailed.keys()

    asyncio.run(scenario())
