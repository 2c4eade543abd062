"""Where the gateway keeps what it may forget: this process's memory, or a Redis that processes share."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.model import InstanceName
from gateway.domain.ports import Sends, Shelf, Wakes
from gateway.services.instance import Instance
from gateway.settings import InstanceSettings, Settings
from gateway.store.memory import BoundedMemoryCache
from gateway.store.reads import SharedReads
from gateway.store.redis_store import RedisStore
from gateway.store.sends import MemorySends
from gateway.store.shelf import MemoryShelf
from gateway.store.welkin_reads import weigh

_PATIENCE = 0.8
"""The share of an operation's time after which an older copy stands in for a call that hangs."""


class Keeping:
    """Makes the stores of each instance, as the configuration says."""

    def __init__(self, settings: Settings) -> None:
        self._ttl = settings.cache.ttl_seconds
        self._stale = settings.cache.stale_if_error_seconds
        self._memory = BoundedMemoryCache(weigh=weigh)
        self.redis = _redis(settings)
        """The shared store; None where everything is in memory."""

    @property
    def wakes(self) -> Wakes | None:
        """What tells other processes; None where there are none."""
        return None if self.redis is None else self.redis.wakes

    def shelf(self) -> Shelf:
        """Give the shelf of upstream tokens."""
        return MemoryShelf() if self.redis is None else self.redis.shelf

    def reads(self, chosen: InstanceSettings) -> SharedReads:
        """Give the shared reads of an instance. Another upstream shares no copies with the one before."""
        space = f"{chosen.tenant}/{chosen.instance}/{chosen.api}/{chosen.base_url}"
        return SharedReads(
            self._memory if self.redis is None else self.redis.copies(space),
            self._ttl,
            stale=self._stale,
            patience=_PATIENCE * chosen.timeout_seconds,
        )

    def sends(self, chosen: InstanceSettings) -> Sends:
        """Give the idempotency keys of an instance. They stay good when its upstream moves."""
        if self.redis is None:
            return MemorySends()
        return self.redis.sends(f"{chosen.tenant}/{chosen.instance}")

    def start(self, instances: Mapping[InstanceName, Instance]) -> None:
        """Look for the shared store, and hear what other processes tell."""
        if self.redis is not None:
            self.redis.start(_Heard(instances))

    async def aclose(self) -> None:
        """Close the shared store, after all who read and send."""
        if self.redis is not None:
            await self.redis.aclose()


class _Heard:
    """Hands on what other processes heard. They may serve instances that this one does not."""

    def __init__(self, instances: Mapping[InstanceName, Instance]) -> None:
        self._instances = instances

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        if (found := self._instances.get(instance)) is not None:
            found.wake(patient_id, elsewhere=True)

    def record(self, instance: InstanceName, patient_id: str) -> None:
        if (found := self._instances.get(instance)) is not None:
            found.record_changed(patient_id, elsewhere=True)

    def missed(self) -> None:
        for instance in self._instances.values():
            instance.look_again()


def _redis(settings: Settings) -> RedisStore | None:
    store = settings.store
    if not store.is_redis:
        return None
    return RedisStore(
        store.url.get_secret_value(),
        [key.get_secret_value() for key in store.encryption_keys],
        store.key_prefix,
        ttl=settings.cache.ttl_seconds,
        spare=settings.cache.stale_if_error_seconds,
    )
