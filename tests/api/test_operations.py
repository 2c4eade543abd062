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
LIVE = {"follow_messages"}
NOT_SERVED_YET = {"search_messages"}


@pytest.fixture(scope="module")
def running():
    with system() as each:
        yield each


def text(name: str) -> str:
    return (FOLDER / f"{name}.graphql").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in LIVE | NOT_SERVED_YET])
def test_an_example_answers_with_data(running, name, version):
    variables = {}
    if name == "node":
        data = running.query(version, "query ($id: ID!) { patient(patientId: $id) { id } }", id=LONG)
        variables["id"] = data["patient"]["id"]

    data = running.query(version, text(name), **variables)

    assert all(data.values())


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", sorted(LIVE))
def test_a_live_example_shows_a_message(running, name, version):
    url = f"{running.gateway_url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
    with connect(url, subprotocols=["graphql-transport-ws"]) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=5))["type"] == "connection_ack"
        payload = {"query": text(name)}
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
    assert frames[0]["payload"]["data"]["messageAdded"]["node"]["body"].startswith("Hello")
