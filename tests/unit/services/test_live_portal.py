"""Whose conversation a chat token opens stands in its messages alone; an empty one is heard of later."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from gateway.domain.model import Capability
from gateway.domain.pages import Page, PageRef
from gateway.services.instance import Instance
from tests.unit.paging.upstreams import LinkedUpstream
from tests.unit.services.fakes import FakeWelkin, run, serve

TIMER = 30


@dataclass
class PortalWelkin(FakeWelkin):
    """Knows chat tokens too; each opens the one conversation."""

    capabilities: frozenset[Capability] = frozenset({Capability.PORTAL_TOKENS})
    portal_lists: int = 0

    async def list_portal_messages(self, token: str, at: PageRef) -> Page:
        """Answer with the page as it is half way through the call."""
        assert token
        self.portal_lists += 1
        await asyncio.sleep(self.latency / 2)
        page = self.upstream.page(at)
        await asyncio.sleep(self.latency / 2)
        return page


async def collect(instance: Instance, received: dict[str, float], token: str) -> None:
    async with aclosing(instance.follow_portal(token, None)) as tail:
        async for edge in tail:
            assert edge.message.external_id not in received
            received[edge.message.external_id] = asyncio.get_running_loop().time()


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_who_follows_an_empty_conversation_is_woken_as_soon_as_a_message_names_the_patient():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = PortalWelkin(LinkedUpstream(100))
        instance = serve(welkin, reconcile=TIMER)
        received: dict[str, float] = {}
        task = asyncio.create_task(collect(instance, received, "t"))
        await asyncio.sleep(5)
        welkin.upstream.arrive(1)
        await asyncio.sleep(TIMER)
        assert list(received) == ["m0"]  # by the timer

        for number in (1, 2, 3):
            begun, before = clock(), welkin.portal_lists
            new = welkin.upstream.arrive(1).external_id
            instance.wake("p1")
            await asyncio.sleep(5)
            assert received[new] - begun < 0.1, number
            assert welkin.portal_lists - before <= 2

        instance.wake("p2")
        await asyncio.sleep(5)
        assert list(received) == ["m0", "m1", "m2", "m3"]
        await end(task)
        await instance.aclose()

    run(scenario)


def test_who_joins_once_the_patient_is_known_shares_the_feed_and_both_get_each_message_once():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = PortalWelkin(LinkedUpstream(100))
        instance = serve(welkin, reconcile=TIMER)
        early: dict[str, float] = {}
        late: dict[str, float] = {}
        tasks = [asyncio.create_task(collect(instance, early, "t"))]
        await asyncio.sleep(5)
        welkin.upstream.arrive(1)
        await asyncio.sleep(1)
        assert early == {}
        tasks.append(asyncio.create_task(collect(instance, late, "t")))  # sees the first before the feed does
        await asyncio.sleep(1)
        assert list(early) == ["m0"]  # by then the feed has looked: it was told whose it is

        before = welkin.portal_lists
        begun = clock()
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(5)
        assert (list(early), list(late)) == (["m0", "m1"], ["m1"])
        assert max(early["m1"], late["m1"]) - begun < 0.1
        assert welkin.portal_lists - before <= 2

        await end(tasks.pop(0))
        begun = clock()
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(5)
        assert list(late) == ["m1", "m2"]
        assert late["m2"] - begun < 0.1
        await end(*tasks)
        await instance.aclose()

    run(scenario)


def test_two_tokens_of_one_patient_and_the_patients_own_feed_are_all_woken():
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        welkin = PortalWelkin(LinkedUpstream(100))
        instance = serve(welkin, reconcile=TIMER)
        received: list[dict[str, float]] = [{}, {}, {}]

        async def by_patient() -> None:
            async with aclosing(instance.follow("p1", None)) as tail:
                async for edge in tail:
                    received[2][edge.message.external_id] = clock()

        tasks = [
            asyncio.create_task(collect(instance, received[0], "a")),
            asyncio.create_task(collect(instance, received[1], "b")),
            asyncio.create_task(by_patient()),
        ]
        await asyncio.sleep(5)
        welkin.upstream.arrive(1)
        await asyncio.sleep(2 * TIMER)
        begun = clock()
        welkin.upstream.arrive(1)
        instance.wake("p1")
        await asyncio.sleep(5)

        assert [list(each) for each in received] == [["m0", "m1"]] * 3
        assert max(each["m1"] for each in received) - begun < 0.1
        await end(*tasks)
        await instance.aclose()

    run(scenario)


def test_nothing_is_left_of_a_feed_that_was_empty_at_first_once_all_have_gone():
    async def scenario() -> None:
        welkin = PortalWelkin(LinkedUpstream(100))
        instance = serve(welkin, reconcile=TIMER)
        for _ in range(2):  # nothing there yet; then with a first message
            for named in (False, True):
                received: dict[str, float] = {}
                task = asyncio.create_task(collect(instance, received, "t"))
                await asyncio.sleep(5)
                if named:
                    welkin.upstream.arrive(1)
                    await asyncio.sleep(TIMER)
                    assert len(received) == 1
                assert instance.listeners == 1
                await end(task)

                assert instance.listeners == 0
                assert len(asyncio.all_tasks()) == 1
                before = welkin.portal_lists
                instance.wake("p1")
                instance.look_again()
                await asyncio.sleep(2 * TIMER)
                assert welkin.portal_lists == before
        assert instance._live._feeds == instance._live._feeds_of == {}
        await instance.aclose()

    run(scenario)
