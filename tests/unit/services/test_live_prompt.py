"""What a webhook announces comes soon, not only sometime: no timer makes good a lost wake-up here."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.connection import Filter, Window
from gateway.domain.model import Sender, SenderKind
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve

NEVER = 100_000.0
START = 10.0
"""Seconds after which the first message is listed: no webhook comes before the first listener."""

AT_ONCE = 0.5
"""Seconds: many reads, and shorter than the pause after which a listener looks by itself."""


@dataclass(frozen=True)
class Coming:
    """A message: milliseconds from the start until it is listed, and from then to its webhooks."""

    sender: SenderKind
    at: int
    gap: int
    webhooks: tuple[int, ...] = ()


moments = st.integers(0, 30).map(lambda tens: 10 * tens) | st.integers(0, 300)
times = moments | st.integers(0, 20).map(lambda seconds: 1_000 * seconds)
gaps = st.sampled_from([0, 1])
late = moments | st.sampled_from([1_000, 4_000])
early = st.sampled_from([0, -1, -500]) | st.integers(-5_000, 0)
joining = st.lists(moments, max_size=2)
latencies = st.sampled_from([0.01, 0.03])
of_the_patient = st.builds(Coming, st.just(SenderKind.PATIENT), times, gaps)


def of_the_care_team(webhooks: st.SearchStrategy[list[int]]) -> st.SearchStrategy[Coming]:
    return st.builds(Coming, st.just(SenderKind.CARE_TEAM), times, gaps, webhooks.map(tuple))


@dataclass
class Play:
    """When each message was listed and came to each listener, and when there was a webhook; in seconds.

    One listener is there from the beginning; the others come back meanwhile.
    """

    joins: list[float]
    upstream: LinkedUpstream = field(default_factory=lambda: LinkedUpstream(100))
    listed: dict[str, float] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    wakes: list[float] = field(default_factory=list)
    received: list[dict[str, float]] = field(default_factory=list)

    async def run(self, script: list[Coming], latency: float) -> None:
        """Let it all happen."""
        loop = asyncio.get_running_loop()
        self.upstream.arrive(0)
        instance = serve(FakeWelkin(self.upstream, latency=latency), reconcile=NEVER)
        cursor = (await instance.messages("p1", Window(first=1), Filter())).edges[0].cursor
        for coming in script:
            loop.call_at(START + coming.at / 1_000, self._arrive, instance, coming)
            for webhook in filter(None, coming.webhooks):
                loop.call_at(START + (coming.at + webhook) / 1_000, self._wake, instance)
        tasks = [asyncio.create_task(self._listen(instance, cursor, joins)) for joins in self.joins]
        await asyncio.sleep(60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await instance.aclose()

    def _arrive(self, instance: Instance, coming: Coming) -> None:
        new = self.upstream.arrive(coming.gap)
        self.upstream.history[-1] = replace(new, sender=Sender(coming.sender))
        self.listed[new.external_id] = asyncio.get_running_loop().time()
        if coming.webhooks:
            self.announced.add(new.external_id)
        for _ in range(coming.webhooks.count(0)):
            self._wake(instance)

    def _wake(self, instance: Instance) -> None:
        self.wakes.append(asyncio.get_running_loop().time())
        instance.wake("p1")

    async def _listen(self, instance: Instance, cursor: str, joins: float) -> None:
        received: dict[str, float] = {}
        self.received.append(received)
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(joins - clock())
        async with aclosing(instance.follow("p1", cursor)) as tail:
            async for edge in tail:
                received.setdefault(edge.message.external_id, clock())


def play(script: list[Coming], joining: list[int], latency: float) -> Play:
    played = Play([1.0, *(START + each / 1_000 for each in joining)])
    run(lambda: played.run(script, latency))
    return played


announced_late = of_the_care_team(st.lists(late, max_size=2))
announced_before = of_the_care_team(st.lists(early, min_size=1, max_size=2))


@settings(max_examples=200)
@given(st.lists(announced_late | of_the_patient, max_size=8), joining, latencies)
def test_what_is_listed_when_any_webhook_comes_is_delivered_at_once(script, joining, latency):
    played = play(script, joining, latency)

    for joins, received in zip(played.joins, played.received, strict=True):
        for each, listed in played.listed.items():
            webhooks = [wake for wake in played.wakes if wake >= listed]
            if webhooks:
                assert received.get(each, NEVER) - max(joins, min(webhooks)) < AT_ONCE, each


@settings(max_examples=200)
@given(st.lists(announced_before | of_the_patient, max_size=8), joining, latencies)
def test_what_was_announced_before_it_is_listed_is_delivered_within_a_second_of_that(
    script, joining, latency
):
    played = play(script, joining, latency)

    for joins, received in zip(played.joins, played.received, strict=True):
        for each in played.announced:
            assert received.get(each, NEVER) - max(joins, played.listed[each]) < 1 + AT_ONCE, each
