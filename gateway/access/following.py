"""A subscription of a caller: it ends when the proof does, and each event is written down before it is shown.

The proof is watched by the wall clock once a second, since that clock may be set while nothing arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gateway.access.act import EXPIRED, Caller, outcome_of, unknown_patient
from gateway.access.audit import OK, Action
from gateway.domain.access import Scope
from gateway.domain.connection import Edge
from gateway.domain.errors import Unauthenticated

LOOK_SECONDS = 1.0


async def follow(
    caller: Caller, patient_id: str | None, begin: Callable[[], AsyncGenerator[Edge]]
) -> AsyncGenerator[Edge]:
    """Give the messages that ``begin`` gives, as long as the caller may see them.

    ``patient_id`` None: whose conversation it is stands in its messages.

    Raises:
        Unauthenticated: the proof has ended.
        NotFound: the instance or the patient is not theirs.
        Forbidden: they lack the scope.
        Overloaded: the audit trail cannot be written.
    """
    async with caller.act(Action.SUBSCRIBE, patient_id) as start:
        start.ask(Scope.READ)
        if patient_id is not None:
            start.ask_patient(patient_id)
    delivered, outcome = 0, OK
    try:
        async with aclosing(_until_expiry(caller, begin)) as edges:
            async for edge in edges:
                async with caller.act(Action.EVENT, edge.message.patient_id) as event:
                    event.ask_patient(edge.message.patient_id)
                    event.count = 1
                patient_id = edge.message.patient_id
                # Writing it down may have taken a moment.
                caller.check_expiry()
                delivered += 1
                yield edge
    except (GeneratorExit, asyncio.CancelledError):
        raise  # the subscriber left, as it may
    except BaseException as error:
        outcome = outcome_of(error)
        raise
    finally:
        end = caller.act(Action.UNSUBSCRIBE, patient_id)
        async with end:
            end.shows, end.outcome, end.count = False, outcome, delivered


async def _until_expiry(caller: Caller, begin: Callable[[], AsyncGenerator[Edge]]) -> AsyncGenerator[Edge]:
    with unknown_patient():
        async with aclosing(begin()) as edges:
            if caller.principal.expires_at is None:
                async for edge in edges:
                    yield edge
                return
            expiry = _Expiry(caller)
            try:
                while (edge := await expiry.next_of(edges)) is not None:
                    yield edge
            finally:
                expiry.stop()


class _Expiry:
    """Waits for the next message or for the end of the proof, whichever comes first."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    async def next_of(self, edges: AsyncGenerator[Edge]) -> Edge | None:
        """Give the next message; None after the last one.

        Raises:
            Unauthenticated: the proof has ended.
        """
        task = asyncio.ensure_future(_next(edges))
        try:
            await asyncio.wait({task, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done() or self._caller.seconds_left <= 0:
                raise Unauthenticated(EXPIRED)
            return task.result()
        finally:
            await _end(task)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._caller.seconds_left
        if left > 0:
            self._timer = self._loop.call_later(min(left, LOOK_SECONDS), self._look)
        elif not self._ended.done():
            self._ended.set_result(None)


async def _next(edges: AsyncGenerator[Edge]) -> Edge | None:
    return await anext(edges, None)


async def _end(task: asyncio.Task[Edge | None]) -> None:
    """Bring the wait to its end: the generator cannot be closed while it runs."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # marks it as seen: it came too late
