"""How an answer goes out: whole, slowly, cut off, or not at all. Connections are really closed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from starlette.types import Receive, Send

from gateway.sandbox.answers import Answer
from gateway.sandbox.faults import Fault

HANG_SECONDS = 60.0
"""How long a request hangs unless the fault says otherwise: longer than any sane deadline."""

FLUSH_SECONDS = 0.05
"""Time for bytes to reach the client before the connection is reset."""


async def deliver(answer: Answer, fault: Fault | None, receive: Receive, send: Send, *, sized: bool) -> None:
    """Send an answer, as the fault lets it. ``sized`` announces the length; v1 sends chunks (R)."""
    match fault.name if fault else None:
        case "reset" | "stored_reset":
            await _reset(receive, send)
        case "reset_mid_body":
            await _send_share(answer, 1 / 2, send, sized=True)
            await asyncio.sleep(FLUSH_SECONDS)
            await _reset(receive, send)
        case "truncated" if answer.chunks is None:
            body = answer.body[: len(answer.body) * 2 // 3]
            await _send(answer, iter([body]), len(body) if sized else None, send)
        case "truncated" | "cut":
            await _send_share(answer, 2 / 3, send, sized=sized)
            _connection(send).close()
        case "drip" if fault:
            await _drip(answer, fault, receive, send)
        case "hang" | "stored_hang" if fault:
            if not await wait(fault.number("seconds", HANG_SECONDS), receive):
                await _send(answer, iter([answer.body]), len(answer.body), send)
        case "slow" if fault:
            if not await wait(fault.number("seconds", 1), receive):
                await _send_whole(answer, receive, send, sized=sized)
        case _:
            await _send_whole(answer, receive, send, sized=sized)


async def wait(seconds: float, receive: Receive) -> bool:
    """Wait, but no longer than the client does; tell whether it has gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


async def _send_whole(answer: Answer, receive: Receive, send: Send, *, sized: bool) -> None:
    if answer.chunks is not None:
        await _stream(answer, answer.chunks, receive, send)
    else:
        await _send(answer, iter([answer.body]), len(answer.body) if sized else None, send)


async def _stream(answer: Answer, chunks: Iterator[bytes], receive: Receive, send: Send) -> None:
    """Send a body piece by piece, and make no more pieces once the client has gone."""
    gone = asyncio.ensure_future(receive())
    try:
        await send(_start(answer, None))
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # a server may take any number of pieces without a pause
            if gone.done():
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def _send(answer: Answer, chunks: Iterator[bytes], length: int | None, send: Send) -> None:
    await send(_start(answer, length))
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drip(answer: Answer, fault: Fault, receive: Receive, send: Send) -> None:
    step = max(int(fault.number("bytes", 64)), 1)
    body = _whole_body(answer)
    await send(_start(answer, None))
    for start in range(0, len(body), step):
        await send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
        if await wait(fault.number("seconds", 0.1), receive):
            return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_share(answer: Answer, share: float, send: Send, *, sized: bool) -> None:
    """Send a part of a body, of which the headers announce the whole if it is ``sized``."""
    announced = dict(answer.headers).get("content-length", len(answer.body))
    left = int(int(announced) * share)
    await send(_start(answer, len(answer.body) if sized and answer.chunks is None else None))
    for chunk in iter([answer.body]) if answer.chunks is None else answer.chunks:
        await send({"type": "http.response.body", "body": chunk[:left], "more_body": True})
        left -= len(chunk)
        if left <= 0:
            break


async def _reset(receive: Receive, send: Send) -> None:
    """Close the connection with a TCP reset; below another server than uvicorn, by an error."""
    transport = _connection(send)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _connection(send: Send) -> Any:
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("The fault asks for a connection that breaks off.")
    return transport


def _whole_body(answer: Answer) -> bytes:
    return answer.body if answer.chunks is None else b"".join(answer.chunks)


def _start(answer: Answer, length: int | None) -> dict[str, Any]:
    headers = list(answer.headers)
    if answer.content_type is not None:
        headers.append(("content-type", answer.content_type))
    if length is not None and all(name != "content-length" for name, _ in headers):
        headers.append(("content-length", str(length)))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": answer.status, "headers": raw}
