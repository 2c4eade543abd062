"""Fixtures of the tests with a real Redis: a server, and processes of a gateway as far as its store goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from gateway.domain.errors import UpstreamUnavailable
from gateway.domain.model import PatientRecord
from gateway.store.codec import ReadCodec
from gateway.store.copies import Kept
from gateway.store.errands import Errands
from gateway.store.link import RedisLink
from gateway.store.outbox import Outbox
from gateway.store.reads import SharedReads
from gateway.store.redis_copies import RedisCopies
from gateway.store.redis_sends import RedisSends
from tests.redis_server import RedisServer, redis_server

KEY = "a key for the tests of the store"
NEXT_KEY = "another key, that comes after it"
LOCK_SECONDS = 1.0


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; the test's own deadline ends it if it never does."""
    while not holds():  # noqa: ASYNC110 - what is waited for may be in another process
        await asyncio.sleep(0.005)


@dataclass
class Truth:
    """What the upstream would tell: a number that only grows, shown as a record."""

    version: int = 0
    reads: int = 0
    latency: float = 0.0
    fails: bool = False

    async def load(self) -> PatientRecord:
        """Read as the upstream is when the call begins."""
        self.reads += 1
        version = self.version
        await asyncio.sleep(self.latency)
        if self.fails:
            raise UpstreamUnavailable("down")
        return PatientRecord("pt_1", first_name=str(version))


@dataclass
class Process:
    """A process of the gateway, as far as its reads go."""

    url: str
    keys: tuple[str, ...] = (KEY,)
    ttl: float = 30
    stale: float = 30
    patience: float | None = None
    budget: float = 2.0  # a noisy machine is not what most tests are about
    link: RedisLink = field(init=False)
    outbox: Outbox = field(init=False)
    reads: SharedReads = field(init=False)

    def __post_init__(self) -> None:
        self.link = RedisLink(self.url, self.keys, budget=self.budget)
        self.outbox = Outbox(self.link, lifetime=max(15, self.ttl + self.stale))
        copies = RedisCopies(self.link, self.outbox, "gh/sb-demo", ReadCodec(), spare=self.stale)
        self.reads = SharedReads(copies, self.ttl, stale=self.stale, patience=self.patience)

    async def version(self, truth: Truth, scope: str = "s", part: str = "") -> int:
        """Read, and give the version that was served."""
        kept: Kept[PatientRecord] = await self.reads.get(scope, part, truth.load)
        return int(kept.value.first_name or "")

    async def healthy(self) -> None:
        """Wait until Redis answers."""
        await until(lambda: self.link.healthy)

    async def confirmed(self) -> None:
        """Wait until every change has reached Redis."""
        await until(lambda: not self.outbox.pending)

    async def aclose(self) -> None:
        """End it in good order."""
        await self.reads.aclose()
        await self.outbox.aclose()
        await self.link.aclose()


StartProcess = Callable[..., Process]
StartSends = Callable[..., RedisSends]


@pytest.fixture(scope="session")
def common_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
async def redis(common_redis: RedisServer) -> RedisServer:
    """Give a Redis that is empty, and is not to be killed."""
    link = RedisLink(common_redis.url, [KEY])
    await link.run(lambda client: client.flushall(), within=5)
    await link.aclose()
    return common_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Give a Redis that may be killed."""
    with redis_server() as server:
        yield server


@pytest.fixture
async def start() -> AsyncIterator[StartProcess]:
    """Start processes of a gateway on an event loop, and end them with the test."""
    processes: list[Process] = []

    def start_one(url: str, **options: object) -> Process:
        processes.append(Process(url, **options))  # pyright: ignore[reportArgumentType]
        processes[-1].link.start()
        return processes[-1]

    yield start_one
    await asyncio.gather(*(each.aclose() for each in processes))


@pytest.fixture
async def sends() -> AsyncIterator[StartSends]:
    """Start processes of a gateway, as far as their sends go."""
    links: list[RedisLink] = []
    started: list[RedisSends] = []

    def start(url: str, *keys: str, lock_seconds: float = LOCK_SECONDS) -> RedisSends:
        links.append(RedisLink(url, keys or (KEY,)))
        started.append(RedisSends(links[-1], Errands(links[-1]), "gh/sb-demo", lock_seconds=lock_seconds))
        return started[-1]

    yield start
    for each in started:
        each.close()
    await asyncio.gather(*(each.errands.aclose() for each in started))
    await asyncio.gather(*(each.aclose() for each in links))
