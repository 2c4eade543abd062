"""What Redis's clock says in terms of this process's, and back, with bounds that are never wrong.

A look at Redis's clock was sent at one local moment and answered at another; Redis's own moment lies
between. So the difference of the clocks lies in an interval as wide as the round trip, and within all
such intervals at once. Clocks drift against each other, so what is known grows wider with time.
"""

from __future__ import annotations

_DRIFT = 5e-4
"""Seconds a second: the fastest that NTP slews a clock."""


class RedisClock:
    """The difference of Redis's clock to the local one, in seconds, known within bounds."""

    def __init__(self) -> None:
        self._least = float("-inf")
        self._most = float("inf")
        self._at = 0.0

    @property
    def known(self) -> bool:
        """Whether there was a look yet."""
        return self._most < float("inf")

    def observe(self, sent: float, received: float, redis: float) -> None:
        """Learn from a look: when it was sent and received here, and what Redis's clock said."""
        wider = max(0.0, received - self._at) * _DRIFT
        least = max(self._least - wider, redis - received)
        most = min(self._most + wider, redis - sent)
        if least > most:  # one of the clocks was set: what was known is worth nothing
            least, most = redis - received, redis - sent
        self._least, self._most, self._at = least, most, received

    def earliest_here(self, redis: float) -> float:
        """Give the local moment that this moment of Redis's is certainly not before."""
        return redis - self._most

    def latest_here(self, redis: float) -> float:
        """Give the local moment that this moment of Redis's is certainly not after."""
        return redis - self._least

    def earliest_there(self, here: float) -> float:
        """Give the moment by Redis's clock that this local moment is certainly not before."""
        return here + self._least

    def latest_there(self, here: float) -> float:
        """Give the moment by Redis's clock that this local moment is certainly not after."""
        return here + self._most
