"""Whatever happens in whatever order: nobody serves what was read before a change that it can know of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.redis_server import Proxy, RedisServer
from tests.store.conftest import Process, Truth

Step = tuple[str, int]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["read", "read", "read on", "slow read", "change", "move", "lose", "find", "flush", "settle"]
        ),
        st.integers(0, 1),
    ),
    min_size=3,
    max_size=25,
)


@dataclass
class World:
    """Two processes, each with its own line to one Redis, and what each may not fall behind."""

    server: RedisServer
    truth: Truth = field(default_factory=Truth)
    lines: list[Proxy] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    told: list[int] = field(default_factory=lambda: [0, 0])
    slow: list[asyncio.Task[None]] = field(default_factory=list)
    fallen_behind: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        for _ in range(2):
            line = Proxy(self.server.port)
            line.open()
            process = Process(line.url, budget=5)
            process.link.start()
            self.lines.append(line)
            self.processes.append(process)
        await self.processes[0].healthy()
        await self.processes[0].link.run(lambda redis: redis.flushall(), within=5)
        await self.processes[1].healthy()

    async def end(self) -> None:
        await asyncio.gather(*self.slow)
        await asyncio.gather(*(process.aclose() for process in self.processes))
        await asyncio.gather(*(line.close() for line in self.lines))

    async def take(self, step: str, who: int) -> None:
        process, line = self.processes[who], self.lines[who]
        match step:
            case "read" | "read on":
                await (self.read if step == "read" else self.read_on)(who)
            case "slow read":
                self.truth.latency = 0.01
                self.slow.append(asyncio.create_task(self.read(who)))
                await asyncio.sleep(0.005)
                self.truth.latency = 0
            case "change":
                self.truth.version += 1
                self.told[who] = self.truth.version
                process.reads.advance("s")
            case "move":  # nobody is told, so a copy from before may be served until it is shown otherwise
                self.truth.version += 1
            case "lose":
                line.target = 1
                line.cut()
                await asyncio.sleep(0)
            case "find":
                line.target = self.server.port
                await process.healthy()
            case "flush":
                if line.target != 1:
                    await process.link.run(lambda redis: redis.flushall(), within=5, insist=True)
            case _:
                if line.target != 1:
                    await process.confirmed()
        self.spread()

    async def read(self, who: int) -> None:
        least = self.told[who]
        version = await self.processes[who].version(self.truth)
        if version < least:
            self.fallen_behind.append(f"process {who} served {version} after {least}")
        self.told[who] = max(self.told[who], version)
        self.spread()

    async def read_on(self, who: int) -> None:
        """Read, and then nothing older than that."""
        reads = self.processes[who].reads
        first = await reads.get("s", "", self.truth.load)
        then = await reads.get("s", "", self.truth.load, not_before=first.began)
        versions = [int(each.value.first_name or "") for each in (first, then)]
        if then.began < first.began or versions != sorted(versions) or versions[0] < self.told[who]:
            self.fallen_behind.append(f"process {who} served {versions} after {self.told[who]}")
        self.told[who] = max(self.told[who], *versions)
        self.spread()

    def spread(self) -> None:
        """What a process was told or has shown counts for both once nothing of it is pending.

        A process that is cut off cannot know; its callers still share the calls under way.
        """
        for who, process in enumerate(self.processes):
            if process.outbox.pending:
                continue
            for other, line in enumerate(self.lines):
                if line.target != 1:
                    self.told[other] = max(self.told[other], self.told[who])


@given(steps=STEPS)
@example(
    steps=[("read", 0), ("lose", 0), ("change", 0), ("find", 0), ("read", 0), ("settle", 0), ("read", 1)]
)
@example(steps=[("slow read", 0), ("change", 1), ("settle", 1), ("read", 0), ("read", 1)])
@example(steps=[("read", 1), ("lose", 0), ("move", 0), ("read", 0), ("find", 0), ("read", 0), ("read", 1)])
@settings(max_examples=80)
def test_nobody_falls_behind_what_it_was_told_or_has_shown(common_redis: RedisServer, steps: list[Step]):
    async def scenario() -> None:
        world = World(common_redis)
        await world.begin()
        for step, who in steps:
            await world.take(step, who)
        for line in world.lines:
            line.target = common_redis.port
        await asyncio.gather(*world.slow)
        for process in world.processes:
            await process.healthy()
            await process.confirmed()
        world.spread()
        await world.read(0)
        await world.read(1)
        await world.end()
        assert world.fallen_behind == []

    asyncio.run(scenario())
