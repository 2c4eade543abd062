"""The conversations that patients' chat tokens open.

The page that describes them names no page and no size (D2). So the server is put to the test once: one
that shows the messages of page 0 again on page 1 takes no notice of numbers, and gives everything at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.errors import PageRefused
from gateway.domain.pages import Linked, Newest, Numbered, Page, PageRef
from gateway.welkin.drafts import newest_first, trend
from gateway.welkin.v2.habits import SMALLER_SIZE, Habits, Listed
from gateway.welkin.v2.lists import Load, NumberedList


@dataclass(slots=True)
class PortalLists:
    """What is known of how the server lists by chat token; ``paged`` is None until that was seen."""

    habits: Habits
    paged: bool | None = None

    async def page(self, load: Load, at: PageRef) -> Page:
        """Read the page at a place, or everything where the server knows no pages.

        Raises:
            PageRefused: the place is not one of this version, or is counted from the other end.
        """
        if isinstance(at, Linked):
            raise PageRefused("The page was named by another version of Welkin's API.")
        if self.paged is None:
            first = await self._put_to_the_test(load)
            if not self.paged:
                return self._whole(first)
        elif not self.paged:
            return self._whole(await load(self._start()))
        messages = NumberedList("list messages by chat token", self.habits, "", load)
        return await messages.newest() if isinstance(at, Newest) else await messages.page(at)

    async def _put_to_the_test(self, load: Load) -> Listed:
        start = self._start()
        first = await load(start)
        if first.drafts:
            second = await load(Numbered(1, start.size))
            again = {draft.message.external_id for draft in second.drafts}
            self.paged = not all(draft.message.external_id in again for draft in first.drafts)
        return first

    def _start(self) -> Numbered:
        return Numbered(0, min(self.habits.size, SMALLER_SIZE))

    def _whole(self, listed: Listed) -> Page:
        direction = trend(listed.drafts)
        oldest_first = direction > 0 if direction else self.habits.oldest_first is True
        drafts = listed.drafts[::-1] if oldest_first else listed.drafts
        return Page(Newest(), newest_first(drafts), older=None, newer=None)
