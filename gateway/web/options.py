"""What the composition root hands to the web: the instances, the switches, and how ready we are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.graphql.ports import InstanceService


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Switches and limits of the doors. The defaults are those of production."""

    graphiql: bool = False
    introspection: bool = False
    get_queries: bool = False
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 1024 * 1024
    """Of a GraphQL request: the longest message, every character escaped, takes 384 KiB."""
    body_seconds: float = 20.0
    """For a body to arrive; whoever drips it is cut off."""
    keep_alive_seconds: float = 15.0
    """Between pings on a quiet stream: proxies commonly drop one after 30 or 60 silent seconds."""
    connection_init_seconds: float = 10.0
    """For a WebSocket's first message."""
    max_socket_operations: int = 100
    """Operations that run at once on one WebSocket."""


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """An instance, and the pairs of key and secret that its webhooks may carry (several while rotating)."""

    service: InstanceService
    webhook_credentials: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse an empty half: an empty header would match it."""
        if any(not key or not secret for key, secret in self.webhook_credentials):
            raise ValueError("A webhook key or secret must not be empty.")


@dataclass(frozen=True, slots=True)
class ReadyState:
    """Whether requests should be sent here, and what each part says about itself (no secrets)."""

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict[str, str])


Readiness: TypeAlias = Callable[[], Awaitable[ReadyState]]
