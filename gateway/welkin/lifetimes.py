"""How long an upstream token may be used, from whatever its answer says of it. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field, replace

import orjson

from gateway.welkin.fields import Record, record, text
from gateway.welkin.instants import read_instant

_UNSAID = 55 * 60.0
"""Tokens live an hour (R for v1, D2 for v2); where an answer says nothing, five minutes are kept back."""
LONGEST = 24 * 3600.0
_EARLY = 60.0
"""A token is replaced this many seconds before its end."""
_SENDABLE = re.compile(r"[\x21-\x7e]{1,16384}")
"""What may stand in an Authorization header."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when to ask for the next one; both times are on the clock that was handed in."""

    value: str = field(repr=False)
    refresh_at: float
    expires_at: float

    def shifted(self, seconds: float) -> Token:
        """Give the token with its times on a clock that is so many seconds ahead."""
        return replace(self, refresh_at=self.refresh_at + seconds, expires_at=self.expires_at + seconds)


def read_token(body: bytes, now: float) -> Token | None:
    """Read the answer of a token endpoint of either version; None if there is no usable token in it.

    The end is taken from ``expiresAt``, else from the token's own ``exp`` if it is a JWT (which is not
    verified: only Welkin can), else from ``expiresIn``. One that lies in the past says that the clocks
    disagree, and is not believed: Welkin's 401 will tell.
    """
    try:
        answer = record(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    value = text(answer.get("token")) if answer is not None else None
    if answer is None or value is None or not is_sendable(value):
        return None
    claimed = (_from_expires_at(answer, now), _from_jwt(value, now), _seconds(answer.get("expiresIn")))
    left = next(
        (min(seconds, LONGEST) for seconds in claimed if seconds is not None and seconds > 0), _UNSAID
    )
    return Token(value, now + left - min(_EARLY, left / 2), now + left)


def is_sendable(value: str) -> bool:
    r"""Tell whether a text may stand in an Authorization header.

    >>> is_sendable("eyJ.eyJ.sig"), is_sendable("a\r\nX: y")
    (True, False)
    """
    return _SENDABLE.fullmatch(value) is not None


def _from_expires_at(answer: Record, now: float) -> float | None:
    at = read_instant(answer.get("expiresAt"))
    return at.timestamp() - now if at is not None else None


def _from_jwt(value: str, now: float) -> float | None:
    """Give what is left by the token's own claims; all of its lifetime where our clock disagrees."""
    parts = value.split(".")
    if len(parts) != len(("header", "claims", "signature")):
        return None
    try:
        claims = record(orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))
    except (binascii.Error, ValueError):
        return None
    if claims is None or (expires := _seconds(claims.get("exp"))) is None:
        return None
    issued = _seconds(claims.get("iat"))
    clocks_agree = issued is None or issued <= now < expires
    return expires - (now if issued is None or clocks_agree else issued)


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
