"""How often something happened in the last seconds, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_SLOTS = 20


class Recent:
    """Counts what happened in the last ``seconds``, to a twentieth of them. ``clock`` gives seconds.

    >>> now = 0.0
    >>> recent = Recent(10, lambda: now)
    >>> recent.add()
    >>> recent.count
    1
    >>> now = 11.0
    >>> recent.count
    0
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._width = seconds / _SLOTS
        self._clock = clock
        self._slots: deque[tuple[int, int]] = deque()  # number of the slot, events in it
        self._count = 0

    def add(self) -> None:
        """Count one."""
        number = self._forget_old()
        if self._slots and self._slots[-1][0] == number:
            self._slots[-1] = (number, self._slots[-1][1] + 1)
        else:
            self._slots.append((number, 1))
        self._count += 1

    @property
    def count(self) -> int:
        """How many there were."""
        self._forget_old()
        return self._count

    def clear(self) -> None:
        """Forget all of them."""
        self._slots.clear()
        self._count = 0

    def _forget_old(self) -> int:
        number = int(self._clock() / self._width)
        while self._slots and self._slots[0][0] <= number - _SLOTS:
            self._count -= self._slots.popleft()[1]
        return number
