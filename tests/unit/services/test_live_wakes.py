"""Hints between the processes of one gateway: what is told to the others, and what is done with theirs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from gateway.domain.connection import Filter, Window
from gateway.domain.cursor import CursorKeys
from gateway.domain.model import InstanceName, Sender, SenderKind
from gateway.services.instance import Instance
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.sealing import CursorSeal
from gateway.store.sends import MemorySends
from gateway.store.welkin_reads import WelkinReads, weigh
from tests.unit.paging.upstreams import LinkedUpstream, message
from tests.unit.services.fakes import GH, FakeWelkin, run


@dataclass
class Told:
    """What the other processes were told."""

    conversations: list[tuple[InstanceName, str]] = field(default_factory=list)
    records: list[tuple[InstanceName, str]] = field(default_factory=list)

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        self.conversations.append((instance, patient_id))

    def record(self, instance: InstanceName, patient_id: str) -> None:
        self.records.append((instance, patient_id))


class NotingReads(WelkinReads):
    """Notes where each change was heard of first."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.changes: list[tuple[str, bool]] = []

    def changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        self.changes.append((patient_id, elsewhere))
        super().changed(patient_id, elsewhere=elsewhere)

    def record_changed(self, patient_id: str, *, elsewhere: bool = False) -> None:
        self.changes.append((f"record {patient_id}", elsewhere))
        super().record_changed(patient_id, elsewhere=elsewhere)


def build(welkin: FakeWelkin, told: Told | None = None) -> tuple[Instance, NotingReads]:
    clock = asyncio.get_running_loop().time
    reads = NotingReads(welkin, SharedReads(BoundedMemoryCache(weigh=weigh, clock=clock), 30, clock))
    instance = Instance(
        GH,
        welkin,
        reads,
        MemorySends(clock),
        cursor_keys=CursorKeys.from_secrets(["secret"]),
        seal=CursorSeal(),
        deadline=10,
        reconcile_seconds=1_000,
        wakes=told,
    )
    return instance, reads


def conversation(messages: int = 3) -> LinkedUpstream:
    upstream = LinkedUpstream(100)
    for _ in range(messages):
        upstream.arrive(1)
    return upstream


async def collect(instance: Instance, received: list[str]) -> None:
    async with aclosing(instance.follow("p1", None)) as tail:
        async for edge in tail:
            received.append(edge.message.external_id)  # noqa: PERF401 - seen while it goes on


def test_a_webhook_is_told_to_the_others_and_theirs_is_not_told_again():
    async def scenario() -> None:
        told = Told()
        instance, reads = build(FakeWelkin(conversation()), told)

        instance.wake("p1")
        instance.wake("p2", elsewhere=True)
        instance.record_changed("p1")
        instance.record_changed("p2", elsewhere=True)

        assert (told.conversations, told.records) == ([(GH, "p1")], [(GH, "p1")])
        assert reads.changes == [("p1", False), ("p2", True), ("record p1", False), ("record p2", True)]
        await instance.aclose()

    run(scenario)


def test_a_send_is_told_to_the_others():
    async def scenario() -> None:
        upstream = conversation()
        own = replace(message(3, 10, prefix="s"), sender=Sender(SenderKind.PATIENT))
        told = Told()
        welkin = FakeWelkin(upstream, on_send=lambda body: replace(own, body=body))
        instance, _ = build(welkin, told)

        await instance.send("p1", "hello", None, None)

        assert set(told.conversations) == {(GH, "p1")}
        await instance.aclose()

    run(scenario)


def test_a_hint_from_elsewhere_wakes_the_listeners_here():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance, _ = build(welkin)
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)

        welkin.upstream.arrive(1)
        instance.wake("p1", elsewhere=True)
        await asyncio.sleep(0.5)

        assert received == ["m3"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)


def test_where_hints_may_have_been_missed_every_feed_looks_once_and_no_copy_is_used():
    async def scenario() -> None:
        welkin = FakeWelkin(conversation())
        instance, reads = build(welkin)
        received: list[str] = []
        task = asyncio.create_task(collect(instance, received))
        await asyncio.sleep(5)
        await instance.messages("p1", Window(first=2), Filter())
        before = welkin.lists

        instance.look_again()
        await asyncio.sleep(20)

        assert welkin.lists == before + 1
        assert reads.changes == [("p1", False)]
        welkin.upstream.arrive(1)
        instance.look_again()
        page = await instance.messages("p1", Window(first=1), Filter())
        assert page.edges[0].message.external_id == "m3"
        await asyncio.sleep(0.5)
        assert received == ["m3"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await instance.aclose()

    run(scenario)
