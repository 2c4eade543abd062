"""The least that a server of WebSockets can be: it holds connections and passes one text to all of them.

    python -m benchmarks.bare PORT

It runs on the same server software as the gateway, and says what `graphql-transport-ws` makes it say.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

SENDERS: set[Send] = set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hold a socket, or answer ``POST /control/messages`` with one event to everybody."""
    if scope["type"] == "websocket":
        await hold(receive, send)
    elif scope["type"] == "http":
        if scope["method"] == "POST":
            body = json.loads((await receive())["body"])
            await tell(body["patientId"], body["text"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def hold(receive: Receive, send: Send) -> None:
    """Keep a socket until it ends."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
    await receive()
    await send({"type": "websocket.send", "text": '{"type":"connection_ack"}'})
    await receive()
    SENDERS.add(send)
    try:
        while (await receive())["type"] != "websocket.disconnect":
            continue
    finally:
        SENDERS.discard(send)


async def tell(patient_id: str, text: str) -> None:
    """Send an event of the gateway's shape to all."""
    node = {
        "id": "A" * 60,
        "externalId": patient_id,
        "createdAt": "2026-01-01T00:00:00.000Z",
        "body": text,
        "sender": {"kind": "CARE_TEAM"},
    }
    data: dict[str, Any] = {"messageAdded": {"cursor": "A" * 150, "node": node}}
    event = {"id": "1", "type": "next", "payload": {"data": data}}
    message: Message = {"type": "websocket.send", "text": json.dumps(event, separators=(",", ":"))}
    for send in tuple(SENDERS):
        await send(message)


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_config=None,
    )
