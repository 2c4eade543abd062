"""Reading a conversation: from Relay's arguments to a connection."""

from __future__ import annotations

from gateway.domain import paging
from gateway.domain.connection import DEFAULT_PAGE, Connection, Edge, Filter, Window
from gateway.domain.cursor import CursorKeys, Cursors
from gateway.domain.deadline import left_of
from gateway.domain.errors import InvalidCursor
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import Conversation, InstanceName, Message
from gateway.domain.pages import Newest, PageRef
from gateway.domain.paging import Bounds
from gateway.domain.ports import Reads, Source
from gateway.domain.scan import Placed
from gateway.domain.target import Instant, Position
from gateway.services.walking import drive


class Conversations:
    """The conversations of one instance, whose upstream speaks the version ``edition``.

    ``deadline`` in seconds, for all upstream reads of one window.
    """

    def __init__(
        self, instance: InstanceName, edition: str, reads: Reads, *, keys: CursorKeys, deadline: float
    ) -> None:
        self._instance = instance
        self._edition = edition
        self._reads = reads
        self._keys = keys
        self._deadline = deadline

    async def messages(self, patient_id: str, window: Window, chosen: Filter) -> Connection:
        """Cut a window out of a conversation, newest message first.

        Raises:
            BadInput: the patient id cannot be one, or the window's counts are out of range.
            InvalidCursor: a cursor was not made here for this conversation and filter.
            NotFound: Welkin knows no such patient.
            UpstreamError: Welkin did not do its part.
        """
        window.check()
        source = self._reads.conversation(patient_id, include_archived=chosen.include_archived)
        return await self.window(source, self.cursors(patient_id), window, chosen)

    async def window(
        self, source: Source, cursors: Cursors, window: Window, chosen: Filter | None = None
    ) -> Connection:
        """Cut a window out of any list of messages with the cursors given.

        Raises:
            InvalidCursor: a cursor was not made here for this list.
            UpstreamError: Welkin did not do its part.
        """
        since = None if chosen is None else chosen.since
        bounds = Bounds(
            newest=None if window.after is None else cursors.read(window.after, chosen),
            oldest=None if window.before is None else cursors.read(window.before, chosen),
            since=None if since is None else Instant(since),
        )
        cut = await drive(_walk(window, bounds), source, left_of(self._deadline))
        edges = tuple(self.edge(cursors, placed, chosen or Filter()) for placed in cut.placed)
        return Connection(edges, has_next_page=cut.has_next, has_previous_page=cut.has_previous)

    async def portal(self, token: str, window: Window) -> Connection:
        """Cut a window out of the conversation that a chat token opens.

        Whose it is stands in its messages alone: in an empty one no cursor is good.

        Raises:
            Unauthenticated: the token opens nothing (any more).
            InvalidCursor: a cursor was not made here for this conversation.
            UpstreamError: Welkin did not do its part.
        """
        source = self._reads.portal(token)
        newest = await drive(paging.older(1, Bounds()), source, left_of(self._deadline))
        if not newest.placed:
            if window.after is not None or window.before is not None:
                raise InvalidCursor("The cursor is not one that this gateway made for this conversation.")
            return Connection((), has_next_page=False, has_previous_page=False)
        cursors = self.cursors(newest.placed[0].message.patient_id)
        return await self.window(source, cursors, window)

    def edge(self, cursors: Cursors, placed: Placed, chosen: Filter) -> Edge:
        """Pair a message, with the list's time where it is known, with its cursor."""
        return Edge(cursors.make(position(placed), chosen), self._reads.canonical(placed.message))

    def cursors(self, patient_id: str) -> Cursors:
        """Give the cursors of a patient's conversation.

        Raises:
            BadInput: the patient id cannot be one.
        """
        check_upstream_id(patient_id, "patientId")
        return Cursors(self._keys, Conversation(self._instance, patient_id), edition=self._edition)

    def edge_of_newest(self, message: Message, hints: tuple[PageRef, ...]) -> Edge:
        """Give the edge of a message that was sent just now and is not read from a page yet.

        ``hints`` are those of the message that was the newest before.
        """
        placed = Placed(message, hints or (Newest(),))
        return self.edge(self.cursors(message.patient_id), placed, Filter())


def position(placed: Placed) -> Position:
    """Give the place of a message, as a cursor keeps it."""
    message = placed.message
    return Position(message.external_id, message.created_at, placed.hints, local=placed.local)


def _walk(window: Window, bounds: Bounds) -> paging.Walk[paging.Cut]:
    """Choose the direction: to newer messages with ``last``, or with ``before`` alone."""
    only_before = window.before is not None and window.after is None and window.first is None
    if window.last is not None or only_before:
        return paging.newer(DEFAULT_PAGE if window.last is None else window.last, bounds)
    return paging.older(DEFAULT_PAGE if window.first is None else window.first, bounds)
