"""All that a gateway keeps in one Redis: made from its configuration, begun and ended in the right order."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.codec import ReadCodec
from gateway.store.errands import Errands
from gateway.store.link import RedisLink
from gateway.store.outbox import Outbox
from gateway.store.redis_copies import RedisCopies
from gateway.store.redis_sends import RedisSends
from gateway.store.shelf import RedisShelf
from gateway.store.wakes import RedisWakes, WakeHandler

_SETTLING_SECONDS = 15.0
"""How long it is remembered that a scope changed, however short copies are kept."""


class RedisStore:
    """One Redis and what lies in it. Nothing is asked of the network before ``start``.

    ``spare`` seconds copies of reads are kept beyond their freshness, ``ttl`` seconds.
    """

    def __init__(
        self, url: str, encryption_keys: Sequence[str], prefix: str, *, ttl: float, spare: float
    ) -> None:
        self._link = RedisLink(url, encryption_keys, prefix)
        self._outbox = Outbox(self._link, lifetime=max(ttl + spare, _SETTLING_SECONDS))
        self._errands = Errands(self._link)
        self._spare = spare
        self._sends: list[RedisSends] = []
        self.wakes = RedisWakes(self._link, self._outbox)
        self.shelf = RedisShelf(self._link)

    @property
    def healthy(self) -> bool:
        """Whether Redis did what was asked, in time, when it was last asked."""
        return self._link.healthy

    @property
    def failures(self) -> int:
        """How many commands failed or came too late since the start."""
        return self._link.failures

    @property
    def unconfirmed(self) -> int:
        """How many changes Redis has not confirmed yet."""
        return self._outbox.pending

    def copies(self, space: str) -> RedisCopies:
        """Give the copies of an instance; ``space`` tells it from others, its upstream included."""
        return RedisCopies(self._link, self._outbox, space, ReadCodec(), spare=self._spare)

    def sends(self, space: str) -> RedisSends:
        """Give the idempotency keys of an instance; ``space`` stays the same when its upstream moves."""
        sends = RedisSends(self._link, self._errands, space)
        self._sends.append(sends)
        return sends

    def start(self, handler: WakeHandler) -> None:
        """Look for Redis, and hear what other processes tell."""
        self._link.start()
        self.wakes.listen(handler)

    async def aclose(self) -> None:
        """Write what is left if Redis is there, and close. To be called after those who read and send."""
        await self.wakes.aclose()
        for each in self._sends:
            each.close()
        await self._errands.aclose()
        await self._outbox.aclose()
        await self._link.aclose()
