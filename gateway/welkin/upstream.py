"""Where one Welkin instance is reached, and with which credentials."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.welkin.breaker import BreakerState


@dataclass(frozen=True, slots=True)
class Upstream:
    """One Welkin instance as the operator configured it.

    ``base_url`` may have a path of its own. ``token_url`` replaces the version's own token endpoint:
    the older generation of Welkin shares a host name with v2, so neither is derived from the other.
    """

    base_url: str
    tenant: str
    instance: str
    client: str
    secret: str = field(repr=False)
    timeout_seconds: float = 10.0
    token_url: str | None = None
    ca_file: str | None = None
    """The certificates (PEM) that the server's has to be signed by; None: those that the system trusts."""
    max_body_bytes: int = 10_000_000
    max_calls: int = 64
    max_file_bytes: int = 1024**3
    max_retries: int = 3
    retry_seconds: float = 0.2
    """The longest pause before the first retry; twice as long before each one after it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What one upstream token is kept under: two clients of a tenant never share one (S: the SDK's bug)."""

    base_url: str
    tenant: str
    client: str


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """How the calls to one instance fare, for metrics.

    ``in_flight`` and ``waiting`` count calls now, ``retries`` since the start. ``answered``: whether the
    last call had an answer; None: none was made yet.
    """

    breaker: BreakerState
    in_flight: int
    waiting: int
    retries: int
    answered: bool | None
