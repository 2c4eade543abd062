"""What a sandbox is started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.sandbox.clock import machine_time
from gateway.sandbox.knobs import Knobs


@dataclass(frozen=True, slots=True)
class Client:
    """An API client that may ask for tokens. v2's token endpoint knows no tenant (D2)."""

    api: Literal["v1", "v2"]
    name: str
    secret: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where the chat webhook goes, the two shared values it carries, and the instance it speaks of (D1)."""

    url: str
    key: str = "sandbox-webhook-key"
    secret: str = "sandbox-webhook-secret"
    tenant: str = "gh"
    instance: str = "sb-demo"


DEFAULT_CLIENTS = (
    Client("v1", "SANDBOXV1", "sandbox-secret", tenant="gh"),
    Client("v2", "SANDBOXV2", "sandbox-secret"),
)

DEFAULT_KNOBS = Knobs()
"""The default assumption wherever Welkin's documentation is silent."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of a sandbox. The same seed gives the same patients, messages and ids."""

    seed: int = 1
    clients: tuple[Client, ...] = DEFAULT_CLIENTS
    webhooks: tuple[WebhookTarget, ...] = ()
    knobs: Knobs = DEFAULT_KNOBS
    token_seconds: int = 3600
    """How long an upstream token is good (decoded D1 sample; D2 says the same)."""
    token_limit: int = 100
    """Token requests per client in `token_window_seconds`; one more blocks the client that long (D2)."""
    token_window_seconds: int = 300
    clock: Callable[[], datetime] = machine_time
    conversations: bool = True
    """Whether to fill the store with the made-up conversations."""
