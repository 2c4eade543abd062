"""A limit on how long something may wait, which costs nothing where it does not wait at all.

An event goes to thousands of sockets, of which nearly none makes it wait. A timer for each of them, set
and taken back at once, would be a tenth of the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_time(running: Awaitable[T], seconds: float) -> T:
    """Wait for something; only where it does not come at once there is a limit for the rest.

    Raises:
        TimeoutError: it took too long, and was cancelled.
    """
    steps = running.__await__()
    try:
        awaited = next(steps)
    except StopIteration as end:
        return end.value
    async with asyncio.timeout(seconds):
        return await _rest(steps, awaited)


@coroutine
def _rest(steps: Generator[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Go on with what has begun, passing on what it waits for and what comes back, as ``await`` does."""
    try:
        while True:
            try:
                answer = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for what runs
                awaited = steps.throw(error)
            else:
                awaited = steps.send(answer)
    except StopIteration as end:
        return end.value
