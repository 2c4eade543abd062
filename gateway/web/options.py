"""What the composition root hands to the web: the instances, the switches, and how ready we are."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.domain.access import EVERYBODY, Principal
from gateway.domain.model import InstanceName
from gateway.graphql.limits import Limits
from gateway.graphql.ports import InstanceService

Authenticate: TypeAlias = Callable[[bytes | None, bytes | None], Awaitable[Principal]]
"""Tells who sent these values of ``Authorization`` and ``X-API-Key``; raises Unauthenticated."""

Admit: TypeAlias = Callable[[InstanceService, Principal, str], InstanceService]
"""Gives what a principal may use of an instance, for the operation with this request id."""

Heard: TypeAlias = Callable[[InstanceName, str | None, str], None]
"""Is told of a webhook: the instance, the patient if it was taken, and what became of it."""


Refused: TypeAlias = Callable[[InstanceName | None, str], None]
"""Is told of a caller who is nobody we know: the instance that they asked for, and the request's id."""


def unheard(_instance: InstanceName, _patient_id: str | None, _outcome: str) -> None:
    """Tell nobody of a webhook."""


def unrefused(_instance: InstanceName | None, _request_id: str) -> None:
    """Tell nobody of a caller who was not believed."""


async def everybody(_authorization: bytes | None, _api_key: bytes | None) -> Principal:
    """Ask nobody for a proof."""
    return EVERYBODY


def unguarded(service: InstanceService, _principal: Principal, _request_id: str) -> InstanceService:
    """Give the whole instance."""
    return service


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
    send_seconds: float = 15.0
    """For the reader of a stream to make room for the next message; whoever does not is let go."""
    drain_seconds: float = 8.0
    """For queries and mutations on WebSockets to end once the server was told to stop."""
    connection_init_seconds: float = 10.0
    """For a WebSocket's first message."""
    max_socket_operations: int = 100
    """Operations that run at once on one WebSocket."""
    authenticate: Authenticate = everybody
    admit: Admit = unguarded
    now: Callable[[], float] = time.time
    """Unix seconds, as a principal's ``expires_at`` counts them."""
    limits: Limits = field(default_factory=Limits)
    show_cost: bool = True
    """Whether the answers of queries and mutations tell their cost in ``extensions.cost``."""
    trusted_documents: Mapping[str, str] | None = None
    """Texts by id or SHA-256; given, nothing else runs. Left out, clients may persist their own by hash."""
    refused: Refused = unrefused
    """Told of each caller with wrong credentials: the address's instance, if there is one, the request."""
    heard: Heard = unheard
    """Told of each webhook: the instance, the patient where one is named, and "ok", "denied" or a code."""
    operations_per_minute: int | None = None
    """Per principal, over all transports; None for any number."""
    max_operations: int = 512
    """Queries and mutations under way at once, over all callers; more are refused at once (503)."""
    max_streams: int = 20_000
    """WebSockets and event streams open at once, over all callers."""
    max_streams_per_caller: int | None = None
    """The same for one principal; None for any number."""
    max_files_per_caller: int | None = None
    """File transfers under way at once for one principal; None for any number."""
    hosts: frozenset[str] | None = None
    """The hosts that requests may name, see ``hosts.py``; None for any."""
    metrics_token: bytes | None = field(default=None, repr=False)
    """What /metrics has to be asked with as a Bearer token; None shows it to everybody."""


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignatureOptions:
    """How the platform's webhooks are signed: HMAC-SHA256 over the body, hex or base64.

    With a ``timestamp_header`` (Unix time), what is signed is the header's text, a full stop and the
    body, and the time may be off by ``tolerance_seconds`` either way.
    """

    secret: bytes = field(repr=False)
    header: str = "X-Welkin-Signature"
    timestamp_header: str | None = None
    tolerance_seconds: float = 300

    def __post_init__(self) -> None:
        """Refuse what would let anybody in, or nobody."""
        if not self.secret:
            raise ValueError("A webhook's signing secret must not be empty.")
        if not all(_HEADER.fullmatch(name) for name in (self.header, self.timestamp_header or "x")):
            raise ValueError("A webhook's signature and timestamp headers must be names of headers.")
        if self.tolerance_seconds <= 0:
            raise ValueError("The tolerance of a webhook's timestamp must be positive.")


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """An instance, and what makes its webhooks believable.

    ``webhook_credentials`` are pairs of key and secret, several while rotating. ``event_signature``
    is a second way for the platform's events alone.
    """

    service: InstanceService
    webhook_credentials: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    event_signature: SignatureOptions | None = None

    def __post_init__(self) -> None:
        """Refuse an empty half: an empty header would match it."""
        if any(not key or not secret for key, secret in self.webhook_credentials):
            raise ValueError("A webhook key or secret must not be empty.")


@dataclass(frozen=True, slots=True)
class ReadyState:
    """Whether requests should be sent here, and what each part says about itself (no secrets).

    ``degraded``: a part fails now, whether requests should be sent here or not.
    """

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    degraded: bool = False


Readiness: TypeAlias = Callable[[], Awaitable[ReadyState]]
