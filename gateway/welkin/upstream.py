"""Where one Welkin instance is reached, and with which credentials."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    max_body_bytes: int = 10_000_000
    max_calls: int = 64
    max_file_bytes: int = 1024**3


@dataclass(frozen=True, slots=True)
class Credential:
    """What one upstream token is kept under: two clients of a tenant never share one (S: the SDK's bug)."""

    base_url: str
    tenant: str
    client: str
