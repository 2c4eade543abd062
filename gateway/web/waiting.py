"""Waiting on two things at once, for answers that are streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive


async def until_gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def settle(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what still runs and wait until its clean-up is done; how it ended does not matter."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
