"""A Welkin without HTTP: any upstream of the paging tests behind the port, with a list that may lag."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import async_solipsism

from gateway.domain.cursor import CursorKeys
from gateway.domain.errors import NotFound, Unsupported
from gateway.domain.model import ApiVersion, Capability, InstanceName, Message, PatientRecord
from gateway.domain.pages import Page, PageRef
from gateway.services.instance import Instance
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.sealing import CursorSeal
from gateway.store.sends import MemorySends
from gateway.store.welkin_reads import WelkinReads, weigh
from tests.unit.paging.upstreams import Upstream

GH = InstanceName("gh", "sb-demo")


@dataclass
class FakeWelkin:
    """Shows one patient's conversation. A call takes ``latency`` seconds; ``failures`` are raised first."""

    upstream: Upstream
    latency: float = 0.01
    failures: list[Exception] = field(default_factory=list)
    send_latency: float | None = None
    on_send: Callable[[str], Message] | None = None
    lists: int = 0
    records: int = 0
    sends: int = 0
    api_version: ApiVersion = ApiVersion.V1
    capabilities: frozenset[Capability] = frozenset()

    async def list_messages(self, patient_id: str, at: PageRef, *, include_archived: bool) -> Page:
        """Answer with the page as it is half way through the call."""
        del include_archived
        self.lists += 1
        await asyncio.sleep(self.latency / 2)
        if self.failures:
            raise self.failures.pop(0)
        if patient_id != "p1":
            raise NotFound("Welkin knows no such patient.")
        page = self.upstream.page(at)
        await asyncio.sleep(self.latency / 2)
        return page

    async def send_message(self, patient_id: str, body: str, attachment_id: str | None) -> Message:
        """Do what the test says."""
        del patient_id, attachment_id
        self.sends += 1
        await asyncio.sleep(self.latency if self.send_latency is None else self.send_latency)
        assert self.on_send is not None
        return self.on_send(body)

    async def patient(self, patient_id: str) -> PatientRecord:
        """Know one patient."""
        self.records += 1
        await asyncio.sleep(self.latency)
        if patient_id != "p1":
            raise NotFound("Welkin knows no such patient.")
        return PatientRecord("p1", first_name="Ada")

    async def search_messages(self, query: str, patient_id: str | None, at: PageRef) -> Page:
        """Cannot."""
        raise Unsupported(f"no search {query is patient_id is at}")

    async def list_portal_messages(self, token: str, at: PageRef) -> Page:
        """Cannot."""
        raise Unsupported(f"no portal {token is at}")

    def open_file(self, file_id: str):
        """Cannot."""
        raise Unsupported(f"no files {file_id is None}")


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a loop whose clock jumps from event to event."""
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(scenario())


def serve(welkin: FakeWelkin, *, ttl: float = 30, reconcile: float = 30, deadline: float = 10) -> Instance:
    """Build the instance as the composition root does, on the running loop's clock."""
    clock = asyncio.get_running_loop().time
    shared = SharedReads(BoundedMemoryCache(weigh=weigh, clock=clock), ttl, clock)
    return Instance(
        GH,
        welkin,
        WelkinReads(welkin, shared),
        MemorySends(clock),
        cursor_keys=CursorKeys.from_secrets(["secret"]),
        seal=CursorSeal(),
        deadline=deadline,
        reconcile_seconds=reconcile,
    )
