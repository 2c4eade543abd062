"""A feed whose looks fail leaves Welkin alone, and forgets no wake-up over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from gateway.domain.errors import UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from gateway.domain.pages import Page, PageRef
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve


@dataclass
class Failing(FakeWelkin):
    """While ``error`` is set every call takes some seconds and fails."""

    error: Callable[[], Exception] | None = None
    takes: float = 0.1
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        if self.error is None:
            return await super().list_messages(patient_id, at, include_archived=include_archived)
        self.lists += 1
        self.begun.set()
        error = self.error()
        await asyncio.sleep(self.takes)
        raise error


@dataclass
class Throttled(FakeWelkin):
    """Answers one call with a 429; those that follow within a minute do not go out."""

    asked: float = 0.0
    heard: float | None = None

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        now = asyncio.get_running_loop().time()
        if self.asked and self.heard is None:
            self.heard = now
        if self.heard is not None and now < self.heard + 60:
            raise UpstreamRateLimited("slow down", self.heard + self.asked - now)
        return await super().list_messages(patient_id, at, include_archived=include_archived)


def conversation() -> LinkedUpstream:
    upstream = LinkedUpstream(5)
    upstream.arrive(1)
    return upstream


def follow(instance: Instance, received: dict[str, float]) -> asyncio.Task[None]:
    """Listen from now on, and note when each message came."""

    async def listen() -> None:
        async with aclosing(instance.follow("p1", None)) as tail:
            async for edge in tail:
                received[edge.message.external_id] = asyncio.get_running_loop().time()

    return asyncio.create_task(listen())


async def end(instance: Instance, task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await instance.aclose()


@pytest.mark.parametrize(
    ("error", "takes"),
    [(lambda: UpstreamTimeout("no answer"), 9.0), (lambda: UpstreamRateLimited("slow down", 3600.0), 0.1)],
)
def test_a_wake_up_during_a_look_that_fails_does_not_wait_for_the_back_off(error, takes):
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = Failing(conversation())
        welkin.takes = takes
        instance = serve(welkin, reconcile=100)
        received: dict[str, float] = {}
        task = follow(instance, received)
        await asyncio.sleep(5)
        welkin.error = error
        instance.wake("p1")
        await asyncio.sleep(200)  # the back-off has grown

        welkin.begun.clear()
        await welkin.begun.wait()
        await asyncio.sleep(0.01)
        new = welkin.upstream.arrive(1).external_id
        welkin.error = None
        instance.wake("p1")
        begun = clock()
        await asyncio.sleep(500)

        assert received[new] - begun < takes + 1
        await end(instance, task)

    run(scenario)


def test_a_wake_up_begins_the_back_off_anew():
    """Its own look may fail like those before it; it came because something had happened."""

    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = Failing(conversation())
        instance = serve(welkin, reconcile=100)
        received: dict[str, float] = {}
        task = follow(instance, received)
        await asyncio.sleep(5)
        welkin.error = lambda: UpstreamUnavailable("down")
        instance.wake("p1")
        await asyncio.sleep(300)

        new = welkin.upstream.arrive(1).external_id
        instance.wake("p1")
        await asyncio.sleep(2)
        welkin.error = None
        works = clock()
        await asyncio.sleep(200)

        assert received[new] - works < 3
        await end(instance, task)

    run(scenario)


@pytest.mark.parametrize("takes", [0.0, 0.1])
def test_a_storm_of_wake_ups_does_not_become_a_storm_of_looks(takes):
    async def scenario() -> None:
        welkin = Failing(conversation())
        welkin.takes = takes
        instance = serve(welkin, reconcile=100)
        task = follow(instance, {})
        await asyncio.sleep(5)
        welkin.error = lambda: UpstreamUnavailable("down")
        before = welkin.lists

        for _ in range(2_000):
            instance.wake("p1")
            await asyncio.sleep(0.01)

        assert 20 <= welkin.lists - before <= 42
        await end(instance, task)

    run(scenario)


def test_after_a_minute_a_feed_looks_again_whatever_pause_was_asked_for():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = FakeWelkin(conversation())
        instance = serve(welkin, reconcile=20)
        received: dict[str, float] = {}
        task = follow(instance, received)
        await asyncio.sleep(5)
        welkin.failures = [UpstreamRateLimited("slow down", 3600.0)]
        await asyncio.sleep(16)
        assert not welkin.failures
        new = welkin.upstream.arrive(1).external_id  # the patient's own: no webhook tells of it
        before, begun = welkin.lists, clock()
        await asyncio.sleep(58)
        assert welkin.lists == before
        await asyncio.sleep(300)

        assert received[new] - begun <= 60
        await end(instance, task)

    run(scenario)


def test_a_look_that_was_kept_back_does_not_begin_the_pause_anew():
    async def scenario() -> None:
        welkin = Throttled(conversation())
        instance = serve(welkin, reconcile=10)
        received: dict[str, float] = {}
        task = follow(instance, received)
        await asyncio.sleep(5)
        welkin.asked = 3600.0
        instance.wake("p1")
        await asyncio.sleep(50)
        new = welkin.upstream.arrive(1).external_id
        instance.wake("p1")  # its look does not go out
        await asyncio.sleep(300)

        assert welkin.heard is not None
        assert received[new] - (welkin.heard + 60) < 1
        await end(instance, task)

    run(scenario)
