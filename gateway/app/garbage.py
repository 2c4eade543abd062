"""When Python looks for cycles of garbage among all that lives: seldom, and at most a share of the time.

A full collection looks at every object. With ten thousand subscribers that takes seconds, in which nobody is
served, and left to itself Python begins one whenever enough objects have lived for a while, which every
event to all of them does. So only the young are looked at automatically; a full collection is due when
there is something to look for, and after as many times its own length as keep it to a hundredth of the time.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

_THRESHOLDS = (2_000, 20, 1_000_000_000)
"""A look at 2,000 new objects takes 1 ms, at 20,000 it would take 25. The last number: never by itself."""

_SHARE = 100
_SECONDS = 5.0
"""Between two collections at least."""

_WORTH = 10
"""So many looks at what is not quite young have to be made before a full collection is worth it."""


def freeze() -> None:
    """Take what start-up made out of the collector's sight: all of the code takes it 70 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


async def collect_in_time(clock: Callable[[], float] = time.perf_counter) -> None:
    """Make full collections, without end."""
    took = 0.0
    while True:
        await asyncio.sleep(max(_SECONDS, _SHARE * took))
        if gc.get_count()[2] >= _WORTH:
            began = clock()
            gc.collect()
            took = clock() - began
