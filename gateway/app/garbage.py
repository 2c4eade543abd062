"""When Python looks for circles of garbage, and among what: seldom while thousands are connected.

What the gateway makes is freed as it is let go of; circles are left behind by libraries, the most by the
validation of a document that was not seen before. Nearly all of them are found while they are young. A look
at everything that lives takes 0.25 ms for each connection, in which nobody is served: with ten thousand
subscribers 2.5 s. Left to itself Python begins one whenever a quarter of all objects is new, which a crowd
that comes makes it do again and again.

So with more than a few connections what has lived for a while is *set aside*, where no look goes; and a look
at everything, to find circles among that, is made at most every five minutes, and more seldom the longer it
takes; sooner where more memory is in use than the connections explain. A look waits while a crowd is told of
an event. With a few, all but what start-up made is looked at whenever there may be something to find.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

_STATM = Path("/proc/self/statm")

_THRESHOLDS = (1_000, 6, 1_000_000_000)
"""So many new objects more than were freed; with many that replace others it is a look at ten times as many,
which takes 10 ms, and at the survivors of six times 60. The last number: never by itself."""

_OLDER = 40
"""So many looks at what is not quite young leave behind what is worth a longer look, or to be set aside."""

_FEW = 400
"""Connections, with which a look takes 0.1 s."""

_SECONDS_OF_FEW, _SHARE_OF_FEW = 5.0, 100
"""Between two looks while there are few connections: at least so long, and as many times its own length."""

_SECONDS, _SHARE = 300.0, 1_000
"""Between two looks at everything."""

_SECONDS_PER_CONNECTION = 0.000_25
"""What a look at everything takes, until it has been measured."""

_LONGEST_CROWD = 10
"""Seconds that a look waits while a crowd is told; several may follow on each other without end."""

_BYTES_PER_CONNECTION = 64 * 1024
_UNEXPLAINED_BYTES = 100 * 1024 * 1024
_SECONDS_AT_LEAST = 60.0
"""After a look at everything, until so many bytes more in use are the reason for another."""

_REST = 400
"""What lives without any connection, counted as if it were connections."""


def prepare() -> None:
    """Set what start-up made aside: all of the code takes a look 70 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def set_aside() -> None:
    """Take what lives out of the collector's sight, but for what is garbage already and young."""
    gc.collect(1)
    gc.freeze()


def look_at_everything() -> None:
    """Find all garbage there is."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def bytes_in_use() -> int:
    """Tell how much memory the process has in use; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


class Collector:
    """Python's collector; a process has one. ``clock`` in seconds, ``memory`` in bytes."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, memory: Callable[[], int] = bytes_in_use
    ) -> None:
        self._clock = clock
        self._memory = memory
        self._crowds = 0
        self._was_on = True  # Python's own looks, before the crowds
        self._has_many = False  # connections
        self._is_aside = False

    @contextmanager
    def undisturbed(self, listeners: int) -> Generator[None]:
        """Look at nothing while so many are told of something.

        Each is left with ten objects in which it waits for the next time: a look at them finds nothing. So
        with many connections they are set aside unseen, and with them what is young otherwise; circles
        among that are found by the look at everything.
        """
        if listeners <= _FEW:
            yield
            return
        if self._crowds == 0:
            self._was_on = gc.isenabled()
            gc.disable()
        self._crowds += 1
        try:
            yield
        finally:
            self._crowds -= 1
            if self._crowds == 0:
                if self._has_many:
                    gc.freeze()
                    self._is_aside = True
                if self._was_on:
                    gc.enable()

    async def run(self, connections: Callable[[], int]) -> None:
        """Collect garbage, without end. ``connections`` tells how many are open."""

        def unexplained() -> int:
            return self._memory() - count * _BYTES_PER_CONNECTION

        now = asyncio.get_running_loop().time
        count = connections()
        usual = unexplained()
        last, each, due = now(), _SECONDS_PER_CONNECTION, 0.0
        waited = 0
        while True:
            await asyncio.sleep(1.0)
            count = connections()
            self._has_many = count > _FEW
            waited = waited + 1 if self._crowds else 0
            if 0 < waited < _LONGEST_CROWD:
                continue
            waited = 0
            if gc.get_count()[2] >= _OLDER:
                if self._has_many:
                    set_aside()
                    self._is_aside = True
                elif now() >= due:
                    due = now() + max(_SECONDS_OF_FEW, _SHARE_OF_FEW * self._measured(gc.collect))
            size = count + _REST
            since = now() - last
            much = since >= _SECONDS_AT_LEAST and unexplained() > usual + _UNEXPLAINED_BYTES
            if self._is_aside and (much or since >= max(_SECONDS, _SHARE * each * size)):
                each = self._measured(look_at_everything) / size
                last, self._is_aside, usual = now(), self._has_many, unexplained()

    def _measured(self, look: Callable[[], object]) -> float:
        began = self._clock()
        look()
        return self._clock() - began
