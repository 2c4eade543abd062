"""The sandbox as an ASGI app: both Welkin APIs below ``/v1`` and ``/v2``, control below ``/control``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.control import routes
from gateway.sandbox.live import Sandbox
from gateway.sandbox.upstream import serve


class SandboxApp(Starlette):
    """Hands Welkin's paths over as they came, before anything decodes them or wraps the connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(routes=routes(sandbox), lifespan=_lifespan)
        self.state.sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] == "http" and scope["path"].startswith(("/v1/", "/v2/")):
            sandbox: Sandbox = self.state.sandbox
            await serve(sandbox, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_sandbox(config: SandboxConfig | None = None) -> SandboxApp:
    """Make a sandbox; ``app.state.sandbox`` is the live object that tests drive."""
    return SandboxApp(Sandbox(config or SandboxConfig()))


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None]:
    sandbox: Sandbox = app.state.sandbox
    sandbox.webhooks.start()
    try:
        yield
    finally:
        await sandbox.webhooks.stop()
