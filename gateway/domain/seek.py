"""Finding a place in a conversation: by the hints of a cursor, else by time.

``seek`` gives a page from which an ``OlderScan`` reaches the place, having skipped nothing:
a page that shows the message itself, or one that begins on the newer side of it, or the newest.
"""

from __future__ import annotations

from gateway.domain.errors import PageRefused, UpstreamBadResponse
from gateway.domain.model import Message
from gateway.domain.pages import Newest, Numbered, Page, PageRef
from gateway.domain.scan import Ask, OlderScan, Placed, Snapshot, Walk
from gateway.domain.target import Position, Target

_LONGEST_LEAP = 2**20
"""Pages; no conversation is that long. An upstream that shows one page under every number has no end."""


def locate(target: Target, *, keep: int = 1, not_before: float = 0.0) -> Walk[tuple[OlderScan, int, bool]]:
    """Find a place: the scan that reached it, an index into ``found``, and whether that is a hit.

    A hit is the target's own message; otherwise the index is that of the first message on the
    older side (or ``len(found)``). ``found`` keeps at least ``keep`` messages before it, if the
    scan came by that many.
    """
    start = yield from seek(target, not_before=not_before)
    return (yield from reach(target, start, keep=keep))


def reach(target: Target, start: Snapshot, *, keep: int = 1) -> Walk[tuple[OlderScan, int, bool]]:
    """Scan from a page on the newer side (or with the target on it) to the target; as ``locate``."""
    scan = OlderScan(start)
    checked = 0
    while True:
        for index in range(checked, len(scan.found)):
            message = scan.found[index].message
            if target.hit(message):
                return scan, index, True
            if target.passed(message):
                return scan, index, False
        if scan.exhausted:
            return scan, len(scan.found), False
        scan.trim(keep)
        checked = len(scan.found)
        yield from scan.more(find_again)


def find_again(seam: Placed, not_before: float) -> Walk[Snapshot]:
    """Find the page of a message whose neighbour link is refused, without trusting any hint.

    Where many messages share its second, or it has gone, the scan may have gone further than it could
    tell. Then the page on which the place begins is read again: what lies behind it is not shown yet.
    """
    message = seam.message
    position = Position(message.external_id, message.created_at, local=seam.local)
    scan, index, hit = yield from locate(position, not_before=not_before)
    if not hit:
        times = [placed.message.created_at for placed in scan.found]
        index = next((n for n, time in enumerate(times) if time <= message.created_at), len(times))
    if index == len(scan.found) or _shows(scan.last.page, scan.found[index].message):
        return scan.last
    # The first of those that were kept may be in the midst of its second.
    ref = scan.found[index].hints[0] if hit or index > 0 else scan.first.page.ref
    try:
        return (yield Ask(ref, scan.last.ended))
    except PageRefused:
        return (yield Ask(Newest(), scan.last.ended))


def _shows(page: Page, message: Message) -> bool:
    return any(each.external_id == message.external_id for each in page.messages)


def seek(target: Target, *, not_before: float = 0.0) -> Walk[Snapshot]:
    """Give a page from which reading on towards older messages reaches the target."""
    start: Snapshot | None = None
    for ref in (*target.hints, *(() if Newest() in target.hints else (Newest(),))):
        try:
            snapshot = yield Ask(ref, not_before)
        except PageRefused:
            continue  # a token that died, or a cursor from the other version
        page = snapshot.page
        if not page.messages and page.newer is None and not isinstance(ref, Newest):
            continue  # behind the end: tells nothing
        side = _side(target, page)
        if side == "here":
            return snapshot
        start = snapshot
        if not (isinstance(ref, Newest) and side == "older"):
            break  # this hint tells which way to go; the newest page alone would mean a long way
    if start is None:
        raise PageRefused("The upstream refuses to show its newest page.")
    if _side(target, start.page) == "newer":
        start = yield from _towards_newer(target, start)
    if isinstance(start.page.ref, Numbered) and _side(target, start.page) == "older":
        start = yield from _leap_older(target, start)
    return start


def _side(target: Target, page: Page) -> str:
    """Tell where the place is, seen from a page: "here", or beyond its "newer" or "older" end."""
    messages = page.messages
    if any(target.hit(message) for message in messages):
        return "here"
    if messages and target.newer(messages[-1]):
        return "older" if page.older is not None else "here"
    if page.newer is not None and not (messages and target.newer(messages[0])):
        return "newer"
    return "here"


def _towards_newer(target: Target, start: Snapshot) -> Walk[Snapshot]:
    """Go towards newer messages until the place is on the page or behind it."""
    snapshot, leap = start, 1
    visited: set[PageRef] = {start.page.ref}
    while _side(target, snapshot.page) == "newer":
        page = snapshot.page
        ref = page.newer
        if isinstance(page.ref, Numbered) and leap > 1:
            ref = page.ref.step_older(-leap) or Numbered(0, page.ref.size)
        if ref is None or ref in visited:
            break
        visited.add(ref)
        leap *= 2
        try:
            further = yield Ask(ref, snapshot.ended)
        except PageRefused:
            break
        if isinstance(ref, Numbered) and not further.page.messages:
            break  # beyond the newest page
        snapshot = further
    if _side(target, snapshot.page) == "newer":
        return (yield Ask(Newest(), snapshot.ended))
    return snapshot


def _leap_older(target: Target, start: Snapshot) -> Walk[Snapshot]:
    """Go towards older numbered pages in doubling leaps, then halve the last one.

    The cost grows with the logarithm of the distance. ``nearest`` is always a page that ends on the
    newer side, so a scan from it skips nothing, whatever arrives meanwhile.
    """
    nearest, leap = start, 1
    beyond: int | None = None
    while True:
        at = nearest.page.ref
        if not isinstance(at, Numbered):
            return nearest
        width = leap if beyond is None else beyond // 2
        if width < 1:
            return nearest
        ref = at.step_older(width)
        snapshot: Snapshot | None = None
        if ref is not None:
            try:
                snapshot = yield Ask(ref)
            except PageRefused:
                snapshot = None  # some servers refuse pages behind the end
        side = _leap_side(target, snapshot)
        if snapshot is not None and side == "here":
            return snapshot
        if snapshot is not None and side == "older":
            if leap > _LONGEST_LEAP:
                raise UpstreamBadResponse("Welkin shows messages under every page number.")
            nearest = snapshot
            if beyond is None:
                leap *= 2
            else:
                beyond -= width
        else:
            beyond = width


def _leap_side(target: Target, snapshot: Snapshot | None) -> str:
    if snapshot is None or not snapshot.page.messages:
        return "newer"
    return _side(target, snapshot.page)
