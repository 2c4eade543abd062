"""The circuit breaker of one instance: while Welkin is down, calls fail at once and leave it alone.

*Closed*, calls go out, and their outcomes of the last ten seconds are counted. Five failures that are half
of all outcomes, or twenty in a row, open it. *Open*, nothing goes out for a pause. Then it is *half-open*:
one call goes out as a probe. Its success closes the breaker, its failure starts a longer pause. A
probe that says nothing for a while is not waited for, so that one lost packet does not keep it open.

A failure that names a *subject* may be of that subject alone: one broken conversation answers 500 however
often it is asked. Within ten seconds each subject counts as one failure, in a row as well; what it says
beyond that is nothing. So one broken conversation never opens the breaker, and several at once do.

Each call holds a ticket. Tickets from before the breaker last opened or closed tell nothing any more: a
call that failed slowly must not open what has recovered meanwhile.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gateway.welkin.recent import Recent

WINDOW_SECONDS = 10.0
FEWEST_FAILURES = 5
SHARE = 0.5
IN_A_ROW = 20
MOST_SUBJECTS = 1000
"""So many subjects are remembered; the ones that counted first are forgotten first."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before the first, second, … probe; the last one again and again. With all of them a breaker
closes less than five seconds after Welkin is back, if anyone calls."""
PROBE_SECONDS = 2.0


class BreakerState(Enum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave for one call: of which era, and which probe of it (0: none)."""

    era: int
    probe: int = 0


class Breaker:
    """One instance's breaker. ``clock`` gives seconds, and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = Recent(WINDOW_SECONDS, clock)
        self._successes = Recent(WINDOW_SECONDS, clock)
        self._in_a_row = 0
        self._subjects_in_a_row: set[str] = set()
        self._counted: OrderedDict[str, float] = OrderedDict()  # subject, when it counted
        self._closed = True
        self._era = 0
        self._probes = 0
        self._pauses = 0
        self._next_probe = 0.0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """What a call would meet now."""
        if self._closed:
            return BreakerState.CLOSED
        if self._probing or self._clock() >= self._next_probe:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    def enter(self) -> Ticket | None:
        """Ask leave for a call; None: it must fail at once. A ticket is given back by ``leave``."""
        if self._closed:
            return Ticket(self._era)
        now = self._clock()
        if now < self._next_probe:
            return None
        self._probes += 1
        self._probing = True
        self._next_probe = now + PROBE_SECONDS
        return Ticket(self._era, self._probes)

    def stands(self, ticket: Ticket) -> bool:
        """Tell whether a call that has waited since may still go out."""
        return ticket.era == self._era

    def leave(self, ticket: Ticket, *, ok: bool | None, subject: str | None = None) -> bool | None:
        """Tell how a call ended; None: in a way that says nothing about Welkin. Gives what it was taken for.

        ``subject``: what the call was about, if it may be that nothing else fails.
        """
        if ticket.era != self._era:
            return ok
        if ok is False and subject is not None and not self._counts(subject):
            ok = None
        if ticket.probe:
            self._judge(ticket, ok=ok)
        elif ok:
            self._successes.add()
            self._in_a_row = 0
            self._subjects_in_a_row.clear()
        elif ok is not None:
            self._fail(subject)
        return ok

    def _counts(self, subject: str) -> bool:
        """Tell whether a failure of this subject is news, and remember it."""
        now = self._clock()
        while self._counted and now - next(iter(self._counted.values())) >= WINDOW_SECONDS:
            self._counted.popitem(last=False)
        if subject in self._counted:
            return False
        self._counted[subject] = now
        if len(self._counted) > MOST_SUBJECTS:
            self._counted.popitem(last=False)
        return True

    def _fail(self, subject: str | None) -> None:
        self._failures.add()
        if subject is None:
            self._in_a_row += 1
        else:
            self._subjects_in_a_row.add(subject)
        failures = self._failures.count
        clear = failures >= SHARE * (failures + self._successes.count)
        in_a_row = self._in_a_row + len(self._subjects_in_a_row)
        if (failures >= FEWEST_FAILURES and clear) or in_a_row >= IN_A_ROW:
            self._turn(closed=False)

    def _judge(self, ticket: Ticket, *, ok: bool | None) -> None:
        if ok:
            self._turn(closed=True)
        elif ticket.probe == self._probes:
            self._probing = False
            self._next_probe = self._clock() + (0.0 if ok is None else self._pause())

    def _turn(self, *, closed: bool) -> None:
        self._era += 1
        self._closed = closed
        self._probing = False
        self._failures.clear()
        self._successes.clear()
        self._counted.clear()
        self._subjects_in_a_row.clear()
        self._in_a_row = self._pauses = 0
        self._next_probe = self._clock() + (0.0 if closed else self._pause())

    def _pause(self) -> float:
        pause = PAUSES[min(self._pauses, len(PAUSES) - 1)]
        self._pauses += 1
        return pause
