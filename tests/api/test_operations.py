"""The example operations, as the documents and GraphiQL show them, against both versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.sync.client import connect

from gateway.sandbox.conversations import LONG
from tests.api.system import PATHS, system

FOLDER = Path(__file__).resolve().parents[2] / "schema" / "operations"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.graphql"))
LIVE = {"follow_messages": ["v1", "v2"], "follow_portal": ["v2"]}
V2_ONLY = {"portal_messages", "send_attachment"}
RUNS = [
    (name, version)
    for name in EXAMPLES
    for version in ("v1", "v2")
    if name not in LIVE and not (name in V2_ONLY and version == "v1")
]


@pytest.fixture(scope="module")
def running():
    with system() as each:
        yield each


def text(name: str) -> str:
    return (FOLDER / f"{name}.graphql").read_text(encoding="utf-8")


def portal_token(running) -> str:
    return running.control("POST", "portal-tokens", {"patientId": LONG, "seconds": 60})["token"]


@pytest.mark.parametrize(("name", "version"), RUNS)
def test_an_example_answers_with_data(running, name, version):
    variables = {}
    if name == "node":
        data = running.query(version, "query ($id: ID!) { patient(patientId: $id) { id } }", id=LONG)
        variables["id"] = data["patient"]["id"]
    if name == "portal_messages":
        variables["token"] = portal_token(running)

    data = running.query(version, text(name), **variables)

    assert all(data.values())


@pytest.mark.parametrize(("name", "version"), [(name, version) for name in LIVE for version in LIVE[name]])
def test_a_live_example_shows_a_message(running, name, version):
    variables = {"token": portal_token(running)} if name == "follow_portal" else {}
    url = f"{running.gateway_url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
    with connect(url, subprotocols=["graphql-transport-ws"]) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=5))["type"] == "connection_ack"
        payload = {"query": text(name), "variables": variables}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        running.query(version, "{ __typename }")
        frames = []
        for attempt in range(20):  # until the subscription stands
            running.control(
                "POST", "messages", {"patientId": LONG, "from": "care_team", "text": f"Hello {attempt}"}
            )
            try:
                frames.append(json.loads(socket.recv(timeout=1)))
                break
            except TimeoutError:
                continue

    assert frames[0]["type"] == "next"
    (edge,) = frames[0]["payload"]["data"].values()
    assert edge["node"]["body"].startswith("Hello")


def test_what_only_v2_can_says_so_on_v1(running):
    code = running.code("v1", text("portal_messages"), token=portal_token(running))

    assert code == running.code("v1", text("send_attachment")) == "UNSUPPORTED_BY_UPSTREAM"
