"""The one link to Redis: its connections, their health, and the rule that nobody waits for it.

*A budget.* A caller waits for a command at most so long (``BUDGET_SECONDS`` for cached reads) and then
goes without. The command itself runs in a task of its own that no caller can cancel, and ends by the
socket's deadline: a command cancelled half-way would leave its answer to the next one on the
connection.

*Rest.* A command that fails, or that is late while no other came back in time, puts the link to
rest: nothing is asked of it any more but one thing now and then, from a task of its own, until the
answer comes in time. So a Redis that hangs costs one budget, not one a request. What is asked is a write
that writes nothing: a replica answers a ping, but is of no use here. Where one refuses a write, all
connections are given up: the address may lead to another server by now (``pool``).

*Eras.* A Redis that was restarted may have come back with what it had written to disk a while ago.
So each new connection asks for the server's run id; another one begins a new *era*, and names made
for copies hold the era, so that what is from another run is never found.

redis-py's errors may hold values in their texts; none leaves this module.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from gateway.store.keys import StoreKey, store_keys
from gateway.store.pool import NotConnected, Pool, demoted
from gateway.store.redis_clock import RedisClock

T = TypeVar("T")

BUDGET_SECONDS = 0.05
_SOCKET_SECONDS = 1.0
_FIRST_REST = 0.1
_LONGEST_REST = 0.5
_CONNECTIONS = 32
_RUN_ID = re.compile(rb"run_id:([0-9a-f]+)")
_PROBE = "redis.call('DEL', KEYS[1])"
"""Of a name that nothing ever lies under."""

_log = logging.getLogger(__name__)


class RedisAway(Exception):
    """Redis did not answer, or not in time; go without."""


class RedisUnreached(RedisAway):
    """Redis surely was not asked."""


class RedisLink:
    """The connections to one Redis, from its URL, the encryption keys (newest first) and a prefix.

    ``budget`` is how many seconds a caller waits for a command at most. Nothing is asked of the network
    before ``start`` or the first command.
    """

    def __init__(
        self,
        url: str,
        encryption_keys: Sequence[str],
        prefix: str = "welkin-gateway",
        *,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self.keys: tuple[StoreKey, ...] = store_keys(encryption_keys, prefix)
        self.budget = budget
        self.clock = RedisClock()
        self.failures = 0
        self._pool: Pool = Pool.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped options
            url,
            max_connections=_CONNECTIONS,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
            redis_connect_func=self._connected,
        )
        self._client = Redis(connection_pool=self._pool)
        self._era = ""
        self._eras: WeakKeyDictionary[AbstractConnection, str] = WeakKeyDictionary()
        self._resting = False
        self._refused = False
        self._last_in_time = float("-inf")
        self._commands: set[asyncio.Task[Any]] = set()
        self._recovery: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def healthy(self) -> bool:
        """Whether Redis did what was asked, in time, when it was last asked."""
        return not self._resting and not self._refused and self._last_in_time > float("-inf")

    @property
    def era(self) -> str:
        """The run of the server that the newest connection leads to; empty: not known."""
        return self._era

    def start(self) -> None:
        """Begin to look for Redis, so that ``healthy`` tells something before the first command."""
        self._rest()

    def listener(self) -> PubSub:
        """Give a listener with a connection of its own; to be closed by who asked for it."""
        return self._client.pubsub()  # pyright: ignore[reportUnknownMemberType] - untyped options

    def leads_on(self, listener: PubSub) -> bool:
        """Tell whether a listener hears the server that the newest connection leads to."""
        connection = listener.connection
        return connection is None or self._eras.get(connection, self._era) == self._era

    async def script(
        self,
        text: str,
        names: Sequence[str],
        *values: str | bytes | int,
        within: float | None = None,
        insist: bool = False,
    ) -> Any:
        """Run a script on Redis and give its answer; see ``run``.

        Raises:
            RedisAway: it is not known whether it ran; if ``RedisUnreached``, it did not.
        """
        answer = await self.run(lambda redis: _eval(redis, text, names, values), within=within, insist=insist)
        self._refused = False
        return answer

    async def run(
        self,
        command: Callable[[Redis], Awaitable[T]],
        *,
        within: float | None = None,
        insist: bool = False,
    ) -> T:
        """Run a command and wait for it: so many seconds, or the budget. ``insist``: also while at rest.

        Raises:
            RedisAway: it is not known whether it ran; if ``RedisUnreached``, it did not.
        """
        if self._closed or (self._resting and not insist):
            raise RedisUnreached
        began = time.monotonic()
        task = asyncio.create_task(self._command(command))
        self._commands.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait([task], timeout=self.budget if within is None else within)
        for _ in range(3):  # perhaps this loop was late and not Redis: the answer may have come by now
            if not task.done():
                await asyncio.sleep(0)
        if not task.done():
            if self._last_in_time < began:
                self._failed()
            raise RedisAway
        return task.result()

    def suspect(self) -> None:
        """Take a hint from a listener that its connection is lost."""
        self._failed()

    async def aclose(self) -> None:
        """Wait for the commands under way, each of which ends within seconds, and close."""
        self._closed = True
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        await asyncio.gather(*self._commands, return_exceptions=True)
        await self._client.aclose()
        await self._pool.disconnect()

    async def _command(self, command: Callable[[Redis], Awaitable[T]]) -> T:
        began = time.monotonic()
        try:
            result = await command(self._client)
        except NotConnected:
            self._failed()
            raise RedisUnreached from None
        except ResponseError as error:  # it answers, but refuses: no rights, no memory, read-only
            self._refused = True
            if demoted(error):
                await self._pool.renew()
                self._failed("Redis takes no writes")
            else:
                self.failures += 1
            raise RedisAway from None
        except Exception:  # noqa: BLE001 - whatever the client library fails with: nobody's request does
            self._failed()
            raise RedisAway from None
        if time.monotonic() - began <= self.budget:
            self._last_in_time = time.monotonic()
            self._resting = False
        return result

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._commands.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, also where every caller has gone

    def _failed(self, how: str = "Redis does not answer in time") -> None:
        self.failures += 1
        if not self._resting:
            _log.warning("%s; going without", how)
        self._rest()

    def _rest(self) -> None:
        self._resting = True
        if not self._closed and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        pause, probe = 0.0, self.keys[0].name("probe")
        while self._resting:
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, _FIRST_REST), _LONGEST_REST)
            try:  # ending this task does not end a command half-way: it runs in one of its own
                await self.script(_PROBE, [probe], within=2 * _SOCKET_SECONDS, insist=True)
            except RedisAway:
                continue
        _log.info("Redis answers")

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        try:
            await connection.send_command("INFO", "server")
            told = _RUN_ID.search(cast("bytes", await connection.read_response()))
        except ResponseError:  # not allowed to ask: every run looks the same
            told = None
        era = self._eras[connection] = "" if told is None else told[1].decode()
        if era != self._era:
            self._era, self.clock = era, RedisClock()


async def _eval(redis: Redis, text: str, names: Sequence[str], values: Sequence[str | bytes | int]) -> Any:
    return await cast(
        "Awaitable[Any]",
        redis.execute_command("EVAL", text, len(names), *names, *values),  # pyright: ignore[reportUnknownMemberType] - untyped
    )
