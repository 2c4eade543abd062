"""Host names are looked up in threads of each name's own, so that a silent name server holds up no other.

Left to themselves, event loops look all names up in a few threads that the process shares: uvloop in
four of libuv's. A name server that does not answer keeps one for ten seconds and more, and soon nobody
else's name is found. Here those who ask for one name at once share a lookup; one that takes long is
joined no more, since the next may be luckier, up to a bound. The threads do not keep a process from ending.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

JOINED_SECONDS = 1.0
"""How old a lookup may be that is joined."""

MOST_AT_ONCE = 8
"""Lookups of one name."""

Addresses = list[tuple[Any, ...]]
_Question = tuple[Any, ...]


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make the loop that uvicorn would choose, with these lookups; uvicorn is told its name in `serving`."""
    loop = auto_loop_factory()()
    setattr(loop, "getaddrinfo", Lookups(loop).getaddrinfo)  # noqa: B010 - uvloop's class is not typed for it
    return loop


@dataclass(frozen=True, slots=True)
class _Lookup:
    began: float
    found: asyncio.Future[Addresses]


class Lookups:
    """The lookups under way on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._under_way: dict[_Question, list[_Lookup]] = {}

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name that all loops give it
        proto: int = 0,
        flags: int = 0,
    ) -> Addresses:
        """Look a name up, as ``socket.getaddrinfo`` does; whoever goes away does not stop the lookup.

        Raises:
            OSError: what ``socket.getaddrinfo`` raises.
        """
        question = (host, port, family, type, proto, flags)
        running = self._under_way.setdefault(question, [])
        is_young = running and self._loop.time() - running[-1].began < JOINED_SECONDS
        if not is_young and len(running) < MOST_AT_ONCE:
            running.append(self._begin(question))
        return await asyncio.shield(running[-1].found)

    def _begin(self, question: _Question) -> _Lookup:
        lookup = _Lookup(self._loop.time(), self._loop.create_future())
        lookup.found.add_done_callback(lambda _: self._ended(question, lookup))
        threading.Thread(target=self._look_up, args=(question, lookup), name="lookup", daemon=True).start()
        return lookup

    def _look_up(self, question: _Question, lookup: _Lookup) -> None:
        try:
            found = socket.getaddrinfo(*question)
        except (OSError, UnicodeError) as error:  # a name that cannot be written in IDNA is a UnicodeError
            self._tell(lookup.found.set_exception, error)
        else:
            self._tell(lookup.found.set_result, found)

    def _tell(self, how: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop may have ended meanwhile
            self._loop.call_soon_threadsafe(how, what)

    def _ended(self, question: _Question, lookup: _Lookup) -> None:
        lookup.found.exception()  # looked at, also where every caller has gone
        running = self._under_way[question]
        running.remove(lookup)
        if not running:
            del self._under_way[question]
