"""Copies of reads in Redis, shared by every process of the gateway.

No process keeps copies of its own beside them. So a client that is moved from one process to another
never sees an older page after a newer one.

What must hold: once a process was told of a change (``advance``), it never serves what was read
before; once Redis has confirmed the change, no process does. Why it holds:

* A scope's generation is a random value in Redis. A change sets a new one, and so does a look that
  finds none (never read, expired, evicted, Redis emptied). So no value ever comes back, however Redis
  loses keys. (A counter would: after a loss it counts again from one.)
* A look (``looks``) reads generation and copy in one step. A copy is good only if it holds that very
  generation. Who reads upstream begins after its own look, and keeps the value under the generation
  that the look gave. So a good copy was read after its generation was set, thus after every change
  before that.
* A change that Redis has not confirmed is pending, and copies of its scope are not looked at here. It is
  set again, with another value, until confirmed. An attempt that runs late is one more change.
* Redis may come back from disk with generations and copies of a while ago. Names hold its *era* (its
  run), so those are never found; a look during which the era changed counts for nothing.
* A replica refuses the look, since a look may write. So one that lags behind is not believed.

A value that was read and shown but cannot be kept (its look came too late, say) must not be followed by
an older copy that Redis may hold. A mark takes that one's place, as it does where it cannot be told
which of two reads began first; if that fails too (Redis is away), it is a change of the whole scope,
pending like any other. Where too many scopes are pending, one change of the whole instance (the scope
"") takes the place of all: its generation is part of every copy's.

Ages are measured by Redis's clock alone, with bounds (``redis_clock``): a copy is never taken for
newer than it is. Only of what it wrote itself does a process know when the reading began, and it
remembers that: by a lower bound alone, who asks for nothing older than what was just read would never
get that very copy. What this cannot give: a process that is killed before a change of its was
confirmed takes the change along; the others serve copies until their time is up.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.store.codec import Codec
from gateway.store.copies import Copy, Found, Kept, Place
from gateway.store.keys import StoreKey
from gateway.store.link import RedisAway, RedisLink
from gateway.store.looks import Look, Looks
from gateway.store.outbox import WHOLE, Outbox, generation_name

_KEEP = """
local n = tonumber(ARGV[1])
for i = 1, n do
  local generation = string.match(ARGV[4], '^(%S+) ?')
  if redis.call('GET', KEYS[i]) ~= generation then return 0 end
  ARGV[4] = string.sub(ARGV[4], #generation + 2)
end
local now = redis.call('TIME')
now = string.format('%016d', now[1] * 1000000 + now[2])
for i = n + 1, #KEYS do
  local value = ARGV[i - n + 4]
  local from, before = string.sub(value, 1, 16), string.sub(value, 17, 32)
  local old = redis.call('GETRANGE', KEYS[i], 0, 31)
  local old_from, old_before = string.sub(old, 1, 16), string.sub(old, 17)
  local nonsense = #old < 32 or string.find(old, '%D') or old_from > now
  if nonsense or tonumber(old_before) > tonumber(now) + 1000000 or from >= old_before then
    redis.call('SET', KEYS[i], value, 'PX', ARGV[2])
  elseif old_from < before then  -- which of the two began first cannot be told: neither is kept
    if old_from > from then from = old_from end
    if old_before > before then before = old_before end
    redis.call('SET', KEYS[i], from .. before, 'PX', ARGV[2])
  end
end
for i = 1, n do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
return 1
"""
"""A copy begins with the two moments between which its reading began, in 16 digits each: an older one
gives way to a newer one, whichever comes first. These alone are a mark."""

_STAMP = 32
_TAG = 16
"""Bytes at the end of what is sealed that tell it from all else."""

_MAX_OWN = 10_000


class _Written(msgspec.Struct, array_like=True):
    generation: str
    began: float
    ended: float
    fresh_until: float
    value: bytes


class RedisCopies:
    """The copies of one instance. ``space`` tells it from other instances, other upstreams included.

    ``spare`` seconds copies are kept beyond their freshness.
    """

    def __init__(
        self,
        link: RedisLink,
        outbox: Outbox,
        space: str,
        codec: Codec[Any],
        *,
        spare: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._outbox = outbox
        self._space = space
        self._codec = codec
        self._spare = spare
        self._clock = clock
        self._looks = Looks(link, outbox.milliseconds, clock)
        self._opened: tuple[Look | None, Copy[Any] | None] = (None, None)
        self._own: OrderedDict[str, tuple[bytes, float, float]] = OrderedDict()
        self._decoder = msgspec.msgpack.Decoder(_Written)

    async def look(self, place: Place) -> Found:
        """Look for the copy of a part. One round trip; nothing is found while a change is pending."""
        end = self._clock() + self._link.budget
        for scope in (place.scope, WHOLE):
            if not await self._outbox.confirmed((self._space, scope), end - self._clock()):
                return Found()
        era = self._link.era
        key, name = self._name(era, place.scope, place.part)
        names = (*self._generations(era, place.scope), name)
        try:
            look = await self._looks.look(names, end - self._clock())
        except RedisAway:
            return Found()
        if self._link.era != era:
            return Found()
        changed = _seconds_since_change(look.generation, look.now)
        return Found(self._open(key, name, look), f"{era} {look.generation}", _micros(look.now), changed)

    async def keep(self, place: Place, also: Sequence[str], found: Found, copy: Copy[Any]) -> None:
        """Keep what was read after a look, unless the scope changed or newer is there."""
        if not await self._keep(place, also, found, copy):
            self.advance(place.scope, elsewhere=False)

    def advance(self, scope: str, *, elsewhere: bool) -> None:
        """Start a scope's next generation in Redis, in the background."""
        if not elsewhere:
            self._outbox.change((self._space, scope))

    async def _keep(self, place: Place, also: Sequence[str], found: Found, copy: Copy[Any]) -> bool:
        """Tell whether no older copy can follow this value."""
        era, _, generation = (found.ticket or self._link.era).partition(" ")
        clock, began = self._link.clock, copy.kept.began
        if era != self._link.era or not clock.known:
            return False
        earliest = found.looked or _micros(clock.earliest_there(began))
        stamp = b"%016d%016d" % (earliest, max(earliest, _micros(clock.latest_there(began))) + 1)
        written = b"" if found.ticket is None else self._written(generation, copy)
        generations = self._generations(era, place.scope) if written else []
        names: list[str] = []
        values: list[bytes] = []
        for part in {place.part, *also}:
            key, name = self._name(era, place.scope, part)
            names.append(name)
            values.append(stamp + key.seal(name, written, stamp) if written else stamp)
            if written:
                self._remember(name, values[-1], copy.kept)
        milliseconds = max(1, round((copy.fresh_until + self._spare - self._clock()) * 1000))
        lifetimes = (milliseconds, self._outbox.milliseconds)
        try:
            await self._link.script(
                _KEEP, [*generations, *names], len(generations), *lifetimes, generation, *values
            )
        except RedisAway:
            return False
        return self._link.era == era  # else it may have gone to the names of another run

    def _written(self, generation: str, copy: Copy[Any]) -> bytes:
        """Write a copy for sealing; nothing, if it cannot be written."""
        clock, kept = self._link.clock, copy.kept
        began, ended = clock.earliest_there(kept.began), clock.latest_there(kept.ended)
        fresh_until = clock.earliest_there(copy.fresh_until)
        try:
            value = self._codec.encode(kept.value)
        except ValueError:
            return b""
        return msgspec.msgpack.encode(_Written(generation, began, ended, fresh_until, value))

    def _open(self, key: StoreKey, name: str, look: Look) -> Copy[Any] | None:
        """Give the copy; what cannot be opened or read, or is of another generation, is none."""
        if look.value is None:
            return None
        if self._opened[0] is look:  # equal looks at once share their answer
            return self._opened[1]
        stamp, sealed = look.value[:_STAMP], look.value[_STAMP:]
        try:
            written = self._decoder.decode(key.open(name, sealed, stamp))
            if written.generation != look.generation or written.began > look.now:  # its clock was set back
                return None
            read = self._codec.decode(written.value)
        except ValueError:
            return None
        clock = self._link.clock
        kept = Kept(read, clock.earliest_here(written.began), clock.latest_here(written.ended))
        fresh_until = clock.earliest_here(written.fresh_until)
        mark, *own = self._own.get(name, (b"", 0.0, 0.0))
        copy = Copy(Kept(read, *own) if mark == _mark(look.value) else kept, fresh_until)
        self._opened = (look, copy)
        return copy

    def _remember(self, name: str, value: bytes, kept: Kept[Any]) -> None:
        """Remember the times of what is written; whether it got there is told by its mark."""
        self._own[name] = (_mark(value), kept.began, kept.ended)
        self._own.move_to_end(name)
        if len(self._own) > _MAX_OWN:
            self._own.popitem(last=False)

    def _name(self, era: str, scope: str, part: str) -> tuple[StoreKey, str]:
        key = self._link.keys[0]
        return key, key.name("copy", era, self._space, scope, part)

    def _generations(self, era: str, scope: str) -> list[str]:
        scopes = ((self._space, WHOLE), (self._space, scope))
        return [generation_name(key, era, each) for each in scopes for key in self._link.keys]


def _mark(value: bytes) -> bytes:
    return value[:_STAMP] + value[-_TAG:]


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def _seconds_since_change(generation: str, now: float) -> float:
    """Read from the generations of a scope when the last change was; those of a first look tell none."""
    changes = [each[32:] for each in generation.split(" ")]
    at = [int(each) / 1e6 for each in changes if each.isdecimal()]
    return max(0.0, now - max(at)) if at else float("inf")
