"""The ``gateway`` command."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import build, serving
from gateway.app.garbage import Collector
from gateway.app.starting import check_audit_file
from gateway.graphql import export
from gateway.sandbox import SandboxConfig, WebhookTarget, create_sandbox
from gateway.sandbox.conversations import LONG
from gateway.settings import ConfigurationError, Settings, development, load
from gateway.telemetry import logs

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
    _say(_welcome(url, sandbox_url))
    upstream = create_sandbox(SandboxConfig(webhooks=hooks))
    gateway = _or_exit(lambda: build(settings))
    server = serving.GatewayServer(
        serving.configure(gateway.web), on_stop=gateway.drain, collector=gateway.collector
    )
    companion = serving.Companion(serving.configure(upstream, HttpToolsProtocol))
    serving.run_beside(server, listener, companion, sandbox_listener)


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
    _say(f"Welkin sandbox: v1 below {url}/v1, v2 below {url}/v2, control below {url}/control")
    hooks = _webhooks(gateway.rstrip("/"), development(0, url, {})) if gateway else ()
    app = create_sandbox(SandboxConfig(webhooks=hooks))
    server = serving.GatewayServer(serving.configure(app, HttpToolsProtocol), collector=Collector())
    serving.run(server, listener)


@main.command()
def serve(
    config: Annotated[Path | None, typer.Option(help="TOML file; else GATEWAY_CONFIG names it.")] = None,
) -> None:
    """Run the gateway in production."""
    settings: Settings = _or_exit(lambda: load(config))
    logs.configure(settings.telemetry.log_level)
    listener = _bind(settings.server.host, settings.server.port)
    _or_exit(lambda: check_audit_file(settings))
    gateway = _or_exit(lambda: build(settings))
    server = serving.GatewayServer(
        serving.configure(gateway.web),
        on_stop=gateway.drain,
        drain_seconds=settings.server.drain_seconds,
        collector=gateway.collector,
    )
    serving.run(server, listener)


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


def _webhooks(url: str, settings: Settings) -> tuple[WebhookTarget, ...]:
    return tuple(
        WebhookTarget(
            f"{url}/{each.tenant}/{each.instance}/webhooks/chat", tenant=each.tenant, instance=each.instance
        )
        for each in settings.instances
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        return serving.listen(host, port)
    except OSError as error:
        _exit(f"{host}:{port} cannot be listened on: {error.strerror}. Choose another host or port.")


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _or_exit(read: Callable[[], T]) -> T:
    try:
        return read()
    except ConfigurationError as error:
        _exit(str(error))


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # nobody reads it any more; the text must not come up again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
