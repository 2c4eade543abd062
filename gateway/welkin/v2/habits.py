"""What one v2 server has shown of its habits: its order, its page size, and whether it keeps to a size.

None of this is documented (A), so it is learned from answers, for as long as the process lives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.pages import Numbered
from gateway.welkin.drafts import Draft, read_drafts, trend
from gateway.welkin.v2.envelopes import Envelope, open_envelope
from gateway.welkin.v2.numbering import Seen
from gateway.welkin.v2.translate import is_anothers, owner_of, read_draft, read_find

SMALLER_SIZE = 50
"""Asked for where a larger page is refused: the one size that v2 documents, as its default (D2)."""
_REMEMBERED_ENDS = 10_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One page as the server gave it, in the server's order."""

    envelope: Envelope
    drafts: Sequence[Draft]

    @property
    def dropped(self) -> int:
        """How many items were not messages of their own."""
        return len(self.envelope.items) - len(self.drafts)


@dataclass(frozen=True, slots=True)
class Reading:
    """A page together with the place it was read at and what it tells of the list."""

    at: Numbered
    drafts: Sequence[Draft]
    seen: Seen


@dataclass(slots=True)
class Habits:
    """What is known so far. ``oldest_first`` is None until two different times were seen on a page."""

    size: int
    oldest_first: bool | None = None
    full_page_seen: bool = False
    size_broken: bool = False
    _ends: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])

    def take(self, listed: Listed, at: Numbered) -> Reading:
        """Learn from a page, and say what it tells."""
        envelope = listed.envelope
        count, total = len(envelope.items), envelope.total
        short_in_the_middle = (
            0 < count < at.size and total is not None and at.number * at.size + count < total
        )
        self.size_broken |= short_in_the_middle or count > at.size
        self.full_page_seen |= count == at.size
        if self.oldest_first is None and (direction := trend(listed.drafts)):
            self.oldest_first = direction > 0
        return Reading(at, listed.drafts, self._seen(envelope, at))

    def remembered_end(self, key: str) -> int:
        """Give the page that was the last one when this list was last read to its end."""
        return self._ends.get(key, 0)

    def remember_end(self, key: str, number: int) -> None:
        """Keep the last page of a list as a guess for next time; the longest unused is forgotten."""
        self._ends[key] = number
        self._ends.move_to_end(key)
        if len(self._ends) > _REMEMBERED_ENDS:
            self._ends.popitem(last=False)

    def _seen(self, envelope: Envelope, at: Numbered) -> Seen:
        keeps_to_it = self.full_page_seen or envelope.size == at.size
        return Seen(
            count=len(envelope.items),
            size=at.size,
            honoured=keeps_to_it and not self.size_broken,
            total=None if self.size_broken else envelope.total,
            pages=envelope.pages,
            last=envelope.last,
        )


def read_list(answer: object, patient_id: str) -> Listed:
    """Translate a page of a conversation.

    Raises:
        UpstreamBadResponse: there is no list in it, or no message in the list.
    """
    envelope = open_envelope(answer)
    return Listed(envelope, read_drafts(envelope.items, lambda item: read_draft(item, patient_id)))


def read_finds(answer: object, patient_id: str | None) -> Listed:
    """Translate a page of messages that name their patients, bare or wrapped; ``patient_id`` is the rest's.

    Where a patient was asked for, messages of others are left out, whatever Welkin found.

    Raises:
        UpstreamBadResponse: there is no list in it, or no message of a known patient in the list.
    """
    envelope = open_envelope(answer)
    own = [item for item in envelope.items if not is_anothers(item, patient_id)]
    return Listed(envelope, read_drafts(own, lambda item: read_find(item, patient_id)))


def read_portal(answer: object) -> Listed:
    """Translate a page of one conversation whose patient only its messages name, most of them at least.

    Raises:
        UpstreamBadResponse: there is no list in it, or no message of a known patient in the list.
    """
    envelope = open_envelope(answer)
    owner = next((found for item in envelope.items if (found := owner_of(item)) is not None), None)
    return Listed(envelope, read_drafts(envelope.items, lambda item: read_find(item, owner)))
