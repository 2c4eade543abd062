"""Turns at the processor for the tasks that an operation begins: they take them like the operation itself.

One thread serves everybody. Whoever runs operations in turns opens this context for them, and those who
begin a task on their behalf ask here how it is to run. Elsewhere a task runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

Pace = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
"""Gives work that takes turns, for work that does not."""

_current: ContextVar[Pace | None] = ContextVar("turns", default=None)


def pace_with(pace: Pace) -> None:
    """Have the tasks that are begun in this context take turns."""
    _current.set(pace)


def paced(work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Give the work as a task of this context is to run it."""
    pace = _current.get()
    return work if pace is None else pace(work)
