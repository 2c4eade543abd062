"""The walk: one paging model over every upstream. Pure; it asks for pages and is handed pages.

Theory of operation
-------------------

A conversation is a list, newest message first, that grows at its newest end while it is read.
An upstream shows it in pages whose borders move with every arrival, or that only link to their
neighbours. A window on it (``first``/``after``, ``last``/``before``) is cut out in three steps.

*Seek* (``seek``). A cursor names a message by id and carries two helps: the page it was last seen
on and its time. The page is read first. If the message is not there, the times on that page tell
which way to go: along the links, or in doubling leaps and halves where pages have numbers. No
step counts messages from the start, so the cost does not depend on how deep the place is. Without
a usable hint (the instance moved to the other version, the token died) the search starts at the
newest page. A message that is not listed any more is replaced by its time (``target``).

*Scan* (``scan``). From there messages are read towards older ones only, each page no earlier than
the one before. Arrivals push messages deeper, never shallower, so this direction cannot skip.

*Cut*. An older window is what follows the place. A newer window cannot be read by going newer,
since between two reads an arrival pushes messages across the border, out of the page that is
about to be read. So the walk leaps far enough to the newer side first, and scans from there
back to the place: what it met last before the place is the window.

One message more than asked for is looked for at the far end, so the flags are true exactly when
there is something there. Equal times keep the order in which the upstream lists them.

A walk is a generator: it yields ``Ask``, is sent a ``Snapshot`` (or has ``PageRefused`` thrown in),
and returns a ``Cut``. Whoever drives it decides on caches, deadlines and I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.errors import PageRefused
from gateway.domain.model import Message
from gateway.domain.pages import Newest, PageRef
from gateway.domain.scan import Ask, OlderScan, Placed, Snapshot, Walk
from gateway.domain.seek import find_again, locate, reach
from gateway.domain.target import End, Instant, Position, Target, own_second


@dataclass(frozen=True, slots=True)
class Cut:
    """A window cut out of a conversation, newest first.

    ``lost`` says that the message at the oldest bound is not listed: its time stands in for it.
    """

    placed: tuple[Placed, ...]
    has_next: bool
    has_previous: bool
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which messages count: those behind ``newest``, before ``oldest``, and newer than ``since``."""

    newest: Position | None = None
    oldest: Position | None = None
    since: Instant | None = None

    def excludes(self, message: Message) -> bool:
        """Tell whether ``since`` leaves the message out."""
        return self.since is not None and self.since.passed(message)

    def at_oldest(self, message: Message) -> bool:
        """Tell whether the message lies at ``oldest`` or behind it."""
        return self.oldest is not None and (self.oldest.hit(message) or self.oldest.passed(message))

    def at_newest(self, message: Message) -> bool:
        """Tell whether the message lies at ``newest`` or before it."""
        return self.newest is not None and (self.newest.hit(message) or self.newest.newer(message))


def older(count: int, bounds: Bounds, *, not_before: float = 0.0) -> Walk[Cut]:
    """Cut the ``count`` newest messages within the bounds."""
    if bounds.newest is None:
        scan = OlderScan((yield Ask(Newest(), not_before)))
        index, has_previous = 0, False
    else:
        scan, index, has_previous = yield from _behind(bounds.newest, not_before)
    start = index
    while index - start <= count:
        if index == len(scan.found):
            if scan.exhausted:
                return Cut(tuple(scan.found[start:]), has_next=False, has_previous=has_previous)
            yield from scan.more(find_again)
            continue
        message = scan.found[index].message
        if bounds.excludes(message) or bounds.at_oldest(message):
            more = not bounds.excludes(message)
            return Cut(tuple(scan.found[start:index]), has_next=more, has_previous=has_previous)
        index += 1
    return Cut(tuple(scan.found[start : start + count]), has_next=True, has_previous=has_previous)


def newer(count: int, bounds: Bounds, *, not_before: float = 0.0) -> Walk[Cut]:
    """Cut the ``count`` oldest messages within the bounds."""
    target: Target = bounds.oldest or bounds.since or End()
    if isinstance(target, Position):
        scan, index, hit = yield from _locate_message(target, keep=count + 1, not_before=not_before)
    else:
        scan, index, hit = yield from locate(target, keep=count + 1, not_before=not_before)
    lost = isinstance(target, Position) and not hit
    if isinstance(target, Position) and lost:
        target = own_second(target, (placed.message for placed in scan.found), older_edge=True)
        scan, index, _ = yield from locate(target, keep=count + 1, not_before=not_before)
    begun_at: set[PageRef] = set()
    while index <= count and scan.first.page.ref not in begun_at:
        begun_at.add(scan.first.page.ref)
        far = yield from _leap_newer(scan.first, count + 1 - index)
        if far is None:
            break
        scan, index, _ = yield from reach(target, far, keep=count + 1)
    while index > 0 and bounds.excludes(scan.found[index - 1].message):
        index -= 1
    start = index
    while start > 0 and index - start < count and not bounds.at_newest(scan.found[start - 1].message):
        start -= 1
    has_next = index < len(scan.found) and not bounds.excludes(scan.found[index].message)
    return Cut(tuple(scan.found[start:index]), has_next=has_next, has_previous=start > 0, lost=lost)


def around(hit: Position, older_count: int, newer_count: int) -> Walk[Cut]:
    """Cut the window around a message: some newer ones, the message itself, some older ones.

    ``lost`` and empty if the message is not listed.
    """
    scan, index, listed = yield from _locate_message(hit)
    if not listed:
        return Cut((), has_next=False, has_previous=False, lost=True)
    itself = scan.found[index]
    here = Position(hit.external_id, itself.message.created_at, itself.hints, local=itself.local)
    before = yield from newer(newer_count, Bounds(oldest=here))
    behind = yield from older(older_count, Bounds(newest=here))
    if before.lost:  # it went while its neighbours were read
        return Cut((), has_next=False, has_previous=False, lost=True)
    placed = (*before.placed, itself, *behind.placed)
    return Cut(placed, has_next=behind.has_next, has_previous=before.has_previous)


def _locate_message(
    position: Position, *, keep: int = 1, not_before: float = 0.0
) -> Walk[tuple[OlderScan, int, bool]]:
    """Find a message; that it is lost is believed only of pages read just now, never of copies."""
    scan, index, hit = yield from locate(position, keep=keep, not_before=not_before)
    if hit or position.foreign or scan.first.began >= not_before > 0:
        return scan, index, hit
    return (yield from locate(position, keep=keep, not_before=scan.last.ended))


def _behind(position: Position, not_before: float) -> Walk[tuple[OlderScan, int, bool]]:
    """Find where the messages behind a position begin, and whether any message lies before them."""
    scan, index, hit = yield from _locate_message(position, not_before=not_before)
    if hit:
        return scan, index + 1, True
    lost = own_second(position, (placed.message for placed in scan.found), older_edge=False)
    scan, index, _ = yield from locate(lost, not_before=not_before)
    if index > 0:
        return scan, index, True
    far = yield from _leap_newer(scan.first, 1)
    return scan, index, far is not None


def _leap_newer(start: Snapshot, wanted: int) -> Walk[Snapshot | None]:
    """Go newer until the pages gone over hold that many messages; None if there is nothing newer."""
    snapshot, gone_over = start, 0
    visited: set[PageRef] = {start.page.ref}
    furthest: Snapshot | None = None
    while gone_over < wanted:
        ref = snapshot.page.newer
        if ref is None:
            break
        if ref in visited:  # links that run in a circle: the long way round
            return (yield Ask(Newest(), snapshot.ended))
        visited.add(ref)
        try:
            snapshot = yield Ask(ref, snapshot.ended)
        except PageRefused:
            return (yield Ask(Newest(), snapshot.ended))
        if snapshot.page.messages:
            furthest = snapshot
        gone_over += len(snapshot.page.messages)
    return furthest
