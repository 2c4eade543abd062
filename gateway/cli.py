"""The ``gateway`` command."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import uvicorn

from gateway.app import Gateway, build
from gateway.graphql import export
from gateway.sandbox import SandboxConfig, WebhookTarget, create_sandbox
from gateway.sandbox.conversations import LONG
from gateway.settings import ConfigurationError, Settings, development, load
from gateway.telemetry import logs

_STOP_SECONDS = 10
"""How long requests in flight may take once the process was told to stop."""

_SOCKET_BYTES = 512 * 1024
"""The largest WebSocket message taken: the longest text of a send, every character escaped, fits."""

T = TypeVar("T")
_SCHEMA = Path("schema/schema.graphql")

main = typer.Typer(
    help="One GraphQL schema in front of both versions of Welkin's chat API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
schema = typer.Typer(help="The GraphQL schema as a document.", no_args_is_help=True)
main.add_typer(schema, name="schema")

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on the loopback; 0 takes a free one.")]


@main.command()
def dev(
    port: Port = 8000,
    sandbox_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the sandbox.")] = 0,
) -> None:
    """Run the gateway with an embedded Welkin sandbox behind it, and GraphiQL."""
    listener = _bind("127.0.0.1", port)
    sandbox_listener = _bind("127.0.0.1", sandbox_port)
    url, sandbox_url = _url(listener), _url(sandbox_listener)
    settings = _or_exit(lambda: development(listener.getsockname()[1], sandbox_url))
    logs.configure(settings.telemetry.log_level, for_people=True)
    hooks = _webhooks(url, settings)
    print(_welcome(url, sandbox_url), flush=True)
    upstream = create_sandbox(SandboxConfig(webhooks=hooks))
    asyncio.run(_serve_both(build(settings), listener, upstream, sandbox_listener))


@main.command()
def sandbox(
    port: Port = 8001,
    gateway: Annotated[
        str,
        typer.Option(help="Base URL of a gateway with the instances of `gateway dev`: gets the webhooks."),
    ] = "",
) -> None:
    """Run the Welkin sandbox alone: both Welkin APIs over HTTP."""
    logs.configure("INFO", for_people=True)
    listener = _bind("127.0.0.1", port)
    url = _url(listener)
    print(f"Welkin sandbox: v1 below {url}/v1, v2 below {url}/v2, control below {url}/control", flush=True)
    hooks = _webhooks(gateway.rstrip("/"), development(0, url, {})) if gateway else ()
    asyncio.run(_Server(_config(create_sandbox(SandboxConfig(webhooks=hooks)))).serve([listener]))


@main.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file; else GATEWAY_CONFIG names it.")] = None,
) -> None:
    """Run the gateway in production."""
    settings: Settings = _or_exit(lambda: load(config))
    logs.configure(settings.telemetry.log_level)
    listener = _bind(settings.server.host, settings.server.port)
    gateway = _or_exit(lambda: build(settings))
    asyncio.run(_Server(_config(gateway.web), on_stop=gateway.drain).serve([listener]))


@schema.command("export")
def export_schema() -> None:
    """Print the schema as the code serves it."""
    print(export.sdl(), end="")


@schema.command("check")
def check_schema(
    committed: Annotated[Path, typer.Argument(help="The schema that was committed.")] = _SCHEMA,
) -> None:
    """Fail where the committed schema is not what the code serves, or the code breaks what it promised."""
    try:
        text = committed.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        _exit(f"{committed}: cannot be read ({type(error).__name__}).")
    problems = export.check(text)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise typer.Exit(1)
    print(f"{committed} is what the code serves.")


class _Server(uvicorn.Server):
    """uvicorn, ending streams of ours when it is told to stop; else it would wait for them for ever."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal, faster at the second; uvicorn's own raises it again at the end."""
        del frame
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stop is not None:
            self._on_stop()
        await super().shutdown(sockets)


class _Companion(_Server):
    """A server beside another in one process: it leaves the signals to the other."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=_SOCKET_BYTES,
        ws_per_message_deflate=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


async def _serve_both(
    gateway: Gateway, listener: socket.socket, upstream: Any, sandbox_listener: socket.socket
) -> None:
    companion = _Companion(_config(upstream))
    task = asyncio.create_task(companion.serve([sandbox_listener]))
    try:
        await _Server(_config(gateway.web), on_stop=gateway.drain).serve([listener])
    finally:
        companion.should_exit = True
        await task


def _webhooks(url: str, settings: Settings) -> tuple[WebhookTarget, ...]:
    return tuple(
        WebhookTarget(
            f"{url}/{each.tenant}/{each.instance}/webhooks/chat", tenant=each.tenant, instance=each.instance
        )
        for each in settings.instances
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        _exit(f"{host}:{port} cannot be listened on: {error.strerror}. Choose another host or port.")
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _or_exit(read: Callable[[], T]) -> T:
    try:
        return read()
    except ConfigurationError as error:
        _exit(str(error))


def _exit(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(2)


def _welcome(url: str, sandbox_url: str) -> str:
    return f"""\
GraphiQL  v1: {url}/gh/sb-demo/graphql
          v2: {url}/acme-health/live/graphql
A patient with a long conversation: {LONG}
Let the care team say something:
  curl {sandbox_url}/control/messages -H 'content-type: application/json' \\
    -d '{{"patientId": "{LONG}", "from": "care_team", "text": "How are you today?"}}'
"""
