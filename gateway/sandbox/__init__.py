"""The Welkin that ships with the gateway: both APIs over one store, faults on demand."""

from gateway.sandbox.app import SandboxApp, create_sandbox
from gateway.sandbox.config import Client, SandboxConfig, WebhookTarget
from gateway.sandbox.faults import FaultRule
from gateway.sandbox.knobs import Knobs
from gateway.sandbox.live import Sandbox
from gateway.sandbox.webhook import WebhookOptions

__all__ = [
    "Client",
    "FaultRule",
    "Knobs",
    "Sandbox",
    "SandboxApp",
    "SandboxConfig",
    "WebhookOptions",
    "WebhookTarget",
    "create_sandbox",
]
