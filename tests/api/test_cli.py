"""The command as its user runs it: a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from gateway.sandbox.conversations import LONG

GATEWAY = [sys.executable, "-m", "gateway"]


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [*GATEWAY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run(
        [*GATEWAY, *arguments], capture_output=True, text=True, timeout=60, check=False, env=env
    )


def read_until(running: subprocess.Popen[str], pattern: str) -> str:
    assert running.stdout is not None
    text = ""
    for line in running.stdout:
        text += line
        if re.search(pattern, text):
            return text
    raise AssertionError(text)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_dev_serves_both_versions_until_it_is_told_to_stop(how):
    with process("dev", "--port", "0") as running:
        printed = read_until(running, r"How are you today")
        url = re.search(r"http://127\.0\.0\.1:\d+", printed)[0]
        query = {
            "query": f'{{ patient(patientId: "{LONG}") {{ messages(first: 1) {{ nodes {{ body }} }} }} }}'
        }
        answers = []
        for path in ("gh/sb-demo", "acme-health/live"):
            for _ in range(50):
                try:
                    answers.append(httpx2.post(f"{url}/{path}/graphql", json=query).json())
                    break
                except httpx2.ConnectError:
                    time.sleep(0.1)

        running.send_signal(how)

        assert answers[0] == answers[1]
        assert answers[0]["data"]["patient"]["messages"]["nodes"][0]["body"]
        told, _ = running.communicate(timeout=15)
        assert running.returncode == 0
        assert "Traceback" not in told


def test_serve_without_configuration_lets_nobody_in():
    done = run("serve")

    assert done.returncode == 2
    assert "auth: is missing" in done.stderr
    assert "instances: is missing" in done.stderr


def test_serve_refuses_to_be_open_to_the_network(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text(
        '[server]\nhost = "0.0.0.0"\n[auth]\nmode = "none"\n[[instances]]\ntenant = "t"\ninstance = "i"\n'
        'api = "v1"\nbase_url = "https://api.example.org"\nclient = "C"\nsecret = "${WELKIN_SECRET}"\n'
    )

    done = run("serve", "--config", str(config), WELKIN_SECRET="canary")

    assert done.returncode == 2
    assert "server.host must be a loopback address" in done.stderr
    assert "canary" not in done.stderr + done.stdout


def test_a_port_that_is_taken_is_told_in_a_sentence():
    with process("sandbox", "--port", "0") as running:
        port = re.search(r":(\d+)/v1", read_until(running, r"/control"))[1]

        done = run("sandbox", "--port", port)

    assert done.returncode == 2
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr


def test_the_committed_schema_is_what_the_code_serves():
    assert run("schema", "check").returncode == 0
    assert run("schema", "export").stdout.startswith(("schema", '"""', "interface", "type", "directive"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("body: String!", "body: Int!"), "body"),
        (lambda text: text + "\ntype Extra { id: ID }\n", "Extra"),
        (lambda _: "type {", "cannot be read"),
    ],
)
def test_a_schema_that_differs_is_told(tmp_path, change, says):
    committed = tmp_path / "schema.graphql"
    committed.write_text(change(run("schema", "export").stdout))

    done = run("schema", "check", str(committed))

    assert done.returncode == 1
    assert says in done.stderr + done.stdout


def test_help_names_every_command():
    text = run("--help").stdout

    assert all(command in text for command in ("dev", "serve", "sandbox", "schema"))


CONFIG = """
[server]
host = "{host}"
port = {port}
[auth]
mode = "none"
[telemetry]
audit_file = "{audit}"
[[instances]]
tenant = "t"
instance = "i"
api = "v1"
base_url = "http://127.0.0.1:9"
client = "C"
secret = "${{WELKIN_SECRET}}"
"""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"port": 1_000_000}, "server.port"),
        ({"audit": "/nowhere/audit.jsonl"}, "telemetry"),
        ({"audit": "/dev/full/audit.jsonl"}, "telemetry"),
        ({"host": "::1x"}, "server.host"),
    ],
)
def test_what_keeps_it_from_starting_is_told_in_a_sentence(tmp_path, changes, says):
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(**({"host": "127.0.0.1", "port": 0, "audit": ""} | changes)))

    done = run("serve", "--config", str(config), WELKIN_SECRET="canary")

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr + done.stdout


def test_a_configuration_that_is_not_there_is_told_in_a_sentence(tmp_path):
    done = run("serve", "--config", str(tmp_path / "none.toml"))

    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
