"""``gateway serve`` in a process of its own, with a configuration of the test's."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2

START_SECONDS = 60
"""Long enough for a busy machine."""


@contextmanager
def gateway_process(
    folder: Path, settings: dict[str, Any], *flags: str, output: Path | None = None, **options: Any
) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """Run it until the block ends; gives its URL, once it answers, and the process.

    ``settings`` are written to ``gateway.toml`` in the folder, with a free port; ``flags`` are Python's own.
    What it prints goes to the file ``output``, else into a pipe, and ``options`` go to `Popen`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sections = settings | {"server": settings.get("server", {}) | {"port": port}}
    config = folder / "gateway.toml"
    text = "".join(f"{name} = {_toml(section)}\n" for name, section in sections.items())
    config.write_text(text, encoding="utf-8")
    command = [sys.executable, *flags, "-m", "gateway", "serve", "--config", str(config)]
    with output.open("wb") if output else nullcontext(subprocess.PIPE) as sink:
        defaults: dict[str, Any] = {"stdout": sink, "stderr": subprocess.STDOUT, "text": True}
        running = subprocess.Popen(command, **(defaults | options))
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if running.poll() is not None or time.monotonic() > deadline:
                running.kill()
                printed, _ = running.communicate()
                raise RuntimeError(f"The gateway did not start: {output.read_text() if output else printed}")
            time.sleep(0.1)
        yield url, running
    finally:
        running.kill()
        running.communicate()


def answers(url: str) -> bool:
    """Tell whether a gateway says that it lives."""
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def instance_of(sandbox_url: str, api: str, path: str, **more: Any) -> dict[str, Any]:
    """Give the settings of an instance that a sandbox serves; its secret and others are added as ``more``."""
    tenant, instance = path.split("/")
    return {
        "tenant": tenant,
        "instance": instance,
        "api": api,
        "base_url": f"{sandbox_url}/{api}",
        "client": f"SANDBOX{api.upper()}",
    } | more


def _toml(value: Any) -> str:
    """Write a value on one line, tables too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
