"""The whole product on real sockets: the sandbox Welkin, the gateway before it, and a client's eyes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from gateway.app import build
from gateway.sandbox import Client, Sandbox, SandboxConfig, create_sandbox
from gateway.sandbox.config import DEFAULT_CLIENTS
from gateway.settings import parse
from tests.serving import serve

PATHS = {"v1": "gh/sb-demo", "v2": "acme-health/live"}
HOOKS = {"webhook_key": "hook-key", "webhook_secret": "hook-secret"}

CLIENTS = (*DEFAULT_CLIENTS, Client("v1", "SANDBOXV1", "sandbox-secret", tenant="acme-health"))
"""So that each instance can move to the other version."""

MESSAGES = """
query (
  $id: ID!, $first: Int, $after: String, $last: Int, $before: String, $since: DateTime, $all: Boolean! = false
) {
  patient(patientId: $id) {
    messages(
      first: $first, after: $after, last: $last, before: $before, since: $since, includeArchived: $all
    ) {
      edges { cursor node { externalId body createdAt sender { kind } } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}
"""
SEND = """
mutation ($input: SendMessageInput!) {
  sendMessage(input: $input) { messageEdge { cursor node { id externalId body sender { kind } } } }
}
"""
FOLLOW = """
subscription ($id: ID!, $after: String) {
  messageAdded(patientId: $id, after: $after) { cursor node { id body } }
}
"""


@dataclass
class System:
    """A running sandbox and gateway."""

    sandbox: Sandbox
    sandbox_url: str
    gateway_url: str
    http: httpx2.Client

    def post(self, version: str, document: str, **variables: Any) -> dict[str, Any]:
        """Run an operation; gives the whole answer."""
        response = self.http.post(
            f"{self.gateway_url}/{PATHS[version]}/graphql", json={"query": document, "variables": variables}
        )
        assert response.status_code == 200, response.text
        return response.json()

    def query(self, version: str, document: str, **variables: Any) -> dict[str, Any]:
        """Run an operation that has to succeed; gives its data."""
        answer = self.post(version, document, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def code(self, version: str, document: str, **variables: Any) -> str:
        """Run an operation that has to fail; gives the code of its one error."""
        (error,) = self.post(version, document, **variables)["errors"]
        return error["extensions"]["code"]

    def messages(self, version: str, patient_id: str, **arguments: Any) -> dict[str, Any]:
        """Read a window of a conversation."""
        return self.query(version, MESSAGES, id=patient_id, **arguments)["patient"]["messages"]

    def walk(self, version: str, patient_id: str, size: int, **arguments: Any) -> list[dict[str, Any]]:
        """Read a whole conversation by ``after``."""
        nodes: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.messages(version, patient_id, first=size, after=cursor, **arguments)
            nodes += [edge["node"] for edge in page["edges"]]
            if not page["pageInfo"]["hasNextPage"]:
                return nodes
            cursor = page["pageInfo"]["endCursor"]

    def lists(self, version: str) -> int:
        """Count the list requests that Welkin has seen."""
        return self.sandbox.requests.count(f"{version}.list")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Drive the sandbox over HTTP, as a person would."""
        response = self.http.request(method, f"{self.sandbox_url}/control/{path}", json=body)
        assert response.status_code < 300, response.text
        return response.json()

    def hook_up(self) -> None:
        """Point the sandbox's webhooks at the gateway."""
        targets = [
            {
                "url": f"{self.gateway_url}/{path}/webhooks/chat",
                "key": HOOKS["webhook_key"],
                "secret": HOOKS["webhook_secret"],
                "tenant": path.split("/")[0],
                "instance": path.split("/")[1],
            }
            for path in PATHS.values()
        ]
        self.control("POST", "webhooks", {"targets": targets})

    @asynccontextmanager
    async def socket(self, version: str) -> AsyncIterator[ClientConnection]:
        """Open a WebSocket on which operations can begin."""
        url = f"{self.gateway_url}/{PATHS[version]}/graphql".replace("http", "ws", 1)
        async with connect(url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            yield socket

    @asynccontextmanager
    async def follow(
        self, version: str, patient_id: str, after: str | None = None
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Subscribe over a WebSocket; gives the edges as they come."""
        async with self.socket(version) as socket:
            payload = {"query": FOLLOW, "variables": {"id": patient_id, "after": after}}
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))

            async def edges() -> AsyncIterator[dict[str, Any]]:
                async for frame in socket:
                    message = json.loads(frame)
                    if message["type"] == "next":
                        yield message["payload"]["data"]["messageAdded"]
                    elif message["type"] != "ping":
                        raise AssertionError(message)

            yield edges()


@contextmanager
def gateway(sandbox_url: str, *, swap: bool = False, **options: Any) -> Iterator[str]:
    """Run a gateway before a sandbox. ``swap`` lets each instance speak the other version."""
    apis = {"gh/sb-demo": "v2" if swap else "v1", "acme-health/live": "v1" if swap else "v2"}
    clients = {"v1": "SANDBOXV1", "v2": "SANDBOXV2"}
    instances = [
        {
            "tenant": path.split("/")[0],
            "instance": path.split("/")[1],
            "api": api,
            "base_url": f"{sandbox_url}/{api}",
            "client": clients[api],
            "secret": "sandbox-secret",
            **HOOKS,
            **options.get("instance", {}),
            **options.get(api, {}),
        }
        for path, api in apis.items()
    ]
    settings = {
        "auth": {"mode": "none"},
        "graphql": {"introspection": True},
        "cache": options.get("cache", {}),
        "store": options.get("store", {}),
        "server": {"graphiql": True, "cursor_keys": ["known to all gateways of the tests"]},
        "instances": instances,
    }
    with serve(build(parse(settings, {})).web) as url:
        yield url


@contextmanager
def system(config: SandboxConfig | None = None, **options: Any) -> Iterator[System]:
    """Run both; webhooks reach the gateway."""
    config = config or SandboxConfig()
    app = create_sandbox(replace(config, clients=CLIENTS))
    with (
        serve(app) as sandbox_url,
        gateway(sandbox_url, **options) as gateway_url,
        httpx2.Client(timeout=30) as http,
    ):
        running = System(app.state.sandbox, sandbox_url, gateway_url, http)
        running.hook_up()
        yield running
