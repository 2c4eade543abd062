"""The identity provider's keys: read on use, shared, and kept where it is down.

Theory. There is no background task that could die. Each use looks at the age of the set:

1. older than an hour: it is read again, and whoever came waits for that; if it fails, the set that is
   there stays good, and later tries hold up nobody;
2. a key id that is not in it: it is read again, at most once a minute however many ask, so that made-up
   ids cost the provider nothing;
3. nothing was ever read: tried again every few seconds.

All who wait share one read. It runs in a task of its own, which a caller who leaves does not cancel.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.access.jwks_source import KeySource, KeysUnreadable

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey

REFRESH_SECONDS = 3_600.0
UNKNOWN_SECONDS = 60.0
FIRST_SECONDS = 5.0
"""How soon to try again where nothing was ever read."""

_MIN_RSA_BYTES = 256
_SECRETS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a private key. A provider that shows one by mistake does not make us keep it."""


class Jwks:
    """The keys of one identity provider. ``clock`` counts seconds and never goes back."""

    def __init__(self, source: KeySource, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: tuple[PublicKey, ...] | None = None
        self._body = b""
        self._tried: float | None = None
        self._good_at = 0.0
        self._failed = False
        self._reading: asyncio.Task[None] | None = None
        self._generation = 0
        self._failures = 0

    @property
    def ready(self) -> bool:
        """Whether there are keys to verify with."""
        return self._keys is not None

    @property
    def generation(self) -> int:
        """Changes whenever the keys did: what was verified before may not hold any more."""
        return self._generation

    @property
    def failures(self) -> int:
        """How many reads failed so far."""
        return self._failures

    async def load(self) -> None:
        """Read the keys where that is due; call it at the start and from the readiness check."""
        if self._keys is None:
            if self._age() >= FIRST_SECONDS or self._reading is not None:
                await self._read()
        elif self._clock() - self._good_at >= REFRESH_SECONDS:
            if not self._failed:
                await self._read()
            elif self._age() >= UNKNOWN_SECONDS:
                self._begin()

    async def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """Give the key that a token's header asks for, if it is there and is one for the algorithm.

        Raises:
            KeysUnreadable: no keys could be read so far.
        """
        await self.load()
        key = self._pick(algorithm, kid)
        if key is None and kid is not None and not self._knows(kid):
            if self._age() >= UNKNOWN_SECONDS or self._reading is not None:
                await self._read()
            key = self._pick(algorithm, kid)
        if self._keys is None:
            raise KeysUnreadable("No keys were read so far.")
        return key

    async def aclose(self) -> None:
        """Wait for a read under way, then let go of the connections."""
        if self._reading is not None:
            await asyncio.wait({self._reading})
        await self._source.aclose()

    def _age(self) -> float:
        return float("inf") if self._tried is None else self._clock() - self._tried

    def _knows(self, kid: str) -> bool:
        return any(key.kid == kid for key in self._keys or ())

    def _pick(self, algorithm: str, kid: str | None) -> PublicKey | None:
        fitting = [key for key in self._keys or () if _fits(key, algorithm)]
        if kid is None:
            # Without an id only the one key that can be meant will do.
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)

    async def _read(self) -> None:
        await asyncio.wait({self._begin()})

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None:
            self._tried = self._clock()
            self._reading = asyncio.create_task(self._run())
            self._reading.add_done_callback(self._finish)
        return self._reading

    def _finish(self, _task: asyncio.Task[None]) -> None:
        self._reading = None

    async def _run(self) -> None:
        try:
            body = await self._source.read()
            if body != self._body or self._keys is None:
                self._keys, self._body = read_keys(body), body
                self._generation += 1
            self._failed, self._good_at = False, self._clock()
        except KeysUnreadable:
            self._failed = True
            self._failures += 1


def read_keys(body: bytes) -> tuple[PublicKey, ...]:
    """Read the public keys for signatures out of a set; what is no such key is left out.

    Raises:
        KeysUnreadable: it is not a set of keys, or has none to verify with.
    """
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise KeysUnreadable("The set of keys is not JSON.") from error
    listed: object = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise KeysUnreadable("The set of keys has no list of keys.")
    keys = tuple(key for entry in cast("list[object]", listed) if (key := _read_key(entry)) is not None)
    if not keys:
        raise KeysUnreadable("The set of keys has none to verify with.")
    return keys


def _read_key(entry: object) -> PublicKey | None:
    if not isinstance(entry, dict):
        return None
    members = {
        name: value for name, value in cast("Mapping[str, Any]", entry).items() if name not in _SECRETS
    }
    modulus = members.get("n")
    if members.get("kty") == "RSA" and (
        not isinstance(modulus, str) or len(modulus) * 3 // 4 < _MIN_RSA_BYTES
    ):
        return None
    try:
        key = JWKRegistry.import_key(members)
        key.check_use("sig")
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, PublicKey) else None


def _fits(key: PublicKey, algorithm: str) -> bool:
    """Tell whether a key's type, curve, use and own algorithm are those of a token's algorithm."""
    try:
        JWSRegistry.algorithms[algorithm].check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    return True
