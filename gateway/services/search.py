"""Finding messages by their text, and the conversation around a hit.

The hits of a search are a list of messages that grows at its newest end like any other, so the
same walk pages through them. A hit knows a place in its own conversation: the pages beside it
where the upstream names them (v1), else its id and time.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.domain import paging
from gateway.domain.connection import DEFAULT_PAGE, MAX_PAGE, Connection, Filter, Hit, Hits, Window
from gateway.domain.cursor import CursorKeys, Cursors, Seal
from gateway.domain.deadline import left_of
from gateway.domain.errors import BadInput, NotFound, Unsupported
from gateway.domain.identity import check_upstream_id
from gateway.domain.model import Capability, Conversation, InstanceName
from gateway.domain.paging import Bounds
from gateway.domain.ports import Reads, Welkin
from gateway.domain.scan import Placed
from gateway.services.conversations import Conversations, position
from gateway.services.walking import drive

_MAX_QUERY = 500
"""Characters of a search text. Welkin tells no limit; v1 carries it in a URL."""


class Search:
    """Searches in one instance. ``deadline`` in seconds, for all upstream reads of one window."""

    def __init__(
        self,
        instance: InstanceName,
        welkin: Welkin,
        reads: Reads,
        conversations: Conversations,
        *,
        keys: CursorKeys,
        seal: Seal,
        deadline: float,
    ) -> None:
        self._instance = instance
        self._welkin = welkin
        self._reads = reads
        self._conversations = conversations
        self._keys = keys
        self._seal = seal
        self._deadline = deadline

    async def search(self, query: str, patient_id: str | None, window: Window) -> Hits:
        """Cut a window out of the hits, newest first.

        Raises:
            BadInput: the query is blank or too long, or the window's count is out of range.
            InvalidCursor: the cursor was not made here for this search.
            Unsupported: the upstream searches one patient at a time, and none is named.
            UpstreamError: Welkin did not do its part.
        """
        window.check()
        _check_query(query)
        if patient_id is not None:
            check_upstream_id(patient_id, "patientId")
        elif Capability.SEARCH_ALL_PATIENTS not in self._welkin.capabilities:
            version = self._welkin.api_version.value
            raise Unsupported(f"Welkin {version} searches one patient at a time: name a patientId.")
        conversation = Conversation(self._instance, patient_id or "")
        cursors = Cursors(
            self._keys,
            conversation,
            edition=self._welkin.api_version.value,
            purpose=("search", query),
            seal=self._seal,
        )
        after = None if window.after is None else cursors.read(window.after, Filter())
        count = DEFAULT_PAGE if window.first is None else window.first
        walk = paging.older(count, Bounds(newest=after))
        cut = await drive(walk, self._reads.search(query, patient_id), left_of(self._deadline))
        hits = tuple(self._hit(cursors, placed) for placed in cut.placed)
        return Hits(hits, has_next_page=cut.has_next, has_previous_page=cut.has_previous)

    async def around(self, patient_id: str, place: str, older: int, newer: int) -> Connection:
        """Cut the conversation around a hit: up to ``newer`` messages, the hit, up to ``older`` messages.

        Raises:
            BadInput: a count is out of range.
            InvalidCursor: ``place`` is not one of this conversation.
            NotFound: the message is not in its conversation any more.
            UpstreamError: Welkin did not do its part.
        """
        for name, count in (("older", older), ("newer", newer)):
            if not 0 <= count <= MAX_PAGE:
                raise BadInput(f"{name} must be between 0 and {MAX_PAGE}.")
        cursors = self._conversations.cursors(patient_id)
        hit = cursors.read(place, None)
        # A search shows archived messages only if the upstream's own default does, and so does this.
        source = self._reads.conversation(patient_id)
        cut = await drive(paging.around(hit, older, newer), source, left_of(self._deadline))
        if cut.lost:
            raise NotFound("The message is not in its conversation any more.")
        edges = tuple(self._conversations.edge(cursors, placed, Filter()) for placed in cut.placed)
        return Connection(edges, has_next_page=cut.has_next, has_previous_page=cut.has_previous)

    def _hit(self, cursors: Cursors, placed: Placed) -> Hit:
        found = position(placed)
        message = placed.message
        place = replace(found, hints=placed.beside)
        conversation = self._conversations.cursors(message.patient_id)
        return Hit(
            cursors.make(found, Filter()),
            self._reads.canonical(message),
            conversation.make(place, Filter()),
        )


def _check_query(query: str) -> None:
    if not query.strip():
        raise BadInput("query must not be blank.")
    if len(query) > _MAX_QUERY:
        raise BadInput(f"query must have at most {_MAX_QUERY} characters.")
    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise BadInput("query must be text without NUL and lone surrogates.")
