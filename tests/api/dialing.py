"""A client of `graphql-transport-ws` for the tests, small enough to say wrong things too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.web.options import WebOptions

FOLLOW = """subscription($id: ID!, $after: String) {
    messageAdded(patientId: $id, after: $after) { cursor node { body } }
}"""
OPTIONS = WebOptions(
    connection_init_seconds=0.3, keep_alive_seconds=0.2, max_socket_operations=3, show_cost=False
)


@asynccontextmanager
async def dial(url: str, *, init: bool = True, **options: Any) -> AsyncGenerator[ClientConnection]:
    async with connect(url, subprotocols=["graphql-transport-ws"], **options) as client:
        if init:
            await say(client, type="connection_init")
            assert await hear(client) == {"type": "connection_ack"}
        yield client


async def say(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> dict[str, Any]:
    """Give the next message that is no ping."""
    while True:
        frame = await asyncio.wait_for(client.recv(), 5)
        assert isinstance(frame, str), "the protocol knows text frames alone"
        message = json.loads(frame)
        if message != {"type": "ping"}:
            return message


async def close_code(client: ClientConnection) -> int | None:
    """Read on until the server closes, and give its code."""
    try:
        while True:
            await asyncio.wait_for(client.recv(), 5)
    except ConnectionClosed:
        return client.close_code


async def subscribe(client: ClientConnection, operation_id: str, query: str, **variables: Any) -> None:
    await say(client, id=operation_id, type="subscribe", payload={"query": query, "variables": variables})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- it becomes true in the server's thread
            await asyncio.sleep(0.01)
