"""What a verified token's claims say: whether it is good now and here, and whose it is. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from gateway.access.keys import EVERY, KEY_PREFIX
from gateway.domain.access import EVERYBODY, Principal, Scope
from gateway.domain.model import InstanceName

ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""Algorithms whose verifying key cannot sign. With HS256 the public key would be a password."""

_MAX_SUBJECT = 255
"""OpenID Connect Core allows no more."""

_MAX_NUMERIC_DATE = 2**53
_SCOPES = {scope.value: scope for scope in Scope}


class ClaimsRefused(Exception):
    """The claims do not open the gateway. The text is for tests; callers never see it."""


@dataclass(frozen=True, slots=True)
class JwtOptions:
    """Which tokens are good. A token is good for any one of ``audiences``.

    Raises:
        ValueError: an algorithm is not asymmetric, or something is empty.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str] = frozenset({"RS256"})
    scopes_claim: str = "scope"
    patients_claim: str = "welkin_patients"
    leeway_seconds: float = 10.0
    instances: frozenset[InstanceName] | None = None

    def __post_init__(self) -> None:
        """Refuse options under which anyone could get in."""
        if not self.algorithms or not self.algorithms <= ASYMMETRIC:
            raise ValueError(f"algorithms must be some of {', '.join(sorted(ASYMMETRIC))}.")
        if not self.issuer or not self.audiences or "" in self.audiences:
            raise ValueError("issuer and audience must not be empty.")
        if not 0 <= self.leeway_seconds <= 300:  # noqa: PLR2004 -- the next line says what it is
            raise ValueError("leeway_seconds must be between 0 and 300.")


def principal_of(claims: Mapping[str, object], options: JwtOptions, now: float) -> Principal:
    """Give the caller that a token proves. ``now`` is Unix time in seconds.

    Raises:
        ClaimsRefused: the token is not for here, not yet or no longer good, or says nobody's name.
    """
    if claims.get("iss") != options.issuer:
        raise ClaimsRefused("iss")
    if options.audiences.isdisjoint(_words(claims.get("aud"))):
        raise ClaimsRefused("aud")
    expiry = _instant(claims, "exp")
    if expiry is None or now >= expiry + options.leeway_seconds:
        raise ClaimsRefused("exp")
    for name in ("nbf", "iat"):
        begin = _instant(claims, name)
        if begin is not None and now < begin - options.leeway_seconds:
            raise ClaimsRefused(name)
    return Principal(
        _subject(claims),
        _scopes(claims.get(options.scopes_claim)),
        _patients(claims.get(options.patients_claim)),
        instances=options.instances,
        # The leeway is for clocks that differ: it lets a late token in, and lengthens no stream's life.
        expires_at=expiry if now < expiry else expiry + options.leeway_seconds,
    )


_RESERVED = frozenset({EVERYBODY.id, "nobody", "gateway", "welkin"})
"""The audit trail's own names."""


def _subject(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
        raise ClaimsRefused("sub")
    # Nobody may pass for a service, or for the caller of a gateway without access control.
    if subject.startswith((KEY_PREFIX, "patient:")) or subject in _RESERVED:
        raise ClaimsRefused("sub")
    return subject


def _instant(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_NUMERIC_DATE:
        raise ClaimsRefused(name)
    return float(value)


def _scopes(value: object) -> frozenset[Scope]:
    names = value.split() if isinstance(value, str) else _words(value)
    return frozenset(_SCOPES[name] for name in names if name in _SCOPES)


def _patients(value: object) -> frozenset[str] | None:
    """Give the patients; whatever cannot be understood shows nobody. Only a bare "*" means all."""
    return None if value == EVERY else frozenset(_words(value)) - {EVERY}


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [word for word in cast("list[object]", value) if isinstance(word, str)]
    return []
