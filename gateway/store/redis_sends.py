"""Idempotency keys in Redis: one key sends one message, whichever process is asked, and after a restart.

Under a key lie a *lock* (a random token, for seconds, refreshed while its holder lives) and a *record*
(what became of the send, for a day). What must hold: a post begins only if no other began under this
key within the day. Why it holds:

* Before the post its holder notes the send as unclear, and begins only once Redis has confirmed that.
  The note is one step with the check that the lock is its own still: a holder that was paused for
  longer than its lock lasts finds out, and sends nothing.
* Who claims the key afterwards finds the note, be the holder alive or killed, and looks for the
  message instead of sending.
* If the note cannot be confirmed, nothing is sent, and ``Overloaded`` says so. The note may have
  arrived all the same, or arrive late; so it is taken back, together with the lock that a late one
  would need.
* What is known after the post is written until it is confirmed, in the background if need be
  (``errands``); the caller has an answer and does not wait. Until then the key says unclear, which
  costs a look.

It holds as long as Redis keeps what it confirmed: one that loses data (restarted without
``appendonly``, evicting, a replica that was behind) loses keys.

Lock and record lie under every key of the list, all at once, so that a rotation changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, cast

from gateway.domain.errors import Overloaded
from gateway.domain.ports import SendRecord
from gateway.store.codec import SendCodec
from gateway.store.errands import Errand, Errands
from gateway.store.keys import StoreKey
from gateway.store.link import RedisAway, RedisLink, RedisUnreached
from gateway.store.send_scripts import CLAIM, NOTE, REFRESH, RELEASE, TAKE_BACK
from gateway.store.sends import DAY_SECONDS, used_differently

_LOCK_SECONDS = 6.0
_LOOK_SECONDS = (0.05, 0.15)
"""Between two looks whether a key that somebody holds is free, drawn anew each time."""

_ANSWER_SECONDS = 1.0
_RECORD_SECONDS = 600.0
"""For how long a record that lasts a day is written or taken back until Redis confirms it."""

_DAY_MILLISECONDS = round(DAY_SECONDS * 1000)


class RedisSends:
    """The idempotency keys of one instance. ``space`` tells it from other instances."""

    def __init__(
        self, link: RedisLink, errands: Errands, space: str, *, lock_seconds: float = _LOCK_SECONDS
    ) -> None:
        self._link = link
        self._errands = errands
        self._space = space
        self._lock_seconds = lock_seconds
        self._refreshers: set[asyncio.Task[None]] = set()

    async def claim(self, key: str, fingerprint: str) -> RedisClaim:
        """Claim a key; waits while another call, of whichever process, holds it.

        Raises:
            BadInput: the key was used for a different message.
            Overloaded: Redis cannot be asked.
        """
        claim = RedisClaim(self, self._link, (self._space, key), fingerprint, self._lock_seconds)
        while not await claim.take():  # noqa: ASYNC110 - another process cannot set our events
            await asyncio.sleep(random.uniform(*_LOOK_SECONDS))  # noqa: S311 - spreads the looks
        return claim

    @property
    def errands(self) -> Errands:
        """What is still to be done about claims."""
        return self._errands

    def refresh(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Refresh a lock, until it is released or the store is closed."""
        task = asyncio.create_task(work)
        self._refreshers.add(task)
        task.add_done_callback(self._refreshers.discard)
        return task

    def close(self) -> None:
        """Let go of the locks that somebody holds still; they end by themselves."""
        for task in self._refreshers:
            task.cancel()


class RedisClaim:
    """A key of a caller, claimed once ``take`` said so."""

    def __init__(
        self, sends: RedisSends, link: RedisLink, name: tuple[str, str], fingerprint: str, seconds: float
    ) -> None:
        self._sends = sends
        self._errands = sends.errands
        self._link = link
        self._seconds = seconds
        self._fingerprint = fingerprint
        self._keys: tuple[StoreKey, ...] = link.keys
        self._locks = [key.name("claim", *name) for key in link.keys]
        self._records = [key.name("send", *name) for key in link.keys]
        token = secrets.token_hex(16)
        # The mark tells one message from another, without telling either.
        self._marks = [key.name("mark", fingerprint)[-16:] for key in link.keys]
        self._held = [f"{token}:{mark}" for mark in self._marks]
        self._codec = SendCodec()
        self._earlier: SendRecord | None = None
        self._noted = False
        self._first: list[bytes] = []
        self._refresher: asyncio.Task[None] | None = None

    @property
    def earlier(self) -> SendRecord | None:
        """What is remembered of an earlier send under this key."""
        return self._earlier

    async def take(self) -> bool:
        """Take the key if it is free.

        Raises:
            BadInput: it stands for a different message.
            Overloaded: Redis cannot be asked.
        """
        try:
            answer = await self._ask(CLAIM, self._locks + self._records, self._milliseconds, *self._held)
        except (RedisAway, asyncio.CancelledError) as error:
            if not isinstance(error, RedisUnreached):
                self._later(RELEASE, self._locks, *self._held, seconds=self._seconds)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _away() from None
        if answer[0]:
            holder = cast("bytes", answer[1]).decode("ascii", "replace").partition(":")[2]
            if holder != self._marks[int(answer[0]) - 1]:
                raise used_differently()
            return False
        self._refresher = self._sends.refresh(self._refresh())
        earlier = self._read(answer[1:])
        if earlier is not None and earlier[0] != self._fingerprint:
            await self.release()
            raise used_differently()
        self._earlier = None if earlier is None else earlier[1]
        self._noted = earlier is not None
        return True

    async def note(self, record: SendRecord | None) -> None:
        """Remember what is known of the send by now; None: nothing was sent.

        Raises:
            Overloaded: this is the note before the post, and Redis does not confirm it.
        """
        sealed = self._sealed(record)
        if not self._noted:
            await self._note_first(sealed)
            return
        names = self._locks + self._records
        if record is None and self._first:
            script, values = TAKE_BACK, (*self._held, *self._first)
            seconds = _RECORD_SECONDS
        else:  # what is certain is written in any case, "unclear" only by the holder
            certain = record is not None and record.message is not None
            script = NOTE
            values = ("any" if certain else "mine", _DAY_MILLISECONDS, *self._held, *sealed)
            seconds = _RECORD_SECONDS if certain else self._seconds
        await self._tell(script, names, *values, seconds=seconds)

    async def release(self) -> None:
        """End the claim. What was noted stays."""
        if self._refresher is not None:
            self._refresher.cancel()
        await self._tell(RELEASE, self._locks, *self._held, seconds=self._seconds)

    async def _tell(self, script: str, names: list[str], *values: str | bytes | int, seconds: float) -> None:
        """Run a script now, or in the background if Redis is away: the caller has what it came for."""
        if self._link.healthy and not self._errands.waiting(self._held[0]):
            with suppress(RedisAway):
                await self._ask(script, names, *values)
                return
        self._later(script, names, *values, seconds=seconds)

    def _later(self, script: str, names: list[str], *values: str | bytes | int, seconds: float) -> None:
        """Run a script in the background; what a lock is needed for, or is freed, only while one can last."""
        self._errands.add(self._held[0], Errand(script, names, values, seconds))

    async def _note_first(self, sealed: list[bytes]) -> None:
        names = self._locks + self._records
        try:
            mine = await self._ask(NOTE, names, "mine", _DAY_MILLISECONDS, *self._held, *sealed)
        except (RedisAway, asyncio.CancelledError) as error:
            if not isinstance(error, RedisUnreached):
                self._later(TAKE_BACK, names, *self._held, *sealed, seconds=_RECORD_SECONDS)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _away() from None
        if not mine:
            raise _away()
        self._noted, self._first = True, sealed

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 4)
            try:
                if not await self._ask(REFRESH, self._locks, self._milliseconds, *self._held):
                    return
            except RedisAway:
                continue

    async def _ask(self, script: str, names: list[str], *values: str | bytes | int) -> Any:
        return await self._link.script(script, names, *values, within=_ANSWER_SECONDS, insist=True)

    def _sealed(self, record: SendRecord | None) -> list[bytes]:
        """Seal a record under every key; nothing is empty."""
        if record is None:
            return [b""] * len(self._keys)
        try:
            data = self._codec.encode((self._fingerprint, record))
        except ValueError:
            data = self._codec.encode((self._fingerprint, SendRecord(None)))  # odd text: unclear says enough
        return [key.seal(name, data) for key, name in zip(self._keys, self._records, strict=True)]

    def _read(self, sealed: list[bytes | None]) -> tuple[str, SendRecord] | None:
        """Read the record under the newest key that has one.

        One that cannot be read is somebody's, or of another version's shape: a send is not to be
        repeated, so it counts as unclear.
        """
        odd = False
        for key, name, value in zip(self._keys, self._records, sealed, strict=False):
            if value is None:
                continue
            try:
                return self._codec.decode(key.open(name, value))
            except ValueError:
                odd = True
        return (self._fingerprint, SendRecord(None)) if odd else None

    @property
    def _milliseconds(self) -> int:
        return round(self._seconds * 1000)


def _away() -> Overloaded:
    return Overloaded("The store of idempotency keys cannot be reached; nothing was sent.")
