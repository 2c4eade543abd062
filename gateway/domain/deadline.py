"""Until when the work of this context must be done: an operation's deadline, seen by the calls it leads to.

An operation may make many calls, one after the other, in tasks that it never sees. Tasks inherit
the context that they are created in, and so the deadline: a call that begins late gets what is left,
not its full time again. Two kinds of task outlive their creator and are bound by it all the same:

* a read that is shared has the deadline of the caller who began it. Where it runs out, one who joined it
  and has more time left makes the next call;
* a token request takes its own full time, since everybody waits for its outcome.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float] = ContextVar("deadline", default=math.inf)


_began: ContextVar[float | None] = ContextVar("operation began", default=None)


@contextmanager
def operation() -> Generator[None]:
    """Take what is done inside for one operation, which has one deadline for all that it leads to."""
    token = _began.set(asyncio.get_running_loop().time())
    try:
        yield
    finally:
        _began.reset(token)


def left_of(seconds: float) -> float:
    """Give what is left of so many seconds since this operation began; all, outside of one."""
    began = _began.get()
    return seconds if began is None else max(0.0, began + seconds - asyncio.get_running_loop().time())


@contextmanager
def within(seconds: float) -> Generator[float]:
    """Bind what is done inside to so many seconds from now, or to the deadline around it if that is earlier.

    Gives the moment, as a time of the running event loop.
    """
    end = at(seconds)
    token = _end.set(end)
    try:
        yield end
    finally:
        _end.reset(token)


def at(seconds: float = math.inf) -> float:
    """Give the moment by which something has to end that may take so many seconds; infinite if nothing does.

    It is a time of the running event loop, and never later than the deadline of this context.
    """
    return min(_end.get(), asyncio.get_running_loop().time() + seconds)


def remaining() -> float:
    """Give the seconds that are left, never negative; infinite without a deadline."""
    return max(0.0, _end.get() - asyncio.get_running_loop().time())
