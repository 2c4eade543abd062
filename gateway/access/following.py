"""A subscription of a caller: it ends when the proof does, and each event is written down before it is shown.

The proof is watched by the wall clock once a second, since that clock may be set while nothing arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gateway.access.act import EXPIRED, Caller, outcome_of, unknown_patient
from gateway.access.audit import OK, Action
from gateway.domain.access import Scope, check_patient
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
        edges = begin() if caller.principal.expires_at is None else _until_expiry(caller, begin())
        with unknown_patient():
            async with aclosing(edges):
                async for edge in edges:
                    patient_id = edge.message.patient_id
                    if caller.audit.is_kept:
                        await _write_down(caller, patient_id)
                    else:
                        check_patient(caller.principal, patient_id)
                    caller.check_expiry()  # to write it down may have taken a moment
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


async def _write_down(caller: Caller, patient_id: str) -> None:
    async with caller.act(Action.EVENT, patient_id) as event:
        event.ask_patient(patient_id)
        event.count = 1


async def _until_expiry(caller: Caller, edges: AsyncGenerator[Edge]) -> AsyncGenerator[Edge]:
    async with aclosing(edges):
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
        self._waiting: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    async def next_of(self, edges: AsyncGenerator[Edge]) -> Edge | None:
        """Give the next message; None after the last one.

        Raises:
            Unauthenticated: the proof has ended.
        """
        self._caller.check_expiry()
        waiting = asyncio.timeout(None)  # until ``_look`` knows better; no timer for each of thousands
        try:
            async with waiting:
                self._waiting = waiting
                edge = await anext(edges, None)
        except Exception:  # of any kind: once the proof has ended, nothing else is told
            if waiting.expired():
                raise Unauthenticated(EXPIRED) from None
            self._caller.check_expiry()
            raise
        finally:
            self._waiting = None
        self._caller.check_expiry()
        return edge

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._caller.seconds_left
        if left <= 0 and self._waiting is not None:
            self._waiting.reschedule(self._loop.time())
            return
        # Where nobody waits, the next wait begins with a look of its own, by a clock that may be set back.
        pause = min(left, LOOK_SECONDS) if left > 0 else LOOK_SECONDS
        self._timer = self._loop.call_later(pause, self._look)
