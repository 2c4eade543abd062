"""Whatever is listed late or archived, within whatever second: nothing twice, nothing out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from unittest.mock import patch

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from gateway.domain.connection import Filter, Window
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve
from tests.unit.services.test_live_properties import (
    Arrival,
    Listening,
    Received,
    arrivals,
    arrive,
    crowds,
    listen,
)

gaps = st.lists(st.sampled_from([0, 0, 0, 1]), min_size=1, max_size=8)
sizes = st.tuples(st.integers(1, 6), st.sampled_from([1, 2, 3, 200]))
"""Of a page, and of what a listener reads at once: where that is few, a second is soon full."""


@dataclass(frozen=True)
class Archiving:
    """After a pause the newest message that is listed is not listed any more."""

    pause: float


archivings = st.builds(Archiving, st.sampled_from([0.0, 0.005, 0.3, 2.0, 40.0]))
after_archiving = st.lists(
    arrivals | arrivals.map(lambda each: replace(each, gap=1)) | archivings, max_size=14
)


FOR_LONG = [Listening(joins=joins, breaks=(), cuts=(), pause=0.0) for joins in (0.5, 3.0)]
BEHIND_A_LINK = [
    Arrival(0.3, 0, (5.0, 1.0, 0.0)),
    Arrival(2.0, 1, (1.0,)),
    Arrival(0.02, 1, (1.0, 1.0)),
]
"""The message that is listed late is on a page that is not the newest any more."""

NEWEST_PAGE_EMPTY = [
    Arrival(2.0, 1, (0.0,)),
    Archiving(0.0),
    Arrival(0.0, 1, ()),
    Arrival(0.0, 1, ()),
    Archiving(0.0),
]


def conversation(size: int, before: list[int]) -> tuple[LinkedUpstream, set[str]]:
    """Give a conversation, and the ids of what is not listed."""
    hidden: set[str] = set()
    upstream = LinkedUpstream(size, hides=lambda message: message.external_id in hidden)
    for gap in before:
        upstream.arrive(gap)
    return upstream, hidden


def follow_all(
    welkin: FakeWelkin,
    batch: int,
    crowd: list[Listening],
    happen: Callable[[Instance], Awaitable[None]],
) -> list[Received]:
    """Let a crowd follow from the newest message while things happen; give what each received."""
    received = [Received() for _ in crowd]

    async def scenario() -> None:
        instance = serve(welkin)
        first = await instance.messages("p1", Window(first=1), Filter())
        for each in received:
            each.cursor = first.edges[0].cursor
        pairs = zip(crowd, received, strict=True)
        tasks = [asyncio.create_task(listen(instance, how, each)) for how, each in pairs]
        await happen(instance)
        await asyncio.sleep(600)  # until each is in its last connection, and has held back what it may
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await instance.aclose()
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1

    with patch("gateway.services.shared_walks.BATCH", batch):
        run(scenario)
    return received


@settings(max_examples=150)
@given(
    sizes,
    gaps,
    st.lists(arrivals, max_size=10),
    crowds,
    st.sampled_from([0.0, 0.5, 3.0, 6.0]),
)
@example((2, 3), [0, 1], BEHIND_A_LINK, FOR_LONG, 6.0)
def test_where_the_listeners_own_message_is_listed_late_each_later_one_comes_once_and_in_order(
    sizes, before, script, crowd, late
):
    """It is listed some seconds after the first message of a later second, at the latest."""
    upstream, hidden = conversation(sizes[0], before)
    place = upstream.history[-1]

    async def happen(instance: Instance) -> None:
        hidden.add(place.external_id)
        awaited: list[asyncio.TimerHandle] = []
        for arrival in script:
            await arrive(instance, upstream, [arrival])
            if upstream.history[-1].created_at > place.created_at and not awaited:
                awaited.append(asyncio.get_running_loop().call_later(late, hidden.clear))
        await asyncio.sleep(late)
        hidden.clear()

    received = follow_all(FakeWelkin(upstream), sizes[1], crowd, happen)

    expected = [message.external_id for message in upstream.history[len(before) :]]
    shared = sum(message.created_at == place.created_at for message in upstream.history[len(before) :])
    event(f"share its second and come later: {min(shared, 3)}, later seconds: {shared < len(expected)}")
    for each in received:
        assert each.ids == expected


@settings(max_examples=150)
@given(sizes, gaps, archivings, after_archiving, crowds)
@example((1, 1), [0, 0], Archiving(0.0), NEWEST_PAGE_EMPTY, FOR_LONG)
def test_where_messages_are_archived_none_comes_twice_and_none_of_another_second_is_lost(
    sizes, before, first, then, crowd
):
    """The first of them is the one that all listeners stand behind."""
    upstream, hidden = conversation(sizes[0], before)

    async def happen(instance: Instance) -> None:
        for step in (first, *then):
            if isinstance(step, Arrival):
                await arrive(instance, upstream, [step])
                continue
            await asyncio.sleep(step.pause)
            listed = upstream.newest_first
            hidden.update(listed[:1])

    received = follow_all(FakeWelkin(upstream), sizes[1], crowd, happen)

    later = upstream.history[len(before) :]
    gone = {message.created_at for message in upstream.history if message.external_id in hidden}
    certain = [message.external_id for message in later if message.created_at not in gone]
    event(f"archived: {min(len(hidden), 3)}, certain: {min(len(certain), 3)}")
    for each in received:
        assert each.ids == [message.external_id for message in later if message.external_id in each.ids]
        assert [external_id for external_id in each.ids if external_id in certain] == certain
