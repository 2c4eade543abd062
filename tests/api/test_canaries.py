"""Nothing of a patient's leaves but in the answers: whatever the process writes is searched for canaries."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from gateway.sandbox import Client, FaultRule, SandboxConfig, create_sandbox
from tests.api.system import MESSAGES, PATHS, SEND
from tests.gateway_process import gateway_process, instance_of
from tests.serving import serve

PATIENT = "pt-canary-0a1b2c"
TEXT = "canary-téxt-7f3e"
NAME = "Canaryname"
SEARCHED = "canary-needle"
SECRET = "canary-upstream-secret"
HOOK = "canary-hook-secret"
CANARIES = [PATIENT, TEXT, NAME, SEARCHED, SECRET, HOOK, "canary"]
SEARCH = """
query ($query: String!, $id: ID) {
  searchMessages(query: $query, patientId: $id) { edges { cursor node { body } context { nodes { body } } } }
}
"""
PORTAL = "query ($token: String!) { portalMessages(token: $token) { nodes { body } } }"
RECORD = (
    "query ($id: ID!) { patient(patientId: $id) { firstName messages { nodes { body sender { name } } } } }"
)


def variants(text: str) -> list[bytes]:
    """Give the forms in which a text can be hidden: plain, escaped, quoted, in base64 at any offset."""
    forms = [
        text,
        json.dumps(text)[1:-1],
        urllib.parse.quote(text),
        urllib.parse.quote_plus(text),
        repr(text)[1:-1],
    ]
    encoded = [form.encode() for form in forms]
    for shift in range(3):
        packed = base64.b64encode(b"\0" * shift + text.encode())
        encoded.append(packed[4 if shift else 0 : -4])
    return [form for form in encoded if len(form) > 5]


@dataclass
class Run:
    """A gateway in a process of its own, in front of a sandbox, and all that it wrote."""

    url: str
    process: subprocess.Popen[str]
    output: Path

    def post(self, version: str, document: str, **variables: object) -> bytes:
        """Run an operation; gives the errors alone, since data may show what it shows."""
        body = {"query": document, "variables": variables}
        answer = httpx2.post(f"{self.url}/{PATHS[version]}/graphql", json=body, timeout=30).json()
        return json.dumps(answer.get("errors", [])).encode()


@pytest.fixture
def running(tmp_path):
    clients = (Client("v1", "SANDBOXV1", SECRET, tenant="gh"), Client("v2", "SANDBOXV2", SECRET))
    app = create_sandbox(SandboxConfig(clients=clients))
    with serve(app) as sandbox_url:
        messages = [{"text": f"{TEXT} {SEARCHED} {n}", "from": "patient"} for n in range(5)]
        made = {"patientId": PATIENT, "firstName": NAME, "lastName": NAME, "messages": messages}
        httpx2.post(f"{sandbox_url}/control/patients", json=made).raise_for_status()
        more = {"secret": SECRET, "webhook_key": "key", "webhook_secret": HOOK, "timeout_seconds": 3}
        settings = {
            "server": {"graphiql": True},
            "graphql": {"introspection": True, "get_queries": True},
            "auth": {"mode": "none"},
            "telemetry": {"log_level": "DEBUG"},
            "instances": [instance_of(sandbox_url, *each, **more) for each in PATHS.items()],
        }
        output = tmp_path / "output.txt"
        with gateway_process(tmp_path, settings, output=output) as (url, process):
            yield Run(url, process, output), app.state.sandbox


def test_no_canary_in_anything_that_is_written(running):
    run, sandbox = running
    seen = b""
    token = sandbox.credentials.portal_token(PATIENT, 60)
    for version in ("v1", "v2"):
        seen += run.post(version, RECORD, id=PATIENT)
        seen += run.post(version, SEARCH, query=SEARCHED, id=PATIENT)
        seen += run.post(version, SEND, input={"patientId": PATIENT, "body": TEXT})
        seen += run.post(version, MESSAGES, id=PATIENT, after=f"{TEXT}")
        seen += run.post(version, MESSAGES, id=f"{PATIENT}/../x")
        seen += run.post(version, f'{{ patient(patientId: "{PATIENT}", more: "{TEXT}") {{ id }} }}')
        seen += run.post(version, f'{{ patient(patientId: "{PATIENT}") {{ messages(first: "{TEXT}") ')
        seen += run.post(version, PORTAL, token=token)
        seen += run.post(version, PORTAL, token="canary-token-that-opens-nothing")
        for fault in (
            "server_error",
            "html",
            "wrong_json",
            "reset",
            "truncated",
            "bad_request",
            "rate_limited",
        ):
            for operation in ("list", "search", "send", "patient", "token"):
                sandbox.faults.clear()
                sandbox.credentials.expire_all()
                sandbox.faults.add(FaultRule(fault, operation=operation, times=3))
                seen += run.post(version, RECORD, id=PATIENT)
        sandbox.faults.clear()
        path = PATHS[version]
        tenant, instance = path.split("/")
        hook = {"patientId": PATIENT, "tenantName": tenant, "instanceName": instance, "message": TEXT}
        for key in (HOOK, "canary-wrong"):
            headers = {"X-WEBHOOK-API-KEY": "key", "X-WEBHOOK-API-SECRET": key}
            seen += httpx2.post(f"{run.url}/{path}/webhooks/chat", json=hook, headers=headers).content
            seen += httpx2.post(f"{run.url}/{path}/webhooks/events", json=hook, headers=headers).content
        seen += httpx2.get(f"{run.url}/{path}/files/canary-file").content
        query = {"query": MESSAGES, "variables": json.dumps({"id": PATIENT})}
        httpx2.get(f"{run.url}/{path}/graphql", params=query).raise_for_status()
        with connect(
            f"{run.url}/{path}/graphql?token={token}&patientId={PATIENT}".replace("http", "ws", 1),
            subprotocols=["graphql-transport-ws"],
        ) as socket:
            socket.send(
                json.dumps({"type": "connection_init", "payload": {"authorization": "Bearer canary"}})
            )
            socket.recv(timeout=5)
            subscribe = {
                "query": f'subscription {{ messageAdded(patientId: "{PATIENT}") {{ node {{ body }} }} }}'
            }
            socket.send(json.dumps({"id": TEXT, "type": "subscribe", "payload": subscribe}))
            time.sleep(0.3)
            socket.send(json.dumps({"type": TEXT}))
    seen += httpx2.get(f"{run.url}/metrics").content + httpx2.get(f"{run.url}/readyz").content
    run.process.terminate()
    run.process.wait(timeout=20)
    written = run.output.read_bytes()

    assert b'"event"' in written
    haystack = written + seen
    found = {form for canary in [*CANARIES, token] for form in variants(canary) if form in haystack}
    assert not found, re.findall(rb"[^\n]*" + re.escape(next(iter(found))) + rb"[^\n]*", haystack)[:3]
