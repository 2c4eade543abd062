"""Wakes between the processes of a gateway: what one heard, by webhook or send, all are told.

Over Redis's publish and subscribe, which keeps nothing: who is not listening misses it. So whenever
a listener (again) begins to listen it is told that wakes may have been missed. Messages are sealed:
they name patients.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from typing import Any, Literal, Protocol, cast

import msgspec
from redis.asyncio.client import PubSub

from gateway.domain.model import InstanceName
from gateway.store.link import RedisLink
from gateway.store.outbox import Outbox

_SILENCE = 2.0
"""Seconds without a message before the connection is tried."""

_PAUSE = 0.5
_log = logging.getLogger(__name__)


class WakeHandler(Protocol):
    """Is told what other processes heard. Neither waits nor raises."""

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        """Take a hint that a conversation changed."""
        ...

    def record(self, instance: InstanceName, patient_id: str) -> None:
        """Take a hint that a patient's record changed."""
        ...

    def missed(self) -> None:
        """Take note that any number of hints may have been missed."""
        ...


class NoWakes:
    """The wakes of a gateway that is one process: there is nobody to tell."""

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        """Do nothing."""

    def record(self, instance: InstanceName, patient_id: str) -> None:
        """Do nothing."""


class _Wake(msgspec.Struct, array_like=True):
    sender: bytes
    kind: Literal["conversation", "record", "missed"]
    tenant: str = ""
    instance: str = ""
    patient_id: str = ""


class RedisWakes:
    """Tells and hears wakes through one Redis. What this process told itself is not heard."""

    def __init__(self, link: RedisLink, outbox: Outbox) -> None:
        self._link = link
        self._outbox = outbox
        self._me = secrets.token_bytes(12)
        self._channels = {key.name("wakes"): key for key in link.keys}
        self._decoder = msgspec.msgpack.Decoder(_Wake)
        self._listener: asyncio.Task[None] | None = None
        self._listening = False

    @property
    def listening(self) -> bool:
        """Whether wakes of other processes are heard now."""
        return self._listening

    def conversation(self, instance: InstanceName, patient_id: str) -> None:
        """Tell that a conversation changed."""
        self._tell(_Wake(self._me, "conversation", instance.tenant, instance.instance, patient_id))

    def record(self, instance: InstanceName, patient_id: str) -> None:
        """Tell that a patient's record changed."""
        self._tell(_Wake(self._me, "record", instance.tenant, instance.instance, patient_id))

    def listen(self, handler: WakeHandler) -> None:
        """Begin to hear, in the background, until ``aclose``; connects again whenever it has to."""
        self._listener = asyncio.create_task(self._listen(handler))

    async def aclose(self) -> None:
        """Stop hearing."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)

    def _tell(self, wake: _Wake) -> None:
        what = (wake.kind, wake.tenant, wake.instance, wake.patient_id)
        missed = _Wake(self._me, "missed")
        self._outbox.wake(what, lambda: self._write(wake), missed=lambda: self._write(missed))

    def _write(self, wake: _Wake) -> list[tuple[str, bytes]]:
        data = msgspec.msgpack.encode(wake)
        return [(channel, key.seal(channel, data)) for channel, key in self._channels.items()]

    async def _listen(self, handler: WakeHandler) -> None:
        told = False
        while True:
            try:
                async with self._link.listener() as pubsub:
                    await self._hear(pubsub, handler)
            except Exception as error:  # noqa: BLE001 - a listener that died would leave this process deaf
                if self._listening or not told:
                    _log.warning("wakes of other processes are not heard: %s", type(error).__name__)
                told = True
                self._link.suspect()
            finally:
                self._listening = False
            await asyncio.sleep(_PAUSE)

    async def _hear(self, pubsub: PubSub, handler: WakeHandler) -> None:
        await cast("Awaitable[None]", pubsub.subscribe(*self._channels))  # pyright: ignore[reportUnknownMemberType] - untyped
        asked = False
        while self._link.leads_on(pubsub):  # a server that was replaced may have nothing to tell any more
            message = cast("dict[str, Any] | None", await pubsub.get_message(timeout=_SILENCE))
            if message is None:
                if asked:
                    raise TimeoutError
                asked = True
                await cast("Awaitable[None]", pubsub.ping())  # pyright: ignore[reportUnknownMemberType] - untyped
                continue
            asked = False
            if message["type"] == "subscribe":  # once a channel, at the first connection and each later one
                self._listening = True
                handler.missed()
            elif message["type"] == "message":
                self._take(handler, message["channel"], message["data"])

    def _take(self, handler: WakeHandler, channel: bytes, data: bytes) -> None:
        name = channel.decode("ascii", "replace")
        try:
            wake = self._decoder.decode(self._channels[name].open(name, data))
        except (ValueError, KeyError):
            return
        if wake.sender == self._me:
            return
        match wake.kind:
            case "conversation":
                handler.conversation(InstanceName(wake.tenant, wake.instance), wake.patient_id)
            case "record":
                handler.record(InstanceName(wake.tenant, wake.instance), wake.patient_id)
            case "missed":
                handler.missed()
