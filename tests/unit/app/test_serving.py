"""The process around the app."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvloop

from gateway.app.serving import Companion, configure, listen, repeated

CALLERS = 200


def test_a_crowd_of_connections_is_taken_in_few_rounds_of_the_loop() -> None:
    """While there is much to do, a round takes long, and a probe waits behind the crowd."""

    async def serve(listener: socket.socket) -> int:
        server = Companion(configure(answer))
        task = asyncio.create_task(server.serve(repeated(listener)))
        connections, rounds = server.server_state.connections, 0
        async with asyncio.timeout(20):
            while len(connections) < CALLERS:
                rounds += bool(connections)
                await asyncio.sleep(0)
        server.hurry()
        server.should_exit = True
        await task
        return rounds

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": f"{scope['type']}.startup.complete"})
        await receive()
        await send({"type": f"{scope['type']}.shutdown.complete"})

    listener = listen("127.0.0.1", 0)
    listener.listen(CALLERS)
    callers = [socket.create_connection(listener.getsockname(), timeout=5) for _ in range(CALLERS)]
    try:
        assert uvloop.run(serve(listener)) < CALLERS / 4
    finally:
        for caller in callers:
            caller.close()
