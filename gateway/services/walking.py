"""Driving a walk: its questions answered by the shared reads, all within one deadline."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateway.domain.deadline import within
from gateway.domain.errors import PageRefused, UpstreamBadResponse, UpstreamTimeout
from gateway.domain.ports import Source
from gateway.domain.scan import Walk

T = TypeVar("T")

FOR_CALLS = 0.9
"""The share of the time in which calls must end, so that their error, or an older copy, still answers."""


async def drive(walk: Walk[T], source: Source, deadline: float) -> T:
    """Run a walk to its end. ``deadline`` in seconds, for all of its reads together.

    Raises:
        UpstreamTimeout: the deadline passed.
        UpstreamBadResponse: Welkin refuses its own page links, whichever way is tried.
        GatewayError: what a read raises.
    """
    try:
        with within(deadline * FOR_CALLS):
            async with asyncio.timeout(deadline):
                return await _answer(walk, source)
    except PageRefused as error:
        raise UpstreamBadResponse("Welkin does not accept the page links that it gave.") from error
    except TimeoutError as error:
        raise UpstreamTimeout("Welkin did not answer in time.") from error


async def _answer(walk: Walk[T], source: Source) -> T:
    """Answer the questions of a walk until it ends."""
    try:
        ask = next(walk)
        while True:
            try:
                snapshot = await source.page(ask)
            except PageRefused as refused:
                ask = walk.throw(refused)
            else:
                ask = walk.send(snapshot)
    except StopIteration as end:
        return end.value
