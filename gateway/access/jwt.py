"""Tokens of people and front ends: JWTs signed by the configured issuer.

What a token's header says about keys is never followed: ``jwk``, ``jku``, ``x5u`` and ``x5c`` are not
read, and ``kid`` only picks among the issuer's own keys. The algorithm must be allowed here, and the key
must be one for it.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.registry import Header

from gateway.access.claims import ClaimsRefused, JwtOptions, principal_of
from gateway.access.jwks import Jwks
from gateway.access.jwks_source import KeysUnreadable
from gateway.domain.access import Principal
from gateway.domain.errors import Overloaded, Unauthenticated

MAX_TOKEN_BYTES = 8 * 1024
KEPT_TOKENS = 10_000
"""Verifying costs up to 65 µs, looking a token up 2 µs; an entry takes about half a kilobyte."""

REFUSED = "Valid credentials are needed."
"""The one text for every reason, so that nobody learns from it what was wrong."""

KEYS_UNREADABLE = "The identity provider's keys cannot be read now."

_MAX_KID = 256
_PARTS = 3


class TokenRefused(Exception):
    """A token is none that can be verified. Stays inside this module."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a token's header asks for."""

    algorithm: str
    kid: str | None


class _Registry(JWSRegistry):
    """joserfc's rules with our limit of size, and without its warning on each EdDSA token."""

    max_header_length = MAX_TOKEN_BYTES
    max_payload_length = MAX_TOKEN_BYTES

    def get_alg(self, name: str):  # noqa: ANN202 -- joserfc does not export the type
        """Give an algorithm that is allowed."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


class JwtVerifier:
    """Verifies tokens, and remembers good ones until they expire. ``clock`` gives Unix seconds."""

    def __init__(self, options: JwtOptions, keys: Jwks, *, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._keys = keys
        self._clock = clock
        # Headers that are not known are common and harmless; critical ones are refused in any case.
        self._registry = _Registry(algorithms=sorted(options.algorithms), strict_check_header=False)
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._generation = keys.generation

    async def verify(self, token: bytes) -> Principal:
        """Tell who sent a token.

        Raises:
            Unauthenticated: it proves nothing.
        """
        if not 0 < len(token) <= MAX_TOKEN_BYTES:
            raise Unauthenticated(REFUSED)
        digest = hashlib.sha256(token).digest()
        known = await self._recall(digest)
        if known is not None:
            return known
        try:
            principal = await self._check(token)
        except KeysUnreadable:
            raise Overloaded(KEYS_UNREADABLE) from None  # nobody's fault who is calling
        except (TokenRefused, ClaimsRefused, JoseError, ValueError, RecursionError):
            # No cause: joserfc's errors quote the token.
            raise Unauthenticated(REFUSED) from None
        self._known[digest] = principal
        if len(self._known) > KEPT_TOKENS:
            self._known.popitem(last=False)
        return principal

    async def _recall(self, digest: bytes) -> Principal | None:
        if digest not in self._known:
            return None
        await self._keys.load()
        if self._generation != self._keys.generation:
            # A key may have been withdrawn: whatever it signed has to be verified again.
            self._known.clear()
            self._generation = self._keys.generation
        known = self._known.get(digest)
        if known is None:
            return None
        if known.expires_at is not None and self._clock() >= known.expires_at:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known

    async def _check(self, token: bytes) -> Principal:
        wanted = _wanted(token, self._options.algorithms)
        # Claims first: a token that could not pass anyhow makes nobody read keys.
        principal_of(_claims(token.split(b".")[1]), self._options, self._clock())
        key = await self._keys.find(wanted.algorithm, wanted.kid)
        if key is None:
            raise TokenRefused("key")
        verified = deserialize_compact(token, key, registry=self._registry)
        return principal_of(_object(verified.payload), self._options, self._clock())


def _wanted(token: bytes, allowed: frozenset[str]) -> _Wanted:
    parts = token.split(b".")
    if len(parts) != _PARTS:
        raise TokenRefused("parts")
    header: Header = _claims(parts[0])
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise TokenRefused("alg")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= _MAX_KID):
        raise TokenRefused("kid")
    # Extensions that change what is signed (RFC 7797) or must be understood: none is.
    if "crit" in header or "b64" in header:
        raise TokenRefused("crit")
    return _Wanted(algorithm, kid)


def _claims(part: bytes) -> dict[str, object]:
    return _object(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))


def _object(text: bytes) -> dict[str, object]:
    value = json.loads(text.decode("utf-8"))
    if not isinstance(value, dict):
        raise TokenRefused("object")
    return cast("dict[str, object]", value)
